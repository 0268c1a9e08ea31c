import fp from 'fastify-plugin'
import type { Denylist } from '../denylist/denylist.js'
import { createDirectDenylist } from '../denylist/direct.js'

declare module 'fastify' {
  interface FastifyInstance {
    denylist: Denylist
  }
}

export const denylist = fp(
  async (app) => {
    app.decorate('denylist', createDirectDenylist(app.redis))
  },
  { name: 'denylist', dependencies: ['redis'] }
)
