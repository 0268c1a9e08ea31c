import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import t from 'tap'
import {
  bearer,
  buildReplica,
  logIn,
  logOut,
  newUsername,
  PASSWORD,
  present,
  readMetrics,
  refresh,
  signUp,
  startBackends
} from './harness.js'
import type {} from '../src/plugins/denylist.js'

type App = Awaited<ReturnType<typeof buildReplica>>

const scrape = async (app: App): Promise<Map<string, number>> =>
  readMetrics((await app.inject({ url: '/metrics' })).body)

/** How much each series of a counter has grown since. */
async function counting(app: App, name: string): Promise<() => Promise<Record<string, number>>> {
  const before = await scrape(app)
  return async () => {
    const grown = [...(await scrape(app))].flatMap(([series, value]) => {
      const [, outcome] = new RegExp(`^${name}\\{\\w+="(\\w+)"\\}$`).exec(series) ?? []
      const by = value - (before.get(series) ?? 0)
      return outcome !== undefined && by !== 0 ? [[outcome, by] as const] : []
    })
    return Object.fromEntries(grown)
  }
}

const { env, postgres, redis } = await startBackends(t)

const attempt = (app: App, payload: object, url = '/auth/login') => app.inject({ method: 'POST', url, payload })

t.test('every series is there from the start, with 0, and no others', async (t) => {
  const metrics = await scrape(await buildReplica(t, env))
  const outcomes = (name: string): (string | number)[][] =>
    [...metrics].flatMap(([series, value]) => {
      const [, outcome] = new RegExp(`^${name}\\{outcome="(\\w+)"\\}$`).exec(series) ?? []
      return outcome === undefined ? [] : [[outcome, value]]
    })
  const zero = (...names: string[]): (string | number)[][] => names.map((name) => [name, 0])
  t.strictSame(
    outcomes('token_verifications_total'),
    zero('valid', 'missing', 'malformed', 'cross_site', 'invalid', 'expired')
  )
  t.strictSame(outcomes('denylist_lookups_total'), zero('clear', 'revoked', 'unknown'))
  t.strictSame(outcomes('revocations_published_total'), zero('acknowledged', 'pending'))
  t.strictSame(
    outcomes('logins_total'),
    zero('success', 'credentials_invalid', 'limited', 'session_limit', 'busy', 'refused', 'unavailable')
  )
  t.strictSame(outcomes('refreshes_total'), zero('success', 'invalid', 'reused', 'busy', 'refused', 'unavailable'))
  t.strictSame(outcomes('denylist_restores_total'), [['completed', 1], ...zero('failed')], 'the first start of all')
  for (const code of ['DATABASE_UNAVAILABLE', 'OVERLOADED', 'VALIDATION_FAILED', 'INTERNAL_ERROR', 'NOT_FOUND']) {
    t.equal(metrics.get(`http_errors_total{code="${code}"}`), 0, code)
  }
  t.equal(metrics.get('purged_rows_total{table="sessions"}'), 0)
  t.equal(metrics.get('password_hash_queue_length{}'), 0)
  t.equal(metrics.get('postgres_pool_waiting{}'), 0)
  t.equal(metrics.get('postgres_pool_max_connections{}'), 8)
})

t.test('each request that needs a token is counted once, by what was found of it', async (t) => {
  const app = await buildReplica(t, env)
  const { access_token: token } = await logIn(app)
  const { access_token: short } = await logIn(app, undefined, { expires_in: 1 })
  await sleep(1300)
  const verified = await counting(app, 'token_verifications_total')
  const lookedUp = await counting(app, 'denylist_lookups_total')
  const published = await counting(app, 'revocations_published_total')
  const ask = (headers: Record<string, string>, method: 'GET' | 'POST' = 'GET', url = '/whoami') =>
    app.inject({ method, url, headers })

  await ask({})
  await ask({ authorization: 'Basic YTpi' })
  await ask({ authorization: 'Bearer' })
  await ask({ cookie: '__Host-access_token=a; __Host-access_token=b' })
  await ask({ cookie: `__Host-access_token=${token}` }, 'POST', '/auth/logout')
  await ask(bearer(`${token.slice(0, -2)}AA`))
  await ask(bearer(short))
  for (let i = 0; i < 3; i++) await ask(bearer(token))
  t.equal((await logOut(app, token)).statusCode, 200)
  await ask(bearer(token))

  t.strictSame(await verified(), { missing: 2, malformed: 2, cross_site: 1, invalid: 1, expired: 1, valid: 5 })
  t.strictSame(await lookedUp(), { clear: 3, revoked: 1 }, 'the valid ones, but for the logout, which asks nobody')
  t.strictSame(await published(), { acknowledged: 1 })
})

t.test('logins and refreshes, by what came of them', async (t) => {
  const limits = { LOGIN_LIMIT_PER_ACCOUNT: '5', MAX_SESSIONS_PER_USER: '2', SESSION_OVERFLOW: 'refuse' }
  const app = await buildReplica(t, { ...env, ...limits })
  const { username } = await signUp(app)
  const loggedIn = await counting(app, 'logins_total')
  const refreshed = await counting(app, 'refreshes_total')

  const first = await logIn(app, username)
  await logIn(app, username)
  t.equal((await attempt(app, { username, password: PASSWORD })).statusCode, 409)
  for (let i = 0; i < 2; i++) t.equal((await attempt(app, { username, password: 'wrong' })).statusCode, 401)
  for (let i = 0; i < 2; i++) t.equal((await attempt(app, { username, password: PASSWORD })).statusCode, 429)
  t.equal((await attempt(app, { username })).statusCode, 400)
  t.strictSame(await loggedIn(), { success: 2, session_limit: 1, credentials_invalid: 2, limited: 2, refused: 1 })

  const { refresh_token: second } = (await refresh(app, first.refresh_token)).json<{ refresh_token: string }>()
  t.equal((await refresh(app, second)).statusCode, 200)
  t.match((await refresh(app, first.refresh_token)).json(), { code: 'REFRESH_TOKEN_REUSED' })
  t.match((await refresh(app, second)).json(), { code: 'REFRESH_TOKEN_REUSED' })
  t.match((await refresh(app, 'rt.nonsense')).json(), { code: 'REFRESH_TOKEN_INVALID' })
  t.equal((await attempt(app, {}, '/auth/refresh')).statusCode, 400)
  t.strictSame(await refreshed(), { success: 2, reused: 2, invalid: 1, refused: 1 })
})

t.test('more logins than can be hashed are busy, and the queue is seen', async (t) => {
  const app = await buildReplica(t, env)
  const loggedIn = await counting(app, 'logins_total')
  const attempts = Promise.all(
    Array.from({ length: 120 }, () => attempt(app, { username: newUsername(), password: PASSWORD }))
  )
  let longest = 0
  const watching = setInterval(() => {
    void scrape(app).then((metrics) => (longest = Math.max(longest, metrics.get('password_hash_queue_length{}')!)))
  }, 10)
  const statuses = (await attempts).map(({ statusCode }) => statusCode)
  clearInterval(watching)
  t.ok(longest > 10 && longest <= 64, `${longest} waited at once`)
  const { busy = 0, credentials_invalid: hashed = 0, ...others } = await loggedIn()
  t.strictSame(others, {})
  t.equal(busy, statuses.filter((status) => status === 503).length)
  t.ok(busy > 0 && busy + hashed === 120, `${busy} busy, ${hashed} hashed`)
})

t.test('the pool: who has a connection, and who waits for one', async (t) => {
  const app = await buildReplica(t, env)
  const queries = Array.from({ length: 11 }, () => app.pg.query('SELECT pg_sleep(0.5)'))
  await sleep(200)
  const metrics = await scrape(app)
  t.equal(metrics.get('postgres_pool_connections{state="busy"}'), 8)
  t.equal(metrics.get('postgres_pool_waiting{}'), 3)
  await Promise.all(queries)
  const after = await scrape(app)
  t.equal(after.get('postgres_pool_connections{state="busy"}'), 0)
  t.equal(after.get('postgres_pool_connections{state="idle"}'), 8)
  t.equal(after.get('postgres_pool_waiting{}'), 0)
})

t.test('durations are counted by route, in buckets that add up, and no client can make a series', async (t) => {
  const app = await buildReplica(t, env)
  await app.inject({ url: '/health/live' })
  await app.inject({ url: '/health/live?x=1' })
  const series = (name: string, le?: string): string =>
    `http_request_duration_seconds_${name}{${le === undefined ? '' : `le="${le}",`}method="GET",route="/health/live",status="200"}`
  const metrics = await scrape(app)
  t.equal(metrics.get(series('count')), 2)
  t.equal(metrics.get(series('bucket', '+Inf')), 2)
  t.equal(metrics.get(series('bucket', '2.5')), 2)
  const sum = metrics.get(series('sum'))!
  t.ok(sum > 0 && sum < 2, `${sum} s`)
  const buckets = [...metrics].filter(([name]) => name.includes('_bucket{') && name.includes('/health/live'))
  t.strictSame(
    buckets.map(([, count]) => count),
    buckets.map(([, count]) => count).sort((a, b) => a - b)
  )

  const tryAll = async (): Promise<void> => {
    const { access_token: token } = await logIn(app)
    for (const method of ['GET', 'PROPFIND', 'PURGE', 'OPTIONS'] as const) {
      await app.inject({ method: method as 'GET', url: `/${randomUUID()}`, headers: { [randomUUID()]: randomUUID() } })
      await app.inject({ method: method as 'GET', url: `/me/sessions/${randomUUID()}`, headers: bearer(token) })
    }
    await attempt(app, { username: randomUUID(), password: randomUUID() })
    await present(app, randomUUID())
    await refresh(app, randomUUID())
  }
  await tryAll()
  const names = async (): Promise<string[]> =>
    [...(await scrape(app)).keys()].filter((name) => !/^(nodejs|process)_/.test(name)).sort()
  const before = await names()
  for (let i = 0; i < 5; i++) await tryAll()
  t.strictSame(await names(), before)
  t.notMatch(before.join('\n'), /PROPFIND|PURGE|[0-9a-f]{8}-[0-9a-f]{4}/)
})

t.test('a denylist that is lost is counted when it is filled again', async (t) => {
  const app = await buildReplica(t, { ...env, REVOCATION_MODE: 'direct' })
  const { access_token: token } = await logIn(app)
  const restored = await counting(app, 'denylist_restores_total')
  const lookedUp = await counting(app, 'denylist_lookups_total')
  const client = new Redis(redis.url)
  await client.flushall()
  await client.quit()
  t.match(await present(app, token), { status: 503, code: 'REVOCATION_UNKNOWN' })
  for (let i = 0; i < 100 && (await present(app, token)).status !== 200; i++) await sleep(20)
  t.strictSame(await restored(), { completed: 1 })
  const { unknown = 0, clear = 0 } = await lookedUp()
  t.ok(unknown >= 1 && clear >= 1)
})

/** Last, for it stops the servers. */
t.test('what cannot be told or kept for lack of a server', async (t) => {
  const app = await buildReplica(t, { ...env, REVOCATION_MODE: 'direct' })
  const { access_token: token } = await logIn(app)
  const lookedUp = await counting(app, 'denylist_lookups_total')
  const published = await counting(app, 'revocations_published_total')
  const restored = await counting(app, 'denylist_restores_total')
  const loggedIn = await counting(app, 'logins_total')
  const errors = await counting(app, 'http_errors_total')

  await postgres.stop()
  const { statusCode, body } = await attempt(app, { username: newUsername(), password: PASSWORD })
  t.equal(statusCode, 503, body)
  t.strictSame(await errors(), { DATABASE_UNAVAILABLE: 1 })
  const client = new Redis(redis.url)
  await client.flushall()
  await client.quit()
  t.equal((await present(app, token)).status, 503)
  for (let i = 0; i < 250 && (await restored())['failed'] === undefined; i++) await sleep(20)
  t.strictSame(await restored(), { failed: 1 })

  await redis.stop()
  t.equal((await present(app, token)).status, 503)
  await t.rejects(app.denylist.publish([]), { code: 'REVOCATION_PENDING' })
  t.strictSame(await lookedUp(), { unknown: 2 })
  t.strictSame(await published(), { pending: 1 })
  t.equal((await attempt(app, { username: newUsername(), password: PASSWORD })).statusCode, 503)
  t.strictSame(await loggedIn(), { unavailable: 2 })
})
