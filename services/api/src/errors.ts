import createFastifyError from '@fastify/error'
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { randomUUID } from 'node:crypto'
import type { Duplex } from 'node:stream'
import type { Registry } from 'prom-client'
import { Type } from 'typebox'
import { countBy } from './counts.js'

/** The body of every answer that is not a success. */
export const ErrorBody = Type.Object(
  {
    statusCode: Type.Integer(),
    code: Type.String({ description: 'Stable; what a program should look at.' }),
    error: Type.String({ description: 'The phrase of the status code (RFC 9110 §15).' }),
    message: Type.String({ description: 'For a person; may change.' })
  },
  { description: 'An error' }
)

/** What a route that may be sent a body can answer beside its success. GET is sent none. */
export const bodyErrors = { 400: ErrorBody, 413: ErrorBody, 415: ErrorBody }

/** What a route that needs an access token can answer beside its success. */
export const authenticatedErrors = { 401: ErrorBody, 503: ErrorBody }

const codes: string[] = []

/** Lists the code, beside what Fastify does. */
const createError = <C extends string>(code: C, message: string, statusCode: number) => {
  codes.push(code)
  return createFastifyError(code, message, statusCode)
}

// Every code this API answers with, but for those of answerBrokenRequest below. A code never changes its meaning; its message may.
export const TokenMissing = createError(
  'TOKEN_MISSING',
  'This needs an access token: Authorization: Bearer <token>',
  401
)
export const TokenInvalid = createError('TOKEN_INVALID', 'The access token is not valid: %s', 401)
export const TokenExpired = createError('TOKEN_EXPIRED', 'The access token has expired', 401)
export const TokenRevoked = createError('TOKEN_REVOKED', 'The access token has been revoked', 401)
export const CredentialsInvalid = createError('CREDENTIALS_INVALID', 'The username or the password is wrong', 401)
export const RefreshTokenInvalid = createError('REFRESH_TOKEN_INVALID', 'The refresh token is not valid: %s', 401)
export const RefreshTokenReused = createError(
  'REFRESH_TOKEN_REUSED',
  'The refresh token was used before: the session has been ended',
  401
)
export const AuthorizationMalformed = createError(
  'AUTHORIZATION_MALFORMED',
  'The Authorization header must be: Bearer <token>',
  400
)
export const CookieMalformed = createError('COOKIE_MALFORMED', 'There is more than one cookie %s', 400)
export const RefreshTokenMissing = createError(
  'REFRESH_TOKEN_MISSING',
  'This needs a refresh token: refresh_token in the body, or its cookie',
  400
)
export const CrossSiteRefused = createError(
  'CROSS_SITE_REFUSED',
  'With a cookie this is for pages of this origin only, as Sec-Fetch-Site or Origin must say',
  403
)
export const SessionNotFound = createError('SESSION_NOT_FOUND', 'There is no such session of yours', 404)
export const SessionLimitReached = createError(
  'SESSION_LIMIT_REACHED',
  'There are as many sessions as this user may have: end one of them first',
  409
)
export const UsernameTaken = createError('USERNAME_TAKEN', 'This username is taken', 409)
export const RevocationUnknown = createError(
  'REVOCATION_UNKNOWN',
  'Whether the token has been revoked cannot be looked up at the moment',
  503
)
export const RevocationPending = createError(
  'REVOCATION_PENDING',
  'The session has ended, but not every replica knows yet: repeat the call',
  503
)
export const TooManyLogins = createError(
  'TOO_MANY_LOGINS',
  'There have been too many attempts to log in: wait for as long as Retry-After says',
  429
)
export const LoginLimitUnknown = createError(
  'LOGIN_LIMIT_UNKNOWN',
  'Attempts to log in cannot be counted at the moment, so none is made',
  503
)
export const HashingBusy = createError('HASHING_BUSY', 'Too many passwords are waiting to be checked', 503)
export const DatabaseUnavailable = createError(
  'DATABASE_UNAVAILABLE',
  'The database does not answer at the moment',
  503
)
export const Overloaded = createError('OVERLOADED', 'This server has more to do than it can: try again', 503)
export const BadRequest = createError('BAD_REQUEST', 'This is not a valid HTTP request', 400)
export const BodyNotJson = createError('BODY_NOT_JSON', 'The body is not JSON in UTF-8', 400)
const NotFound = createError('NOT_FOUND', 'There is no %s %s', 404)

/** The codes of Fastify itself that a client can provoke, renamed so that the framework can be exchanged. */
const renamed = new Map([
  ['FST_ERR_VALIDATION', 'VALIDATION_FAILED'],
  ['FST_ERR_CTP_INVALID_MEDIA_TYPE', 'UNSUPPORTED_MEDIA_TYPE'],
  ['FST_ERR_CTP_BODY_TOO_LARGE', 'BODY_TOO_LARGE'],
  ['FST_ERR_CTP_INVALID_JSON_BODY', 'BODY_NOT_JSON'],
  ['FST_ERR_CTP_EMPTY_JSON_BODY', 'BODY_NOT_JSON']
])

const phrases = new Map([
  [400, 'Bad Request'],
  [401, 'Unauthorized'],
  [403, 'Forbidden'],
  [404, 'Not Found'],
  [408, 'Request Timeout'],
  [409, 'Conflict'],
  [413, 'Payload Too Large'],
  [414, 'URI Too Long'],
  [415, 'Unsupported Media Type'],
  [429, 'Too Many Requests'],
  [431, 'Request Header Fields Too Large'],
  [500, 'Internal Server Error'],
  [503, 'Service Unavailable']
])

function body(statusCode: number, code: string, message: string) {
  return { statusCode, code, error: phrases.get(statusCode) ?? 'Error', message }
}

/** How long a client should wait before it tries again after a 503, in seconds (RFC 9110 §10.2.3). */
const RETRY_AFTER_SECONDS = '1'

/**
 * The one place where an error becomes an answer: `{statusCode, code, error, message}`, with `WWW-Authenticate` on
 * a 401 (RFC 6750 §3) and `Retry-After` on a 503. It is counted by its code.
 *
 * @param isUnavailable says whether an error means that a dependency is down, which is a 503 and not a defect
 */
export function handleErrors(app: FastifyInstance, registry: Registry, isUnavailable: (error: Error) => boolean): void {
  const answered = countBy(registry, {
    name: 'http_errors_total',
    help: 'Errors answered, by their code',
    label: 'code',
    values: [...new Set([...codes, ...renamed.values(), 'INTERNAL_ERROR', 'OTHER'])]
  })
  const answer = (reply: FastifyReply, statusCode: number, code: string, message: string): FastifyReply => {
    answered[Object.hasOwn(answered, code) ? code : 'OTHER']!++
    return reply.code(statusCode).send(body(statusCode, code, message))
  }

  app.setErrorHandler<FastifyError & { retryAfter?: number }>((thrown, request, reply) => {
    const error: typeof thrown = isUnavailable(thrown)
      ? Object.assign(new DatabaseUnavailable(), { cause: thrown })
      : thrown
    const statusCode = error.statusCode ?? 500

    if (statusCode === 401) reply.header('www-authenticate', challenge(error))
    if (statusCode === 429 && error.retryAfter !== undefined) reply.header('retry-after', error.retryAfter)
    if (statusCode === 503) {
      reply.header('retry-after', RETRY_AFTER_SECONDS)
      // An overload has been said already, and not for each request.
      if (error.code !== 'OVERLOADED') request.log.warn({ err: error }, 'a dependency is down')
    } else if (statusCode >= 500) {
      request.log.error({ err: error }, 'unexpected error')
      return answer(reply, 500, 'INTERNAL_ERROR', 'Something went wrong; it has been logged')
    }
    const code =
      renamed.get(error.code) ?? (error.code?.startsWith('FST_') ? 'BAD_REQUEST' : (error.code ?? 'BAD_REQUEST'))
    return answer(reply, statusCode, code, explain(error))
  })

  app.setNotFoundHandler((request) => {
    throw new NotFound(request.method, request.url.split('?', 1)[0])
  })
}

/** In words that say what to do, where the framework's do not. */
function explain({ code, message, validation }: FastifyError): string {
  if (code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE') return 'The body must be JSON: send Content-Type: application/json'
  const unknown = validation?.[0]?.params['additionalProperty']
  return typeof unknown === 'string' ? `${message}: ${unknown.slice(0, 64)}` : message
}

/** Answers what is HTTP but cannot be routed, as `GET /%` cannot: no hook runs for it. */
export function answerUnroutable(replicaName: string) {
  return (error: FastifyError, request: FastifyRequest, reply: FastifyReply): void => {
    const statusCode = error.statusCode ?? 400
    void reply
      .headers({ 'x-served-by': replicaName, 'x-request-id': request.id })
      .code(statusCode)
      .send(body(statusCode, 'BAD_REQUEST', 'This is not a path that can be read'))
  }
}

/** RFC 6750 §3.1: a request without a token is told the scheme only; one with a bad token also what is wrong. */
function challenge(error: FastifyError): string {
  const realm = 'Bearer realm="one-secret"'
  if (!error.code.startsWith('TOKEN_') || error.code === 'TOKEN_MISSING') return realm
  return `${realm}, error="invalid_token", error_description="${error.message.replaceAll(/["\\]/g, "'")}"`
}

/** How long a client has to read why it was refused, in milliseconds, before the connection is closed on our side too. */
const LINGER_MS = 1000

/** Answers what is not HTTP at all, before there is a request to hand to the handlers above. */
export const answerBrokenRequest =
  (replicaName: string) =>
  (error: NodeJS.ErrnoException, socket: Duplex): void => {
    if (error.code === 'ECONNRESET' || socket.destroyed || !socket.writable) {
      socket.destroy()
      return
    }
    const [statusCode, code, message] =
      error.code === 'HPE_HEADER_OVERFLOW'
        ? ([431, 'HEADERS_TOO_LARGE', 'The headers are too large'] as const)
        : error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
          ? ([408, 'REQUEST_TIMEOUT', 'The request did not arrive in time'] as const)
          : ([400, 'BAD_REQUEST', 'This is not a valid HTTP request'] as const)
    const payload = JSON.stringify(body(statusCode, code, message))
    socket.end(
      `HTTP/1.1 ${statusCode} ${phrases.get(statusCode)}\r\nContent-Type: application/json; charset=utf-8\r\n` +
        `X-Served-By: ${replicaName}\r\nX-Request-Id: ${randomUUID()}\r\n` +
        `Content-Length: ${Buffer.byteLength(payload)}\r\nConnection: close\r\n\r\n${payload}`
    )
    // Node looks after this connection no more: one whose client does not close its side would be kept for ever.
    setTimeout(() => socket.destroy(), LINGER_MS).unref()
  }
