import { Server as NetServer } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import fp from 'fastify-plugin'

declare module 'fastify' {
  interface FastifyInstance {
    /** From the first step of closing on. */
    draining: boolean
  }
}

/** How long connections without a request may stay open after the listener has closed, in milliseconds. */
const IDLE_CONNECTIONS_MS = 1000

/**
 * Leaves a balancer that cannot be told. While the replica drains it goes on serving, with `Connection: close` on each
 * answer, so that the connections the balancer keeps end one by one after an answer and none ends under a request.
 * Then it stops listening: a new connection is refused, which the balancer mends by asking another replica.
 */
export const drain = fp<{ drainMs: number }>(
  async (app, { drainMs }) => {
    app.decorate('draining', false)
    app.addHook('preClose', async () => {
      app.draining = true
      if (!app.server.listening) return
      await sleep(drainMs)
      // Not http.Server's close, which would also cut the idle connections, maybe just as a request comes in on one.
      NetServer.prototype.close.call(app.server)
      const deadline = performance.now() + IDLE_CONNECTIONS_MS
      while (performance.now() < deadline && (await connections(app.server)) > 0) await sleep(20)
    })
  },
  { name: 'drain' }
)

async function connections(server: NetServer): Promise<number> {
  return new Promise((resolve, reject) => {
    server.getConnections((error, count) => (error ? reject(error) : resolve(count)))
  })
}
