import { once } from 'node:events'
import { readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { Agent, get, type IncomingMessage } from 'node:http'
import { createServer } from 'node:net'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import {
  newKeyRing,
  newUsername,
  PASSWORD,
  runProgram,
  spawnReplica,
  startBackends,
  type TokenResponse
} from './harness.js'

const { env, postgres } = await startBackends(t)

async function post<T>(
  url: string,
  body: object,
  headers: Record<string, string> = {}
): Promise<{ status: number; body: T }> {
  const response = await fetch(url, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body)
  })
  return { status: response.status, body: (await response.json()) as T }
}

async function logIn(url: string): Promise<TokenResponse> {
  const credentials = { username: newUsername(), password: PASSWORD }
  await post(`${url}/users`, credentials)
  return (await post<TokenResponse>(`${url}/auth/login`, credentials)).body
}

const whoami = (url: string, token: string) => fetch(`${url}/whoami`, { headers: { authorization: `Bearer ${token}` } })

t.test('a token from A is accepted by B, and by a replica that is started later', async (t) => {
  const a = await spawnReplica(t, { ...env, REPLICA_NAME: 'a' })
  const b = await spawnReplica(t, { ...env, REPLICA_NAME: 'b' })
  const { access_token } = await logIn(a.url)
  t.match(await (await whoami(b.url, access_token)).json(), { issuedBy: 'a', servedBy: 'b' })

  await a.kill('SIGKILL')
  const later = await spawnReplica(t, { ...env, REPLICA_NAME: 'later' })
  t.match(await (await whoami(later.url, access_token)).json(), { issuedBy: 'a', servedBy: 'later' })

  t.equal((await post(`${b.url}/auth/logout`, {}, { authorization: `Bearer ${access_token}` })).status, 200)
  t.equal((await whoami(later.url, access_token)).status, 401)
  const latest = await spawnReplica(t, env)
  t.equal((await whoami(latest.url, access_token)).status, 401, 'also by one that was not there at the logout')
})

t.test('SIGTERM: the request under way is answered, then the process ends with 0', async (t) => {
  // Long enough for a busy machine to have accepted all of them before the listener closes.
  const replica = await spawnReplica(t, { ...env, SHUTDOWN_DRAIN_MS: '2000' })
  // A sign-up hashes for some milliseconds; twenty queue behind each other.
  const under = Array.from({ length: 20 }, () =>
    post(`${replica.url}/users`, { username: newUsername(), password: PASSWORD })
  )
  await sleep(20)
  const ended = replica.kill('SIGTERM')
  t.same([...new Set((await Promise.all(under)).map(({ status }) => status))], [201])
  t.match(await ended, { code: 0, signal: null })
  await t.rejects(fetch(`${replica.url}/health/live`))
})

t.test('draining: not ready, then no new connections, then no connections; every request is served', async (t) => {
  const replica = await spawnReplica(t, { ...env, SHUTDOWN_DRAIN_MS: '1500' })
  const { access_token } = await logIn(replica.url)
  const fresh = new Agent()
  const kept = new Agent({ keepAlive: true, maxSockets: 1 })
  t.teardown(() => kept.destroy())
  const ask = async (agent: Agent, path: string): Promise<{ status?: number; connection?: string; code?: string }> => {
    const request = get(`${replica.url}${path}`, { agent, headers: { authorization: `Bearer ${access_token}` } })
    try {
      const [response] = (await once(request, 'response')) as [IncomingMessage]
      await text(response)
      return { status: response.statusCode!, connection: response.headers.connection! }
    } catch (error) {
      return { code: (error as NodeJS.ErrnoException).code! }
    }
  }
  t.equal((await ask(kept, '/whoami')).status, 200)
  t.equal((await ask(fresh, '/health/ready')).status, 200)

  const ended = replica.kill('SIGTERM')
  const seen: (number | string)[] = []
  while (seen.at(-1) !== 'ECONNREFUSED' && seen.length < 1000) {
    const { status, code } = await ask(fresh, '/health/ready')
    seen.push(status ?? code!)
    if (status === 503 && !seen.slice(0, -1).includes(503)) {
      t.match(await ask(kept, '/whoami'), { status: 200, connection: 'keep-alive' }, 'none has to be opened anew')
    }
    await sleep(20)
  }
  const order = seen.filter((what, i) => what !== seen[i - 1])
  t.match(order.filter((what) => what !== 200).join(), '503,ECONNREFUSED', 'readiness turns before the listener closes')
  t.ok(seen.filter((what) => what === 503).length > 3, 'long enough for a balancer to see it')

  // As long as nginx keeps a connection.
  const template = readFileSync(new URL('../../../nginx/nginx.conf.template', import.meta.url), 'utf8')
  const [, seconds] = /keepalive 64;[^}]* keepalive_timeout (\d+)s;/.exec(template)!
  await sleep(Number(seconds) * 1000)
  t.match(await ask(kept, '/whoami'), { status: 200, connection: 'close' }, 'an idle connection is not cut')
  t.match(await ended, { code: 0 })
})

t.test('SHUTDOWN_GRACE_MS bounds the end, whatever still runs', async (t) => {
  const replica = await spawnReplica(t, { ...env, SHUTDOWN_DRAIN_MS: '30000', SHUTDOWN_GRACE_MS: '300' })
  t.match(replica.output(), /SHUTDOWN_GRACE_MS is not above 33000/, 'and it was said that it will')
  const started = performance.now()
  t.match(await replica.kill('SIGTERM'), { code: 1 })
  t.ok(performance.now() - started < 3000)
})

// What follows shares nothing but these servers, and mostly waits.
t.jobs = 2
const buffered = { buffered: true }

t.test('bad settings: one message that names them all, exit code 1', buffered, async (t) => {
  const { code, output } = await runProgram('bundle/server.js', {
    ACCESS_TOKEN_TTL: '900',
    PORT: 'http',
    REDIS_URL: 'x'
  })
  t.equal(code, 1)
  for (const name of ['JWT_KEYS', 'DATABASE_URL', 'REDIS_URL', 'ACCESS_TOKEN_TTL', 'PORT']) t.match(output, name)
  t.match(output, /^one-secret cannot start: 5 settings are wrong:\n/)
  t.notMatch(output, /at .*\.js/, 'no stack trace')
})

t.test('a port that is taken, in words', buffered, async (t) => {
  const squatter = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => squatter.once('listening', resolve))
  t.teardown(() => squatter.close())
  const { port } = squatter.address() as { port: number }
  const { code, output } = await runProgram('bundle/server.js', { ...env, HOST: '127.0.0.1', PORT: String(port) })
  t.equal(code, 1)
  t.match(output, /cannot listen: .*EADDRINUSE/)
})

t.test('a Redis that is not there, in words', buffered, async (t) => {
  const started = performance.now()
  const { code, output } = await runProgram('bundle/server.js', { ...env, REDIS_URL: 'redis://127.0.0.1:1' })
  t.equal(code, 1)
  t.match(output, /cannot start: Redis did not answer within 8 s: .*ECONNREFUSED/)
  const ms = performance.now() - started
  t.ok(ms > 7000 && ms < 16_000, `${Math.round(ms)} ms`)
})

t.test('a database of Redis that is not there, in words', buffered, async (t) => {
  const { code, output } = await runProgram('bundle/server.js', { ...env, REDIS_URL: `${env['REDIS_URL']}/999` })
  t.equal(code, 1)
  t.match(output, /cannot start: .*DB index is out of range/)
})

t.test('eight migrations at once on an empty database: one works, the others wait', buffered, async (t) => {
  const { default: pg } = await import('pg')
  const client = new pg.Client(postgres.url)
  await client.connect()
  await client.query('CREATE DATABASE empty')
  await client.end()
  const url = new URL(postgres.url)
  url.pathname = '/empty'
  const runs = await Promise.all(Array.from({ length: 8 }, () => runProgram('migrate.js', { DATABASE_URL: url.href })))
  t.same([...new Set(runs.map(({ code }) => code))], [0])
  t.equal(runs.filter(({ output }) => output.startsWith('applied')).length, 1)
  t.equal(runs.filter(({ output }) => output.startsWith('the schema is up to date')).length, 7)
})

t.test('a migration without a database, in words', buffered, async (t) => {
  t.match(await runProgram('migrate.js', { DATABASE_URL: 'postgres://127.0.0.1:1/x' }), {
    code: 1,
    output: /^cannot migrate: .*ECONNREFUSED/
  })
  t.match(await runProgram('migrate.js', {}), { code: 1, output: /^DATABASE_URL is missing/ })
})

t.test('secrets are made once, and the key ring is replaced by JWT_KEYS', buffered, async (t) => {
  const dir = t.testdir({ api: {}, postgres: {}, redis: {} })
  const { readFile, stat } = await import('node:fs/promises')
  const read = (name: string): Promise<string> => readFile(`${dir}/${name}`, 'utf8')
  t.match(await runProgram('make-secrets.js', {}, dir), { code: 0, output: /api\/jwt-keys: made/ })
  const [ring, password, redis] = await Promise.all([
    read('api/jwt-keys'),
    read('postgres/password'),
    read('redis/redis.conf')
  ])
  t.match(ring, /^k\d{8}:[\w-]{43}\n$/)
  t.match(await read('api/database-url'), password.trim())
  t.match(await read('api/redis-url'), redis.trim().split(' ')[1])
  t.equal((await stat(`${dir}/api/jwt-keys`)).mode & 0o222, 0)

  t.match(await runProgram('make-secrets.js', {}, dir), { code: 0, output: /api\/jwt-keys: kept/ })
  t.equal(await read('api/jwt-keys'), ring)
  t.equal(await read('postgres/password'), password)

  const next = newKeyRing('next')
  t.match(await runProgram('make-secrets.js', { JWT_KEYS: next }, dir), { code: 0, output: /replaced/ })
  t.equal(await read('api/jwt-keys'), `${next}\n`)
  t.match(await runProgram('make-secrets.js', { JWT_KEYS: 'weak:d2Vhaw' }, dir), { code: 1 })
  t.equal(await read('api/jwt-keys'), `${next}\n`)
})

t.test('what a crash has left of making secrets is in nobody’s way', buffered, async (t) => {
  const dir = t.testdir({ api: {}, postgres: {}, redis: {} })
  // In a new container the next process may have the same number; and what is left cannot be written to, here not by root either.
  const preload = `${dir}/pid.mjs`
  writeFileSync(preload, "Object.defineProperty(process, 'pid', { value: 7 })")
  symlinkSync('/proc/version', `${dir}/api/jwt-keys.7`)
  const env = { NODE_OPTIONS: `--import=${preload}` }
  t.match(await runProgram('make-secrets.js', env, dir), { code: 0, output: /api\/jwt-keys: made/ })
  symlinkSync('/proc/version', `${dir}/api/jwt-keys.7`)
  const again = await runProgram('make-secrets.js', { ...env, JWT_KEYS: newKeyRing('next') }, dir)
  t.match(again, { code: 0, output: /replaced/ })
})
