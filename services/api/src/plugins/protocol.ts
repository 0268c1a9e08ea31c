import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import fp from 'fastify-plugin'
import { answerBrokenRequest, BadRequest } from '../errors.js'
import { countHeader } from '../raw-headers.js'

/** What HTTP/1.1 asks of a server and Node leaves to us, or answers in a shape of its own. */
export const protocol = fp<{ replicaName: string }>(
  async (app, { replicaName }) => {
    const refuse = answerBrokenRequest(replicaName)
    // One Host, and only one (RFC 9112 §3.2).
    app.addHook('onRequest', ({ raw }, _reply, done) => {
      const hosts = countHeader(raw, 'host')
      done(hosts > 1 || (hosts === 0 && raw.httpVersion !== '1.0') ? new BadRequest() : undefined)
    })
    app.server.on('connect', (_request: IncomingMessage, socket: Duplex) => {
      // Node listens to it no more, and an error that nobody listens for would end the process.
      socket.on('error', () => socket.destroy())
      refuse(new Error('this is no proxy'), socket)
    })
    // An expectation that nobody knows may be passed over (RFC 9110 §10.1.1).
    app.server.on('checkExpectation', (request: IncomingMessage, response: ServerResponse) => {
      app.server.emit('request', request, response)
    })
  },
  { name: 'protocol' }
)
