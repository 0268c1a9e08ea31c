import { createHmac, randomBytes, randomUUID } from 'node:crypto'
import { metrics } from '@one-secret/api/plugins/metrics.js'
import { tokens } from '@one-secret/api/plugins/tokens.js'
import fastify from 'fastify'

/** How long a token lives, in seconds: the longest that the api accepts. */
const LIFE_SECONDS = 900

const KID = 'bench'

export interface Signer {
  /** Of the same bytes for everybody: as text for the peers, as a ring for the api. */
  readonly secret: string
  readonly jwtKeys: string
  /** Tokens that nobody has seen yet, with a life of fifteen minutes from now. */
  sign(count: number, header: 'api' | 'plain'): string[]
}

const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url')

/** What jsonwebtoken and its like write: hono/jwt accepts no other type. */
const PLAIN = encode({ alg: 'HS256', typ: 'JWT' })

/**
 * Signs as fast as HMAC goes, because every request of a form may need a token of its own. What a token looks like is
 * asked of the api's own code, once.
 */
export async function createSigner(): Promise<Signer> {
  const secret = randomBytes(32).toString('base64url')
  const key = Buffer.from(secret, 'utf8')
  const app = fastify()
  await app.register(metrics, { replicaName: KID })
  await app.register(tokens, {
    keyRing: [{ kid: KID, secret: key }],
    keyRingFile: undefined,
    issuer: 'one-secret',
    audience: 'one-secret-api',
    replicaName: KID,
    refreshTokenTtlSeconds: LIFE_SECONDS
  })
  const model = app.tokens.issue({ sub: randomUUID(), sid: randomUUID() }, LIFE_SECONDS)
  await app.close()
  const [header = '', payload = ''] = model.split('.')
  const claims = JSON.parse(Buffer.from(payload, 'base64url').toString()) as Record<string, unknown>

  return {
    secret,
    jwtKeys: `${KID}:${key.toString('base64url')}`,
    sign(count, kind) {
      const head = kind === 'api' ? header : PLAIN
      const iat = Math.floor(Date.now() / 1000)
      return Array.from({ length: count }, () => {
        // In the order of the model, which is part of what the api verifies.
        const body = {
          ...claims,
          sub: randomUUID(),
          sid: randomUUID(),
          jti: randomUUID(),
          iat,
          exp: iat + LIFE_SECONDS
        }
        const signed = `${head}.${encode(body)}`
        return `${signed}.${createHmac('sha256', key).update(signed).digest('base64url')}`
      })
    }
  }
}
