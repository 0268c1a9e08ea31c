import { randomUUID } from 'node:crypto'
import t from 'tap'
import {
  buildReplica,
  claimsOf,
  logIn,
  newUsername,
  PASSWORD,
  post as insistently,
  present,
  bearer,
  logOut,
  signUp,
  startBackends
} from './harness.js'

const { env } = await startBackends(t)
const app = await buildReplica(t, env)

const post = (url: string, payload: object | string, headers: Record<string, string> = {}) =>
  app.inject({ method: 'POST', url, payload, headers: { 'content-type': 'application/json', ...headers } })

t.test('sign up, log in, read the profile', async (t) => {
  const username = newUsername()
  const created = await post('/users', { username, password: PASSWORD })
  t.equal(created.statusCode, 201)
  const { id } = created.json<{ id: string }>()
  t.strictSame(created.json(), { id, username })

  const login = await post('/auth/login', { username, password: PASSWORD })
  t.equal(login.statusCode, 200)
  t.equal(login.headers['cache-control'], 'no-store')
  const tokens = login.json<Record<string, unknown>>()
  t.strictSame(Object.keys(tokens), ['access_token', 'token_type', 'expires_in', 'refresh_token'])
  t.match(tokens, { token_type: 'Bearer', expires_in: 900 })

  const me = await app.inject({ url: '/me', headers: bearer(tokens.access_token as string) })
  t.match(me.json(), { id, username, createdAt: /^\d{4}-\d\d-\d\dT.*Z$/ })
})

t.test('a name is taken once, whatever its case, also by fifty at a time', async (t) => {
  const username = newUsername()
  const attempts = await Promise.all(
    Array.from({ length: 50 }, (_, i) =>
      insistently(app, '/users', { username: i % 2 ? username : username.toUpperCase(), password: PASSWORD })
    )
  )
  const statuses = attempts.map(({ statusCode }) => statusCode)
  t.equal(statuses.filter((status) => status === 201).length, 1)
  t.equal(statuses.filter((status) => status === 409).length, 49)
  t.match(attempts.find(({ statusCode }) => statusCode === 409)?.json(), { code: 'USERNAME_TAKEN', error: 'Conflict' })
})

t.test('an unknown user and a wrong password get the same answer', async (t) => {
  const { username } = await signUp(app)
  const wrong = await post('/auth/login', { username, password: 'wrong horse battery staple' })
  const unknown = await post('/auth/login', { username: newUsername(), password: PASSWORD })
  t.equal(wrong.statusCode, 401)
  t.match(wrong.json(), { code: 'CREDENTIALS_INVALID' })
  t.equal(unknown.body, wrong.body)
  t.match(wrong.headers['www-authenticate'], /^Bearer/)
})

t.test('a password is the same however its characters were composed', async (t) => {
  const username = newUsername()
  await post('/users', { username, password: 'cafe\u0301 au lait, s\u0327il vous' })
  t.equal((await post('/auth/login', { username, password: 'caf\u00e9 au lait, \u015fil vous' })).statusCode, 200)
})

t.test('the tokens of a user who is gone are refused where the user is looked up', async (t) => {
  const { id, username } = await signUp(app)
  const { access_token } = await logIn(app, username)
  await app.pg.query('DELETE FROM users WHERE id = $1', [id])
  t.match((await app.inject({ url: '/me', headers: bearer(access_token) })).json(), {
    statusCode: 401,
    code: 'TOKEN_INVALID'
  })
})

t.test('a logout of a user who is gone is final, on replicas that start later too', async (t) => {
  for (const [method, url] of [
    ['POST', '/auth/logout'],
    ['DELETE', '/me/sessions']
  ] as const) {
    const { id, username } = await signUp(app)
    const { access_token } = await logIn(app, username)
    await app.pg.query('DELETE FROM users WHERE id = $1', [id])
    const { jti, sid } = claimsOf(access_token)
    const revoked = [
      { kind: 'jti', id: jti },
      { kind: 'sid', id: sid }
    ]
    const headers = bearer(access_token)
    t.match((await app.inject({ method, url, headers })).json(), { revoked }, url)
    const later = await buildReplica(t, { ...env, REPLICA_NAME: 'later' })
    t.strictSame(await present(later, access_token), { status: 401, code: 'TOKEN_REVOKED' }, url)
  }
})

t.test('what does not exist is a 404 in the same shape, and its query string is not repeated', async (t) => {
  const response = await app.inject({ url: '/nothing?password=canary' })
  t.strictSame(response.json(), {
    statusCode: 404,
    code: 'NOT_FOUND',
    error: 'Not Found',
    message: 'There is no GET /nothing'
  })
})

t.test('every answer names its replica and its request', async (t) => {
  for (const url of ['/health/live', '/whoami', '/nothing']) {
    const { headers } = await app.inject({ url, headers: { 'x-request-id': 'from-the-balancer' } })
    t.equal(headers['x-served-by'], 'api')
    t.equal(headers['x-request-id'], 'from-the-balancer')
  }
  const { headers } = await app.inject({ url: '/health/live', headers: { 'x-request-id': 'no id: "at all"' } })
  t.match(headers['x-request-id'], /^[0-9a-f-]{36}$/)
})

t.test(
  'logout answers with a receipt, ends the session, and leaves the other sessions of the user alone',
  async (t) => {
    const { username } = await signUp(app)
    const [here, elsewhere] = [await logIn(app, username), await logIn(app, username)]
    const response = await logOut(app, here.access_token)
    t.equal(response.statusCode, 200)
    const { jti, sid } = JSON.parse(Buffer.from(here.access_token.split('.')[1]!, 'base64url').toString()) as Record<
      string,
      string
    >
    t.match(response.json(), {
      revoked: [
        { kind: 'jti', id: jti },
        { kind: 'sid', id: sid }
      ],
      acknowledgedBy: [],
      waitedMs: Number,
      boundMs: Number
    })
    t.strictSame(await present(app, here.access_token), { status: 401, code: 'TOKEN_REVOKED' })
    t.match(await present(app, elsewhere.access_token), { status: 200 })
    t.match((await post('/auth/refresh', { refresh_token: here.refresh_token })).json(), {
      code: 'REFRESH_TOKEN_INVALID'
    })
    t.equal((await post('/auth/refresh', { refresh_token: elsewhere.refresh_token })).statusCode, 200)
  }
)

t.test('the OpenAPI document is made from the routes', async (t) => {
  const response = await app.inject({ url: '/openapi.json' })
  const document = response.json<{
    openapi: string
    paths: Record<string, Record<string, { responses: object; security?: object }>>
  }>()
  t.match(document.openapi, /^3\.1\./)
  t.strictSame(Object.keys(document.paths).sort(), [
    '/auth/login',
    '/auth/logout',
    '/auth/refresh',
    '/health/live',
    '/health/ready',
    '/me',
    '/me/password',
    '/me/sessions',
    '/me/sessions/{id}',
    '/users',
    '/whoami'
  ])
  t.strictSame(document.paths['/whoami']?.get?.security, [{ accessToken: [] }, { accessCookie: [] }])
  const statuses = Object.keys(document.paths['/auth/login']?.post?.responses ?? {})
  for (const status of ['200', '400', '401', '413', '415', '503']) t.ok(statuses.includes(status), status)
  t.equal((await app.inject({ url: '/docs/' })).statusCode, 200)

  // What is answered to a bad body, or a path that is too long, is in it for every route.
  const { access_token } = await logIn(app)
  const tooLong = '/' + 'a'.repeat(200)
  for (const [path, operations] of Object.entries(document.paths)) {
    for (const [method, { responses }] of Object.entries(operations)) {
      const ask = async (contentType: string, payload: string, url: string): Promise<void> => {
        const headers = { ...bearer(access_token), ...(payload !== '' && { 'content-type': contentType }) }
        const { statusCode } = await app.inject({ method: method.toUpperCase() as 'POST', url, headers, payload })
        t.ok(Object.hasOwn(responses, statusCode), `${method} ${path}: ${statusCode}`)
      }
      if (path.includes('{id}')) await ask('', '', path.replace('/{id}', tooLong))
      if (method === 'get') continue
      const url = path.replace('{id}', randomUUID())
      await ask('text/plain', 'no JSON', url)
      await ask('application/json', '{', url)
      await ask('application/json', JSON.stringify('x'.repeat(20_000)), url)
    }
  }
})

t.test('metrics are counted by route and not by URL', async (t) => {
  await app.inject({ url: '/nothing/at/all' })
  const { body } = await app.inject({ url: '/metrics' })
  t.match(
    body,
    /http_request_duration_seconds_count\{replica="api",method="POST",route="\/auth\/login",status="200"\} \d+/
  )
  t.notMatch(body, '/nothing/at/all')
})
