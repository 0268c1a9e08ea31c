import { createHmac } from 'node:crypto'
import { request } from 'node:http'
import { findBinary, startNginx, startProxy } from '@one-secret/local'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import {
  bearer,
  buildReplica,
  logIn,
  logOut,
  newKeyRing,
  present,
  refresh,
  spawnReplica,
  startBackends,
  type TokenResponse
} from '../harness.js'
import { badBodies } from './bodies.js'
import { claimsIn, createForger } from './forge.js'
import { badHeaders } from './headers.js'
import { complaints, type Answer, type Row } from './rows.js'
import { hostileTokens } from './tokens.js'

const { env } = await startBackends(t)
const app = await buildReplica(t, env)
// Behind the balancers, and a process of its own: on the loop of whoever asks without a pause, it would be overloaded.
const replica = await spawnReplica(t, { ...env, TRUST_PROXY: '127.0.0.1' })

const forger = createForger(env['JWT_KEYS']!)
const { access_token: good, refresh_token: goodRefresh } = await logIn(app)

async function inject(app: FastifyInstance, { method = 'GET', url = '/whoami', headers, body }: Row): Promise<Answer> {
  const response = await app.inject({
    method,
    url,
    headers: headers ?? {},
    ...(body !== undefined && { payload: body })
  })
  return { status: response.statusCode, headers: response.headers, body: response.body }
}

/** Not fetch, which mends what it is given. */
function send(base: string, { method = 'GET', url = '/whoami', headers, body }: Row): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const length = body === undefined ? {} : { 'content-length': Buffer.byteLength(body) }
    const sent = request(`${base}${url}`, { method, headers: { ...headers, ...length } }, (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
      response.on('end', () => resolve({ status: response.statusCode!, headers: response.headers, body: text }))
    })
    sent.on('error', reject).end(body)
  })
}

t.test('what the rows are made from is good', async (t) => {
  t.match(await present(app, good), { status: 200 })
  t.match(await present(app, forger.forge(claimsIn(good))), { status: 200 })
  const skewed = { ...claimsIn(good), iat: Math.floor(Date.now() / 1000) + 3 }
  t.match(await present(app, forger.forge(skewed)), { status: 200 }, 'from a clock that is three seconds ahead')
  t.equal((await refresh(app, goodRefresh)).statusCode, 200)
})

t.test('an empty body is no body, whatever type it says it has', async (t) => {
  const { access_token } = await logIn(app)
  const headers = { ...bearer(access_token), 'content-type': 'application/json' }
  t.equal((await app.inject({ method: 'POST', url: '/auth/logout', headers })).statusCode, 200)
})

t.test('a refresh token signed with the key of access tokens is refused', async (t) => {
  const [mark, kid, grant] = goodRefresh.split('.') as [string, string, string]
  for (const secret of [forger.secret, Buffer.alloc(32), Buffer.alloc(0)]) {
    const mac = createHmac('sha256', secret).update(`${kid}.${grant}`).digest('base64url')
    t.match((await refresh(app, `${mark}.${kid}.${grant}.${mac}`)).json(), { code: 'REFRESH_TOKEN_INVALID' })
  }
})

/** Good once, or elsewhere, or for something else. */
async function misplaced(): Promise<Row[]> {
  const claims = claimsIn(good)
  const [once, stolen] = [await logIn(app), await logIn(app)]
  await logOut(app, once.access_token)
  const { refresh_token: next } = (await refresh(app, stolen.refresh_token)).json<TokenResponse>()
  await refresh(app, next)
  const access = (name: string, token: string, code = 'TOKEN_INVALID'): Row => ({
    name,
    headers: bearer(token),
    status: 401,
    code
  })
  const exchange = (name: string, refresh_token: string, code = 'REFRESH_TOKEN_INVALID'): Row => ({
    name,
    method: 'POST',
    url: '/auth/refresh',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ refresh_token }),
    status: 401,
    code
  })
  const refreshCookie = { 'sec-fetch-site': 'same-origin', cookie: `__Secure-refresh_token=${good}` }
  return [
    access('a revoked token', once.access_token, 'TOKEN_REVOKED'),
    access('a token of a key that was retired', createForger(newKeyRing('k0')).forge(claims)),
    access('a token of another environment, of a key with our kid', createForger(newKeyRing(forger.kid)).forge(claims)),
    access('a token of another environment, with our secret', forger.forge({ ...claims, iss: 'staging' })),
    access('a refresh token as access token (RFC 8725 §3.12)', goodRefresh),
    exchange('an access token as refresh token (RFC 8725 §3.12)', good),
    { ...exchange('an access token in the cookie of the other', good), headers: refreshCookie, body: '' },
    exchange('a refresh token whose session has ended', once.refresh_token),
    exchange('a refresh token whose successor has been used', stolen.refresh_token, 'REFRESH_TOKEN_REUSED'),
    // From here on its session has ended, and it says the same: whoever retries learns nothing else.
    exchange('the same once more', stolen.refresh_token, 'REFRESH_TOKEN_REUSED'),
    exchange(
      'a refresh token with its last letter exchanged',
      goodRefresh.slice(0, -1) + (goodRefresh.endsWith('A') ? 'B' : 'A')
    ),
    exchange('a refresh token cut off', goodRefresh.slice(0, -10)),
    exchange('a refresh token padded', `${goodRefresh}=`),
    exchange('a refresh token of an unknown key', goodRefresh.replace(`.${forger.kid}.`, '.k9.')),
    exchange('a refresh token of the key __proto__', goodRefresh.replace(`.${forger.kid}.`, '.__proto__.'))
  ]
}

const ACCESS_COOKIE = '__Host-access_token'

/** The same tokens, as a browser would send them. */
const inCookies = (rows: Row[]): Row[] =>
  rows.map(({ headers, ...row }) => ({
    ...row,
    headers: { cookie: `${ACCESS_COOKIE}=${String(headers!['authorization']).replace(/^Bearer /, '')}` }
  }))

/** What RFC 8725 §3 asks for and no token can put to the test. */
const NOT_IN_A_ROW: Record<string, string> = {
  '3.4': 'inputs of key agreement (points of a curve): there is none, a key here is 32 bytes or more of HMAC'
}

t.test('each section of RFC 8725 §3 has a row that names it, or a reason why not', async (t) => {
  const names = [...hostileTokens(forger, good), ...badHeaders(good), ...(await misplaced())].map(({ name }) => name)
  for (let i = 1; i <= 12; i++) {
    const section = `3.${i}`
    const rows = names.filter((name) => name.includes(`(RFC 8725 §${section})`))
    t.equal(rows.length > 0, NOT_IN_A_ROW[section] === undefined, `§${section}: ${rows.join('; ')}`)
  }
})

const balancers = {
  nginx: findBinary('nginx') === undefined ? undefined : startNginx,
  embedded: startProxy
}
const ways: Record<string, ((row: Row) => Promise<Answer>) | undefined> = { inject: (row) => inject(app, row) }
for (const [name, start] of Object.entries(balancers)) {
  const balancer = await start?.({ replicas: [replica] })
  if (balancer) t.teardown(() => balancer.stop())
  ways[name] = balancer && ((row) => send(balancer.url, row))
}

for (const [way, ask] of Object.entries(ways)) {
  for (const [kind, rows] of Object.entries({
    tokens: () => hostileTokens(forger, good),
    'tokens in cookies': () => inCookies(hostileTokens(forger, good)),
    'use of good tokens': misplaced,
    headers: () => badHeaders(good),
    bodies: () => badBodies(good)
  })) {
    t.test(`bad ${kind}, by ${way}`, { skip: ask ? false : 'no nginx on the PATH' }, async (t) => {
      for (const row of await rows()) t.strictSame(complaints(row, await ask!(row)), [], row.name)
    })
  }
}
