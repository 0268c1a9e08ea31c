import fp from 'fastify-plugin'
import { BodyNotJson } from '../errors.js'

/**
 * Bodies are JSON in UTF-8 (RFC 8259 §8.1). Fastify's own parser reads other bytes as U+FFFD, so that two different
 * passwords could be one. An empty body is no body, whatever type it says it has.
 */
export const jsonBody = fp(
  async (app) => {
    const utf8 = new TextDecoder('utf-8', { fatal: true })
    const parse = app.getDefaultJsonParser('error', 'error')
    app.removeAllContentTypeParsers()
    app.addContentTypeParser<Buffer>('application/json', { parseAs: 'buffer' }, (request, bytes, done) => {
      if (bytes.length === 0) return done(null, undefined)
      let text
      try {
        text = utf8.decode(bytes)
      } catch {
        return done(new BodyNotJson())
      }
      return parse(request, text, done)
    })
  },
  { name: 'json-body' }
)
