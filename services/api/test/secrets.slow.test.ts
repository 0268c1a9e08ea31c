import { randomBytes } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { findBinary, startNginx, startPostgres, startProxy, startRedis } from '@one-secret/local'
import t, { type Test } from 'tap'
import { newKeyRing, newUsername, runProgram, spawnReplica, type TokenResponse } from './harness.js'

/** What must not be found again, by where it was put. A token is known by its last part: the rest of it is no secret. */
const canaries = new Map<string, string>()

function canary(place: string, value = `canary${randomBytes(15).toString('hex')}`): string {
  canaries.set(value, place)
  return value
}

const signatureOf = (token: string): string => token.slice(token.lastIndexOf('.') + 1)

/** The places whose canary is in the text; none is what is hoped for. */
function found(text: string): string[] {
  return [...canaries].filter(([value]) => text.includes(value)).map(([, place]) => place)
}

/** Every command line that any process of this machine has had while the test ran. */
function watchCommandLines(t: Test): () => string {
  const seen = new Set<string>()
  const look = (): void => {
    for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
      try {
        seen.add(readFileSync(`/proc/${pid}/cmdline`, 'utf8'))
      } catch {
        // It has ended meanwhile.
      }
    }
  }
  const timer = setInterval(look, 20)
  t.teardown(() => clearInterval(timer))
  return () => {
    look()
    return [...seen].join('\n')
  }
}

/** The forms in which the secret of each key could be written. */
function keyForms(ring: string): string[] {
  return ring.split(',').flatMap((key) => {
    const text = key.slice(key.indexOf(':') + 1)
    const bytes = Buffer.from(text, 'base64url')
    return [text, bytes.toString('base64').slice(0, 42), bytes.toString('hex'), JSON.stringify([...bytes]).slice(1, -1)]
  })
}

for (const [kind, requests] of [
  ['nginx', 10_000],
  ['embedded', 2_000]
] as const) {
  const skip = kind === 'nginx' && findBinary('nginx') === undefined ? 'no nginx on the PATH' : false
  t.test(`${requests} requests with secrets in every place, through ${kind}`, { skip, timeout: 300_000 }, async (t) => {
    canaries.clear()
    const commandLines = process.platform === 'linux' ? watchCommandLines(t) : () => ''
    const lines: string[] = []
    const onLine = (line: string): void => void lines.push(line)

    const [postgres, redis] = await Promise.all([startPostgres({ onLine }), startRedis({ onLine })])
    t.teardown(() => Promise.all([postgres.stop(), redis.stop()]))
    canary('the password of Postgres', new URL(postgres.url).password)
    canary('the password of Redis', new URL(redis.url).password)
    const JWT_KEYS = `${newKeyRing('k2')},${newKeyRing('k1')}`
    for (const form of keyForms(JWT_KEYS)) canary('the key ring', form)
    const env = {
      DATABASE_URL: postgres.url,
      REDIS_URL: redis.url,
      JWT_KEYS,
      LOG_LEVEL: 'trace',
      TRUST_PROXY: '127.0.0.1',
      LOGIN_LIMIT_PER_ACCOUNT: '0',
      LOGIN_LIMIT_PER_ADDRESS: '0'
    }
    onLine((await runProgram('migrate.js', env)).output)
    const replicas = await Promise.all(['a', 'b'].map((name) => spawnReplica(t, { ...env, REPLICA_NAME: name })))
    const startBalancer = kind === 'nginx' ? startNginx : startProxy
    const balancer = await startBalancer({ replicas, onLine })
    t.teardown(() => balancer.stop())

    const leaks = new Set<string>()
    const statuses = new Map<number, number>()
    let isDown = false
    /** Sends it, and looks for every canary that it or the cluster knows in what comes back. */
    async function send(method: string, path: string, headers: Record<string, string>, body?: unknown) {
      const text = typeof body === 'string' ? body : body === undefined ? undefined : JSON.stringify(body)
      const response = await fetch(`${balancer.url}${path}`, {
        method,
        headers: { ...(text !== undefined && { 'content-type': 'application/json' }), ...headers },
        ...(text !== undefined && { body: text })
      })
      const answer = await response.text()
      // Sixteen at once leave no time, now and then; that is tested elsewhere.
      const isBusy = response.status === 503 && /"code":"(?:OVERLOADED|HASHING_BUSY|REPLICAS_UNAVAILABLE)"/.test(answer)
      if (!isBusy || isDown) statuses.set(response.status, (statuses.get(response.status) ?? 0) + 1)
      // The tokens that a login has just got are not canaries yet.
      for (const place of found(`${JSON.stringify([...response.headers])} ${answer}`)) {
        leaks.add(`${place}, in the answer to ${method} ${path.replace(/\?.*/, '?…')}`)
      }
      return { status: response.status, answer, isBusy }
    }
    async function insist(...request: Parameters<typeof send>): ReturnType<typeof send> {
      for (let attempt = 0; ; attempt++) {
        const answered = await send(...request)
        if (!answered.isBusy || attempt === 10) return answered
        await sleep(1000)
      }
    }

    const bearer = (token: string): Record<string, string> => ({ authorization: `Bearer ${token}` })
    async function logIn(username: string, password: string): Promise<TokenResponse> {
      const { status, answer } = await insist('POST', '/auth/login', {}, { username, password })
      if (status !== 200) throw new Error(answer)
      const tokens = JSON.parse(answer) as TokenResponse
      canary('an access token', signatureOf(tokens.access_token))
      canary('a refresh token', signatureOf(tokens.refresh_token))
      return tokens
    }
    async function newUser(): Promise<{ username: string; password: string }> {
      const user = { username: newUsername(), password: canary('a password') }
      if ((await insist('POST', '/users', {}, user)).status !== 201) throw new Error('no user')
      return user
    }

    const user = await newUser()
    const live = await logIn(user.username, user.password)
    const ended = await logIn(user.username, user.password)
    await send('POST', '/auth/logout', bearer(ended.access_token))
    const forged = `${live.access_token.slice(0, -43)}${canary('a forged signature', randomBytes(32).toString('base64url'))}`
    const sameOrigin = { 'sec-fetch-site': 'same-origin' }
    const cookies = (name: string, token: string): Record<string, string> => ({
      ...sameOrigin,
      cookie: `${name}=${token}`
    })
    const other = canary('a header')
    const word = canary('a query string')
    const guess = canary('a wrong password')

    const cheap: (() => Promise<unknown>)[] = [
      () => send('GET', '/whoami', bearer(live.access_token)),
      () => send('GET', '/whoami', cookies('__Host-access_token', live.access_token)),
      () => send('GET', `/whoami?access_token=${live.access_token}&word=${word}`, {}),
      () => send('GET', `/me?token=${live.refresh_token}`, bearer(ended.access_token)),
      () => send('GET', `/nowhere?password=${word}`, bearer(live.access_token)),
      () => send('GET', '/whoami', bearer(forged)),
      () => send('GET', '/whoami', bearer(live.refresh_token)),
      () => send('GET', '/whoami', { authorization: `Basic ${other}` }),
      () => send('GET', '/whoami', { authorization: `Bearer ${other} ${other}` }),
      () =>
        send('POST', '/auth/logout', {
          cookie: `__Host-access_token=${live.access_token}`,
          origin: 'https://x.example'
        }),
      () => send('POST', '/auth/logout', cookies('__Host-access_token', forged)),
      () => send('POST', '/auth/refresh', {}, { refresh_token: live.access_token }),
      () =>
        send(
          'POST',
          '/auth/refresh',
          {},
          { refresh_token: `${live.refresh_token.slice(0, -43)}${signatureOf(forged)}` }
        ),
      () => send('POST', '/auth/refresh', {}, { refresh_token: live.refresh_token, password: guess }),
      () => send('POST', '/auth/refresh', cookies('__Secure-refresh_token', ended.refresh_token)),
      () =>
        send('POST', '/auth/refresh', { cookie: `__Secure-refresh_token=${other}; __Secure-refresh_token=${other}` }),
      () => send('POST', '/auth/login', {}, { username: user.username, password: guess, more: guess }),
      () => send('POST', '/auth/login', {}, `{"username":"${user.username}","password":"${guess}"`),
      () => send('POST', '/auth/login', { 'content-type': 'text/plain' }, guess),
      () => send('POST', '/users', {}, { username: user.username, password: [guess] }),
      () => send('POST', '/users', {}, { username: newUsername(), password: guess.slice(0, 14) }),
      () => send('PUT', '/me/password', bearer(live.access_token), { old_password: guess })
    ]
    // One in a hundred is hashed.
    const dear: (() => Promise<unknown>)[] = [
      () => send('POST', '/auth/login', {}, { username: user.username, password: guess }),
      () => send('POST', '/users', {}, { username: user.username, password: guess })
    ]
    const change = async (): Promise<void> => {
      const { username, password } = await newUser()
      const first = await logIn(username, password)
      const second = await logIn(username, password)
      const passwords = { old_password: password, new_password: canary('a new password') }
      await send('PUT', '/me/password', bearer(second.access_token), passwords)
      await send('GET', '/whoami', bearer(first.access_token))
      await send('DELETE', '/me/sessions', bearer(second.access_token))
    }
    let sent = 0
    const workThrough = async (share: number, dear: (() => Promise<unknown>)[]): Promise<void> => {
      const worker = async (): Promise<void> => {
        while (sent < requests * share) {
          const n = sent++
          await (n % 100 === 0 ? dear[(n / 100) % dear.length]! : cheap[n % cheap.length]!)()
        }
      }
      await Promise.all(Array.from({ length: 16 }, worker))
    }
    await workThrough(0.85, [...dear, change])
    for (const status of [200, 201, 400, 401, 403, 404, 409, 415]) t.ok(statuses.has(status), `some are ${status}`)
    t.strictSame(
      [...statuses.keys()].filter((status) => status >= 500),
      []
    )

    // What fails is what gets logged: without Redis, without Postgres, and with a replica less.
    const urls = replicas.map(({ url }) => url)
    const publicTexts = ['/metrics', '/openapi.json', '/health/ready'].flatMap((path) =>
      urls.map((url) => `${url}${path}`)
    )
    const read = async (): Promise<string> =>
      (await Promise.all(publicTexts.map(async (url) => (await fetch(url)).text()))).join('\n')
    t.strictSame(found(await read()), [], 'metrics, OpenAPI, readiness')
    await redis.stop()
    isDown = true
    // Until the leases have ended: a hundred requests may take less.
    await sleep(300)
    await workThrough(0.9, dear)
    t.ok(statuses.has(503), 'some are 503')
    await postgres.stop()
    await workThrough(0.95, dear)
    t.strictSame(found(await read()), [], 'metrics, OpenAPI, readiness while all is down')
    await replicas[0]!.kill('SIGKILL')
    await workThrough(1, dear)

    t.strictSame([...leaks], [], 'answers')
    await replicas[1]!.kill()
    await balancer.stop()
    const logs = [...lines, ...replicas.map(({ output }) => output())].join('\n')
    if (kind === 'nginx') t.match(logs, /"path":"\/nowhere"/, 'the balancer has logged')
    t.match(logs, /Connection is closed|ECONNREFUSED/, 'the replicas have logged what failed')
    t.strictSame([...new Set(found(logs))], [], `logs, ${logs.length} characters`)
    t.strictSame([...new Set(found(commandLines()))], [], 'command lines')
    t.comment(Object.fromEntries([...statuses].sort(([a], [b]) => a - b)))
  })
}

t.test('a start that fails names no secret', async (t) => {
  canaries.clear()
  // Something that listens, and is neither Redis nor Postgres.
  const server = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => server.once('listening', resolve))
  t.teardown(() => server.close())
  const { port } = server.address() as AddressInfo
  const [postgres, redis] = await Promise.all([startPostgres(), startRedis()])
  t.teardown(() => Promise.all([postgres.stop(), redis.stop()]))

  const wrong = (url: string): string => Object.assign(new URL(url), { password: canary('a wrong password') }).href
  const good = {
    DATABASE_URL: postgres.url,
    REDIS_URL: redis.url,
    JWT_KEYS: newKeyRing(),
    LOG_LEVEL: 'trace',
    PORT: '0'
  }
  canary('the password of Postgres', new URL(postgres.url).password)
  canary('the password of Redis', new URL(redis.url).password)
  for (const form of keyForms(good.JWT_KEYS)) canary('the key ring', form)

  const starts = [
    ['another password of Redis', 'bundle/server.js', { REDIS_URL: wrong(redis.url) }],
    ['no Redis there', 'bundle/server.js', { REDIS_URL: wrong(`redis://:x@127.0.0.1:1`) }],
    ['something else than Redis', 'bundle/server.js', { REDIS_URL: wrong(`redis://:x@127.0.0.1:${port}`) }],
    ['another password of Postgres', 'migrate.js', { DATABASE_URL: wrong(postgres.url) }],
    ['something else than Postgres', 'migrate.js', { DATABASE_URL: wrong(`postgres://x:x@127.0.0.1:${port}/x`) }],
    ['a URL that is none', 'bundle/server.js', { DATABASE_URL: `postgres//:${canary('a URL')}` }],
    ['a URL that is none, of Redis', 'bundle/server.js', { REDIS_URL: `redis:/${canary('a URL')}:@:x` }],
    ['a key that is too short', 'bundle/server.js', { JWT_KEYS: `k1:${canary('a short key').slice(0, 20)}` }],
    ['a key without its id', 'bundle/server.js', { JWT_KEYS: canary('a key', randomBytes(32).toString('base64url')) }],
    ['a key twice', 'bundle/server.js', { JWT_KEYS: `${good.JWT_KEYS},${good.JWT_KEYS}` }]
  ] as const
  await Promise.all(
    starts.map(async ([what, program, env]) => {
      const { code, output } = await runProgram(program, { ...good, ...env })
      t.not(code, 0, what)
      t.not(output, '', `${what}: it says something`)
      t.strictSame(found(output), [], `${what}: ${output}`)
    })
  )
})
