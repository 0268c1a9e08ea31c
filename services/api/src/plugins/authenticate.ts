import type { FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { AuthorizationMalformed, TokenMissing, TokenRevoked } from '../errors.js'
import type { AccessClaims } from '../tokens.js'

declare module 'fastify' {
  interface FastifyInstance {
    /** An onRequest hook: lets a request pass only with a valid access token that has not been revoked. */
    authenticate: (request: FastifyRequest) => Promise<void>
  }
  interface FastifyRequest {
    /** The verified claims. Only there behind `onRequest: app.authenticate`. */
    token: AccessClaims
  }
}

export const authenticate = fp(
  async (app) => {
    app.decorateRequest('token')
    app.decorate('authenticate', async (request: FastifyRequest) => {
      const claims = app.tokens.verify(bearerToken(request))
      if (await app.denylist.isRevoked(claims)) throw new TokenRevoked()
      request.token = claims
    })
  },
  { name: 'authenticate', dependencies: ['tokens', 'denylist'] }
)

/**
 * The token of `Authorization: Bearer <token>` (RFC 6750 §2.1).
 *
 * @throws TokenMissing (401) without one, AuthorizationMalformed (400) where the header cannot be read in one way only
 */
function bearerToken({ raw, headers: { authorization } }: FastifyRequest): string {
  if (authorization === undefined) throw new TokenMissing()
  // Node keeps the first of two; a proxy may have kept, or looked at, the other.
  if (raw.rawHeaders.filter((name, i) => i % 2 === 0 && /^authorization$/i.test(name)).length > 1) {
    throw new AuthorizationMalformed()
  }
  const [, scheme, token] = /^([^\s,]+)(?: +([^\s,]+))?$/.exec(authorization) ?? []
  if (scheme === undefined) throw new AuthorizationMalformed()
  if (scheme.toLowerCase() !== 'bearer') throw new TokenMissing()
  if (token === undefined) throw new AuthorizationMalformed()
  return token
}
