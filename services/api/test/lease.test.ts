import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import pg from 'pg'
import t from 'tap'
import { GENERATION, LOG } from '../src/denylist/append.js'
import type { Receipt } from '../src/denylist/denylist.js'
import { MAX_LEASE_MS, withSlack } from '../src/denylist/protocol.js'
import { nameOf, REGISTRY } from '../src/denylist/registry.js'
import { startLine } from './faults/line.js'
import {
  bearer,
  newUsername,
  PASSWORD,
  readMetrics,
  spawnReplica,
  startBackends,
  type Replica,
  type TokenResponse
} from './harness.js'

const LEASE_MS = 250

/** What a busy machine may add, in milliseconds. */
const SLACK_MS = 1000

const { env, redis: server, postgres } = await startBackends(t)
const redis = new Redis(server.url, { protocol: 2 })
t.teardown(() => redis.disconnect())
const line = await startLine(t, server.url)
const start = (REPLICA_NAME: string, more: Record<string, string> = {}): Promise<Replica> =>
  spawnReplica(t, { ...env, REPLICA_NAME, ...more })
const [a, b, c] = await Promise.all([start('a'), start('b'), start('c', { REDIS_URL: line.url })])
// Until a replica has known its Redis for longer than any lease, its barriers take as long as they can.
await sleep(withSlack(MAX_LEASE_MS) + 100)

/** A replica that has no time says so before it looks at anything, and is asked again. */
async function call(method: string, url: string, token?: string, body?: object) {
  for (let attempt = 0; ; attempt++) {
    const response = await fetch(url, {
      method,
      headers: { ...(token !== undefined && bearer(token)), ...(body && { 'content-type': 'application/json' }) },
      ...(body && { body: JSON.stringify(body) })
    })
    const answer = { status: response.status, body: (await response.json()) as Record<string, unknown> }
    if (attempt === 10 || !['OVERLOADED', 'HASHING_BUSY'].includes(String(answer.body['code']))) return answer
    await sleep(500)
  }
}
const present = async ({ url }: Replica, token: string): Promise<string> => {
  const { status, body } = await call('GET', `${url}/whoami`, token)
  return `${status} ${typeof body['code'] === 'string' ? body['code'] : ''}`.trim()
}
const username = newUsername()
await call('POST', `${a.url}/users`, undefined, { username, password: PASSWORD })
async function logIn(): Promise<string> {
  const { status, body } = await call('POST', `${a.url}/auth/login`, undefined, { username, password: PASSWORD })
  if (status !== 200) throw new Error(JSON.stringify(body))
  return (body as unknown as TokenResponse).access_token
}

async function logOut(token: string): Promise<{ receipt: Receipt; ms: number }> {
  const began = performance.now()
  const { status, body } = await call('POST', `${a.url}/auth/logout`, token)
  if (status !== 200) throw new Error(JSON.stringify(body))
  return { receipt: body as unknown as Receipt, ms: performance.now() - began }
}

const REVOKED = '401 TOKEN_REVOKED'
const UNKNOWN = '503 REVOCATION_UNKNOWN'

/** How often each command has been called. */
async function calls(): Promise<Map<string, number>> {
  const stats = await redis.info('commandstats')
  return new Map([...stats.matchAll(/^cmdstat_([^:]+):calls=(\d+)/gm)].map(([, name, n]) => [name!, Number(n)]))
}

/** What the replicas' rounds are made of, and this test's own questions. */
const OF_ROUNDS = new Set(['eval', 'xread', 'time', 'hset', 'xrevrange', 'get', 'ping', 'info'])

async function transactions(): Promise<number> {
  const client = new pg.Client(postgres.url)
  await client.connect()
  const { rows } = await client.query<{ n: string }>(
    'SELECT sum(xact_commit + xact_rollback) AS n FROM pg_stat_database'
  )
  await client.end()
  return Number(rows[0]?.n)
}

t.test('a logout is confirmed by every replica, and none accepts the token', async (t) => {
  const token = await logIn()
  for (const replica of [a, b, c]) t.equal(await present(replica, token), '200')
  const { receipt, ms } = await logOut(token)
  t.strictSame(receipt.acknowledgedBy.sort(), ['a', 'b', 'c'])
  t.equal(receipt.boundMs, Math.round(withSlack(LEASE_MS)))
  t.ok(receipt.waitedMs <= ms)
  for (const replica of [a, b, c]) t.equal(await present(replica, token), REVOKED)
})

/** How many tokens the three have checked, by what. */
async function checks(): Promise<Record<string, number>> {
  const texts = await Promise.all([a, b, c].map(async ({ url }) => (await fetch(`${url}/metrics`)).text()))
  const sums: Record<string, number> = {}
  for (const [, by, n] of texts.join().matchAll(/^denylist_checks_total\{by="(\w+)".*\} (\d+)$/gm)) {
    sums[by!] = (sums[by!] ?? 0) + Number(n)
  }
  return sums
}

t.test('a request that finds a lease asks neither Redis nor Postgres', async (t) => {
  const token = await logIn()
  // Postgres writes its statistics down a second after they were made.
  await sleep(1500)
  const before = { calls: await calls(), checks: await checks(), transactions: await transactions() }
  const requests = 1200
  for (let i = 0; i < requests; i++) t.equal(await present([a, b, c][i % 3]!, token), '200')
  await sleep(1500)
  const after = { calls: await calls(), checks: await checks(), transactions: await transactions() }
  const called = (name: string): number => (after.calls.get(name) ?? 0) - (before.calls.get(name) ?? 0)
  const checked = (by: string): number => (after.checks[by] ?? 0) - (before.checks[by] ?? 0)
  const [local, direct] = [checked('local'), checked('direct')]
  t.comment(`${local} by the copy, ${direct} by Redis, for the machine was too busy to renew the lease`)
  t.equal(local + direct, requests)
  t.ok(local > requests / 2)
  t.equal(called('mget'), direct, 'Redis was asked for none that was checked by the copy')
  const others = [...after.calls.keys()].filter((name) => called(name) > 0 && !OF_ROUNDS.has(name) && name !== 'mget')
  t.strictSame(others, [])
  t.ok(called('eval') <= 2 * called('xread') + 12, `${called('eval')} scripts in ${called('xread')} rounds`)
  const made = after.transactions - before.transactions
  t.ok(made < requests / 20, `${made} transactions, whoever made them`)
})

t.test('a replica that is stopped costs a lease, and finds its own expired when it goes on', async (t) => {
  for (let round = 0; round < 5; round++) {
    const token = await logIn()
    t.equal(await present(b, token), '200')
    process.kill(b.pid, 'SIGSTOP')
    let answer: Promise<string>
    try {
      // Sent while it sleeps: the first thing it finds when it goes on.
      const { receipt, ms } = await logOut(token)
      t.strictSame(receipt.acknowledgedBy.sort(), ['a', 'c'])
      t.ok(receipt.waitedMs >= LEASE_MS, `waited ${receipt.waitedMs} ms`)
      t.ok(ms < withSlack(LEASE_MS) + SLACK_MS, `${Math.round(ms)} ms`)
      answer = present(b, token)
      await sleep(20)
    } finally {
      process.kill(b.pid, 'SIGCONT')
    }
    t.equal(await answer, REVOKED)
  }
})

t.test('a replica that is cut off from Redis stops answering when its lease ends', async (t) => {
  const [revoked, live] = [await logIn(), await logIn()]
  line.cut()
  const { receipt } = await logOut(revoked)
  t.notOk(receipt.acknowledgedBy.includes('c'))
  t.equal(await present(c, revoked), UNKNOWN)
  t.equal(await present(c, live), UNKNOWN)
  t.equal(await present(b, live), '200', 'the others go on')
  t.equal((await call('GET', `${c.url}/health/ready`)).status, 503)
  line.mend()
  await becomesReady(c)
  t.equal(await present(c, revoked), REVOKED)
  t.equal(await present(c, live), '200')
})

const killsClients = server.kind === 'embedded' && 'the embedded Redis kills no connection of a client'
t.test('without a lease Redis is asked directly', { skip: killsClients }, async (t) => {
  const token = await logIn()
  // Its follower is cut off again and again; the other connections are left alone.
  let done = false
  const cutting = (async () => {
    while (!done) {
      const clients = String(await redis.client('LIST')).split('\n')
      for (const client of clients.filter((one) => /cmd=(xread|eval)/.test(one) && /flags=b/.test(one))) {
        await redis.client('KILL', 'ID', /\bid=(\d+)/.exec(client)![1]!).catch(() => undefined)
      }
    }
  })()
  const answers = new Set<string>()
  const mgets = async (): Promise<number> => (await calls()).get('mget') ?? 0
  const before = await mgets()
  const until = performance.now() + 2000
  while (performance.now() < until) answers.add(await present(b, token))
  t.strictSame([...answers], ['200'])
  t.ok((await mgets()) > before, 'it was')
  await logOut(token)
  t.equal(await present(b, token), REVOKED)
  done = true
  await cutting
  // All followers were cut off, and who asks Redis at each request is ready without a lease.
  for (const replica of [a, b, c]) await takesLease(replica)
})

t.test('a logout that is repeated, at another replica, is told as fast that all have it', async (t) => {
  const token = await logIn()
  for (const replica of [a, b, c, a]) {
    // The least of three, for a machine may be busy for longer than a lease.
    const waited: number[] = []
    do {
      const { status, body } = await call('POST', `${replica.url}/auth/logout`, token)
      t.equal(status, 200)
      const { acknowledgedBy, waitedMs } = body as unknown as Receipt
      waited.push(waitedMs)
      if (waitedMs < LEASE_MS) t.strictSame(acknowledgedBy.sort(), ['a', 'b', 'c'])
    } while (waited.at(-1)! >= LEASE_MS && waited.length < 3)
    t.ok(waited.at(-1)! < LEASE_MS, `${waited.join(', ')} ms`)
  }
})

t.test('a replica that asks Redis at every request waits for those that keep a copy', async (t) => {
  const direct = await start('direct', { REVOCATION_MODE: 'direct' })
  // It believes the registry once it has known this Redis for longer than any lease.
  await sleep(withSlack(MAX_LEASE_MS) + 100)
  const token = await logIn()
  process.kill(b.pid, 'SIGSTOP')
  const { status, body } = await call('POST', `${direct.url}/auth/logout`, token)
  process.kill(b.pid, 'SIGCONT')
  t.equal(status, 200)
  const { acknowledgedBy, waitedMs } = body as unknown as Receipt
  t.strictSame(acknowledgedBy.sort(), ['a', 'c'])
  t.ok(waitedMs >= LEASE_MS, `${waitedMs} ms`)
  for (const replica of [direct, a, b, c]) t.equal(await present(replica, token), REVOKED)
  await direct.kill()
})

t.test('a replica that leaves strikes itself off; one that was killed is waited for once', async (t) => {
  const members = async (): Promise<string[]> => (await redis.hkeys(REGISTRY)).map(nameOf).sort()
  const [leaving, dying] = [await start('leaving'), await start('dying')]
  t.strictSame(await members(), ['a', 'b', 'c', 'dying', 'leaving'])
  await leaving.kill('SIGTERM')
  t.strictSame(await members(), ['a', 'b', 'c', 'dying'])
  await dying.kill('SIGKILL')
  const { receipt, ms } = await logOut(await logIn())
  t.strictSame(receipt.acknowledgedBy.sort(), ['a', 'b', 'c'])
  t.ok(receipt.waitedMs > 0 && ms < withSlack(LEASE_MS) + SLACK_MS, `${Math.round(ms)} ms`)
  const later = await logOut(await logIn())
  t.strictSame(later.receipt.acknowledgedBy.sort(), ['a', 'b', 'c'])
  t.ok(later.receipt.waitedMs < LEASE_MS, `waited ${later.receipt.waitedMs} ms`)
  t.strictSame(await members(), ['a', 'b', 'c'])
})

t.test(
  'Redis loses everything: what was revoked stays so, and the first logout takes as long as any lease',
  async (t) => {
    const [revoked, live] = [await logIn(), await logIn()]
    await logOut(revoked)
    await redis.flushall()
    const answers = new Set<string>()
    for (let i = 0; i < 60; i++) answers.add(await present([a, b, c][i % 3]!, revoked))
    t.strictSame([...answers], [REVOKED], 'each replica knows it by itself')
    // Whoever is ready after that has renewed its lease since, and has so found out.
    await sleep(LEASE_MS)
    for (const replica of [a, b, c]) await becomesReady(replica)
    t.ok((await redis.xlen(LOG)) > 0, 'the log has been filled')
    const { receipt } = await logOut(live)
    t.equal(receipt.boundMs, withSlack(MAX_LEASE_MS))
    t.ok(receipt.waitedMs >= withSlack(MAX_LEASE_MS), 'for others may have been registered in what was lost')
    for (const replica of [a, b, c]) t.equal(await present(replica, live), REVOKED)
    await sleep(withSlack(MAX_LEASE_MS) + 100)
  }
)

t.test('the log is lost, the rest is not: whoever notices loads anew, and nothing is forgotten', async (t) => {
  const tokens = [await logIn(), await logIn()]
  for (const token of tokens) await logOut(token)
  const generation = await redis.get(GENERATION)
  const reloads = async ({ url }: Replica): Promise<number | undefined> =>
    readMetrics(await (await fetch(`${url}/metrics`)).text()).get('denylist_reloads{}')
  const before = (await reloads(a))!
  await redis.del(LOG)
  await sleep(LEASE_MS)
  for (const replica of [a, b, c]) await takesLease(replica)
  t.equal(await reloads(a), before + 1)
  t.equal(await redis.get(GENERATION), generation)
  const late = await start('late')
  for (const token of tokens) for (const replica of [a, b, c, late]) t.equal(await present(replica, token), REVOKED)
  await late.kill()
})

t.test('a client that goes away in the middle of its logout is logged out', async (t) => {
  const token = await logIn()
  process.kill(b.pid, 'SIGSTOP')
  const gone = new AbortController()
  const logout = fetch(`${a.url}/auth/logout`, { method: 'POST', headers: bearer(token), signal: gone.signal })
  await sleep(60)
  gone.abort()
  await t.rejects(logout)
  process.kill(b.pid, 'SIGCONT')
  await sleep(LEASE_MS * 1.1)
  for (const replica of [a, b, c]) t.equal(await present(replica, token), REVOKED)
})

/** From a question that is sent now, that is: a lease from before may still last. */
async function takesLease({ url }: Replica): Promise<void> {
  const began = performance.now()
  for (;;) {
    const age = readMetrics(await (await fetch(`${url}/metrics`)).text()).get('denylist_lease_age_seconds{}')!
    const taken = performance.now() - age * 1000
    if (taken > began && age * 1000 < LEASE_MS) return
    if (performance.now() > began + 10_000) throw new Error(`${url} has no lease`)
    await sleep(20)
  }
}

async function becomesReady({ url }: Replica): Promise<void> {
  const deadline = performance.now() + 10_000
  while ((await fetch(`${url}/health/ready`)).status !== 200) {
    if (performance.now() > deadline) throw new Error(`${url} is not ready`)
    await sleep(20)
  }
}
