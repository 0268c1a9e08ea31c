import { createHmac, randomBytes, randomUUID } from 'node:crypto'
import fastifyJwt from '@fastify/jwt'
import fc from 'fast-check'
import fastify from 'fastify'
import { jwtVerify } from 'jose'
import t from 'tap'
import { createTokens, type AccessClaims, type KeySigner } from '../src/tokens.js'
import { createForger, claimsIn } from './bad-input/forge.js'

const secret = randomBytes(32)
const forger = createForger(`k1:${secret.toString('base64url')}`)
const settings = { issuer: 'one-secret', audience: 'one-secret-api', replicaName: 'a' }

const carrier = fastify()
await carrier.register(fastifyJwt, {
  secret,
  sign: { algorithm: 'HS256', kid: 'k1', header: { alg: 'HS256', typ: 'at+jwt' } },
  verify: { algorithms: ['HS256'], checkTyp: 'at+jwt' }
})
await carrier.ready()
t.teardown(() => carrier.close())

/** What the api has, made as its plugin makes it; and how often a signature was checked. */
function newTokens() {
  let checked = 0
  const signer: KeySigner = {
    sign: (claims) => carrier.jwt.sign(claims),
    verify(token) {
      checked++
      const options = { algorithms: ['HS256' as const], checkTyp: 'at+jwt', ignoreExpiration: true }
      return carrier.jwt.verify(token, options)
    }
  }
  return { tokens: createTokens({ ...settings, signers: [signer] }), checked: () => checked }
}

const user = () => ({ sub: randomUUID(), sid: randomUUID() })

t.test('the signature of a token that is sent again is not checked again', async (t) => {
  const { tokens, checked } = newTokens()
  const token = tokens.issue(user(), 60)
  const claims = tokens.verify(token)
  t.strictSame(tokens.verify(token), claims)
  t.equal(checked(), 1)
  t.ok(Object.isFrozen(claims), 'what everybody gets is changed by nobody')
})

t.test('no more than ten thousand are remembered', async (t) => {
  const { tokens, checked } = newTokens()
  const first = tokens.issue(user(), 60)
  tokens.verify(first)
  for (let i = 0; i < 10_000; i++) tokens.verify(tokens.issue(user(), 60))
  t.equal(checked(), 10_001)
  tokens.verify(first)
  t.equal(checked(), 10_002)
})

t.test('what was refused is looked at again, and refused again', async (t) => {
  const { tokens, checked } = newTokens()
  const token = tokens.issue(user(), 60)
  const broken = token.slice(0, -4) + (token.endsWith('AAAA') ? 'BAAA' : 'AAAA')
  for (let times = 1; times <= 3; times++) {
    t.throws(() => tokens.verify(broken), { code: 'TOKEN_INVALID' })
    t.equal(checked(), times)
  }
  t.ok(tokens.verify(token))
})

t.test('a token that is remembered is refused where a clock says so', async (t) => {
  const { tokens } = newTokens()
  const token = tokens.issue(user(), 60)
  t.ok(tokens.verify(token))
  const now = Date.now
  t.teardown(() => (Date.now = now))
  let ahead = 0
  Date.now = () => now() + ahead
  ahead = 61_000
  t.throws(() => tokens.verify(token), { code: 'TOKEN_EXPIRED' })
  ahead = -10_000
  t.throws(() => tokens.verify(token), { code: 'TOKEN_INVALID' }, 'its clock was set back before the token was issued')
  ahead = 0
  t.ok(tokens.verify(token))
})

/** What this service alone asks of a token: that it is one of its own, spelled as it spells them. Written without its code. */
function isOurs(token: string): boolean {
  const [header, payload, signature] = token.split('.') as [string, string, string]
  if (Buffer.from(signature, 'base64url').toString('base64url') !== signature) return false
  if (Buffer.from(header, 'base64url').toString() !== '{"alg":"HS256","typ":"at+jwt","kid":"k1"}') return false
  const claims = claimsIn(token) as unknown as AccessClaims
  if (Buffer.from(JSON.stringify(claims)).toString('base64url') !== payload) return false
  if (Object.keys(claims).sort().join() !== 'aud,exp,iat,iss,jti,replica,scope,sid,sub') return false
  const { iat, exp, replica, scope } = claims
  const uuids = [claims.sub, claims.sid, claims.jti].every((id) => /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/.test(id))
  const life = Number.isInteger(iat) && Number.isInteger(exp) && exp > iat && exp - iat <= 900
  const texts = typeof replica === 'string' && replica.length > 0 && replica.length <= 64 && typeof scope === 'string'
  return uuids && life && texts && iat > 0 && iat <= Date.now() / 1000 + 5
}

t.test(
  '100,000 tokens: what is accepted here, @fastify/jwt and jose accept too, and all of it that is ours',
  async (t) => {
    const { tokens } = newTokens()
    const now = Math.floor(Date.now() / 1000)
    const claims = fc.record({
      iss: fc.constantFrom('one-secret', 'one-secret', 'one-secret', 'another'),
      aud: fc.constantFrom('one-secret-api', 'one-secret-api', 'one-secret-api', 'another'),
      sub: fc.oneof({ arbitrary: fc.uuid(), weight: 9 }, fc.string()),
      sid: fc.uuid(),
      jti: fc.uuid(),
      scope: fc.constantFrom('user', ''),
      replica: fc.oneof(fc.constantFrom('a', 'b'), fc.string({ maxLength: 70 })),
      iat: fc.constantFrom(now, now - 60, now - 800, now + 3600),
      exp: fc.constantFrom(now + 600, now + 600, now + 60, now - 30, now + 100_000)
    })
    const text = fc.oneof(
      { arbitrary: claims.map((all) => JSON.stringify(all)), weight: 8 },
      claims.map((all) => JSON.stringify(all, null, 1)),
      claims.map((all) => JSON.stringify({ ...all, more: true })),
      claims.map((all) => JSON.stringify({ ...all, jti: undefined })),
      fc.json()
    )
    const header = fc.oneof(
      { arbitrary: fc.constant({}), weight: 9 },
      fc.constantFrom({ typ: 'JWT' }, { kid: 'k2' }, { x: 1 })
    )
    const signed = fc.tuple(text, header).map(([payload, more]) => forger.forge(payload, more))
    const wrong = fc.tuple(signed, fc.nat()).map(([token, at]) => {
      const i = at % token.length
      return token.slice(0, i) + (token[i] === 'A' ? 'B' : 'A') + token.slice(i + 1)
    })
    const unsigned = text.map((payload) => forger.forge(payload, { alg: 'none' }).replace(/[^.]*$/, ''))
    const other = text.map((payload) => forger.forge(payload, { alg: 'HS512' }, secret, 'sha512'))
    const token = fc.oneof({ arbitrary: signed, weight: 6 }, { arbitrary: wrong, weight: 3 }, unsigned, other)

    const accepts = (verify: () => unknown): boolean => {
      try {
        verify()
        return true
      } catch {
        return false
      }
    }
    const counts = { accepted: 0, 'refused by all': 0, 'refused here alone': 0 }
    const key = new Uint8Array(secret)
    const options = { algorithms: ['HS256'], typ: 'at+jwt', issuer: settings.issuer, audience: settings.audience }
    const fastifyOptions = {
      algorithms: ['HS256' as const],
      checkTyp: 'at+jwt',
      allowedIss: options.issuer,
      allowedAud: options.audience
    }

    const SHARE = 1000
    for (let done = 0; done < 100_000; done += SHARE) {
      const share = fc.sample(token, SHARE)
      const byJose = await Promise.all(
        share.map((one) =>
          jwtVerify(one, key, options).then(
            () => true,
            () => false
          )
        )
      )
      for (const [i, one] of share.entries()) {
        const here = accepts(() => tokens.verify(one))
        const again = accepts(() => tokens.verify(one))
        const byFastify = accepts(() => carrier.jwt.verify(one, fastifyOptions))
        const expected = byJose[i]! && byFastify && isOurs(one)
        counts[here ? 'accepted' : byJose[i] || byFastify ? 'refused here alone' : 'refused by all']++
        if (here !== expected || again !== here) {
          t.fail(
            `${one}: here ${here}, then ${again}; jose ${byJose[i]}, @fastify/jwt ${byFastify}, ours ${isOurs(one)}`
          )
          return
        }
      }
    }
    t.ok(counts.accepted > 5000 && counts['refused by all'] > 5000 && counts['refused here alone'] > 5000)
    t.comment(counts)
  }
)

t.test('what is signed is what HMAC-SHA256 says', async (t) => {
  const { tokens } = newTokens()
  const token = tokens.issue(user(), 60)
  const [header, payload, signature] = token.split('.') as [string, string, string]
  t.equal(createHmac('sha256', secret).update(`${header}.${payload}`).digest('base64url'), signature)
})
