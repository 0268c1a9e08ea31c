import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import type { FastifyError, FastifyReply } from 'fastify'
import { Type, type Static } from 'typebox'
import {
  clearTokenCookies,
  readCookie,
  REFRESH_COOKIE,
  refuseCrossSite,
  requireSameOrigin,
  setTokenCookies
} from '../cookies.js'
import { countBy } from '../counts.js'
import { credentialFields, requireCredentials } from '../credentials.js'
import { Receipt } from '../denylist/denylist.js'
import {
  authenticatedErrors,
  bodyErrors,
  ErrorBody,
  RefreshTokenInvalid,
  RefreshTokenMissing,
  RefreshTokenReused
} from '../errors.js'
import { needsAccessToken } from '../plugins/docs.js'
import type { RefreshGrant } from '../refresh-tokens.js'
import {
  endOwnSession,
  endReusedSession,
  endSession,
  rotateSession,
  startSession,
  type SessionLimit
} from '../sessions.js'
import { foldUsername } from '../users.js'

/** A shorter life than the configured one may be asked for: the less a token is needed, the less it should be worth. */
const ExpiresIn = Type.Integer({
  minimum: 1,
  description: 'Seconds; at most what is configured, which is also the default'
})

const Credentials = Type.Object(
  {
    ...credentialFields,
    expires_in: Type.Optional(ExpiresIn),
    transport: Type.Optional(
      Type.Enum(['body', 'cookie'], {
        default: 'body',
        description: 'Where the tokens come back: here, or in cookies that no script can read'
      })
    )
  },
  { additionalProperties: false }
)

/** Without a body, or without a token in it, the token is the cookie's. */
const RefreshRequest = Type.Union([
  Type.Object(
    {
      refresh_token: Type.Optional(Type.String({ minLength: 1, maxLength: 4096 })),
      expires_in: Type.Optional(ExpiresIn)
    },
    { additionalProperties: false }
  ),
  Type.Null()
])

/** Named as in RFC 6749 §5.1. */
const TokensInBody = Type.Object({
  access_token: Type.String(),
  token_type: Type.Literal('Bearer'),
  expires_in: Type.Integer({ description: 'Seconds' }),
  refresh_token: Type.String()
})

const TokensInCookies = Type.Object({
  transport: Type.Literal('cookie'),
  expires_in: Type.Integer({ description: 'Seconds' })
})

const TokenResponse = Type.Union([TokensInBody, TokensInCookies], { description: 'The tokens' })
type TokenResponse = Static<typeof TokenResponse>

interface AuthOptions {
  accessTokenTtlSeconds: number
  refreshTokenTtlSeconds: number
  sessionLimit: SessionLimit
}

interface Delivery {
  /** Seconds that the access token is asked to live. */
  expiresIn: number | undefined
  transport: 'body' | 'cookie'
}

/** What came of a login or a refresh that failed, by the code of its error. */
const loginFailures = {
  CREDENTIALS_INVALID: 'credentials_invalid',
  TOO_MANY_LOGINS: 'limited',
  SESSION_LIMIT_REACHED: 'session_limit',
  HASHING_BUSY: 'busy',
  OVERLOADED: 'busy'
} as const
const refreshFailures = {
  REFRESH_TOKEN_INVALID: 'invalid',
  REFRESH_TOKEN_REUSED: 'reused',
  OVERLOADED: 'busy'
} as const

/** Every failure has one outcome: where its code has none, it is the request's fault or the server's. */
function outcomeOf<Outcome>({ code, statusCode = 500 }: FastifyError, byCode: Record<string, Outcome>) {
  return byCode[code] ?? (statusCode < 500 ? 'refused' : 'unavailable')
}

export const auth: FastifyPluginAsyncTypebox<AuthOptions> = async (
  app,
  { accessTokenTtlSeconds, refreshTokenTtlSeconds, sessionLimit }
) => {
  function deliver(
    reply: FastifyReply,
    userId: string,
    grant: RefreshGrant,
    { expiresIn = accessTokenTtlSeconds, transport }: Delivery
  ): TokenResponse {
    const ttl = Math.min(expiresIn, accessTokenTtlSeconds)
    const access = app.tokens.issue({ sub: userId, sid: grant.sid }, ttl)
    const refresh = app.refreshTokens.seal(grant)
    if (transport === 'body') {
      return { access_token: access, token_type: 'Bearer', expires_in: ttl, refresh_token: refresh }
    }
    setTokenCookies(reply, {
      access: { value: access, maxAge: ttl },
      refresh: { value: refresh, maxAge: refreshTokenTtlSeconds }
    })
    return { transport, expires_in: ttl }
  }

  const logins = countBy(app.metricsRegistry, {
    name: 'logins_total',
    help: 'Requests to log in, by what came of them; refused: not a proper request',
    label: 'outcome',
    values: ['success', ...new Set(Object.values(loginFailures)), 'refused', 'unavailable']
  })
  const refreshes = countBy(app.metricsRegistry, {
    name: 'refreshes_total',
    help: 'Requests to exchange a refresh token, by what came of them; reused: it was stolen, its session has ended',
    label: 'outcome',
    values: ['success', ...new Set(Object.values(refreshFailures)), 'refused', 'unavailable']
  })

  // RFC 6749 §5.1: tokens are not for caches.
  app.addHook('onSend', async (_request, reply) => {
    reply.header('cache-control', 'no-store')
  })

  app.post(
    '/auth/login',
    {
      errorHandler(error) {
        logins[outcomeOf(error, loginFailures)]++
        throw error
      },
      schema: {
        tags: ['auth'],
        summary: 'Start a session',
        body: Credentials,
        response: {
          200: TokenResponse,
          ...bodyErrors,
          401: ErrorBody,
          403: ErrorBody,
          409: ErrorBody,
          429: ErrorBody,
          503: ErrorBody
        }
      }
    },
    async (request, reply) => {
      const { username, expires_in: expiresIn, transport = 'body' } = request.body
      if (transport === 'cookie') refuseCrossSite(request)
      app.passwords.requireRoom()
      await app.loginLimits.check(request, { name: foldUsername(username) })
      const credentials = await requireCredentials(app.pg, app.passwords, request.body)

      const session = { ttlSeconds: refreshTokenTtlSeconds, userAgent: request.headers['user-agent'] }
      const { grant, revocations } = await startSession(app.pg, credentials, session, sessionLimit)
      // The sessions that made room have ended everywhere before the new one begins.
      if (revocations.length > 0) {
        try {
          await app.denylist.publish(revocations)
        } catch (error) {
          // Nobody gets its tokens. Left alive it would push out a session that somebody uses, one for each repetition.
          await endSession(app.pg, credentials.id, grant.sid).catch((err: unknown) =>
            request.log.warn({ err }, 'a session that nobody was given lives on')
          )
          throw error
        }
      }
      logins.success++
      return deliver(reply, credentials.id, grant, { expiresIn, transport })
    }
  )

  app.post(
    '/auth/refresh',
    {
      errorHandler(error) {
        refreshes[outcomeOf(error, refreshFailures)]++
        throw error
      },
      schema: {
        tags: ['auth'],
        summary: 'Exchange the refresh token for new tokens',
        description:
          'The presented token is retired. For 10 seconds it still gives the same successor; an older one is taken for stolen, and ends the session. The tokens come back the way the refresh token came: in the body, or in cookies.',
        body: RefreshRequest,
        response: {
          200: TokenResponse,
          ...bodyErrors,
          401: ErrorBody,
          403: ErrorBody,
          503: ErrorBody
        }
      }
    },
    async (request, reply) => {
      const { refresh_token: given, expires_in: expiresIn } = request.body ?? {}
      const transport = given === undefined ? 'cookie' : 'body'
      const token = given ?? readCookie(request, REFRESH_COOKIE)
      if (token === undefined) throw new RefreshTokenMissing()
      if (transport === 'cookie') requireSameOrigin(request)

      const grant = app.refreshTokens.open(token)
      const session = await rotateSession(app.pg, grant, refreshTokenTtlSeconds)
      if (session !== undefined) {
        refreshes.success++
        return deliver(reply, session.userId, session, { expiresIn, transport })
      }

      const revocations = await endReusedSession(app.pg, grant)
      if (revocations !== undefined) await app.denylist.publish(revocations)
      if (transport === 'cookie') clearTokenCookies(reply)
      throw revocations === undefined ? new RefreshTokenInvalid('its session has ended') : new RefreshTokenReused()
    }
  )

  app.post(
    '/auth/logout',
    {
      // Also with a token that has been revoked: whoever was answered 503 repeats the call until it is final.
      onRequest: app.authenticateOrRevoked,
      schema: {
        tags: ['auth'],
        summary: 'End this session on every replica; repeated, the same',
        ...needsAccessToken,
        response: { 200: Receipt, ...bodyErrors, 403: ErrorBody, ...authenticatedErrors }
      }
    },
    async ({ token, transport }, reply) => {
      const receipt = await app.denylist.publish(await endOwnSession(app.pg, token))
      if (transport === 'cookie') clearTokenCookies(reply)
      return receipt
    }
  )
}
