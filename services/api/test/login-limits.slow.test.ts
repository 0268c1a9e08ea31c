import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { startProxy } from '@one-secret/local'
import { Redis } from 'ioredis'
import pg from 'pg'
import t, { type Test } from 'tap'
import { networkOf } from '../src/plugins/login-limits.js'
import {
  bearer,
  buildReplica,
  logIn,
  newUsername,
  PASSWORD,
  readMetrics,
  runProgram,
  signUp,
  spawnReplica,
  startBackends,
  type Replica
} from './harness.js'

const backends = await startBackends(t)
const limited = { ...backends.env, LOGIN_LIMIT_PER_ACCOUNT: '10', LOGIN_LIMIT_PER_ADDRESS: '100' }
const redis = new Redis(backends.redis.url, { protocol: 2 })
t.teardown(() => redis.disconnect())
t.beforeEach(async () => {
  const keys = await redis.keys('login-limit:*')
  if (keys.length > 0) await redis.del(keys)
})

/** How many passwords these replicas have handed to argon2. */
async function hashes(replicas: Replica[]): Promise<number> {
  const texts = await Promise.all(replicas.map(async ({ url }) => (await fetch(`${url}/metrics`)).text()))
  return texts.reduce((sum, text) => sum + Number(/^password_hashes_total\{.*\} (\d+)$/m.exec(text)![1]), 0)
}

async function startFive(t: Test, env: Record<string, string>): Promise<{ url: string; replicas: Replica[] }> {
  const names = ['a', 'b', 'c', 'd', 'e']
  const replicas = await Promise.all(names.map((REPLICA_NAME) => spawnReplica(t, { ...env, REPLICA_NAME })))
  const balancer = await startProxy({ replicas })
  t.teardown(() => balancer.stop())
  return { url: balancer.url, replicas }
}

/** An attempt with a wrong password, from wherever the client says that it comes from. */
const attempt = (url: string, username: string): Promise<Response> =>
  fetch(`${url}/auth/login`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', 'x-forwarded-for': [...randomBytes(4)].join('.') },
    body: JSON.stringify({ username, password: 'not the password of anybody' })
  })

/** Five hundred of them, sixteen at once: how many ended how. */
async function fiveHundred(url: string, username: (i: number) => string): Promise<Record<number, number>> {
  const counts: Record<number, number> = {}
  let sent = 0
  const worker = async (): Promise<void> => {
    while (sent < 500) {
      const response = await attempt(url, username(sent++))
      await response.arrayBuffer()
      counts[response.status] = (counts[response.status] ?? 0) + 1
    }
  }
  await Promise.all(Array.from({ length: 16 }, worker))
  return counts
}

t.test('five hundred attempts over five replicas reach argon2 as often as the limit says', async (t) => {
  const { url, replicas } = await startFive(t, { ...limited, TRUST_PROXY: '127.0.0.1' })

  /**
   * How they ended, and how many were hashed. Where Redis could not count one within its bound, for the machine stood still, nobody
   * can say how many should have been let in: then all of it once more.
   */
  async function count(newNames: () => (i: number) => string): Promise<Record<string, number>> {
    for (let round = 1; ; round++) {
      await redis.del('login-limit:address:127.0.0.1')
      const before = await hashes(replicas)
      const counts = await fiveHundred(url, newNames())
      if (counts[503] === undefined || round === 3) return { ...counts, hashed: (await hashes(replicas)) - before }
    }
  }

  t.test('at one account, however its name is spelled: ten', async (t) => {
    const spellings = (): ((i: number) => string) => {
      const account = newUsername()
      return (i) => (i % 2 === 0 ? account : account.toUpperCase())
    }
    // The address has its own limit, of a hundred: for this test it is forgotten again and again.
    const address = setInterval(() => void redis.del('login-limit:address:127.0.0.1'), 5)
    t.strictSame(await count(spellings), { 401: 10, 429: 490, hashed: 10 })
    clearInterval(address)
  })

  t.test('from one address that says it is five hundred, at as many accounts: a hundred', async (t) => {
    t.strictSame(await count(() => newUsername), { 401: 100, 429: 400, hashed: 100 })
    t.strictSame(await redis.keys('login-limit:address:*'), ['login-limit:address:127.0.0.1'])
  })
})

t.test('nobody but the balancer is believed about an address, and of that only what it wrote itself', async (t) => {
  const stranger = '203.0.113.7'
  for (const [trusted, remoteAddress, counted] of [
    ['', stranger, stranger],
    ['', '127.0.0.1', '127.0.0.1'],
    ['127.0.0.1', stranger, stranger],
    ['127.0.0.1', '127.0.0.1', '192.0.2.9']
  ] as const) {
    const app = await buildReplica(t, { ...limited, LOGIN_LIMIT_PER_ADDRESS: '2', TRUST_PROXY: trusted })
    const statuses: number[] = []
    for (let i = 0; i < 3; i++) {
      const response = await app.inject({
        method: 'POST',
        url: '/auth/login',
        remoteAddress,
        headers: { 'x-forwarded-for': `198.51.100.${i}, 192.0.2.9` },
        payload: { username: newUsername(), password: PASSWORD }
      })
      statuses.push(response.statusCode)
    }
    const name = `TRUST_PROXY=${trusted}, asked by ${remoteAddress}`
    t.strictSame(statuses, [401, 401, 429], name)
    t.strictSame(await redis.keys('login-limit:address:*'), [`login-limit:address:${counted}`], name)
    await redis.del(`login-limit:address:${counted}`)
  }
})

t.test('what is refused says for how long, and then it is over', async (t) => {
  const app = await buildReplica(t, { ...limited, LOGIN_LIMIT_PER_ACCOUNT: '2' })
  const { username } = await signUp(app)
  await logIn(app, username)
  const tokens = await logIn(app, username)
  const refused = await app.inject({
    method: 'POST',
    url: '/auth/login',
    payload: { username, password: PASSWORD }
  })
  t.equal(refused.statusCode, 429)
  t.match(refused.json(), { statusCode: 429, code: 'TOO_MANY_LOGINS', error: 'Too Many Requests' })
  const after = Number(refused.headers['retry-after'])
  t.ok(after > 50 && after <= 60, `${after} s`)
  // The username is nobody's business in Redis.
  const [key] = await redis.keys('login-limit:account:*')
  t.notMatch(key, username)
  await redis.pexpire(key!, 1)
  await new Promise((resolve) => setTimeout(resolve, 50))
  await logIn(app, username)
  t.match((await app.inject({ url: '/whoami', headers: bearer(tokens.access_token) })).statusCode, 200)
})

t.test('the old password cannot be guessed with a stolen token either', async (t) => {
  const app = await buildReplica(t, { ...limited, LOGIN_LIMIT_PER_ACCOUNT: '3' })
  const { access_token } = await logIn(app)
  const statuses: number[] = []
  for (let i = 0; i < 5; i++) {
    const response = await app.inject({
      method: 'PUT',
      url: '/me/password',
      headers: bearer(access_token),
      payload: { old_password: `guess ${i}`, new_password: 'a new horse and battery' }
    })
    statuses.push(response.statusCode)
  }
  // The new password is compared too, for the call may be a repeated one: so each guess is two, and counts as two.
  t.strictSame(statuses, [401, 429, 429, 429, 429])
  const { body } = await app.inject({ url: '/metrics' })
  // Of these, two were those of signing up and logging in.
  t.match(body, /^password_hashes_total\{[^}]*\} 5$/m, 'no more guesses than the limit has')
})

t.test(
  'a name that Postgres alone takes for another is nobody’s, or each spelling would have attempts of its own',
  async (t) => {
    const owner = new pg.Client(backends.postgres.url)
    await owner.connect()
    t.teardown(() => owner.end())
    // Letters that are no ASCII are folded by the locale of the database, as that of the Postgres image is.
    const { rows: locales } = await owner.query<{ name: string }>(
      "SELECT collname AS name FROM pg_collation WHERE collprovider = 'c' AND collname ~* 'utf-?8$'"
    )
    let folding: string | undefined
    for (const { name } of locales) {
      const { rows } = await owner.query<{ folded: string }>(`SELECT lower('İ' COLLATE "${name}") AS folded`)
      if (rows[0]?.folded === 'i') folding = name
    }
    if (folding === undefined) {
      t.plan(0, 'no locale of this system folds İ to i')
      return
    }
    await owner.query(`CREATE DATABASE folding TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE '${folding}'`)
    const DATABASE_URL = Object.assign(new URL(backends.postgres.url), { pathname: '/folding' }).href
    t.match(await runProgram('migrate.js', { DATABASE_URL }), { code: 0 })
    const app = await buildReplica(t, { ...backends.env, DATABASE_URL })
    const username = 'ivan-the-tester'
    const post = (url: string, username: string) =>
      app.inject({ method: 'POST', url, payload: { username, password: PASSWORD } })
    t.equal((await post('/users', username)).statusCode, 201)
    t.equal((await post('/auth/login', username.toUpperCase())).statusCode, 200)
    for (const spelling of [username.replace('i', 'İ'), username.toUpperCase().replace('I', 'İ')]) {
      t.match((await post('/auth/login', spelling)).json(), { statusCode: 401, code: 'CREDENTIALS_INVALID' }, spelling)
    }
  }
)

t.test('0 is no limit', async (t) => {
  const app = await buildReplica(t, backends.env)
  const { username } = await signUp(app)
  for (let i = 0; i < 12; i++) await logIn(app, username)
  t.strictSame(await redis.keys('login-limit:*'), [])
})

t.test('Redis cannot count: nobody logs in, nothing is hashed, at once', async (t) => {
  const own = await startBackends(t)
  const replica = await spawnReplica(t, { ...own.env, LOGIN_LIMIT_PER_ACCOUNT: '10' })
  await own.redis.stop()
  const before = await hashes([replica])
  const started = performance.now()
  const response = await attempt(replica.url, newUsername())
  t.equal(response.status, 503)
  t.ok(response.headers.get('retry-after'))
  t.match(await response.json(), { statusCode: 503, code: 'LOGIN_LIMIT_UNKNOWN' })
  // 200 ms are the bound; the rest is for a busy machine.
  t.ok(performance.now() - started < 1500)
  t.equal(await hashes([replica]), before)
})

t.test('addresses of IPv6 count together where one machine has them all', async (t) => {
  t.equal(networkOf('203.0.113.7'), '203.0.113.7')
  t.equal(networkOf('::ffff:203.0.113.7'), '203.0.113.7', 'the same machine, by a socket of IPv6')
  t.equal(networkOf('2001:db8:1:2:3:4:5:6'), networkOf('2001:db8:1:2::'))
  t.not(networkOf('2001:db8:1:2::1'), networkOf('2001:db8:1:3::1'))
  t.equal(networkOf('fe80::1%eth0'), networkOf('fe80::2'))
  t.equal(networkOf('203.0.113.7:5678'), '203.0.113.7', 'as some balancers write it')
  t.equal(networkOf('[2001:db8:1:2::9]:443'), networkOf('2001:db8:1:2::'))
  t.equal(networkOf('[2001:db8:1:2::9]'), networkOf('2001:db8:1:2::'))

  const app = await buildReplica(t, { ...limited, LOGIN_LIMIT_PER_ADDRESS: '2' })
  const from = (remoteAddress: string) =>
    app.inject({
      method: 'POST',
      url: '/auth/login',
      remoteAddress,
      payload: { username: newUsername(), password: 'not the password of anybody' }
    })
  const statuses = []
  for (const address of ['2001:db8::1', '2001:db8::2', '2001:db8::3:4', '2001:db8:0:1::1']) {
    statuses.push((await from(address)).statusCode)
  }
  t.strictSame(statuses, [401, 401, 429, 401])
})

t.test('those of whom no address is known count together, and are answered as anybody', async (t) => {
  for (const address of [undefined, '', 'unknown', '_hidden', '999.1.1.1', '[', '1.2.3.4:']) {
    t.equal(networkOf(address), 'unknown', String(address))
  }
  const app = await buildReplica(t, { ...limited, LOGIN_LIMIT_PER_ADDRESS: '2', TRUST_PROXY: '127.0.0.1' })
  const statuses = []
  for (const forwarded of ['unknown', '_hidden', '999.1.1.1', '203.0.113.9:5678']) {
    const answer = await app.inject({
      method: 'POST',
      url: '/auth/login',
      headers: { 'x-forwarded-for': forwarded },
      payload: { username: newUsername(), password: 'not the password of anybody' }
    })
    statuses.push(answer.statusCode)
  }
  t.strictSame(statuses, [401, 401, 429, 401])
})

t.test('a client that is gone before its login is looked at is no error of ours', async (t) => {
  const replica = await spawnReplica(t, backends.env)
  const body = JSON.stringify({ username: newUsername(), password: 'not the password of anybody' })
  const head = `POST /auth/login HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n`
  for (let i = 0; i < 40; i++) {
    const socket = connect(Number(new URL(replica.url).port), '127.0.0.1')
    await once(socket, 'connect')
    await new Promise((resolve) => socket.write(head + body, resolve))
    socket.resetAndDestroy()
  }
  const counted = async (code: string): Promise<number> =>
    readMetrics(await (await fetch(`${replica.url}/metrics`)).text()).get(`http_errors_total{code="${code}"}`)!
  while ((await counted('CREDENTIALS_INVALID')) + (await counted('INTERNAL_ERROR')) === 0) await sleep(50)
  await replica.kill()
  t.notMatch(replica.output(), /"level":50/)
})

t.test('attempts to log in by the name of a user’s id do not lock that user’s change of password', async (t) => {
  const app = await buildReplica(t, limited)
  const { id, username } = await signUp(app)
  const { access_token } = await logIn(app, username)
  const payload = { username: id, password: 'not the password of anybody' }
  for (let i = 0; i < 10; i++) await app.inject({ method: 'POST', url: '/auth/login', payload })
  t.equal((await app.inject({ method: 'POST', url: '/auth/login', payload })).statusCode, 429)
  const change = await app.inject({
    method: 'PUT',
    url: '/me/password',
    headers: bearer(access_token),
    payload: { old_password: PASSWORD, new_password: 'a battery for the new horse' }
  })
  t.equal(change.statusCode, 200)
})
