import { randomUUID } from 'node:crypto'
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Readable, type Duplex } from 'node:stream'
import httpProxy from '@fastify/http-proxy'
import Fastify, { type FastifyReply, type FastifyRequest } from 'fastify'
import { serveConsole } from './console.js'
import { LocalError } from './errors.js'
import { LANES, STICKY, STICKY_COOKIE } from './lanes.js'
import { localUrl, type Balancer, type BalancerOptions } from './nginx.js'
import type { Upstream } from './replicas.js'
import { findSticky, Rotation, stickyName } from './rotation.js'

const KIB = 1024

/** What nginx answers itself, in the same words (nginx/nginx.conf.template). */
const ANSWERS = {
  400: { code: 'BAD_REQUEST', error: 'Bad Request', message: 'This is not a valid HTTP request' },
  404: { code: 'NOT_FOUND', error: 'Not Found', message: 'There is no such path' },
  408: { code: 'REQUEST_TIMEOUT', error: 'Request Timeout', message: 'The request did not arrive in time' },
  413: { code: 'BODY_TOO_LARGE', error: 'Payload Too Large', message: 'The body is larger than 16 KiB' },
  415: { code: 'UNSUPPORTED_MEDIA_TYPE', error: 'Unsupported Media Type', message: 'The content type is not valid' },
  431: { code: 'HEADERS_TOO_LARGE', error: 'Request Header Fields Too Large', message: 'The headers are too large' },
  502: {
    code: 'NO_REPLICA',
    error: 'Bad Gateway',
    message: 'No replica answered; a request that changes something may have been carried out all the same'
  },
  503: {
    code: 'REPLICAS_UNAVAILABLE',
    error: 'Service Unavailable',
    message: 'No replica that is there can serve this at the moment'
  },
  504: {
    code: 'REPLICA_TIMEOUT',
    error: 'Gateway Timeout',
    message: 'No replica answered in time; a request that changes something may have been carried out all the same'
  }
} as const

type Answer = keyof typeof ANSWERS

/** What a lane of the comparison says in place of the 502, for it is not there unless it is asked for. */
const NOBODY_IN_LANE = {
  code: 'LANE_EMPTY',
  message:
    'No server of this lane answered: there are memory, sticky, cluster, jwt and single, which docker compose --profile compare up -d, or npm start -- --compare, starts'
}

const body = (statusCode: Answer, other?: object): object => ({ statusCode, ...ANSWERS[statusCode], ...other })

function answer(reply: FastifyReply, statusCode: Answer, other?: object): FastifyReply {
  // By hand, for Fastify's serializer of errors drops `code`.
  return reply
    .code(statusCode)
    .type('application/json')
    .header('x-request-id', reply.request.id)
    .send(JSON.stringify(body(statusCode, other)))
}

/** How long a client has to read why it was refused, in milliseconds, before the connection is closed on our side too. */
const LINGER_MS = 1000

/** Answers what never becomes a request that Fastify knows of. */
function answerSocket(socket: Duplex, statusCode: 400 | 408 | 431): void {
  const text = JSON.stringify(body(statusCode))
  socket.end(
    `HTTP/1.1 ${statusCode} ${ANSWERS[statusCode].error}\r\nContent-Type: application/json\r\nX-Request-Id: ${randomUUID()}\r\n` +
      `Content-Length: ${Buffer.byteLength(text)}\r\nConnection: close\r\n\r\n${text}`
  )
  // Node looks after this connection no more: one whose client does not close its side would be kept for ever.
  setTimeout(() => socket.destroy(), LINGER_MS).unref()
}

/**
 * HTTP/1.1 has one Host, and only one (RFC 9112 §3.2). Nor are there two Authorizations: Node would keep the first, and a
 * replica would never know of the other.
 */
function isUnambiguous({ httpVersion, rawHeaders }: IncomingMessage): boolean {
  const count = (header: string): number =>
    rawHeaders.filter((name, i) => i % 2 === 0 && name.toLowerCase() === header).length
  const hosts = count('host')
  return (hosts === 1 || (hosts === 0 && httpVersion === '1.0')) && count('authorization') <= 1
}

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

/** The path as a replica's router will see it, so that no spelling of it slips through. */
function isMetrics(path: string): boolean {
  try {
    const { pathname } = new URL(`http://replica${path}`)
    return /^(?:\/+lanes\/+[^/]+)?\/+metrics(?:\/|$)/i.test(decodeURIComponent(pathname).replaceAll('\\', '/'))
  } catch {
    return true
  }
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
interface Route {
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
function forward(
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

/** The routes of a comparison, each under its prefix. Without one they are there and have nobody: what to do is said. */
function laneRoutes(pools: BalancerOptions['pools']): [prefix: string, Route][] {
  const routes = Object.entries(LANES).map(([name, kind]): [string, Route] => {
    const prefix = `/lanes/${name}`
    const cookies = kind === 'sessions-memory' || kind === 'sessions-redis' ? { cookiePath: prefix } : {}
    const rotation = new Rotation(pools?.[kind] ?? [])
    return [prefix, { rotation, isSticky: name === STICKY, nobody: NOBODY_IN_LANE, ...cookies }]
  })
  return [...routes, ['/lanes', { rotation: new Rotation([]), nobody: NOBODY_IN_LANE }]]
}

/**
 * The balancer of a machine that has no nginx, in this process: it does what the nginx template does, as far as one
 * developer sees it.
 * @throws {LocalError} its port is taken
 */
export async function startProxy(options: BalancerOptions): Promise<Balancer> {
  const { host = '127.0.0.1', port = 0, replicas } = options
  const app = Fastify({
    bodyLimit: 16 * KIB,
    connectionTimeout: 0,
    keepAliveTimeout: 65_000,
    requestTimeout: 10_000,
    // Node looks for those who are late every 30 s unless told otherwise, and for the Host in words of its own.
    http: {
      maxHeaderSize: 16 * KIB,
      headersTimeout: 5_000,
      connectionsCheckingInterval: 1_000,
      requireHostHeader: false
    },
    // `GET http://host/path`, which a server must understand (RFC 9112 §3.2.2).
    rewriteUrl: ({ url = '/' }) => url.replace(/^https?:\/\/[^/?]*/i, '') || '/',
    // Fresh, whatever the client calls it.
    genReqId: () => randomUUID(),
    requestIdHeader: false,
    forceCloseConnections: 'idle',
    return503OnClosing: false,
    clientErrorHandler(error, socket) {
      if (error.code === 'ECONNRESET' || socket.destroyed || !socket.writable) return
      const late = error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
      answerSocket(socket, error.code === 'HPE_HEADER_OVERFLOW' ? 431 : late ? 408 : 400)
    },
    frameworkErrors: (_error, _request, reply) => void answer(reply, 400)
  })
  app.server.on('connect', (_request, socket) => {
    // Node listens to it no more, and an error that nobody listens for would end the launcher.
    socket.on('error', () => socket.destroy())
    answerSocket(socket, 400)
  })
  // An expectation that nobody knows may be passed over (RFC 9110 §10.1.1).
  app.server.on('checkExpectation', (request, response) => app.server.emit('request', request, response))

  app.setErrorHandler((error: { statusCode?: number }, _request, reply) => {
    const { statusCode = 500 } = error
    answer(reply, statusCode === 413 || statusCode === 415 ? statusCode : statusCode < 500 ? 400 : 502)
  })
  app.setNotFoundHandler((_request, reply) => answer(reply, 404))
  app.addHook('onRequest', async (request, reply) => {
    if (!isUnambiguous(request.raw)) await answer(reply, 400)
    else if (isMetrics(request.url)) await answer(reply, 404)
  })
  if (options.console !== undefined) await serveConsole(app, options.console)
  // What is no JSON, or of no type, is for a replica to refuse.
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', { parseAs: 'buffer' }, async (_request: FastifyRequest, payload: Buffer) => payload)
  const routes: [prefix: string, Route][] = [['/', { rotation: new Rotation(replicas) }], ...laneRoutes(options.pools)]
  for (const [prefix, route] of routes) {
    await app.register(httpProxy, {
      prefix,
      upstream: '',
      proxyPayloads: false,
      internalRewriteLocationHeader: false,
      disableRequestLogging: true,
      disableCache: true,
      destroyAgent: true,
      undici: {
        // No limit: those behind a replica that hangs would wait for the others to be given up.
        connections: 0,
        // As in the nginx template. A replica asks for 72 s, which would count without the second line.
        keepAliveTimeout: 1_000,
        keepAliveMaxTimeout: 1_000,
        headersTimeout: 6_000,
        bodyTimeout: 6_000,
        connectTimeout: 1_000
      },
      replyOptions: { getUpstream: () => route.rotation.replicas[0]?.url ?? '' },
      handler: (request, reply, path, from) => forward(route, request, reply, path, from)
    })
  }

  try {
    await app.listen({ host, port })
  } catch (error) {
    await app.close()
    const { code } = error as NodeJS.ErrnoException
    throw new LocalError(`the balancer cannot listen on ${host}:${port}: ${code ?? String(error)}`, { cause: error })
  }
  const address = app.server.address() as AddressInfo
  return {
    kind: 'embedded',
    url: localUrl(host, address.port),
    reason: 'no nginx on the PATH',
    // It looks at each request.
    refresh: async () => undefined,
    async stop() {
      const cut = setTimeout(() => app.server.closeAllConnections(), 1_000)
      await app.close()
      clearTimeout(cut)
    }
  }
}
