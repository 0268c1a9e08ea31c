import { randomUUID } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import { Type, type Static } from 'typebox'
import { Compile } from 'typebox/compile'
import { TokenExpired, TokenInvalid } from './errors.js'
import { MAX_ACCESS_TOKEN_TTL_SECONDS } from './key-ring.js'

/** How far ahead of ours the clock of the replica that issued a token may be. */
export const CLOCK_TOLERANCE_SECONDS = 5

/** How many tokens that have been verified are remembered: a kilobyte each. */
const REMEMBERED_TOKENS = 10_000

/** RFC 9068 §2.1: keeps any other kind of JWT from being taken for an access token (RFC 8725 §3.11). */
export const TOKEN_TYPE = 'at+jwt'

export const Uuid = Type.String({ pattern: '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$' })

/** An instant, in whole seconds since 1970 (NumericDate, RFC 7519 §2), within the years that a Date can hold. */
const NumericDate = Type.Integer({ minimum: 1, maximum: 8_640_000_000_000 })

/**
 * What an access token says: all of it, nothing else, and nothing personal, for whoever holds a token can read it.
 * The order of the properties is the order in the token.
 */
export const AccessClaims = Type.Object(
  {
    iss: Type.String({ minLength: 1, maxLength: 256 }),
    aud: Type.String({ minLength: 1, maxLength: 256 }),
    sub: Type.String({ ...Uuid, description: 'The user.' }),
    sid: Type.String({ ...Uuid, description: 'The session: one login on one device.' }),
    jti: Type.String({ ...Uuid, description: 'This token.' }),
    scope: Type.String(),
    replica: Type.String({ minLength: 1, maxLength: 64, description: 'The replica that issued the token.' }),
    iat: NumericDate,
    exp: NumericDate
  },
  { additionalProperties: false }
)
export type AccessClaims = Static<typeof AccessClaims>

/** What the JWT library does with one key: it signs and verifies with that key, HS256 and `at+jwt` alone. */
export interface KeySigner {
  sign(claims: object): string
  verify(token: string): unknown
}

export interface TokenSettings {
  issuer: string
  audience: string
  replicaName: string
  /** One for each key of the ring; the first signs. */
  signers: readonly [KeySigner, ...KeySigner[]]
}

export interface Tokens {
  /** Issues an access token that lives for `ttlSeconds`. */
  issue(user: { sub: string; sid: string }, ttlSeconds: number): string
  /**
   * Verifies the signature and every claim. Says nothing of revocation.
   *
   * @throws TokenInvalid, TokenExpired (401)
   */
  verify(token: string): AccessClaims
}

/**
 * Three base64url parts, the last the 32 bytes of an HS256 signature. Its last character carries four bits: the
 * sixteen characters allowed are those whose two spare bits are zero, so that a signature has one spelling only.
 */
const COMPACT_JWS = /^[\w-]{1,512}\.[\w-]{1,2048}\.[\w-]{42}[AEIMQUYcgkosw048]$/

const claimsSchema = Compile(AccessClaims)

export function createTokens({ issuer, audience, replicaName, signers }: TokenSettings): Tokens {
  // This API verifies only what it issued, and it issues one header for each key. So the header is compared, not
  // parsed: alg, typ, kid, crit, jwk and every other way to talk a verifier into something (RFC 8725 §2.1, §3.1) end here.
  const signerByHeader = new Map(signers.map((signer) => [headerOf(signer.sign({})), signer]))

  // A client sends the same token some hundred times. Keyed by the whole of it, so that nothing is taken for something else;
  // and only what was accepted is remembered. It goes with these keys: whoever exchanges the ring makes other tokens.
  const verified = new LRUCache<string, AccessClaims>({ max: REMEMBERED_TOKENS })

  return {
    issue({ sub, sid }, ttlSeconds) {
      const iat = Math.floor(Date.now() / 1000)
      return signers[0].sign({
        iss: issuer,
        aud: audience,
        sub,
        sid,
        jti: randomUUID(),
        scope: 'user',
        replica: replicaName,
        iat,
        exp: iat + ttlSeconds
      } satisfies AccessClaims)
    },

    verify(token) {
      let claims = verified.get(token)
      if (claims !== undefined) {
        requireNow(claims)
        return claims
      }
      claims = checkText(token)
      requireNow(claims)
      // A copy: what is cut out of a header keeps all of the header in memory, which a client can make fifteen times as long.
      verified.set(Buffer.from(token, 'latin1').toString('latin1'), claims)
      return claims
    }
  }

  /** All that is the same whenever it is asked, for as long as the keys are these. */
  function checkText(token: string): AccessClaims {
    if (!COMPACT_JWS.test(token)) throw new TokenInvalid('it is not a signed token')
    const signer = signerByHeader.get(headerOf(token))
    if (signer === undefined) throw new TokenInvalid('its key or its type is unknown')
    const claims = checkSignature(signer, token)
    if (!claimsSchema.Check(claims) || payloadOf(token) !== encode(claims)) {
      throw new TokenInvalid('its claims are not as they should be')
    }
    if (claims.iss !== issuer || claims.aud !== audience) throw new TokenInvalid('it was issued for another service')
    const ttl = claims.exp - claims.iat
    if (ttl <= 0 || ttl > MAX_ACCESS_TOKEN_TTL_SECONDS) throw new TokenInvalid('its life is not one this service gives')
    return Object.freeze(claims)
  }
}

/** What a token that has been verified must be asked again each time: whether it has expired, whether it was issued yet. */
function requireNow({ exp, iat }: AccessClaims): void {
  const now = Date.now() / 1000
  if (exp <= now) throw new TokenExpired()
  if (iat > now + CLOCK_TOLERANCE_SECONDS) throw new TokenInvalid('it was issued in the future')
}

function checkSignature(signer: KeySigner, token: string): unknown {
  try {
    return signer.verify(token)
  } catch (error) {
    // The library's words name claims and algorithms; a client needs neither to know that the token is no good.
    throw Object.assign(new TokenInvalid('its signature does not match'), { cause: error })
  }
}

const headerOf = (token: string): string => token.slice(0, token.indexOf('.'))
const payloadOf = (token: string): string => token.slice(token.indexOf('.') + 1, token.lastIndexOf('.'))

/** Re-encoding finds what parsing hides: a duplicate key, a blank, `1e3`, bytes that are not UTF-8 (RFC 8725 §2.4). */
const encode = (claims: AccessClaims): string => Buffer.from(JSON.stringify(claims)).toString('base64url')
