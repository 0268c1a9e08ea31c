import { createHmac, randomUUID } from 'node:crypto'
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
const segment = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url')
const claimsOf = (token: string): Claims =>
  JSON.parse(Buffer.from(token.split('.')[1]!, 'base64url').toString()) as Claims
const [ringKid, ringSecret] = env.JWT_KEYS!.split(':') as [string, string]
const key = Buffer.from(ringSecret, 'base64url')

/** Signs what the API never would, with its own secret. */
function forge(payload: unknown, header: object = {}, secret: Buffer = key, hash = 'sha256'): string {
  const raw = typeof payload === 'string' ? Buffer.from(payload).toString('base64url') : segment(payload)
  const input = `${segment({ alg: 'HS256', typ: 'at+jwt', kid: ringKid, ...header })}.${raw}`
  return `${input}.${createHmac(hash, secret).update(input).digest('base64url')}`
}

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

t.test('a client can ask for a shorter life, and not for a longer one', async (t) => {
  const short = await logIn(a, undefined, { expires_in: 5 })
  t.equal(claimsOf(short.access_token).exp - claimsOf(short.access_token).iat, 5)
  t.equal(short.expires_in, 5)
  t.equal((await logIn(a, undefined, { expires_in: 86_400 })).expires_in, 900)
})

t.test('a token is refused from the second on in which it expires', async (t) => {
  const { access_token } = await logIn(a, undefined, { expires_in: 1 })
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

t.test('the forger can forge: a right token made by hand is accepted', async (t) => {
  t.match(await present(a, forge(claimsOf((await logIn(a)).access_token))), { status: 200 })
})

const { access_token: good } = await logIn(a)
const claims = claimsOf(good)
const [goodHeader, goodPayload, goodSignature] = good.split('.') as [string, string, string]
const without = (name: string): object => Object.fromEntries(Object.entries(claims).filter(([key]) => key !== name))
const now = (): number => Math.floor(Date.now() / 1000)

/** Each is signed with the right secret where it is signed at all: what is refused is what it says. */
const hostile: Record<string, string | (() => string)> = {
  'alg none, no signature': `${segment({ alg: 'none', typ: 'at+jwt', kid: ringKid })}.${goodPayload}.`,
  'alg nOnE, old signature': `${segment({ alg: 'nOnE', typ: 'at+jwt', kid: ringKid })}.${goodPayload}.${goodSignature}`,
  'alg missing': forge(claims, { alg: undefined }),
  'alg hs256': forge(claims, { alg: 'hs256' }),
  'alg HS512': forge(claims, { alg: 'HS512' }, key, 'sha512'),
  'alg RS256 with the secret': forge(claims, { alg: 'RS256' }),
  'typ missing': forge(claims, { typ: undefined }),
  'typ JWT': forge(claims, { typ: 'JWT' }),
  'kid missing': forge(claims, { kid: undefined }),
  'kid unknown': forge(claims, { kid: 'k9' }),
  'kid blank': forge(claims, { kid: '' }),
  'kid a number': forge(claims, { kid: 1 }),
  'kid __proto__': forge(claims, { kid: '__proto__' }),
  'kid a path': forge(claims, { kid: '../../dev/null' }),
  'crit empty': forge(claims, { crit: [] }),
  'crit unknown': forge(claims, { crit: ['exp'] }),
  'b64 false': forge(claims, { b64: false, crit: ['b64'] }),
  zip: forge(claims, { zip: 'DEF' }),
  'jwk of the attacker': forge(claims, { jwk: { kty: 'oct', k: 'AAAA' } }),
  'jku of the attacker': forge(claims, { jku: 'https://attacker.example/keys' }),
  'signature missing': `${goodHeader}.${goodPayload}.`,
  'signature cut off': `${goodHeader}.${goodPayload}`,
  'signature shortened': good.slice(0, -1),
  'signature padded': `${good}=`,
  'signature of another payload': `${goodHeader}.${segment({ ...claims, sub: randomUUID() })}.${goodSignature}`,
  'signature with a bit flipped': `${goodHeader}.${goodPayload}.${goodSignature.startsWith('A') ? 'B' : 'A'}${goodSignature.slice(1)}`,
  'a part more': `${good}.x`,
  'one part': goodHeader,
  'whitespace inside': good.replace('.', '. '),
  'standard base64 alphabet': `${goodHeader}.${goodPayload}.${'+'.repeat(43)}`,
  'payload an array': forge([]),
  'payload a string': forge('"x"'),
  'payload null': forge('null'),
  'payload no JSON': forge('{'),
  'payload not UTF-8': `${goodHeader}.${Buffer.from([0xff, 0xfe]).toString('base64url')}.${goodSignature}`,
  'payload with blanks': forge(JSON.stringify(claims, null, 1)),
  'payload with a key twice': forge(JSON.stringify(claims).replace('{', `{"sub":"${randomUUID()}",`)),
  'payload with __proto__': forge(JSON.stringify(claims).replace('{', '{"__proto__":{"a":1},')),
  'a claim more': forge({ ...claims, admin: true }),
  'nbf in the future': forge({ ...claims, nbf: now() + 60 }),
  'exp a string': forge({ ...claims, exp: String(claims.exp) }),
  'exp a fraction': forge({ ...claims, exp: claims.exp + 0.5 }),
  'exp negative': forge({ ...claims, exp: -1 }),
  'exp zero': forge({ ...claims, exp: 0 }),
  'exp 1e300': forge(JSON.stringify(claims).replace(/"exp":\d+/, '"exp":1e300')),
  'exp 1e999': forge(JSON.stringify(claims).replace(/"exp":\d+/, '"exp":1e999')),
  'exp a year ahead': forge({ ...claims, exp: claims.iat + 31_536_000 }),
  'exp before iat': forge({ ...claims, iat: claims.exp + 1 }),
  'iat in the future': () => forge({ ...claims, iat: now() + 60, exp: now() + 120 }),
  'iat a string': forge({ ...claims, iat: String(claims.iat) }),
  'sub not a UUID': forge({ ...claims, sub: 'ada' }),
  'sub of a megabyte': forge({ ...claims, sub: 'a'.repeat(3000) }),
  'jti in capitals': forge({ ...claims, jti: randomUUID().toUpperCase().replace(/^./, 'A') }),
  'aud an array': forge({ ...claims, aud: [claims.aud] }),
  'iss wrong': forge({ ...claims, iss: 'https://attacker.example' })
}
for (const name of ['iss', 'aud', 'sub', 'sid', 'jti', 'scope', 'replica', 'iat', 'exp']) {
  hostile[`${name} missing`] = forge(without(name))
  for (const value of [null, true, 0, '', {}, []]) {
    // An empty scope is a scope.
    if (name !== 'scope' || value !== '')
      hostile[`${name} ${JSON.stringify(value)}`] = forge({ ...claims, [name]: value })
  }
}
// The sixteen last characters that are canonical stand for sixteen values; each has three others for the same bytes.
const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
const last = alphabet.indexOf(good.at(-1)!)
for (const other of [1, 2, 3])
  hostile[`the same signature spelled otherwise, ${other}`] = good.slice(0, -1) + alphabet[last + other]

t.test('hostile tokens', async (t) => {
  t.match(await present(a, good), { status: 200 }, 'the token that they are made from is good')
  for (const [name, made] of Object.entries(hostile)) {
    const response = await a.inject({
      url: '/whoami',
      headers: { authorization: `Bearer ${typeof made === 'string' ? made : made()}` }
    })
    // A blank in a token ends the header's value: that is a malformed header, not a bad token.
    const [status, code] = name === 'whitespace inside' ? [400, 'AUTHORIZATION_MALFORMED'] : [401, 'TOKEN_INVALID']
    const seen = `${response.statusCode} ${response.json<{ code: string }>().code}`
    // A forged exp that has passed may be called expired as well.
    if (seen !== '401 TOKEN_EXPIRED') t.equal(seen, `${status} ${code}`, name)
    if (response.statusCode === 401)
      t.match(response.headers['www-authenticate'], /^Bearer .*error="invalid_token"/, name)
  }
})

t.test('every claim that is personal is one that is not there', async (t) => {
  const username = 'personal-name-in-full'
  await a.inject({ method: 'POST', url: '/users', payload: { username, password: 'correct horse battery staple' } })
  const { access_token } = await logIn(a, username)
  t.notMatch(JSON.stringify(claimsOf(access_token)), /personal|horse/)
})

const headers: [string, string | undefined, number, string, RegExp?][] = [
  ['none', undefined, 401, 'TOKEN_MISSING', /^Bearer realm="one-secret"$/],
  ['Basic', 'Basic dXNlcjpwYXNz', 401, 'TOKEN_MISSING', /^Bearer realm="one-secret"$/],
  ['bare Bearer', 'Bearer', 400, 'AUTHORIZATION_MALFORMED'],
  ['Bearer and blanks', 'Bearer   ', 400, 'AUTHORIZATION_MALFORMED'],
  ['two tokens', `Bearer ${good} ${good}`, 400, 'AUTHORIZATION_MALFORMED'],
  ['a comma list', `Bearer ${good},Bearer ${good}`, 400, 'AUTHORIZATION_MALFORMED'],
  ['a tab', `Bearer\t${good}`, 400, 'AUTHORIZATION_MALFORMED'],
  ['lower case', `bearer ${good}`, 200, '']
]
for (const [name, authorization, status, code, challenge] of headers) {
  t.test(`Authorization: ${name}`, async (t) => {
    const response = await a.inject({ url: '/whoami', headers: authorization === undefined ? {} : { authorization } })
    t.equal(response.statusCode, status)
    if (code !== '') t.match(response.json(), { statusCode: status, code })
    if (challenge) t.match(response.headers['www-authenticate'], challenge)
  })
}

t.test('a token in the query string is none', async (t) => {
  const response = await a.inject({ url: `/whoami?access_token=${good}` })
  t.equal(response.statusCode, 401)
})

t.test('a revoked token is refused by every replica', async (t) => {
  const { access_token } = await logIn(a)
  t.match(await present(b, access_token), { status: 200 })
  t.equal((await logOut(b, access_token)).statusCode, 200)
  for (const app of [a, b]) t.strictSame(await present(app, access_token), { status: 401, code: 'TOKEN_REVOKED' })
})
