import type { IncomingHttpHeaders } from 'node:http'
import { Readable } from 'node:stream'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { STICKY_COOKIE } from './lanes.js'
import { answer } from './proxy-answers.js'
import type { Upstream } from './replicas.js'
import { findSticky, stickyName, type Rotation } from './rotation.js'

/** The method may be sent twice. POST and PATCH may not, and the rest is not worth the thought. */
const isRepeatable = (method: string): boolean => method === 'GET' || method === 'HEAD'

/** How long after its beginning a request may still be sent to another replica, in milliseconds (proxy_next_upstream_timeout). */
const GOES_ON_MS = 8_000

const NEVER_SENT = new Set(['ECONNREFUSED', 'UND_ERR_CONNECT_TIMEOUT', 'EHOSTUNREACH', 'ENETUNREACH', 'EADDRNOTAVAIL'])

/** Codes of an error and of what caused it. */
function codesOf(error: unknown): string[] {
  if (!(error instanceof Error)) return []
  const code = (error as NodeJS.ErrnoException).code
  return [...(code === undefined ? [] : [code]), ...codesOf(error.cause)]
}

/** Headers as a replica may trust them: what the client says about its address and its request's id is replaced. */
function forwardedHeaders(request: FastifyRequest, headers: IncomingHttpHeaders): IncomingHttpHeaders {
  // The last three concern the connection to the client, and undici refuses to send them.
  const { forwarded, 'x-forwarded-host': forwardedHost, expect, 'keep-alive': keepAlive, upgrade, ...rest } = headers
  void [forwarded, forwardedHost, expect, keepAlive, upgrade]
  return {
    ...rest,
    // reply-from has put the replica's address here.
    ...(request.headers.host !== undefined && { host: request.headers.host }),
    'x-forwarded-for': request.socket.remoteAddress?.replace(/^::ffff:/, '') ?? '',
    'x-forwarded-proto': 'http',
    'x-request-id': request.id
  }
}

/** Whom a route sends its requests to, and what it does with their cookies. */
export interface Route {
  rotation: Rotation
  /** Keeps each client at its server, by a cookie. */
  isSticky?: boolean
  /** What a 502 says where nobody is there, if not what it says elsewhere. */
  nobody?: object
  /** Cookies for `/` are kept to this path, for other routes have some of the same name. */
  cookiePath?: string
}

const readSticky = ({ headers: { cookie = '' } }: FastifyRequest): string | undefined =>
  new RegExp(`(?:^|; *)${STICKY_COOKIE}=([0-9a-f]{32})(?:;|$)`).exec(cookie)?.[1]

/** Sends the request to a replica, and to the next one where that can do no harm. */
export function forward(
  { rotation, isSticky = false, nobody, cookiePath }: Route,
  request: FastifyRequest,
  reply: FastifyReply,
  path: string,
  options: object
): void {
  const payload = request.body
  const tried = new Set<Upstream>()
  const keptAt = isSticky ? findSticky(rotation.replicas, readSticky(request)) : undefined
  const began = performance.now()
  let unavailable = false
  let late = false
  const attempt = (): void => {
    const replica = keptAt && !tried.has(keptAt) ? keptAt : rotation.take(tried)
    if (!replica && late) return void answer(reply, 504)
    if (!replica && unavailable) return void answer(reply.header('retry-after', 1), 503)
    if (!replica) return void answer(reply, 502, nobody)
    tried.add(replica)
    // A stream goes through as it is; anything else would be encoded again.
    if (Buffer.isBuffer(payload)) request.body = Readable.from([payload])
    reply.from(path, {
      ...options,
      getUpstream: () => replica.url,
      rewriteRequestHeaders: (_request, headers) => forwardedHeaders(request, headers),
      // Never the same one again, which is all that the plugin's own retries do.
      retryDelay: () => null,
      onError: (_reply, { error }) => {
        const codes = codesOf(error)
        const neverSent = codes.some((code) => NEVER_SENT.has(code))
        late = codes.includes('UND_ERR_HEADERS_TIMEOUT')
        const isInTime = performance.now() - began < GOES_ON_MS
        if (neverSent || (isRepeatable(request.method) && isInTime)) attempt()
        else answer(reply, late ? 504 : 502)
      },
      onResponse: (_request, _reply, response) => {
        const { stream } = response as unknown as { stream: Readable }
        // Those of the replica's connection, not of the client's.
        for (const name of ['connection', 'keep-alive']) reply.removeHeader(name)
        if (cookiePath !== undefined) keepCookiesTo(cookiePath, reply)
        if (isSticky && replica !== keptAt) {
          reply.header(
            'set-cookie',
            `${STICKY_COOKIE}=${stickyName(replica)}; Path=${cookiePath}; HttpOnly; SameSite=Lax`
          )
        }
        // One replica may be cut off from what another still reaches.
        if (reply.statusCode === 503 && isRepeatable(request.method) && tried.size < rotation.replicas.length) {
          stream.destroy()
          unavailable = true
          for (const name of Object.keys(reply.getHeaders())) reply.removeHeader(name)
          attempt()
        } else reply.send(stream)
      }
    })
  }
  attempt()
}

/** As nginx' `proxy_cookie_path` does. */
function keepCookiesTo(path: string, reply: FastifyReply): void {
  const cookies = [reply.getHeader('set-cookie') ?? []].flat().map(String)
  reply.removeHeader('set-cookie')
  for (const cookie of cookies) reply.header('set-cookie', cookie.replace(/; *Path=\/(?=;|$)/i, `; Path=${path}`))
}
