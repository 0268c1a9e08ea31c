import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { bearer, buildReplica, logIn, logOut, present, refresh, startBackends } from '../harness.js'
import { startLine } from './line.js'

async function until(condition: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 10_000
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error('did not come true within 10 s')
    await new Promise((resolve) => setTimeout(resolve, 25))
  }
}

t.test('Redis says nothing: a look-up, and a count of logins, is given up after 200 ms', async (t) => {
  const backends = await startBackends(t)
  const line = await startLine(t, backends.redis.url)
  const app = await buildReplica(t, {
    ...backends.env,
    REDIS_URL: line.url,
    REVOCATION_MODE: 'direct',
    LOGIN_LIMIT_PER_ACCOUNT: '1000'
  })
  const { access_token } = await logIn(app)
  const asked: Record<string, () => Promise<{ status: number; code?: string }>> = {
    REVOCATION_UNKNOWN: () => present(app, access_token),
    async LOGIN_LIMIT_UNKNOWN() {
      const payload = { username: 'nobody', password: 'not the password' }
      const response = await app.inject({ method: 'POST', url: '/auth/login', payload })
      return { status: response.statusCode, ...response.json<{ code: string }>() }
    }
  }
  for (const [code, ask] of Object.entries(asked)) {
    let shortest = Infinity
    for (let i = 0; i < 4; i++) {
      line.cut()
      const began = performance.now()
      t.match(await ask(), { status: 503, code })
      shortest = Math.min(shortest, performance.now() - began)
      line.mend()
      await until(async () => (await present(app, access_token)).status === 200)
    }
    // A busy machine adds to some of them, hardly to all.
    t.ok(shortest > 150 && shortest < 600, `${code}: ${Math.round(shortest)} ms`)
  }
})

t.test('Redis is gone: a look-up does not wait for it to come back', async (t) => {
  const backends = await startBackends(t)
  const app = await buildReplica(t, backends.env)
  const { access_token } = await logIn(app)
  await backends.redis.stop()
  // By now it is tried again every half second only.
  await sleep(2000)
  const times: number[] = []
  for (let i = 0; i < 7; i++) {
    const began = performance.now()
    t.match(await present(app, access_token), { status: 503, code: 'REVOCATION_UNKNOWN' })
    times.push(performance.now() - began)
  }
  const median = times.sort((a, b) => a - b)[3]!
  t.ok(median < 100, `${Math.round(median)} ms`)
})

// The others look at no clock, share nothing, and mostly wait for servers to start.
t.jobs = 2
const buffered = { buffered: true }

t.test(
  'Redis fails between the check and the publication: 503, and repeating the call ends it',
  buffered,
  async (t) => {
    const backends = await startBackends(t)
    const app = await buildReplica(t, backends.env)
    const { access_token } = await logIn(app)
    // A log that is no stream stands in for a Redis that refuses to write, as one without memory does.
    await app.redis.set('denylist:log', 'full')
    t.match((await logOut(app, access_token)).json(), { statusCode: 503, code: 'REVOCATION_PENDING' })
    await app.redis.del('denylist:log')
    t.equal((await logOut(app, access_token)).statusCode, 200)
    t.strictSame(await present(app, access_token), { status: 401, code: 'TOKEN_REVOKED' })
  }
)

t.test(
  'Redis fails when a theft is published: 503, and the next use of the stolen token ends it',
  buffered,
  async (t) => {
    const backends = await startBackends(t)
    const app = await buildReplica(t, backends.env)
    const { access_token, refresh_token } = await logIn(app)
    await refresh(app, refresh_token)
    await app.pg.query("UPDATE sessions SET rotated_at = now() - interval '1 minute'")
    await app.redis.set('denylist:log', 'full')
    t.match((await refresh(app, refresh_token)).json(), { statusCode: 503, code: 'REVOCATION_PENDING' })
    await app.redis.del('denylist:log')
    t.match((await refresh(app, refresh_token)).json(), { statusCode: 401, code: 'REFRESH_TOKEN_REUSED' })
    t.strictSame(await present(app, access_token), { status: 401, code: 'TOKEN_REVOKED' })
  }
)

for (const [what, method, url] of [
  ['a statement', 'POST', '/auth/logout'],
  ['a transaction', 'DELETE', '/me/sessions']
] as const) {
  t.test(`Postgres ends a connection in the middle of ${what}: 503, and the replica lives on`, buffered, async (t) => {
    const backends = await startBackends(t)
    const app = await buildReplica(t, backends.env)
    const [{ access_token }, other] = [await logIn(app), await logIn(app)]
    // Holds the rows, so that it waits.
    const client = await app.pg.connect()
    try {
      await client.query('BEGIN')
      await client.query('SELECT FROM sessions FOR UPDATE')
      const answer = app.inject({ method, url, headers: bearer(access_token) })
      await until(async () => {
        // On a connection of its own: inside a transaction the activity is as it was at the first look.
        const { rows } = await app.pg.query(
          "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'WITH ended%'"
        )
        return rows.length > 0
      })
      t.match((await answer).json(), { statusCode: 503, code: 'DATABASE_UNAVAILABLE' })
    } finally {
      await client.query('ROLLBACK')
      client.release()
    }
    t.match(await present(app, access_token), { status: 200 }, 'it was not logged out')
    t.equal((await logOut(app, other.access_token)).statusCode, 200)
  })
}
