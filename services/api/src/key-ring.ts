import { hkdfSync } from 'node:crypto'

export interface Key {
  /** Names the key in the header of every token it signed (RFC 7515 §4.1.4). */
  kid: string
  secret: Buffer
}

/** The first key signs; every key verifies, so that a key can be replaced without ending anybody's session. */
export type KeyRing = readonly [Key, ...Key[]]

/** The longest life an access token can be configured to: what its revocation must outlive, and the key that signed it. */
export const MAX_ACCESS_TOKEN_TTL_SECONDS = 15 * 60

/** A key shorter than the hash's output weakens HS256 (RFC 7518 §3.2). */
const MIN_SECRET_BYTES = 32

/** Secrets that stand in tutorials and sample files; repeated or truncated forms are caught by their lack of variety. */
const KNOWN_WEAK = [/secret/i, /password/i, /change.?me/i, /example/i, /default/i, /your.?256.?bit/i, /supersecret/i]

/**
 * Parses `kid:base64url,kid:base64url,…`.
 *
 * @throws Error that says what is wrong, without any part of a secret
 */
export function parseKeyRing(value: string): KeyRing {
  const keys: Key[] = []
  for (const [index, entry] of value.split(',').entries()) {
    const [kid = '', encoded, ...rest] = entry.trim().split(':')
    const nth = `has a key (number ${index + 1})`
    if (!/^[A-Za-z0-9_-]{1,32}$/.test(kid) || encoded === undefined || rest.length > 0)
      throw new Error(`${nth} that is not kid:base64url`)
    const secret = Buffer.from(encoded, 'base64url')
    if (secret.toString('base64url') !== encoded) throw new Error(`${nth} that is not unpadded base64url`)
    if (secret.length < MIN_SECRET_BYTES) throw new Error(`${nth} of ${secret.length} bytes`)
    if (isWeak(secret)) throw new Error(`${nth} that is a known weak secret`)
    if (keys.some((key) => key.kid === kid)) throw new Error(`has the kid "${kid}" twice`)
    keys.push({ kid, secret })
  }
  return keys as [Key, ...Key[]]
}

/** The text that `parseKeyRing` reads: every secret is in it. */
export const formatKeyRing = (ring: readonly Key[]): string =>
  ring.map(({ kid, secret }) => `${kid}:${secret.toString('base64url')}`).join(',')

/**
 * Tells two keys of one name apart, and nothing of either: 8 bytes, derived one way (RFC 5869) and for this alone. Two
 * machines whose rings were made apart can have both called a key the same.
 */
export const fingerprintOf = ({ secret }: Key): string =>
  Buffer.from(hkdfSync('sha256', secret, '', 'one-secret key fingerprint', 8)).toString('hex')

function isWeak(secret: Buffer): boolean {
  const text = secret.toString('latin1')
  // 32 random bytes have some 30 different values; fewer than 16 is text like "aaaa…" or "0123456789012345…".
  return new Set(secret).size < 16 || KNOWN_WEAK.some((pattern) => pattern.test(text))
}
