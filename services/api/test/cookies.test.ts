import type { FastifyRequest, LightMyRequestResponse } from 'fastify'
import t from 'tap'
import { requireSameOrigin } from '../src/cookies.js'
import { bearer, buildReplica, claimsOf, logIn, PASSWORD, present, signUp, startBackends } from './harness.js'

const { env } = await startBackends(t)
const a = await buildReplica(t, { ...env, REPLICA_NAME: 'a' })
const b = await buildReplica(t, { ...env, REPLICA_NAME: 'b' })

const HOST = 'one-secret.test'
const ACCESS = '__Host-access_token'
const REFRESH = '__Secure-refresh_token'
const sameOrigin = { host: HOST, 'sec-fetch-site': 'same-origin' }

type Headers = Record<string, string>

const request = (method: 'GET' | 'POST' | 'PUT' | 'DELETE', url: string, headers: Headers, payload?: object) =>
  b.inject({ method, url, headers: { host: HOST, ...headers }, ...(payload && { payload }) })

const logInByCookie = async (headers: Headers = {}, options: object = {}): Promise<LightMyRequestResponse> => {
  const { username } = await signUp(a)
  return a.inject({
    method: 'POST',
    url: '/auth/login',
    headers: { host: HOST, ...headers },
    payload: { username, password: PASSWORD, transport: 'cookie', ...options }
  })
}

/** What a browser would send back to `path`. */
function jar({ cookies }: LightMyRequestResponse, path = '/'): { cookie: string } {
  const sent = cookies.filter((cookie) => path.startsWith(cookie.path ?? '/') && cookie.value !== '')
  return { cookie: sent.map(({ name, value }) => `${name}=${value}`).join('; ') }
}

const valueOf = ({ cookies }: LightMyRequestResponse, name: string): string =>
  cookies.find((cookie) => cookie.name === name)?.value ?? ''

t.test(
  'the tokens travel in cookies that no script, no other host and no other site can get, and not in the body',
  async (t) => {
    const response = await logInByCookie({}, { expires_in: 60 })
    t.equal(response.statusCode, 200)
    t.strictSame(response.json(), { transport: 'cookie', expires_in: 60 })
    t.equal(response.headers['cache-control'], 'no-store')
    const [access, refresh] = response.headers['set-cookie'] as string[]
    t.match(
      access,
      /^__Host-access_token=[\w-]+\.[\w-]+\.[\w-]+; Max-Age=60; Path=\/; HttpOnly; Secure; SameSite=Strict$/
    )
    t.match(
      refresh,
      /^__Secure-refresh_token=rt\.[\w.-]+; Max-Age=2592000; Path=\/auth; HttpOnly; Secure; SameSite=Strict$/
    )
  }
)

t.test('in the body, where nothing else is asked for', async (t) => {
  const { username } = await signUp(a)
  for (const transport of [{}, { transport: 'body' }]) {
    const payload = { username, password: PASSWORD, ...transport }
    const response = await a.inject({ method: 'POST', url: '/auth/login', payload })
    t.equal(response.headers['set-cookie'], undefined)
    t.match(response.json(), { access_token: String, refresh_token: String })
  }
  t.match((await logInByCookie({}, { transport: 'carrier pigeon' })).json(), { code: 'VALIDATION_FAILED' })
})

t.test('a cookie from one replica is good on another', async (t) => {
  const login = await logInByCookie()
  const response = await request('GET', '/whoami', jar(login))
  t.equal(response.statusCode, 200)
  t.match(response.json(), { issuedBy: 'a', servedBy: 'b' })
})

t.test('one rule where both are sent: the header counts, and the cookie is not looked at', async (t) => {
  const [login, other] = [await logInByCookie(), await logIn(a)]
  const both = { ...jar(login), ...bearer(other.access_token) }
  t.equal((await request('GET', '/whoami', both)).json<{ sub: string }>().sub, claimsOf(other.access_token).sub)
  t.equal((await request('POST', '/auth/logout', both)).statusCode, 200, 'so no origin is asked for')
  t.strictSame(await present(a, other.access_token), { status: 401, code: 'TOKEN_REVOKED' })
  t.equal((await request('GET', '/whoami', jar(login))).statusCode, 200, 'the cookie’s session is as it was')

  const headers: [string, number, string][] = [
    [`Bearer ${other.access_token}`, 401, 'TOKEN_REVOKED'],
    ['Bearer nonsense', 401, 'TOKEN_INVALID'],
    ['Bearer', 400, 'AUTHORIZATION_MALFORMED'],
    ['', 400, 'AUTHORIZATION_MALFORMED'],
    ['Basic YTpi', 401, 'TOKEN_MISSING']
  ]
  for (const [authorization, statusCode, code] of headers) {
    const response = await request('GET', '/whoami', { ...jar(login), authorization })
    t.match(response.json(), { statusCode, code }, `${authorization.slice(0, 20)} beside a good cookie`)
  }
})

t.test('the body’s refresh token counts, and the cookie is not looked at', async (t) => {
  const [login, other] = [await logInByCookie(), await logIn(a)]
  const response = await request('POST', '/auth/refresh', jar(login, '/auth'), { refresh_token: other.refresh_token })
  t.match(response.json(), { access_token: String, refresh_token: String })
  t.equal(response.headers['set-cookie'], undefined)
})

/** What a browser says of where a request comes from; whether a request that a cookie authorises may pass. */
const origins: [string, Headers, boolean][] = [
  ['a page of this origin', { 'sec-fetch-site': 'same-origin', origin: `https://${HOST}` }, true],
  ['the same without Fetch Metadata', { origin: `https://${HOST}` }, true],
  ['the same, TLS ending before the balancer or not', { origin: `http://${HOST}` }, true],
  ['the same, in capitals', { origin: `https://${HOST.toUpperCase()}` }, true],
  ['only Fetch Metadata', { 'sec-fetch-site': 'same-origin' }, true],
  ['nothing said', {}, false],
  ['another site', { 'sec-fetch-site': 'cross-site', origin: 'https://attacker.test' }, false],
  ['another site, Origin alone', { origin: 'https://attacker.test' }, false],
  ['a sister host', { 'sec-fetch-site': 'same-site', origin: `https://blog.${HOST}` }, false],
  ['a sister host, Origin alone', { origin: `https://blog.${HOST}` }, false],
  ['another port', { origin: `https://${HOST}:8443` }, false],
  ['a host that begins alike', { origin: `https://${HOST}.attacker.test` }, false],
  ['a host that ends alike', { origin: `https://attacker${HOST}` }, false],
  ['this host as somebody’s user name', { origin: `https://${HOST}@attacker.test` }, false],
  ['an opaque origin', { origin: 'null' }, false],
  ['an origin that is none', { origin: HOST }, false],
  ['the address bar', { 'sec-fetch-site': 'none' }, false],
  ['the two disagree', { 'sec-fetch-site': 'same-origin', origin: 'https://attacker.test' }, false],
  ['the two disagree, the other way', { 'sec-fetch-site': 'cross-site', origin: `https://${HOST}` }, false],
  ['garbage', { 'sec-fetch-site': 'same-origin, cross-site' }, false],
  ['X-Forwarded-Host is not believed', { origin: 'https://attacker.test', 'x-forwarded-host': 'attacker.test' }, false]
]

for (const [name, headers, allowed] of origins) {
  t.test(`cross-site: ${name}`, async (t) => {
    const login = await logInByCookie()
    const unsafe = [
      ['PUT', '/me/password', { old_password: PASSWORD, new_password: 'another horse battery' }],
      ['DELETE', '/me/sessions/00000000-0000-0000-0000-000000000000', undefined],
      ['POST', '/auth/refresh', undefined],
      ['POST', '/auth/logout', undefined]
    ] as const
    for (const [method, url, payload] of unsafe) {
      const response = await request(method, url, { ...jar(login, url), ...headers }, payload)
      const { code } = response.json<{ code?: string }>()
      if (allowed) t.not(code, 'CROSS_SITE_REFUSED', url)
      else t.match(response.json(), { statusCode: 403, code: 'CROSS_SITE_REFUSED', error: 'Forbidden' }, url)
    }
    if (!allowed) {
      const response = await request('GET', '/whoami', { ...jar(login), ...headers })
      t.equal(response.statusCode, 200, 'nothing has happened, and what is safe needs no origin')
    }
  })
}

t.test('a scheme without hosts is not that of a request without one, as HTTP/1.0 may be', async (t) => {
  for (const origin of ['data:x', 'file:///x']) {
    const request = { headers: { origin }, host: '' } as unknown as FastifyRequest
    t.throws(() => requireSameOrigin(request), { code: 'CROSS_SITE_REFUSED' }, origin)
  }
})

t.test('a stranger’s page cannot log a browser in; what is no browser can', async (t) => {
  t.match((await logInByCookie({ origin: 'https://attacker.test' })).json(), { code: 'CROSS_SITE_REFUSED' })
  t.match((await logInByCookie({ 'sec-fetch-site': 'cross-site' })).json(), { code: 'CROSS_SITE_REFUSED' })
  t.equal((await logInByCookie(sameOrigin)).statusCode, 200)
  t.equal((await logInByCookie()).statusCode, 200)
})

t.test('refresh: new cookies for old, and an old one is theft', async (t) => {
  const login = await logInByCookie()
  const first = await request('POST', '/auth/refresh', { ...jar(login, '/auth'), ...sameOrigin })
  t.equal(first.statusCode, 200)
  t.strictSame(first.json(), { transport: 'cookie', expires_in: 900 })
  t.not(valueOf(first, REFRESH), valueOf(login, REFRESH))
  t.equal((await request('GET', '/whoami', jar(first))).statusCode, 200)
  const shorter = await request('POST', '/auth/refresh', { ...jar(first, '/auth'), ...sameOrigin }, { expires_in: 30 })
  t.strictSame(shorter.json(), { transport: 'cookie', expires_in: 30 })

  const theft = await request('POST', '/auth/refresh', { ...jar(login, '/auth'), ...sameOrigin })
  t.match(theft.json(), { statusCode: 401, code: 'REFRESH_TOKEN_REUSED' })
  t.strictSame(
    theft.cookies.map(({ name, value }) => [name, value]),
    [
      [ACCESS, ''],
      [REFRESH, '']
    ]
  )
  t.match((await request('GET', '/whoami', jar(shorter))).json(), { code: 'TOKEN_REVOKED' })
})

t.test('without a refresh token anywhere: 400', async (t) => {
  for (const payload of [undefined, {}, { expires_in: 5 }]) {
    const response = await request('POST', '/auth/refresh', sameOrigin, payload)
    t.match(response.json(), { statusCode: 400, code: 'REFRESH_TOKEN_MISSING' })
  }
})

t.test('each kind of token is worth nothing in the other’s cookie', async (t) => {
  const login = await logInByCookie()
  const swapped = {
    ...sameOrigin,
    cookie: `${ACCESS}=${valueOf(login, REFRESH)}; ${REFRESH}=${valueOf(login, ACCESS)}`
  }
  t.match((await request('GET', '/whoami', swapped)).json(), { code: 'TOKEN_INVALID' })
  t.match((await request('POST', '/auth/refresh', swapped)).json(), { code: 'REFRESH_TOKEN_INVALID' })
})

t.test('whatever ends this session clears the cookies, with the attributes that set them', async (t) => {
  const endings: [string, (login: LightMyRequestResponse) => Promise<LightMyRequestResponse>][] = [
    ['logout', (login) => request('POST', '/auth/logout', { ...jar(login), ...sameOrigin })],
    ['the end of all', (login) => request('DELETE', '/me/sessions', { ...jar(login), ...sameOrigin })],
    [
      'the end of this one',
      (login) =>
        request('DELETE', `/me/sessions/${claimsOf(valueOf(login, ACCESS)).sid}`, { ...jar(login), ...sameOrigin })
    ]
  ]
  for (const [name, ending] of endings) {
    const login = await logInByCookie()
    const response = await ending(login)
    t.equal(response.statusCode, 200, name)
    t.strictSame(
      response.headers['set-cookie'],
      [
        `${ACCESS}=; Max-Age=0; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT; HttpOnly; Secure; SameSite=Strict`,
        `${REFRESH}=; Max-Age=0; Path=/auth; Expires=Thu, 01 Jan 1970 00:00:00 GMT; HttpOnly; Secure; SameSite=Strict`
      ],
      name
    )
    t.match((await request('GET', '/whoami', jar(login))).json(), { code: 'TOKEN_REVOKED' }, name)
  }
})

const cookies: [string, (token: string) => string, number, string | undefined][] = [
  ['among others', (token) => `a=b; ${ACCESS}=${token}; c="d"`, 200, undefined],
  ['twice', (token) => `${ACCESS}=${token}; ${ACCESS}=${token}`, 400, 'COOKIE_MALFORMED'],
  ['twice, once empty', (token) => `${ACCESS}=; ${ACCESS}=${token}`, 400, 'COOKIE_MALFORMED'],
  ['under a name without its prefix', (token) => `access_token=${token}`, 401, 'TOKEN_MISSING'],
  ['under a name in other case', (token) => `__host-access_token=${token}`, 401, 'TOKEN_MISSING'],
  ['in a name that contains it', (token) => `x${ACCESS}=${token}`, 401, 'TOKEN_MISSING'],
  ['empty', () => `${ACCESS}=`, 401, 'TOKEN_INVALID'],
  ['without a value', () => ACCESS, 401, 'TOKEN_MISSING'],
  ['no cookie at all', () => ';;;=;%%%', 401, 'TOKEN_MISSING'],
  ['not percent-encoding', () => `${ACCESS}=%E0%A4%A`, 401, 'TOKEN_INVALID'],
  [
    'percent-encoded',
    (token) => `${ACCESS}=%${token.charCodeAt(0).toString(16)}${token.slice(1)}`,
    401,
    'TOKEN_INVALID'
  ],
  ['in quotes', (token) => `${ACCESS}="${token}"`, 401, 'TOKEN_INVALID'],
  ['with Bearer before it', (token) => `${ACCESS}=Bearer ${token}`, 401, 'TOKEN_INVALID'],
  ['named __proto__', (token) => `__proto__=${token}`, 401, 'TOKEN_MISSING']
]

t.test('the Cookie header', async (t) => {
  const token = valueOf(await logInByCookie(), ACCESS)
  for (const [name, cookie, status, code] of cookies) {
    const response = await request('GET', '/whoami', { cookie: cookie(token) })
    t.equal(response.statusCode, status, name)
    if (code !== undefined) {
      t.match(response.json(), { statusCode: status, code, error: String, message: String }, name)
      if (status === 401) t.match(response.headers['www-authenticate'], /^Bearer/, name)
    }
  }
})
