import { readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { startRedis } from '@one-secret/local'
import { Redis } from 'ioredis'
import pg from 'pg'
import t from 'tap'
import { GENERATION } from '../../src/denylist/append.js'
import { spawnReplica, startBackends } from '../harness.js'
import { audit, startLoad, type Exchange, type Ledger, type Route } from './driver.js'
import { startLine } from './line.js'
import { becomeStandby } from './standby.js'

/** What a busy machine may add to a bound, in milliseconds. */
const SLACK_MS = 1000

/** How long everything must go well again before the load is stopped: longer than a client that was told to come back waits. */
const WELL_MS = 1300

// What a restart of Redis has to keep, so that it is the same server again: its data, its port, its password.
const dir = t.testdir()
const password = 'of-this-test'
const backends = await startBackends(t, { dir, password })
const { postgres } = backends
let { redis } = backends
const port = Number(new URL(redis.url).port)
const binary = redis.kind === 'binary'
const needsBinary = { skip: !binary && 'needs redis-server on the PATH' }
t.teardown(() => redis.stop())

/** Asks something of Postgres as its owner, on a connection of its own, which is gone afterwards. */
async function inPostgres<T>(work: (client: pg.Client) => Promise<T>, url = postgres.url): Promise<T> {
  const client = new pg.Client(url)
  await client.connect()
  return work(client).finally(() => client.end())
}

async function inRedis<T>(work: (client: Redis) => Promise<T>): Promise<T> {
  const client = new Redis(redis.url)
  return work(client).finally(() => client.disconnect())
}

/** Three replicas with a pool of eight each: what Postgres gives to their role, so that neighbours can take it all. */
const CONNECTIONS = 24
const asApi = new URL(postgres.url)
Object.assign(asApi, { username: 'api', password })
await inPostgres((client) =>
  client.query(
    `CREATE ROLE api LOGIN PASSWORD '${password}' CONNECTION LIMIT ${CONNECTIONS};
     GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO api`
  )
)

const line = await startLine(t, redis.url)
const env = { ...backends.env, DATABASE_URL: asApi.href, LOGIN_LIMIT_PER_ADDRESS: '100000' }
const spawn = async (name: string) => {
  const replica = await spawnReplica(t, {
    ...env,
    ...(name === 'c' && { REDIS_URL: line.url }),
    REPLICA_NAME: name
  })
  return { ...replica, name }
}
const replicas = await Promise.all(['a', 'b', 'c'].map(spawn))

interface Fault {
  name: string
  skip?: string | false
  /** Brings it about. @returns what heals it */
  strike: () => Promise<() => unknown>
  forMs: number
  /** Answers that are no success, each of which is given. */
  answers: Partial<Record<Route, string[]>>
  /** Those which may be given too, in a moment that is hard to hit. */
  rarely?: Partial<Record<Route, string[]>>
  /** Where only one replica gives them. */
  only?: string
  /** No answer takes longer, in milliseconds. */
  withinMs: Record<Route, number>
  /** What readiness says of the dependencies; nothing where the process is gone. */
  ready: { postgres: string; redis: string; denylist: string | RegExp } | undefined
  /** From the heal until every replica is ready, in milliseconds. */
  recoversWithinMs: number
}

const good: Record<Route, string[]> = {
  'POST /users': ['201'],
  'POST /auth/login': ['200'],
  'POST /auth/refresh': ['200'],
  'POST /auth/logout': ['200'],
  'GET /me': ['200', '401 TOKEN_REVOKED'],
  'GET /whoami': ['200', '401 TOKEN_REVOKED']
}
const routes = Object.keys(good) as Route[]
const every = <T>(value: T): Record<Route, T> =>
  Object.fromEntries(routes.map((route) => [route, value])) as Record<Route, T>
const up = { postgres: 'up', redis: 'up', denylist: 'up' }

/** What a replica says where the machine has no time for it, which is none of the fault's doing; it may be given at any time. */
const BUSY = ['503 HASHING_BUSY', '503 OVERLOADED']

const unknown = ['503 REVOCATION_UNKNOWN']
const pending = ['503 REVOCATION_PENDING']
const withoutRedis = {
  'GET /whoami': unknown,
  'GET /me': unknown,
  'POST /auth/logout': pending,
  'POST /auth/login': ['503 LOGIN_LIMIT_UNKNOWN']
}
const withoutPostgres = { ...every(['503 DATABASE_UNAVAILABLE']), 'GET /whoami': [] }
/** What was carried out and not answered is found to be so when it is repeated. */
const answerWasLost = { 'POST /users': ['409 USERNAME_TAKEN'] }

const gone = ['ECONNREFUSED', 'ECONNRESET', 'UND_ERR_SOCKET', 'EPIPE']

async function killRedis(): Promise<void> {
  if (redis.pid !== undefined) process.kill(redis.pid, 'SIGKILL')
  await redis.stop()
}

const startRedisAgain = async (): Promise<void> => {
  redis = await startRedis({ dir, port, password })
}

const faults: Fault[] = [
  {
    name: 'Redis is killed, and comes back with its data',
    ...needsBinary,
    async strike() {
      const generation = await inRedis((client) => client.get(GENERATION))
      await killRedis()
      return async () => {
        await startRedisAgain()
        t.equal(await inRedis((client) => client.get(GENERATION)), generation, 'it has not been filled anew')
      }
    },
    forMs: 2000,
    answers: withoutRedis,
    withinMs: { ...every(200), 'POST /auth/logout': 1000 },
    ready: { ...up, redis: 'down', denylist: 'down' },
    recoversWithinMs: 1000
  },
  {
    name: 'Redis is killed, and comes back without its data',
    async strike() {
      await killRedis()
      for (const file of binary ? readdirSync(dir) : []) rmSync(join(dir, file), { recursive: true })
      return startRedisAgain
    },
    forMs: 1500,
    answers: withoutRedis,
    withinMs: { ...every(200), 'POST /auth/logout': 1000 },
    ready: { ...up, redis: 'down', denylist: 'down' },
    recoversWithinMs: 1000
  },
  {
    name: 'Redis is there and says nothing',
    ...needsBinary,
    async strike() {
      process.kill(redis.pid!, 'SIGSTOP')
      return () => process.kill(redis.pid!, 'SIGCONT')
    },
    forMs: 3000,
    answers: withoutRedis,
    withinMs: { ...every(200), 'POST /auth/logout': 1000 },
    ready: { ...up, redis: 'down', denylist: 'down' },
    recoversWithinMs: 1500
  },
  {
    name: 'Redis loses its data, again and again',
    strike: () =>
      inRedis(async (client) => {
        for (let i = 0; i < 10; i++) {
          await client.flushall()
          await sleep(200)
        }
        return () => undefined
      }),
    forMs: 0,
    answers: {},
    // It is filled again before the leases from before have ended, unless the machine is busy.
    rarely: { 'GET /whoami': unknown, 'GET /me': unknown, 'POST /auth/logout': pending },
    // Two appends, the filling in between, and the barrier; seen: 1.2 s.
    withinMs: { ...every(200), 'POST /auth/logout': 5200 },
    // Asked right after the last loss: it may be loading.
    ready: { ...up, denylist: /^(?:up|down)$/ },
    recoversWithinMs: 500
  },
  {
    name: 'Redis has no memory left',
    ...needsBinary,
    async strike() {
      await inRedis((client) => client.config('SET', 'maxmemory', '1'))
      return () => inRedis((client) => client.config('SET', 'maxmemory', '0'))
    },
    forMs: 1500,
    answers: { 'POST /auth/logout': pending, 'POST /auth/login': ['503 LOGIN_LIMIT_UNKNOWN'] },
    withinMs: every(200),
    ready: up,
    recoversWithinMs: 0
  },
  {
    name: 'one replica is cut off from Redis',
    async strike() {
      line.cut()
      return () => line.mend()
    },
    forMs: 3000,
    only: 'c',
    answers: { 'GET /whoami': unknown },
    rarely: withoutRedis,
    withinMs: { ...every(200), 'POST /auth/logout': 1000 },
    ready: { ...up, redis: 'down', denylist: 'down' },
    recoversWithinMs: 1500
  },
  {
    name: 'Postgres crashes, and is started again',
    async strike() {
      process.kill(postgres.pid!, 'SIGQUIT')
      return () => postgres.restart?.()
    },
    forMs: 2000,
    answers: withoutPostgres,
    rarely: answerWasLost,
    withinMs: { ...every(2000), 'GET /whoami': 200 },
    ready: { ...up, postgres: 'down' },
    recoversWithinMs: 500
  },
  {
    name: 'Postgres is there and says nothing',
    strike: () =>
      inPostgres(async (client) => {
        // The door first, so that nobody comes in; the postmaster alone would leave its children serving.
        process.kill(postgres.pid!, 'SIGSTOP')
        const { rows } = await client.query<{ pid: number }>(
          "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"
        )
        const pids = [...rows.map(({ pid }) => pid), postgres.pid!]
        for (const pid of pids) process.kill(pid, 'SIGSTOP')
        return () => {
          for (const pid of pids) process.kill(pid, 'SIGCONT')
        }
      }),
    // Longer than the bound and its slack: who waited for the heal is found.
    forMs: 6000,
    answers: withoutPostgres,
    rarely: answerWasLost,
    withinMs: { ...every(4500), 'GET /whoami': 200 },
    ready: { ...up, postgres: 'down' },
    recoversWithinMs: 500
  },
  {
    name: 'Postgres has no connection left',
    async strike() {
      const neighbours: pg.Client[] = []
      for (let refused = 0; neighbours.length < CONNECTIONS && refused < 1000;) {
        const client = new pg.Client(asApi.href)
        client.on('error', () => undefined)
        const taken = await client.connect().then(
          () => neighbours.push(client),
          () => undefined
        )
        if (taken !== undefined) continue
        // Full, some of them with the replicas' own: end those.
        refused++
        const pids = neighbours.map((neighbour) => (neighbour as pg.Client & { processID: number }).processID)
        await inPostgres((owner) =>
          owner.query(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'api' AND pid <> ALL ($1)",
            [pids]
          )
        )
      }
      return () => Promise.all(neighbours.map((client) => client.end()))
    },
    forMs: 1500,
    answers: withoutPostgres,
    rarely: answerWasLost,
    withinMs: { ...every(2000), 'GET /whoami': 200 },
    ready: { ...up, postgres: 'down' },
    recoversWithinMs: 500
  },
  {
    name: 'Postgres is a standby, until it is promoted',
    strike: () => becomeStandby(postgres),
    forMs: 1500,
    answers: { ...withoutPostgres, 'GET /me': [] },
    rarely: { ...answerWasLost, 'GET /me': ['503 DATABASE_UNAVAILABLE'] },
    withinMs: { ...every(2000), 'GET /whoami': 200 },
    ready: up,
    recoversWithinMs: 0
  },
  {
    name: 'a replica is killed, and another takes its place',
    async strike() {
      await replicas[1]!.kill('SIGKILL')
      return async () => (replicas[1] = await spawn('b'))
    },
    forMs: 1500,
    only: 'b',
    answers: { 'GET /whoami': ['ECONNREFUSED'] },
    rarely: {
      ...every(gone),
      'POST /users': [...gone, '409 USERNAME_TAKEN'],
      'POST /auth/logout': gone
    },
    // The one that takes its place has not known the registry for as long as a lease may last.
    withinMs: { ...every(200), 'POST /auth/logout': 1200 },
    ready: undefined,
    recoversWithinMs: 0
  }
]

const duration = (ms: number): string => (ms < 1000 ? `${ms} ms` : `${ms / 1000} s`)

/** As ARCHITECTURE has it: the bound of most, then those that have another. */
function written(withinMs: Record<Route, number>): string {
  const sharing = (ms: number): number => routes.filter((route) => withinMs[route] === ms).length
  const [most] = Object.values(withinMs).sort((a, b) => sharing(b) - sharing(a)) as [number]
  const others = routes.filter((route) => withinMs[route] !== most)
  return [duration(most), ...others.map((route) => `\`${route}\` ${duration(withinMs[route])}`)].join('; ')
}

t.test('ARCHITECTURE has a row for each of these faults, with the bounds that are asserted here', async (t) => {
  const text = readFileSync(new URL('../../../../ARCHITECTURE.md', import.meta.url), 'utf8')
  const rows = text
    .split('\n')
    .filter((line) => /^\|.*faults\.slow\.test\.ts/.test(line))
    .map((row) => row.split('|').map((cell) => cell.trim()))
  t.strictSame(
    rows.map(([, name, , within, again, test]) => [name, within, again, test]),
    faults.map(({ name, withinMs, recoversWithinMs }) => [
      name,
      written(withinMs),
      recoversWithinMs === 0 ? 'at once' : duration(recoversWithinMs),
      `\`services/api/test/faults/faults.slow.test.ts\`: ${name}`
    ])
  )
})

const ledgers: Ledger[] = []

for (const { name, skip = false, strike, forMs, answers, rarely, only, withinMs, ready, recoversWithinMs } of faults) {
  t.test(name, { skip }, async (t) => {
    const load = await startLoad(replicas)
    ledgers.push(load)
    await sleep(300)

    const struck = performance.now()
    const heal = await strike()
    try {
      await sleep(forMs)
      await Promise.all(
        replicas.map(async (replica) => {
          const hit = only === undefined || replica.name === only
          if (hit && ready === undefined) return
          const answer = await fetch(`${replica.url}/health/ready`)
          t.match(await answer.json(), hit ? ready : up, `what ${replica.name} says of itself`)
          t.equal((await fetch(`${replica.url}/health/live`)).status, 200, `${replica.name} lives`)
        })
      )
    } finally {
      await heal()
    }
    const healed = performance.now()
    await allReady()
    const recovered = performance.now()
    await sleep(WELL_MS)
    await load.stop()

    t.ok(recovered - healed < recoversWithinMs + SLACK_MS, `recovers in ${Math.round(recovered - healed)} ms`)
    const bad: object[] = []
    for (const exchange of load.exchanges) {
      const { route, replica, answer, began, ended } = exchange
      const during = ended > struck && began < recovered && (only === undefined || replica === only)
      const allowed = [
        ...good[route],
        ...BUSY,
        ...(during ? [...(answers[route] ?? []), ...(rarely?.[route] ?? [])] : [])
      ]
      if (!allowed.includes(answer)) bad.push({ ...exchange, struck, recovered })
    }
    t.strictSame(bad, [], 'no answer but those expected')
    const all = tally(load.exchanges.filter((one) => one.ended > struck && one.began < recovered))
    for (const route of routes) {
      const { counts, worst } = tally(
        load.exchanges.filter((one) => one.route === route && one.ended > struck && one.began < recovered)
      )
      t.comment(`${route}: ${JSON.stringify(counts)}, ${Math.round(worst)} ms at the most`)
      t.ok(worst < withinMs[route] + SLACK_MS, `${route}: ${Math.round(worst)} ms at the most`)
      for (const answer of answers[route] ?? []) t.ok(answer in counts, `${route} was answered ${answer}`)
    }
    t.strictSame(load.wrongs, [])
    const { lost, users, live, ended, tokens } = await audit(load, replicas)
    t.strictSame(lost, [], 'everything acknowledged is still there')
    t.comment(
      `IN SHORT ${name}: ${JSON.stringify(all.counts)}; slowest answer ${Math.round(all.worst)} ms; ` +
        `all well ${Math.round(recovered - healed)} ms after the heal; acknowledged and found again: ${users} users, ` +
        `${live} live sessions, ${ended} ended ones, ${tokens} tokens`
    )
  })
}

t.test('after all of them, everything acknowledged is still there', async (t) => {
  for (const ledger of ledgers) t.strictSame((await audit(ledger, replicas)).lost, [])
})

/** How many got which answer, and how long the slowest took, in milliseconds. */
function tally(exchanges: readonly Exchange[]): { counts: Record<string, number>; worst: number } {
  const counts: Record<string, number> = {}
  for (const { answer } of exchanges) counts[answer] = (counts[answer] ?? 0) + 1
  return { counts, worst: Math.max(...exchanges.map(({ began, ended }) => ended - began)) }
}

async function allReady(): Promise<void> {
  const deadline = performance.now() + 20_000
  while (performance.now() < deadline) {
    const answers = await Promise.all(replicas.map(({ url }) => fetch(`${url}/health/ready`)))
    if (answers.every(({ status }) => status === 200)) return
    await sleep(25)
  }
  throw new Error('not every replica was ready within 20 s')
}
