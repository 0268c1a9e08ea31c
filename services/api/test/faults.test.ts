import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { startRedis } from '@one-secret/local'
import t, { type Test } from 'tap'
import {
  bearer,
  buildReplica,
  logIn,
  logOut,
  PASSWORD,
  present,
  refresh,
  signUp,
  startBackends,
  type Backends
} from './harness.js'

/** How long an answer may take when a dependency is down: its own bound and what the machine adds, in milliseconds. */
const slack = 1000

async function timed<T>(work: () => PromiseLike<T>): Promise<{ result: T; ms: number }> {
  const started = performance.now()
  return { result: await work(), ms: performance.now() - started }
}

const pause = (t: Test, { pid }: { pid?: number }): void => {
  process.kill(pid!, 'SIGSTOP')
  t.teardown(() => process.kill(pid!, 'SIGCONT'))
}

async function until(condition: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 10_000
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error('did not come true within 10 s')
    await new Promise((resolve) => setTimeout(resolve, 25))
  }
}

t.test('Redis stops and comes back with its data', async (t) => {
  const backends = await startBackends(t)
  const dir = t.testdir()
  // What a restart has to keep, so that it is the same server again: its data, its port, its password.
  const password = 'of-this-test'
  const redis = await startRedis({ dir, password })
  const port = Number(new URL(redis.url).port)
  const durable = redis.kind === 'binary'
  const app = await buildReplica(t, { ...backends.env, REDIS_URL: redis.url })
  const [live, revoked] = [await logIn(app), await logIn(app)]
  t.equal((await logOut(app, revoked.access_token)).statusCode, 200)

  await redis.stop()
  for (let i = 0; i < 20; i++) {
    for (const { access_token } of [live, revoked]) {
      const { result, ms } = await timed(() => app.inject({ url: '/whoami', headers: bearer(access_token) }))
      t.match(result.json(), { statusCode: 503, code: 'REVOCATION_UNKNOWN' })
      t.equal(result.headers['retry-after'], '1')
      t.ok(ms < 200 + slack, `${Math.round(ms)} ms`)
    }
  }
  t.match((await app.inject('/health/ready')).json(), { status: 'not-ready', postgres: 'up', redis: 'down' })
  t.equal((await app.inject('/health/live')).statusCode, 200)

  const again = await startRedis({ dir, port, password })
  t.teardown(() => again.stop())
  await until(async () => (await app.inject('/health/ready')).statusCode === 200)
  t.match(await present(app, live.access_token), { status: 200 })
  // The embedded one says that it forgets.
  if (durable) t.strictSame(await present(app, revoked.access_token), { status: 401, code: 'TOKEN_REVOKED' })
})

t.test('Redis is there and says nothing', async (t) => {
  const backends = await startBackends(t)
  if (backends.redis.pid === undefined) {
    t.pass('the embedded Redis cannot be stopped without the test')
    return
  }
  const app = await buildReplica(t, backends.env)
  const [live, revoked] = [await logIn(app), await logIn(app)]
  await logOut(app, revoked.access_token)

  await t.test('stopped', async (t) => {
    pause(t, backends.redis)
    for (const { access_token } of [live, revoked]) {
      const { result, ms } = await timed(() => app.inject({ url: '/whoami', headers: bearer(access_token) }))
      t.match(result.json(), { statusCode: 503, code: 'REVOCATION_UNKNOWN' })
      t.ok(ms >= 150 && ms < 200 + slack, `${Math.round(ms)} ms`)
    }
    const { result, ms } = await timed(() => app.inject('/health/ready'))
    t.match(result.json(), { redis: 'down' })
    t.ok(ms < 200 + slack, `${Math.round(ms)} ms`)
  })
  await until(async () => (await present(app, live.access_token)).status === 200)
  t.strictSame(await present(app, revoked.access_token), { status: 401, code: 'TOKEN_REVOKED' })
})

t.test('Redis fails between the check and the publication: 503, and repeating the call ends it', async (t) => {
  const backends = await startBackends(t)
  const app = await buildReplica(t, backends.env)
  const { access_token } = await logIn(app)
  // A log that is no stream stands in for a Redis that refuses to write, as one without memory does.
  await app.redis.set('denylist:log', 'full')
  t.match((await logOut(app, access_token)).json(), { statusCode: 503, code: 'REVOCATION_PENDING' })
  await app.redis.del('denylist:log')
  t.equal((await logOut(app, access_token)).statusCode, 200)
  t.strictSame(await present(app, access_token), { status: 401, code: 'TOKEN_REVOKED' })
})

t.test('Redis fails when a theft is published: 503, and the next use of the stolen token ends it', async (t) => {
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
})

t.test('a connection to Redis that falls silent for good is replaced', async (t) => {
  const backends = await startBackends(t)
  const silent = await startSilencer(t, backends.env.REDIS_URL!)
  const app = await buildReplica(t, { ...backends.env, REDIS_URL: silent.url })
  const { access_token } = await logIn(app)
  silent.silence()
  t.match(await present(app, access_token), { status: 503, code: 'REVOCATION_UNKNOWN' })
  await until(async () => (await present(app, access_token)).status === 200)
})

t.test('Postgres ends a connection in the middle of a transaction: 503, and the replica lives on', async (t) => {
  const backends = await startBackends(t)
  const app = await buildReplica(t, backends.env)
  const [{ access_token }, other] = [await logIn(app), await logIn(app)]
  // Holds the rows, so that the logout waits inside its transaction.
  const client = await app.pg.connect()
  await client.query('BEGIN')
  await client.query('SELECT FROM sessions FOR UPDATE')
  const answer = logOut(app, access_token)
  await until(async () => {
    // On a connection of its own: inside a transaction the activity is as it was at the first look.
    const { rows } = await app.pg.query(
      "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'UPDATE sessions%'"
    )
    return rows.length > 0
  })
  t.match((await answer).json(), { statusCode: 503, code: 'DATABASE_UNAVAILABLE' })
  await client.query('ROLLBACK')
  client.release()
  t.match(await present(app, access_token), { status: 200 }, 'it was not logged out')
  t.equal((await logOut(app, other.access_token)).statusCode, 200)
})

async function postgresFails(t: Test, backends: Backends, fail: (t: Test) => unknown, boundMs: number): Promise<void> {
  const app = await buildReplica(t, backends.env)
  const { username } = await signUp(app)
  const { access_token, refresh_token } = await logIn(app, username)

  await t.test('failed', async (t) => {
    await fail(t)
    t.match(await present(app, access_token), { status: 200 }, 'a token needs no database')
    const requests = {
      login: () => app.inject({ method: 'POST', url: '/auth/login', payload: { username, password: PASSWORD } }),
      'sign-up': () =>
        app.inject({
          method: 'POST',
          url: '/users',
          payload: { username: `${username}x`.slice(-20), password: PASSWORD }
        }),
      refresh: () => refresh(app, refresh_token),
      logout: () => logOut(app, access_token),
      me: () => app.inject({ url: '/me', headers: bearer(access_token) })
    }
    for (const [name, request] of Object.entries(requests)) {
      const { result, ms } = await timed(request)
      t.match(result.json(), { statusCode: 503, code: 'DATABASE_UNAVAILABLE' }, name)
      t.equal(result.headers['retry-after'], '1')
      t.ok(ms < boundMs + slack, `${name}: ${Math.round(ms)} ms`)
    }
    t.match((await app.inject('/health/ready')).json(), { postgres: 'down', redis: 'up' })
    t.match(await present(app, access_token), { status: 200 }, 'a logout that was not acknowledged has not happened')
  })
}

t.test('Postgres stops: what needs it is 503, what does not is answered', async (t) => {
  const backends = await startBackends(t)
  await postgresFails(t, backends, () => backends.postgres.stop(), 1000)
})

t.test('Postgres is there and says nothing', async (t) => {
  const backends = await startBackends(t)
  // The postmaster alone would leave its children serving: stop what the pool is connected to, and the door.
  const app = await buildReplica(t, backends.env)
  const fail = async (t: Test): Promise<void> => {
    const { rows } = await app.pg.query<{ pid: number }>(
      "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend'"
    )
    for (const { pid } of rows) pause(t, { pid })
    pause(t, { pid: backends.postgres.pid! })
  }
  // A transaction that times out is rolled back, which times out too.
  await postgresFails(t, backends, fail, 5000)
})

/** Stands between a replica and Redis, and can let the connections there are fall silent without closing them. */
async function startSilencer(t: Test, url: string): Promise<{ url: string; silence: () => void }> {
  const target = new URL(url)
  let sockets: Socket[] = []
  const server = createServer((socket) => {
    const upstream = connect(Number(target.port), target.hostname)
    sockets.push(socket, upstream)
    for (const one of [socket, upstream]) one.on('error', () => one.destroy())
    socket.pipe(upstream).pipe(socket)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const all: Socket[] = []
  t.teardown(() => {
    for (const socket of [...all, ...sockets]) socket.destroy()
    server.close()
  })
  const silenced = new URL(url)
  silenced.port = String((server.address() as AddressInfo).port)
  return {
    url: silenced.href,
    silence() {
      for (const socket of sockets) socket.unpipe().pause()
      all.push(...sockets)
      sockets = []
    }
  }
}
