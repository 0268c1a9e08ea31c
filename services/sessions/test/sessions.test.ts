import { setTimeout as sleep } from 'node:timers/promises'
import { startRedis } from '@one-secret/local'
import { readConfig } from '@one-secret/api/config.js'
import type { FastifyInstance, LightMyRequestResponse } from 'fastify'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { buildReplica, PASSWORD, signUp, startBackends } from '../../api/test/harness.js'
import { buildSessions, type StoreKind } from '../src/app.js'

const { env } = await startBackends(t)
/** The api beside it: its users are everybody's. */
const api = await buildReplica(t, env)

async function build(t: Test, kind: StoreKind, more: Record<string, string> = {}): Promise<FastifyInstance> {
  const config = readConfig({ SHUTDOWN_DRAIN_MS: '0', ...env, ...more })
  const app = await buildSessions(config, kind, { level: 'error', stream: { write: (line) => t.comment(line) } })
  t.teardown(() => app.close())
  await app.ready()
  return app
}
const three = (t: Test, kind: StoreKind): Promise<FastifyInstance[]> =>
  Promise.all(['a', 'b', 'c'].map((REPLICA_NAME) => build(t, kind, { REPLICA_NAME })))

interface LoggedIn {
  response: LightMyRequestResponse
  cookies: Record<string, string>
}
const post = (app: FastifyInstance, url: string, cookies: Record<string, string> = {}, payload?: object) =>
  app.inject({ method: 'POST', url, cookies, ...(payload && { payload }) })

async function logIn(app: FastifyInstance, username: string, password = PASSWORD): Promise<LoggedIn> {
  let response = await post(app, '/auth/login', {}, { username, password })
  // What a busy machine refuses is asked again.
  for (let i = 0; i < 20 && response.json<{ code?: string }>().code === 'HASHING_BUSY'; i++) {
    await sleep(500)
    response = await post(app, '/auth/login', {}, { username, password })
  }
  return { response, cookies: Object.fromEntries(response.cookies.map(({ name, value }) => [name, value])) }
}
async function whoami(app: FastifyInstance, cookies: Record<string, string> = {}): Promise<string> {
  const response = await app.inject({ url: '/whoami', cookies })
  const { code } = response.json<{ code?: string }>()
  return code === undefined ? String(response.statusCode) : `${response.statusCode} ${code}`
}

t.test('in memory', async (t) => {
  const [a, b, c] = (await three(t, 'memory')) as [FastifyInstance, FastifyInstance, FastifyInstance]
  const { id, username } = await signUp(api)

  t.test('the server that was logged in at knows who it is, and no other does', async (t) => {
    const { response, cookies } = await logIn(a, username)
    t.equal(response.statusCode, 200)
    t.strictSame(response.json(), { transport: 'cookie', expires_in: 900 })
    t.match(response.cookies[0], { name: 'session', httpOnly: true, sameSite: 'Lax', path: '/' })
    const answer = await a.inject({ url: '/whoami', cookies })
    t.match(answer.json(), { sub: id, issuedBy: 'a', servedBy: 'a' })
    t.equal(answer.headers['x-served-by'], 'a')
    t.equal(await whoami(b, cookies), '401 SESSION_UNKNOWN')
    t.equal(await whoami(c, cookies), '401 SESSION_UNKNOWN')
    t.equal(await whoami(a, cookies), '200', 'to have asked elsewhere costs it nothing')
  })

  t.test('a server that is replaced has forgotten everybody', async (t) => {
    const before = await build(t, 'memory', { REPLICA_NAME: 'd' })
    const { cookies } = await logIn(before, username)
    t.equal(await whoami(before, cookies), '200')
    await before.close()
    t.equal(await whoami(await build(t, 'memory', { REPLICA_NAME: 'd' }), cookies), '401 SESSION_UNKNOWN')
  })

  t.test('it serves without Redis', async (t) => {
    const alone = await build(t, 'memory', { REDIS_URL: 'redis://127.0.0.1:1' })
    const { cookies } = await logIn(alone, username)
    t.equal(await whoami(alone, cookies), '200')
    t.match((await alone.inject('/health/ready')).json(), { status: 'ready', postgres: 'up', store: 'up' })
  })
})

t.test('in Redis', async (t) => {
  const [a, b, c] = (await three(t, 'redis')) as [FastifyInstance, FastifyInstance, FastifyInstance]
  const { id, username } = await signUp(api)

  t.test('every server knows who it is, at the price of a command at Redis for each request', async (t) => {
    const { cookies } = await logIn(a, username)
    for (const [app, name] of [
      [a, 'a'],
      [b, 'b'],
      [c, 'c']
    ] as const) {
      t.match((await app.inject({ url: '/whoami', cookies })).json(), { sub: id, issuedBy: 'a', servedBy: name })
    }
    const calls = async (): Promise<number> =>
      Number(/^cmdstat_get:calls=(\d+)/m.exec(await a.redis.info('commandstats'))?.[1] ?? 0)
    const stopped = await calls()
    for (let i = 0; i < 20; i++) t.equal(await whoami([a, b, c][i % 3]!, cookies), '200')
    // The api beside it follows its log meanwhile.
    t.ok((await calls()) - stopped >= 20)
  })

  t.test('after a logout no server knows it', async (t) => {
    const { cookies } = await logIn(a, username)
    t.equal((await post(b, '/auth/logout', cookies)).statusCode, 200)
    for (const app of [a, b, c]) t.equal(await whoami(app, cookies), '401 SESSION_UNKNOWN')
  })

  t.test('Redis forgets a session when its life is over', async (t) => {
    await a.redis.del(await a.redis.keys('session:*'))
    const { cookies } = await logIn(a, username)
    const [key] = await a.redis.keys('session:*')
    const left = await a.redis.ttl(key!)
    t.ok(left > 800 && left <= 900, `${left} s`)
    await a.redis.pexpire(key!, 1)
    await sleep(20)
    t.equal(await whoami(b, cookies), '401 SESSION_UNKNOWN')
  })

  t.test('Redis is down: nobody is logged in, within a bound', async (t) => {
    const server = await startRedis({})
    const app = await build(t, 'redis', { REDIS_URL: server.url })
    const { cookies } = await logIn(app, username)
    t.equal(await whoami(app, cookies), '200')
    await server.stop()
    const began = performance.now()
    t.equal(await whoami(app, cookies), '503 SESSION_STORE_UNAVAILABLE')
    t.ok(performance.now() - began < 1200)
    t.match((await app.inject('/health/ready')).json(), { status: 'not-ready', store: 'down' })
  })
})

for (const kind of ['memory', 'redis'] as const) {
  t.test(`whatever the store, as with ${kind}`, async (t) => {
    const app = await build(t, kind)
    const { username } = await signUp(api)

    t.test('the users and their passwords are the api’s', async (t) => {
      t.equal((await logIn(app, username.toUpperCase())).response.statusCode, 200)
      t.match((await logIn(app, username, 'not the password of anybody')).response.json(), {
        statusCode: 401,
        code: 'CREDENTIALS_INVALID'
      })
      t.match((await post(app, '/auth/login', {}, { username })).json(), { statusCode: 400, code: 'VALIDATION_FAILED' })
    })

    t.test('no cookie, one whose id was changed, one without a signature', async (t) => {
      t.equal(await whoami(app), '401 SESSION_MISSING')
      const { cookies } = await logIn(app, username)
      const session = cookies['session']!
      const forged = session.replace(/^./, (letter) => (letter === 'A' ? 'B' : 'A'))
      t.equal(await whoami(app, { session: forged }), '401 SESSION_UNKNOWN')
      t.equal(await whoami(app, { session: session.split('.')[0]! }), '401 SESSION_UNKNOWN')
    })

    t.test('a login gives the session a new id', async (t) => {
      const first = await logIn(app, username)
      const second = await post(app, '/auth/login', first.cookies, { username, password: PASSWORD })
      t.not(second.cookies[0]?.value, first.cookies['session'])
      t.equal(await whoami(app, first.cookies), '401 SESSION_UNKNOWN')
      t.equal(await whoami(app, { session: second.cookies[0]!.value }), '200')
    })

    t.test('a logout clears the cookie, and can be repeated', async (t) => {
      const { cookies } = await logIn(app, username)
      const response = await post(app, '/auth/logout', cookies)
      t.equal(response.statusCode, 200)
      t.match(response.cookies[0], { name: 'session', value: '' })
      t.equal((await post(app, '/auth/logout', cookies)).statusCode, 200)
      t.equal(await whoami(app, cookies), '401 SESSION_UNKNOWN')
    })
  })
}

t.test('no password and no name is kept with a session', async (t) => {
  const app = await build(t, 'redis')
  const { username } = await signUp(api)
  await logIn(app, username)
  const redis = new Redis(env['REDIS_URL']!, { protocol: 2 })
  t.teardown(() => redis.disconnect())
  const sessions = await Promise.all((await redis.keys('session:*')).map((key) => redis.get(key)))
  t.ok(sessions.length > 0)
  t.notMatch(sessions.join('\n'), username)
  t.notMatch(sessions.join('\n'), PASSWORD)
})
