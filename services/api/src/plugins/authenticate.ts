import type { FastifyError, FastifyRequest, onRequestHookHandler } from 'fastify'
import fp from 'fastify-plugin'
import { countBy } from '../counts.js'
import { ACCESS_COOKIE, readCookie, requireSameOrigin } from '../cookies.js'
import { AuthorizationMalformed, TokenMissing, TokenRevoked } from '../errors.js'
import { countHeader } from '../raw-headers.js'
import type { AccessClaims } from '../tokens.js'

declare module 'fastify' {
  interface FastifyInstance {
    /** An onRequest hook: lets a request pass only with a valid access token that has not been revoked. */
    authenticate: onRequestHookHandler
    /** The same, whether or not the token has been revoked: for what can only end its own session. */
    authenticateOrRevoked: onRequestHookHandler
  }
  interface FastifyRequest {
    /** The verified claims. Only there behind `onRequest: app.authenticate`. */
    token: AccessClaims
    /** How the access token came. Only there behind `onRequest: app.authenticate`. */
    transport: 'header' | 'cookie'
  }
}

/** Methods that change nothing (RFC 9110 §9.2.1). */
const SAFE = new Set(['GET', 'HEAD', 'OPTIONS'])

/** What can be wrong with the token of a request that needs one, by the code of its error. */
const refusals = {
  TOKEN_MISSING: 'missing',
  AUTHORIZATION_MALFORMED: 'malformed',
  COOKIE_MALFORMED: 'malformed',
  CROSS_SITE_REFUSED: 'cross_site',
  TOKEN_INVALID: 'invalid',
  TOKEN_EXPIRED: 'expired'
} as const

/**
 * The token of the Authorization header or, where there is no such header, of the cookie: the header is what the client
 * chose to send, and a browser adds the cookie by itself. A bad header is refused, whatever stands in the cookie.
 */
export const authenticate = fp(
  async (app) => {
    app.decorateRequest('token')
    app.decorateRequest('transport')
    const verifications = countBy(app.metricsRegistry, {
      name: 'token_verifications_total',
      help: 'Requests that need an access token, by what was found of it; whether it is revoked is looked up after that',
      label: 'outcome',
      values: ['valid', ...new Set(Object.values(refusals))]
    })

    function verify(request: FastifyRequest): AccessClaims {
      let token = bearerToken(request)
      request.transport = token === undefined ? 'cookie' : 'header'
      if (token === undefined) {
        token = readCookie(request, ACCESS_COOKIE)
        if (token === undefined) throw new TokenMissing()
        if (!SAFE.has(request.method)) requireSameOrigin(request)
      }
      return app.tokens.verify(token)
    }

    function authenticate(request: FastifyRequest): void {
      try {
        request.token = verify(request)
      } catch (error) {
        const outcome = refusals[(error as FastifyError).code as keyof typeof refusals]
        if (outcome !== undefined) verifications[outcome]++
        throw error
      }
      verifications.valid++
    }

    app.decorate('authenticateOrRevoked', (request, _reply, done) => {
      try {
        authenticate(request)
      } catch (error) {
        return done(error as Error)
      }
      done()
    })

    // A hook that calls back: a promise would be one for each request, where nearly every answer is known at once.
    app.decorate('authenticate', (request, _reply, done) => {
      let isRevoked
      try {
        authenticate(request)
        isRevoked = app.denylist.isRevoked(request.token)
      } catch (error) {
        return done(error as Error)
      }
      const pass = (isRevoked: boolean): void => done(isRevoked ? new TokenRevoked() : undefined)
      if (typeof isRevoked === 'boolean') pass(isRevoked)
      else isRevoked.then(pass, done)
    })
  },
  { name: 'authenticate', dependencies: ['metrics', 'tokens', 'denylist', 'cookies'] }
)

/**
 * The token of `Authorization: Bearer <token>` (RFC 6750 §2.1), undefined where there is no such header.
 *
 * @throws TokenMissing (401) with another scheme, AuthorizationMalformed (400) where it cannot be read in one way only
 */
function bearerToken({ raw, headers: { authorization } }: FastifyRequest): string | undefined {
  if (authorization === undefined) return undefined
  if (countHeader(raw, 'authorization') > 1) throw new AuthorizationMalformed()
  const [, scheme, token] = /^([^\s,]+)(?: +([^\s,]+))?$/.exec(authorization) ?? []
  if (scheme === undefined) throw new AuthorizationMalformed()
  if (scheme.toLowerCase() !== 'bearer') throw new TokenMissing()
  if (token === undefined) throw new AuthorizationMalformed()
  return token
}
