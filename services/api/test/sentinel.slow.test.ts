import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { connect, createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { findBinary, freePort } from '@one-secret/local'
import { Redis } from 'ioredis'
import { pino } from 'pino'
import t, { type Test } from 'tap'
import { serverOf } from '../src/denylist/whole.js'
import { watchFailovers } from '../src/plugins/failovers.js'
import { startLine } from './faults/line.js'
import {
  bearer,
  buildReplica,
  logIn as login,
  newUsername,
  PASSWORD,
  present,
  spawnReplica,
  startBackends,
  type Replica
} from './harness.js'

const [redisServer, redisSentinel, iptables] = ['redis-server', 'redis-sentinel', 'iptables'].map(findBinary)
const skip =
  (redisServer === undefined || redisSentinel === undefined) && 'needs redis-server and redis-sentinel on the PATH'

const NAME = 'of-this-test'
const PASSWORD_OF_REDIS = 'of-this-test-too'
const MAX_LAG_S = 2
const DOWN_AFTER_MS = 4000

/** Redis' replicas and the Sentinels speak from here, so that they can be cut off from the primary, and nobody else. */
const INSIDE = '127.0.0.9'
/** The last Sentinel speaks from here, so that it can be left with a primary that is cut off. */
const ASIDE = '127.0.0.10'

const { env } = await startBackends(t, { kind: 'embedded' })

interface Server {
  port: number
  pid: number
  client: Redis
}

async function startServer(
  t: Test,
  dir: string,
  role: 'redis' | 'sentinel',
  lines: (port: number) => string[],
  from = INSIDE
): Promise<Server> {
  const port = await freePort()
  const file = join(dir, `${role}-${port}.conf`)
  writeFileSync(
    file,
    [
      `port ${port}`,
      `bind 127.0.0.1 ${from}`,
      `bind-source-addr ${from}`,
      `dir ${dir}`,
      'daemonize no',
      ...lines(port)
    ].join('\n')
  )
  const child = spawn(role === 'redis' ? redisServer! : redisSentinel!, [file], { stdio: 'ignore' })
  // The folder is removed after that, and must not be written to any more.
  const exited = once(child, 'exit')
  t.teardown(async () => {
    child.kill('SIGKILL')
    await exited
  })
  const client = new Redis({
    port,
    host: '127.0.0.1',
    protocol: 2,
    ...(role === 'redis' && { password: PASSWORD_OF_REDIS }),
    retryStrategy: () => 50
  })
  client.on('error', () => undefined)
  t.teardown(() => client.disconnect())
  await until(async () => (await client.ping()) === 'PONG', 10_000)
  return { port, pid: child.pid!, client }
}

/** A primary, replicas of it, and three Sentinels of which two must agree. */
async function startSentinels(t: Test, replicaCount = 2): Promise<{ servers: Server[]; sentinels: Server[] }> {
  const dir = t.testdir()
  const settings = (port: number): string[] => [
    `requirepass ${PASSWORD_OF_REDIS}`,
    `masterauth ${PASSWORD_OF_REDIS}`,
    'appendonly yes',
    'appendfsync always',
    `appenddirname aof-${port}`,
    `dbfilename dump-${port}.rdb`,
    'save ""',
    'min-replicas-to-write 1',
    `min-replicas-max-lag ${MAX_LAG_S}`,
    'repl-diskless-sync-delay 0',
    // Not the address that they speak from.
    'replica-announce-ip 127.0.0.1'
  ]
  const primary = await startServer(t, dir, 'redis', settings)
  const replicas = await Promise.all(
    Array.from({ length: replicaCount }, () =>
      startServer(t, dir, 'redis', (port) => [...settings(port), `replicaof 127.0.0.1 ${primary.port}`])
    )
  )
  const connected = `connected_slaves:${replicaCount}\r`
  await until(async () => (await primary.client.info('replication')).includes(connected), 10_000)
  const sentinels = await Promise.all(
    [INSIDE, INSIDE, ASIDE].map((from) => {
      const lines = [
        `sentinel monitor ${NAME} 127.0.0.1 ${primary.port} 2`,
        `sentinel announce-ip ${from}`,
        `sentinel auth-pass ${NAME} ${PASSWORD_OF_REDIS}`,
        `sentinel down-after-milliseconds ${NAME} ${DOWN_AFTER_MS}`,
        `sentinel failover-timeout ${NAME} 10000`
      ]
      return startServer(t, dir, 'sentinel', () => lines, from)
    })
  )
  const knows = async ({ client }: Server): Promise<boolean> => {
    const fields = (await client.call('SENTINEL', 'MASTER', NAME)) as string[]
    const field = (name: string): string | undefined => fields[fields.indexOf(name) + 1]
    return field('num-slaves') === String(replicaCount) && field('num-other-sentinels') === '2'
  }
  await until(async () => (await Promise.all(sentinels.map(knows))).every(Boolean), 30_000)
  return { servers: [primary, ...replicas], sentinels }
}

async function until(condition: () => Promise<boolean>, withinMs: number): Promise<void> {
  const deadline = performance.now() + withinMs
  while (!(await condition().catch(() => false))) {
    if (performance.now() > deadline) throw new Error(`not within ${withinMs} ms: ${condition.toString()}`)
    await sleep(50)
  }
}

const primaryOf = async ({ client }: Server): Promise<number> =>
  Number(((await client.call('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', NAME)) as string[])[1])

const json = { 'content-type': 'application/json' }
const username = newUsername()
const credentials = JSON.stringify({ username, password: PASSWORD })

/** Tokens of sessions of their own. */
async function logIn({ url }: Replica, count: number): Promise<string[]> {
  const tokens: string[] = []
  while (tokens.length < count) {
    const response = await fetch(`${url}/auth/login`, { method: 'POST', headers: json, body: credentials })
    if (response.status !== 200) throw new Error(await response.text())
    tokens.push(((await response.json()) as { access_token: string }).access_token)
  }
  return tokens
}

/** Logs out, again and again until it is acknowledged. @returns when that was, and how often it was refused */
async function logOut(replicas: Replica[], token: string): Promise<{ acknowledged: number; refused: number }> {
  for (let refused = 0; ; refused++) {
    const { url } = replicas[refused % replicas.length]!
    const response = await fetch(`${url}/auth/logout`, { method: 'POST', headers: bearer(token) })
    await response.text()
    // 401: an earlier call did it, and this replica knows; but have the others been waited for? So only 200 counts, or the
    // next replica is asked.
    if (response.status === 200) return { acknowledged: performance.now(), refused }
    if (![401, 503].includes(response.status)) throw new Error(`${response.status}`)
    if (response.status === 401 && refused > 40) return { acknowledged: performance.now() + 5000, refused }
    await sleep(50)
  }
}

/** Presents tokens at a replica, one after the other, until it is stopped. */
function probe({ url }: Replica, tokens: string[]) {
  const answers: { token: string; began: number; status: number }[] = []
  let stopped = false
  const running = (async () => {
    for (let i = 0; !stopped; i++) {
      const token = tokens[i % tokens.length]!
      const began = performance.now()
      const response = await fetch(`${url}/whoami`, { headers: bearer(token) })
      await response.text()
      answers.push({ token, began, status: response.status })
      await sleep(2)
    }
  })()
  return async () => {
    stopped = true
    await running
    return answers
  }
}

for (const cutOff of [false, true]) {
  const name = cutOff
    ? 'the old primary is cut off but alive, and a Sentinel and a replica with it: nothing acknowledged is lost, nothing is accepted'
    : 'the primary is killed in the middle of logouts: none that was acknowledged is lost'
  const needsIptables = cutOff && (iptables === undefined || process.getuid?.() !== 0) && 'needs iptables, and root'
  t.test(name, { skip: skip || needsIptables, timeout: 240_000 }, async (t) => {
    const { servers, sentinels } = await startSentinels(t)
    const [primary, ...others] = servers as [Server, ...Server[]]
    const left = sentinels.at(-1)!
    const addresses = sentinels.map(({ port }) => `127.0.0.1:${port}`)
    const own = { ...env, REDIS_URL: `redis://:${PASSWORD_OF_REDIS}@${NAME}`, REDIS_SENTINELS: addresses.join(',') }
    // What b knows of the Sentinels comes by lines that can be cut.
    const lines = await Promise.all(sentinels.map(({ port }) => startLine(t, `redis://127.0.0.1:${port}`)))
    const bySentinelLines = lines.map(({ url }) => new URL(url).host).join(',')
    const [a, b, c] = await Promise.all([
      spawnReplica(t, { ...own, REPLICA_NAME: 'a' }),
      spawnReplica(t, { ...own, REPLICA_NAME: 'b', ...(cutOff && { REDIS_SENTINELS: bySentinelLines }) }),
      // Told by the first of a new primary, c asks the last one who it is.
      spawnReplica(t, {
        ...own,
        REPLICA_NAME: 'c',
        ...(cutOff && { REDIS_SENTINELS: [addresses.at(0), addresses.at(-1)].join(',') })
      })
    ])
    const users = await fetch(`${a.url}/users`, { method: 'POST', headers: json, body: credentials })
    t.ok([201, 409].includes(users.status))
    const tokens = await logIn(a, 60)
    const [live] = await logIn(a, 1)
    t.equal(await primaryOf(sentinels[0]!), primary.port)

    const stops = [a, b, c].map((replica) => ({ replica, stop: probe(replica, tokens) }))
    const acknowledged = new Map<string, number>()
    let refused = 0
    const logouts = (async () => {
      for (const token of tokens) {
        const done = await logOut([a, c], token)
        acknowledged.set(token, done.acknowledged)
        refused += done.refused
        await sleep(150)
      }
    })()

    await sleep(2000)
    const struck = performance.now()
    const rules = [
      ['INPUT', '-p', 'tcp', '-s', INSIDE, '--dport', String(primary.port), '-j', 'DROP'],
      ['INPUT', '-p', 'tcp', '-d', INSIDE, '--sport', String(primary.port), '-j', 'DROP'],
      // Nor does b hear of the Sentinels where they have told it that they are.
      ...sentinels.map(({ port }) => [
        ...['INPUT', '-p', 'tcp', '-s', '127.0.0.1', '-d', INSIDE],
        ...['--dport', String(port), '-j', 'DROP']
      ]),
      // The last Sentinel is on the side of the old primary: it hears none of the others, and none of them hears it.
      ...[...others, ...sentinels].map(({ port }) => [
        'INPUT',
        '-p',
        'tcp',
        '-s',
        ASIDE,
        '--dport',
        String(port),
        '-j',
        'DROP'
      ]),
      ['INPUT', '-p', 'tcp', '-s', INSIDE, '--dport', String(left.port), '-j', 'DROP']
    ]
    const mend = (): void => {
      for (const rule of rules.splice(0)) execFileSync(iptables!, ['-D', ...rule])
    }
    if (cutOff) {
      for (const rule of rules) execFileSync(iptables!, ['-A', ...rule])
      t.teardown(mend)
      for (const line of lines) line.cut()
    } else {
      process.kill(primary.pid, 'SIGKILL')
    }
    await until(async () => (await primaryOf(sentinels[0]!)) !== primary.port, 30_000)
    t.comment(`another primary after ${Math.round(performance.now() - struck)} ms`)
    if (cutOff) {
      t.match(await primary.client.info('replication'), /role:master/, 'the old one thinks that it still is one')
      t.equal(await primaryOf(left), primary.port, 'and a Sentinel does')
      await sleep(3000)
      t.equal(
        (await fetch(`${b.url}/whoami`, { headers: bearer(live!) })).status,
        503,
        'who is left with it knows nothing'
      )
      t.equal((await fetch(`${b.url}/health/ready`)).status, 503)
      for (const { url } of [a, c]) await until(async () => (await fetch(`${url}/health/ready`)).status === 200, 10_000)
    }
    await logouts
    if (cutOff) {
      mend()
      for (const line of lines) line.mend()
    }
    await until(async () => {
      const statuses = await Promise.all([a, b, c].map(({ url }) => fetch(`${url}/health/ready`).then((r) => r.status)))
      return statuses.every((status) => status === 200)
    }, 30_000).catch(async (error: unknown) => {
      for (const { url, output } of [a, b, c]) t.comment(await (await fetch(`${url}/health/ready`)).text(), output())
      throw error
    })
    await sleep(500)

    t.equal(acknowledged.size, tokens.length)
    t.comment(`${refused} calls were refused and repeated`)
    let probes = 0
    for (const { replica, stop } of stops) {
      const answers = await stop()
      probes += answers.length
      const leaks = answers.filter(({ token, began, status }) => status === 200 && began > acknowledged.get(token)!)
      t.strictSame(leaks, [], `${replica.url}: nothing acknowledged was accepted again`)
      for (const token of tokens) {
        t.equal((await fetch(`${replica.url}/whoami`, { headers: bearer(token) })).status, 401)
      }
      t.equal((await fetch(`${replica.url}/whoami`, { headers: bearer(live!) })).status, 200)
    }
    t.comment(`${probes} probes`)
    await Promise.all([a, b, c].map(({ kill }) => kill()))
  })
}

t.test('other primaries are heard of, also of what a Sentinel could not tell meanwhile', { skip }, async (t) => {
  const { sentinels } = await startSentinels(t)
  const [one, other] = sentinels as [Server, Server]
  const line = await startLine(t, `redis://127.0.0.1:${one.port}`)
  const lines: string[] = []
  const heard: number[] = []
  const end = watchFailovers(
    [{ host: '127.0.0.1', port: Number(new URL(line.url).port) }],
    NAME,
    pino({}, { write: (text) => lines.push(text) }),
    ({ port }) => heard.push(port)
  )
  t.teardown(end)
  const isSaid = (text: string): Promise<void> => until(async () => lines.some((one) => one.includes(text)), 10_000)
  const failOver = async (): Promise<void> => {
    const before = await primaryOf(one)
    await until(async () => (await other.client.call('SENTINEL', 'FAILOVER', NAME)) === 'OK', 30_000)
    await until(async () => (await primaryOf(one)) !== before, 30_000)
  }
  await until(async () => String(await one.client.client('LIST')).includes(' sub=1 '), 10_000)
  t.strictSame(heard, [])
  await failOver()
  await until(async () => heard.length === 1, 5000)
  t.match(lines.join(''), 'a Sentinel tells of another primary')

  line.cut()
  await isSaid('the Sentinel cannot be heard')
  const [first] = heard
  t.equal(first, await primaryOf(one))
  await failOver()
  t.equal(heard.length, 1)
  line.mend()
  await until(async () => heard.length === 2, 10_000)
  t.equal(heard[1], await primaryOf(one))
  await isSaid('the Sentinel is heard again')
})

t.test('a primary that is full says whether a token is revoked, as ever', { skip, timeout: 120_000 }, async (t) => {
  const { servers, sentinels } = await startSentinels(t)
  const app = await buildReplica(t, {
    ...env,
    REDIS_URL: `redis://:${PASSWORD_OF_REDIS}@${NAME}`,
    REDIS_SENTINELS: sentinels.map(({ port }) => `127.0.0.1:${port}`).join(',')
  })
  const [ended, live] = [await login(app), await login(app)]
  const headers = bearer(ended.access_token)
  t.equal((await app.inject({ method: 'POST', url: '/auth/logout', headers })).statusCode, 200)
  await servers[0]!.client.config('SET', 'maxmemory', '1')
  // It gives no leases, so each token is looked up.
  await sleep(1000)
  t.match(await present(app, live.access_token), { status: 200 })
  t.match(await present(app, ended.access_token), { status: 401 })
  t.match((await app.inject('/metrics')).body, /denylist_checks_total\{[^}]*by="direct"[^}]*\} [1-9]/)
  t.equal((await app.inject('/health/ready')).statusCode, 200)
  // Cut off from its replicas, it must not.
  await servers[0]!.client.config('SET', 'min-replicas-to-write', '3')
  t.match(await present(app, live.access_token), { status: 503 })
})

t.test('a Sentinel that takes connections and says nothing keeps no replica from starting', { skip }, async (t) => {
  const { sentinels } = await startSentinels(t)
  const silent = createServer(() => undefined).listen(0, '127.0.0.1')
  await once(silent, 'listening')
  t.teardown(() => silent.close())
  const ports = [(silent.address() as AddressInfo).port, ...sentinels.map(({ port }) => port)]
  const replica = await spawnReplica(t, {
    ...env,
    REDIS_URL: `redis://:${PASSWORD_OF_REDIS}@${NAME}`,
    REDIS_SENTINELS: ports.map((port) => `127.0.0.1:${port}`).join(','),
    REPLICA_NAME: 'a'
  })
  t.equal((await fetch(`${replica.url}/health/ready`)).status, 200)
  t.match(replica.output(), 'whether a failover of Redis is safe cannot be checked')
  t.match(replica.output(), 'the Sentinel cannot be heard')
  await replica.kill('SIGKILL')
})

t.test('a primary that a first replica joins has another name, and is the same', { skip }, async (t) => {
  const dir = t.testdir()
  const settings = [`requirepass ${PASSWORD_OF_REDIS}`, `masterauth ${PASSWORD_OF_REDIS}`, 'save ""']
  const server = await startServer(t, dir, 'redis', (port) => [...settings, `dbfilename dump-${port}.rdb`])
  const app = await buildReplica(t, { ...env, REDIS_URL: `redis://:${PASSWORD_OF_REDIS}@127.0.0.1:${server.port}` })
  const { access_token } = await login(app)
  const before = await serverOf(server.client)
  await startServer(t, dir, 'redis', (port) => [
    ...settings,
    `dbfilename dump-${port}.rdb`,
    `replicaof 127.0.0.1 ${server.port}`
  ])
  await until(async () => (await serverOf(server.client)) !== before, 10_000)
  // One of the replica's connections is made anew, and meets the new name.
  app.redis.disconnect(true)
  await once(app.redis, 'ready')
  // It gives no leases, so each token is looked up.
  await server.client.config('SET', 'maxmemory', '1')
  await sleep(1000)
  t.match(await present(app, access_token), { status: 200 })
  t.match((await app.inject('/metrics')).body, /denylist_checks_total\{[^}]*by="direct"[^}]*\} [1-9]/)
})

// What follows is in the way of nobody else, and mostly waits for servers.
t.jobs = 2

t.test('a connection that has ended though the replica has not comes back', { buffered: true }, async (t) => {
  const app = await buildReplica(t, { ...env, REPLICA_NAME: 'a' })
  // ioredis does so by itself where it is told to leave a primary that it is still looking for, and never tries again.
  app.redis.disconnect()
  await until(async () => (await app.redis.ping()) === 'PONG', 5000)
  t.equal((await app.inject('/health/ready')).statusCode, 200)
})

t.test(
  'settings that make a failover unsafe are refused at the start',
  { skip, buffered: true, timeout: 120_000 },
  async (t) => {
    const { servers, sentinels } = await startSentinels(t)
    const own = {
      ...env,
      REDIS_URL: `redis://:${PASSWORD_OF_REDIS}@${NAME}`,
      REDIS_SENTINELS: sentinels.map(({ port }) => `127.0.0.1:${port}`).join(',')
    }
    await servers[0]!.client.config('SET', 'min-replicas-to-write', '0')
    await sentinels[1]!.client.call('SENTINEL', 'SET', NAME, 'down-after-milliseconds', '1500')
    const error = await spawnReplica(t, { ...own, REPLICA_NAME: 'a' }).then(
      () => undefined,
      (reason: unknown) => String(reason)
    )
    t.match(error, /cannot start: a failover of Redis could lose revocations: min-replicas-to-write must be 1 or more/)
    t.match(
      error,
      new RegExp(`down-after-milliseconds is 1500 at 127.0.0.1:${sentinels[1]!.port}, and must exceed 3000`)
    )
    t.notMatch(error, PASSWORD_OF_REDIS)
  }
)

t.test(
  'primaries that could be two at once, each with replicas, are refused at the start',
  { skip, buffered: true },
  async (t) => {
    const { sentinels } = await startSentinels(t, 3)
    const own = {
      ...env,
      REDIS_URL: `redis://:${PASSWORD_OF_REDIS}@${NAME}`,
      REDIS_SENTINELS: sentinels.map(({ port }) => `127.0.0.1:${port}`).join(',')
    }
    const error = await spawnReplica(t, { ...own, REPLICA_NAME: 'a' }).then(
      () => undefined,
      (reason: unknown) => String(reason)
    )
    t.match(error, /min-replicas-to-write is 1, and must be half of the 3 replicas that 127.0.0.1:\d+ knows, or more/)
  }
)

t.test(
  'a Redis that would drop revocations when it is full is refused at the start',
  { skip, buffered: true },
  async (t) => {
    const { port, client } = await startServer(t, t.testdir(), 'redis', () => [
      `requirepass ${PASSWORD_OF_REDIS}`,
      'maxmemory 64mb',
      'maxmemory-policy volatile-lru',
      'save ""'
    ])
    const own = { ...env, REDIS_URL: `redis://:${PASSWORD_OF_REDIS}@127.0.0.1:${port}`, REPLICA_NAME: 'a' }
    const start = () =>
      spawnReplica(t, own).then(
        ({ kill }) => kill(),
        (reason: unknown) => String(reason)
      )
    t.match(
      await start(),
      /cannot start: Redis would drop revocations when it is full \(maxmemory-policy volatile-lru\)/
    )
    await client.config('SET', 'maxmemory', '0')
    t.notMatch(await start(), /cannot start/, 'without a limit nothing is dropped')
  }
)

t.test('a Redis of before version 7 is refused at the start', { buffered: true }, async (t) => {
  const { port, hostname } = new URL(env['REDIS_URL']!)
  // As it is, but for what it says of its version.
  const older = createServer((socket) => {
    const upstream = connect(Number(port), hostname)
    for (const end of [socket, upstream]) end.on('error', () => end.destroy())
    socket.pipe(upstream)
    upstream.on('data', (chunk) => socket.write(String(chunk).replace(/redis_version:\d/, 'redis_version:6')))
    upstream.on('close', () => socket.destroy())
    socket.on('close', () => upstream.destroy())
  }).listen(0, '127.0.0.1')
  await once(older, 'listening')
  t.teardown(() => older.close())
  const REDIS_URL = Object.assign(new URL(env['REDIS_URL']!), { port: (older.address() as AddressInfo).port }).href
  const error = await spawnReplica(t, { ...env, REDIS_URL, REPLICA_NAME: 'a' }).then(
    ({ kill }) => kill(),
    (reason: unknown) => String(reason)
  )
  t.match(error, /cannot start: Redis 7 or later is needed, and this one is 6\./)
})

t.test('a node of a cluster is refused at the start', { skip, buffered: true }, async (t) => {
  // By itself it would take its port + 10,000 for the other nodes, which somebody may have.
  const bus = await freePort()
  const node = await startServer(t, t.testdir(), 'redis', () => [
    `requirepass ${PASSWORD_OF_REDIS}`,
    'cluster-enabled yes',
    `cluster-port ${bus}`,
    'save ""'
  ])
  const own = { ...env, REDIS_URL: `redis://:${PASSWORD_OF_REDIS}@127.0.0.1:${node.port}`, REPLICA_NAME: 'a' }
  const error = await spawnReplica(t, own).then(
    () => undefined,
    (reason: unknown) => String(reason)
  )
  t.match(error, /cannot start: Redis is a cluster, which would keep the denylist in pieces/)
})
