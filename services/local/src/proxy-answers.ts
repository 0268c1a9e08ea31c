import { randomUUID } from 'node:crypto'
import type { Duplex } from 'node:stream'
import type { FastifyReply } from 'fastify'

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

const body = (statusCode: Answer, other?: object): object => ({ statusCode, ...ANSWERS[statusCode], ...other })

/** @param other what the body says otherwise */
export function answer(reply: FastifyReply, statusCode: Answer, other?: object): FastifyReply {
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
export function answerSocket(socket: Duplex, statusCode: 400 | 408 | 431): void {
  const text = JSON.stringify(body(statusCode))
  socket.end(
    `HTTP/1.1 ${statusCode} ${ANSWERS[statusCode].error}\r\nContent-Type: application/json\r\nX-Request-Id: ${randomUUID()}\r\n` +
      `Content-Length: ${Buffer.byteLength(text)}\r\nConnection: close\r\n\r\n${text}`
  )
  // Node looks after this connection no more: one whose client does not close its side would be kept for ever.
  setTimeout(() => socket.destroy(), LINGER_MS).unref()
}
