import { randomUUID } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox'
import fastify, { LogController, type FastifyServerOptions } from 'fastify'
import { answerBrokenRequest, answerUnroutable } from './errors.js'

interface HttpServerOptions {
  replicaName: string
  /** Addresses of the balancer. */
  trustProxy: string[]
}

/** Fastify with a bound on whatever a client may send or take its time with, and nothing registered yet. */
export function createHttpServer(
  { replicaName, trustProxy }: HttpServerOptions,
  logger: FastifyServerOptions['logger'] = false
) {
  return fastify({
    logger,
    // The balancer logs every request, with this replica's address and timings; here only what went wrong is logged.
    logController: new LogController({ disableRequestLogging: true }),
    genReqId: requestId,
    trustProxy: trustProxy.length > 0 ? trustProxy : false,
    // A plugin that waits for something has a bound of its own, below this.
    pluginTimeout: 40_000,
    bodyLimit: 16 * 1024,
    requestTimeout: 10_000,
    // Longer than the balancer keeps a connection, so that it is never this side that ends one which is about to be used.
    keepAliveTimeout: 72_000,
    // Node looks for the late ones every 30 s unless told otherwise.
    http: {
      maxHeaderSize: 16 * 1024,
      headersTimeout: 6_000,
      connectionsCheckingInterval: 1_000,
      requireHostHeader: false
    },
    // `GET http://host/path`, which a server must understand (RFC 9112 §3.2.2).
    rewriteUrl: ({ url = '/' }) => url.replace(/^https?:\/\/[^/?]*/i, '') || '/',
    // A request that still arrives while closing is served: the balancer could not repeat a POST elsewhere.
    return503OnClosing: false,
    forceCloseConnections: 'idle',
    clientErrorHandler: answerBrokenRequest(replicaName),
    frameworkErrors: answerUnroutable(replicaName),
    ajv: { customOptions: { removeAdditional: false, coerceTypes: false } }
  }).withTypeProvider<TypeBoxTypeProvider>()
}

/** The balancer's id, so that its log line and this replica's are found by the same word; or a new one. */
function requestId({ headers }: IncomingMessage): string {
  const given = headers['x-request-id']
  return typeof given === 'string' && /^[\w-]{1,64}$/.test(given) ? given : randomUUID()
}
