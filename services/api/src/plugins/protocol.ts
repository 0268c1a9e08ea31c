import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import fp from 'fastify-plugin'
import { answerBrokenRequest, BadRequest } from '../errors.js'

/** What HTTP/1.1 asks of a server and Node leaves to us, or answers in a shape of its own. */
export const protocol = fp(
  async (app) => {
    // One Host, and only one (RFC 9112 §3.2).
    app.addHook('onRequest', async ({ raw: { httpVersion, rawHeaders } }) => {
      const hosts = rawHeaders.filter((name, i) => i % 2 === 0 && name.toLowerCase() === 'host').length
      if (hosts > 1 || (hosts === 0 && httpVersion !== '1.0')) throw new BadRequest()
    })
    app.server.on('connect', (_request: IncomingMessage, socket: Duplex) => {
      // Node listens to it no more, and an error that nobody listens for would end the process.
      socket.on('error', () => socket.destroy())
      answerBrokenRequest(new Error('this is no proxy'), socket)
    })
    // An expectation that nobody knows may be passed over (RFC 9110 §10.1.1).
    app.server.on('checkExpectation', (request: IncomingMessage, response: ServerResponse) => {
      app.server.emit('request', request, response)
    })
  },
  { name: 'protocol' }
)
