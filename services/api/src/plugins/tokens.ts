import fastifyJwt, { type JWT } from '@fastify/jwt'
import fp from 'fastify-plugin'
import type { KeyRing } from '../key-ring.js'
import { createRefreshTokens, type RefreshTokens } from '../refresh-tokens.js'
import { createTokens, TOKEN_TYPE, type KeySigner, type Tokens } from '../tokens.js'

declare module 'fastify' {
  interface FastifyInstance {
    tokens: Tokens
    refreshTokens: RefreshTokens
  }
}

interface TokenOptions {
  keyRing: KeyRing
  issuer: string
  audience: string
  replicaName: string
}

/**
 * The key ring, in the one place that holds it. Each key gets an instance of @fastify/jwt of its own, under a
 * namespace: its signer and its verifier are then built once, with one key and one algorithm, and called directly.
 */
export const tokens = fp<TokenOptions>(
  async (app, { keyRing, ...settings }) => {
    for (const { kid, secret } of keyRing) {
      await app.register(fastifyJwt, {
        namespace: namespaceOf(kid),
        secret,
        sign: { algorithm: 'HS256', kid, header: { alg: 'HS256', typ: TOKEN_TYPE } },
        verify: { algorithms: ['HS256'], checkTyp: TOKEN_TYPE, ignoreExpiration: true }
      })
    }
    const instances = app.jwt as unknown as Record<string, JWT>
    const signers = keyRing.map(({ kid }): KeySigner => {
      const jwt = instances[namespaceOf(kid)]!
      return { sign: (claims) => jwt.sign(claims), verify: (token) => jwt.verify(token) }
    }) as [KeySigner, ...KeySigner[]]

    app.decorate('tokens', createTokens({ ...settings, signers }))
    app.decorate('refreshTokens', createRefreshTokens(keyRing))
  },
  { name: 'tokens' }
)

/** Prefixed, for a kid is the operator's and a namespace becomes the name of a property. */
const namespaceOf = (kid: string): string => `key ${kid}`
