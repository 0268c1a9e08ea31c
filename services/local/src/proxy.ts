import { randomUUID } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import httpProxy from '@fastify/http-proxy'
import Fastify, { type FastifyRequest } from 'fastify'
import { serveConsole } from './console.js'
import { LocalError } from './errors.js'
import { LANES, STICKY } from './lanes.js'
import { localUrl, type Balancer, type BalancerOptions } from './nginx.js'
import { answer, answerSocket } from './proxy-answers.js'
import { forward, type Route } from './proxy-forward.js'
import { Rotation } from './rotation.js'

const KIB = 1024

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

/** The path as a replica's router will see it, so that no spelling of it slips through. */
function isMetrics(path: string): boolean {
  try {
    const { pathname } = new URL(`http://replica${path}`)
    return /^(?:\/+lanes\/+[^/]+)?\/+metrics(?:\/|$)/i.test(decodeURIComponent(pathname).replaceAll('\\', '/'))
  } catch {
    return true
  }
}

/** What a lane of the comparison says in place of the 502, for it is not there unless it is asked for. */
const NOBODY_IN_LANE = {
  code: 'LANE_EMPTY',
  message:
    'No server of this lane answered: there are memory, sticky, cluster, jwt and single, which docker compose --profile compare up -d, or npm start -- --compare, starts'
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
