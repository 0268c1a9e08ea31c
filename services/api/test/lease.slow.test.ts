import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import t from 'tap'
import { MAX_LEASE_MS, withSlack } from '../src/denylist/protocol.js'
import { nameOf, REGISTRY } from '../src/denylist/registry.js'
import { startLine } from './faults/line.js'
import {
  bearer,
  buildReplica,
  logIn,
  logOut,
  readMetrics,
  signUp,
  spawnReplica,
  startBackends,
  type Replica
} from './harness.js'

const { env, redis: server } = await startBackends(t)
const redis = new Redis(server.url, { protocol: 2 })
t.teardown(() => redis.disconnect())
/** Where people log in and out; the replica in question is a process of its own. */
const a = await buildReplica(t, { ...env, REPLICA_NAME: 'a' })
const start = (REPLICA_NAME: string, more: Record<string, string>): Promise<Replica> =>
  spawnReplica(t, { ...env, REPLICA_NAME, ...more })
const { username } = await signUp(a)
const newToken = async (): Promise<string> => (await logIn(a, username)).access_token

async function present({ url }: Replica, token: string): Promise<string> {
  const answer = await fetch(`${url}/whoami`, { headers: bearer(token) })
  const { code = '' } = (await answer.json()) as { code?: string }
  return `${answer.status} ${code}`.trim()
}

const REVOKED = '401 TOKEN_REVOKED'
const UNKNOWN = '503 REVOCATION_UNKNOWN'

t.test('serve-stale: for as long as it may, a replica without Redis answers as it last knew', async (t) => {
  const ownLine = await startLine(t, server.url)
  const stale = await start('stale', {
    REDIS_URL: ownLine.url,
    REVOCATION_OUTAGE: 'serve-stale',
    REVOCATION_MAX_STALENESS_MS: '2000'
  })
  await sleep(withSlack(MAX_LEASE_MS) + 100)
  const [before, during, live] = [await newToken(), await newToken(), await newToken()]
  t.equal((await logOut(a, before)).statusCode, 200)
  ownLine.cut()
  const cut = performance.now()
  t.equal((await logOut(a, during)).statusCode, 200)
  t.equal(await present(stale, before), REVOKED)
  t.equal(await present(stale, during), '200', 'the price of this setting')
  t.equal(await present(stale, live), '200')
  await sleep(Math.max(0, 2100 - (performance.now() - cut)))
  t.equal(await present(stale, live), UNKNOWN)
  t.equal(await present(stale, before), REVOKED, 'what it knows to be revoked stays revoked')
  await stale.kill()
  // It could not do it itself.
  await redis.hdel(
    REGISTRY,
    (await redis.hkeys(REGISTRY)).find((member) => nameOf(member) === 'stale')!
  )
})

t.test('a replica whose event loop is slow renews its lease all the same', async (t) => {
  // Each of its turns takes 80 ms. Two of a round's replies that lie there for as long would cost it the lease.
  const SLOW = `
    import { isMainThread } from 'node:worker_threads'
    const block = () => { const end = performance.now() + 80; while (performance.now() < end); }
    if (isMainThread) process.once('SIGWINCH', () => setInterval(block, 1).unref())`
  const slow = await start('slow', { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(SLOW)}` })
  const token = await newToken()
  const checks = async (by: string): Promise<number> =>
    readMetrics(await (await fetch(`${slow.url}/metrics`)).text()).get(`denylist_checks_total{by="${by}"}`)!
  process.kill(slow.pid, 'SIGWINCH')
  await sleep(500)
  // The best of three: a machine that has other things to do costs a replica its lease too.
  const shares: string[] = []
  let local: number
  let direct: number
  do {
    const before = [await checks('local'), await checks('direct')] as const
    for (let i = 0; i < 40; i++) t.equal(await present(slow, token), '200')
    local = (await checks('local')) - before[0]
    direct = (await checks('direct')) - before[1]
    shares.push(`${local} answered by itself, ${direct} by Redis`)
  } while (local <= 9 * direct && shares.length < 3)
  t.ok(local > 9 * direct, shares.join('; '))
  await slow.kill()
})
