import { createHmac, hkdfSync, timingSafeEqual } from 'node:crypto'
import { RefreshTokenInvalid } from './errors.js'
import type { Key, KeyRing } from './key-ring.js'

/** What a refresh token names: a session, and how many times its token had been exchanged when this one was made. */
export interface RefreshGrant {
  sid: string
  generation: number
}

export interface RefreshTokens {
  /** The refresh token of a grant. The same grant gives the same token, on every replica, for as long as the same key signs. */
  seal(grant: RefreshGrant): string
  /** @throws RefreshTokenInvalid (401) for anything that no replica made */
  open(token: string): RefreshGrant
}

/** Four parts, so that it can never be taken for a JWT: mark, kid, 20 bytes of grant, 32 bytes of HMAC-SHA256. */
const FORMAT = /^rt\.([\w-]{1,32})\.([\w-]{27})\.([\w-]{43})$/

/**
 * Refresh tokens that are signed, not stored: the database keeps which generation of a session is the live one, which
 * cannot be replayed, and a token that nobody issued is refused without asking the database.
 */
export function createRefreshTokens(ring: KeyRing): RefreshTokens {
  const keys = new Map(ring.map((key) => [key.kid, deriveKey(key)]))
  const sign = (secret: Buffer, kid: string, grant: string): string =>
    createHmac('sha256', secret).update(`${kid}.${grant}`).digest('base64url')

  return {
    seal({ sid, generation }) {
      const [{ kid }] = ring
      const grant = encode({ sid, generation })
      return `rt.${kid}.${grant}.${sign(keys.get(kid)!, kid, grant)}`
    },

    open(token) {
      const [, kid, grant, mac] = FORMAT.exec(token) ?? []
      if (kid === undefined || grant === undefined || mac === undefined) throw new RefreshTokenInvalid('it is not one')
      const secret = keys.get(kid)
      if (secret === undefined) throw new RefreshTokenInvalid('its key is unknown')
      // Compared as text, so that other spellings of the same bytes do not pass, and in constant time.
      if (!timingSafeEqual(Buffer.from(sign(secret, kid, grant)), Buffer.from(mac))) {
        throw new RefreshTokenInvalid('its signature does not match')
      }
      return decode(grant)
    }
  }
}

/** A key of its own (RFC 5869): a signature made for one kind of token is worth nothing to the other. */
const deriveKey = ({ secret }: Key): Buffer =>
  Buffer.from(hkdfSync('sha256', secret, '', 'one-secret refresh token', 32))

function encode({ sid, generation }: RefreshGrant): string {
  const bytes = Buffer.alloc(20)
  bytes.write(sid.replaceAll('-', ''), 'hex')
  bytes.writeUInt32BE(generation, 16)
  return bytes.toString('base64url')
}

function decode(grant: string): RefreshGrant {
  const bytes = Buffer.from(grant, 'base64url')
  const hex = bytes.toString('hex', 0, 16)
  const sid = [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-')
  return { sid, generation: bytes.readUInt32BE(16) }
}
