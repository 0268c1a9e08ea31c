import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type, type Static } from 'typebox'
import { revocationOfSession, revocationOfToken } from '../denylist/denylist.js'
import {
  authenticatedErrors,
  CredentialsInvalid,
  ErrorBody,
  RefreshTokenInvalid,
  RefreshTokenReused
} from '../errors.js'
import { verifyPassword } from '../passwords.js'
import { needsAccessToken } from '../plugins/docs.js'
import type { RefreshGrant } from '../refresh-tokens.js'
import { endReusedSession, endSession, rotateSession, startSession } from '../sessions.js'
import { findCredentials } from '../users.js'

/** A shorter life than the configured one may be asked for: the less a token is needed, the less it should be worth. */
const ExpiresIn = Type.Integer({
  minimum: 1,
  description: 'Seconds; at most what is configured, which is also the default'
})

const Credentials = Type.Object(
  {
    username: Type.String({ minLength: 1, maxLength: 64, pattern: '^[^\\u0000\\ud800-\\udfff]*$' }),
    password: Type.String({ minLength: 1, maxLength: 128 }),
    expires_in: Type.Optional(ExpiresIn)
  },
  { additionalProperties: false }
)

const RefreshRequest = Type.Object(
  { refresh_token: Type.String({ minLength: 1, maxLength: 4096 }), expires_in: Type.Optional(ExpiresIn) },
  { additionalProperties: false }
)

/** Named as in RFC 6749 §5.1. */
const TokenResponse = Type.Object(
  {
    access_token: Type.String(),
    token_type: Type.Literal('Bearer'),
    expires_in: Type.Integer({ description: 'Seconds' }),
    refresh_token: Type.String()
  },
  { description: 'The tokens' }
)

const RevocationReceipt = Type.Object(
  {
    revoked: Type.Array(Type.Object({ kind: Type.Enum(['jti', 'sid']), id: Type.String() })),
    acknowledgedBy: Type.Array(Type.String(), {
      description: 'The replicas that confirmed it; empty where each asks Redis at every request'
    }),
    waitedMs: Type.Number(),
    boundMs: Type.Number()
  },
  { description: 'From now on no replica accepts what has been revoked' }
)

interface AuthOptions {
  accessTokenTtlSeconds: number
  refreshTokenTtlSeconds: number
}

export const auth: FastifyPluginAsyncTypebox<AuthOptions> = async (
  app,
  { accessTokenTtlSeconds, refreshTokenTtlSeconds }
) => {
  function tokenResponse(
    userId: string,
    grant: RefreshGrant,
    requestedTtl = accessTokenTtlSeconds
  ): Static<typeof TokenResponse> {
    const ttl = Math.min(requestedTtl, accessTokenTtlSeconds)
    return {
      access_token: app.tokens.issue({ sub: userId, sid: grant.sid }, ttl),
      token_type: 'Bearer',
      expires_in: ttl,
      refresh_token: app.refreshTokens.seal(grant)
    }
  }

  // RFC 6749 §5.1: tokens are not for caches.
  app.addHook('onSend', async (_request, reply) => {
    reply.header('cache-control', 'no-store')
  })

  app.post(
    '/auth/login',
    {
      schema: {
        tags: ['auth'],
        summary: 'Start a session',
        body: Credentials,
        response: { 200: TokenResponse, 400: ErrorBody, 401: ErrorBody, 413: ErrorBody, 415: ErrorBody, 503: ErrorBody }
      }
    },
    async ({ body }) => {
      const credentials = await findCredentials(app.pg, body.username)
      const known = await verifyPassword(credentials?.passwordHash, body.password)
      if (credentials === undefined || !known) throw new CredentialsInvalid()
      const grant = await startSession(app.pg, credentials.id, refreshTokenTtlSeconds)
      return tokenResponse(credentials.id, grant, body.expires_in)
    }
  )

  app.post(
    '/auth/refresh',
    {
      schema: {
        tags: ['auth'],
        summary: 'Exchange the refresh token for new tokens',
        description:
          'The presented token is retired. For 10 seconds it still gives the same successor; an older one is taken for stolen, and ends the session.',
        body: RefreshRequest,
        response: { 200: TokenResponse, 400: ErrorBody, 401: ErrorBody, 413: ErrorBody, 415: ErrorBody, 503: ErrorBody }
      }
    },
    async ({ body }) => {
      const grant = app.refreshTokens.open(body.refresh_token)
      const session = await rotateSession(app.pg, grant, refreshTokenTtlSeconds)
      if (session !== undefined) return tokenResponse(session.userId, session, body.expires_in)

      const revocations = await endReusedSession(app.pg, grant)
      if (revocations === undefined) throw new RefreshTokenInvalid('its session has ended')
      // A token that is presented again and again must not be appended again and again. (A sid is nobody's jti.)
      if (!(await app.denylist.isRevoked({ jti: grant.sid, sid: grant.sid }))) await app.denylist.publish(revocations)
      throw new RefreshTokenReused()
    }
  )

  app.post(
    '/auth/logout',
    {
      onRequest: app.authenticate,
      schema: {
        tags: ['auth'],
        summary: 'End this session on every replica',
        ...needsAccessToken,
        response: { 200: RevocationReceipt, 400: ErrorBody, ...authenticatedErrors }
      }
    },
    async ({ token }) => {
      const revocations = [revocationOfToken(token), revocationOfSession(token.sid)]
      await endSession(app.pg, token.sid, revocations)
      return app.denylist.publish(revocations)
    }
  )
}
