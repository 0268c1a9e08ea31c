import t from 'tap'
import { buildReplica, logIn, logOut, newKeyRing, present, startBackends } from './harness.js'

const { env } = await startBackends(t)
const a = await buildReplica(t, { ...env, REPLICA_NAME: 'a' })
const b = await buildReplica(t, { ...env, REPLICA_NAME: 'b' })

interface Claims {
  iat: number
  exp: number
  [name: string]: unknown
}
const claimsOf = (token: string): Claims =>
  JSON.parse(Buffer.from(token.split('.')[1]!, 'base64url').toString()) as Claims
const [ringKid] = env.JWT_KEYS!.split(':') as [string]

t.test('a token from A is accepted by B', async (t) => {
  const { access_token } = await logIn(a)
  const response = await b.inject({ url: '/whoami', headers: { authorization: `Bearer ${access_token}` } })
  t.equal(response.statusCode, 200)
  t.match(response.json(), { issuedBy: 'a', servedBy: 'b' })
  t.equal(response.headers['x-served-by'], 'b')
})

t.test('what B says of a token from A is what the token says, without anything personal', async (t) => {
  const { access_token } = await logIn(a)
  const claims = claimsOf(access_token)
  t.strictSame(Object.keys(claims), ['iss', 'aud', 'sub', 'sid', 'jti', 'scope', 'replica', 'iat', 'exp'])
  const said = await b.inject({ url: '/whoami', headers: { authorization: `Bearer ${access_token}` } })
  t.strictSame(said.json(), { ...claims, issuedBy: 'a', servedBy: 'b' })
})

t.test('exp − iat is what was configured', async (t) => {
  for (const [ttl, seconds] of [
    ['15m', 900],
    ['90s', 90]
  ] as const) {
    const app = await buildReplica(t, { ...env, ACCESS_TOKEN_TTL: ttl })
    const { access_token, expires_in } = await logIn(app)
    const { iat, exp } = claimsOf(access_token)
    t.equal(exp - iat, seconds)
    t.equal(expires_in, seconds)
  }
})

t.test('tokens with the longest names that can be configured are good', async (t) => {
  // In JSON each of these takes two.
  const longest = '"'.repeat(256)
  const names = { JWT_ISSUER: longest, JWT_AUDIENCE: longest, REPLICA_NAME: 'x'.repeat(64) }
  const app = await buildReplica(t, { ...env, ...names, JWT_KEYS: newKeyRing('k'.repeat(32)) })
  t.match(await present(app, (await logIn(app)).access_token), { status: 200 })
})

t.test('a client can ask for a shorter life, and not for a longer one', async (t) => {
  const short = await logIn(a, undefined, { expires_in: 5 })
  t.equal(claimsOf(short.access_token).exp - claimsOf(short.access_token).iat, 5)
  t.equal(short.expires_in, 5)
  t.equal((await logIn(a, undefined, { expires_in: 86_400 })).expires_in, 900)
})

t.test('a token is refused from the second on in which it expires', async (t) => {
  // `exp` is a whole second: of a life of one second the last moments alone may be left.
  let access_token: string
  do ({ access_token } = await logIn(a, undefined, { expires_in: 1 }))
  while (claimsOf(access_token).exp * 1000 - Date.now() < 300)
  t.match(await present(b, access_token), { status: 200 })
  await new Promise((resolve) => setTimeout(resolve, claimsOf(access_token).exp * 1000 - Date.now() + 5))
  t.strictSame(await present(b, access_token), { status: 401, code: 'TOKEN_EXPIRED' })
})

t.test('a replica with another secret refuses it, also under the same kid', async (t) => {
  const { access_token } = await logIn(a)
  const stranger = await buildReplica(t, { ...env, JWT_KEYS: newKeyRing(ringKid) })
  t.strictSame(await present(stranger, access_token), { status: 401, code: 'TOKEN_INVALID' })
})

t.test('keys rotate: an old key still verifies, a retired one does not', async (t) => {
  const next = newKeyRing('k2')
  const both = await buildReplica(t, { ...env, JWT_KEYS: `${next},${env.JWT_KEYS}` })
  const after = await buildReplica(t, { ...env, JWT_KEYS: next })
  const old = await logIn(a)
  t.match(await present(both, old.access_token), { status: 200 })
  t.strictSame(await present(after, old.access_token), { status: 401, code: 'TOKEN_INVALID' })
  const fresh = await logIn(both)
  t.match(await present(after, fresh.access_token), { status: 200 })
  t.strictSame(await present(a, fresh.access_token), { status: 401, code: 'TOKEN_INVALID' })
})

t.test('a replica of another environment refuses it', async (t) => {
  const { access_token } = await logIn(a)
  for (const other of [{ JWT_ISSUER: 'staging' }, { JWT_AUDIENCE: 'another-api' }]) {
    t.strictSame(await present(await buildReplica(t, { ...env, ...other }), access_token), {
      status: 401,
      code: 'TOKEN_INVALID'
    })
  }
})

t.test('a refresh token is no access token, and the reverse', async (t) => {
  const { access_token, refresh_token } = await logIn(a)
  t.strictSame(await present(a, refresh_token), { status: 401, code: 'TOKEN_INVALID' })
  const response = await a.inject({ method: 'POST', url: '/auth/refresh', payload: { refresh_token: access_token } })
  t.equal(response.statusCode, 401)
  t.equal(response.json<{ code: string }>().code, 'REFRESH_TOKEN_INVALID')
})

t.test('every claim that is personal is one that is not there', async (t) => {
  const username = 'personal-name-in-full'
  await a.inject({ method: 'POST', url: '/users', payload: { username, password: 'correct horse battery staple' } })
  const { access_token } = await logIn(a, username)
  t.notMatch(JSON.stringify(claimsOf(access_token)), /personal|horse/)
})

t.test('the scheme is Bearer in any case of letters', async (t) => {
  const { access_token } = await logIn(a)
  const headers = { authorization: `bearer ${access_token}` }
  t.equal((await a.inject({ url: '/whoami', headers })).statusCode, 200)
})

t.test('a revoked token is refused by every replica', async (t) => {
  const { access_token } = await logIn(a)
  t.match(await present(b, access_token), { status: 200 })
  t.equal((await logOut(b, access_token)).statusCode, 200)
  for (const app of [a, b]) t.strictSame(await present(app, access_token), { status: 401, code: 'TOKEN_REVOKED' })
})
