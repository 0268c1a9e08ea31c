import { createHmac } from 'node:crypto'

export interface Claims {
  iat: number
  exp: number
  sub: string
  [name: string]: unknown
}

export const segment = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url')

export const claimsIn = (token: string): Claims =>
  JSON.parse(Buffer.from(token.split('.')[1]!, 'base64url').toString()) as Claims

export interface Forger {
  kid: string
  /** The secret of the ring's first key. */
  secret: Buffer
  /** Signs what the API never would, with its own secret. A string is taken as the payload's bytes. */
  forge(payload: unknown, header?: object, secret?: Buffer, hash?: string): string
}

/** @param ring as in `JWT_KEYS` */
export function createForger(ring: string): Forger {
  const [kid, encoded] = ring.split(',')[0]!.split(':') as [string, string]
  const own = Buffer.from(encoded, 'base64url')
  return {
    kid,
    secret: own,
    forge(payload, header = {}, secret = own, hash = 'sha256') {
      const raw = typeof payload === 'string' ? Buffer.from(payload).toString('base64url') : segment(payload)
      const input = `${segment({ alg: 'HS256', typ: 'at+jwt', kid, ...header })}.${raw}`
      return `${input}.${createHmac(hash, secret).update(input).digest('base64url')}`
    }
  }
}
