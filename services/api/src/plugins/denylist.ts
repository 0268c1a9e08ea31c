import fp from 'fastify-plugin'
import type { Denylist } from '../denylist/denylist.js'
import { createDirectDenylist } from '../denylist/direct.js'
import { createRestore } from '../denylist/restore.js'

declare module 'fastify' {
  interface FastifyInstance {
    denylist: Denylist
  }
}

export const denylist = fp(
  async (app) => {
    const restore = createRestore(app.pg.pool, app.redis, app.log)
    app.decorate('denylist', createDirectDenylist(app.redis, restore))
    // A new Redis has no generation either: who starts first writes it.
    if (!(await app.denylist.isReady())) await restore()
  },
  { name: 'denylist', dependencies: ['postgres', 'redis'] }
)
