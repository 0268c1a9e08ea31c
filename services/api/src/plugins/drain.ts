import { Server as NetServer } from 'node:net'
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises'
import fp from 'fastify-plugin'

declare module 'fastify' {
  interface FastifyInstance {
    /** From the first step of closing on. */
    draining: boolean
  }
}

/**
 * How long connections without a request may stay open after the listener has closed, in milliseconds. Longer by far
 * than the balancer keeps one (keepalive_timeout in nginx.conf.template): so it is the balancer that ends an idle one, never
 * this side, maybe just as a request comes in on it.
 */
export const IDLE_CONNECTIONS_MS = 3000

/** A turn of the event loop shorter than this, in milliseconds, is one in which nothing else was done. */
const QUIET_TURN_MS = 0.2

/** How many turns to wait for a quiet one. */
const MAX_TURNS = 1000

/**
 * Leaves a balancer that cannot be told, in three steps:
 * 1. For `drainMs` everything is served as before, but readiness is 503. Connections are kept: a balancer that has some
 *    to use opens no new one, which might be lost when the listener closes.
 * 2. The listener closes: a new connection is refused, which the balancer mends by asking another replica, for nothing
 *    has been sent yet.
 * 3. Each answer says `Connection: close`, so that connections in use end after an answer and none ends under a request.
 */
export const drain = fp<{ drainMs: number }>(
  async (app, { drainMs }) => {
    app.decorate('draining', false)
    app.addHook('onRequest', (_request, reply, done) => {
      // Fastify says `close` as soon as it closes; that is too early while a new connection can still be opened.
      if (app.draining && app.server.listening) reply.raw.setHeader('connection', 'keep-alive')
      done()
    })
    app.addHook('preClose', async () => {
      app.draining = true
      if (!app.server.listening) return
      await sleep(drainMs)
      await quietTurn()
      // Not http.Server's close, which would also cut the idle connections.
      NetServer.prototype.close.call(app.server)
      const deadline = performance.now() + IDLE_CONNECTIONS_MS
      while (performance.now() < deadline && (await connections(app.server)) > 0) await sleep(20)
    })
  },
  { name: 'drain' }
)

/**
 * Waits for a moment in which every connection that was made has just been accepted: those which the kernel holds for a
 * listener are reset when it closes, whatever was sent on them.
 */
async function quietTurn(): Promise<void> {
  let began = performance.now()
  for (let turn = 0; turn < MAX_TURNS; turn++) {
    await nextTurn()
    const now = performance.now()
    if (now - began < QUIET_TURN_MS) return
    began = now
  }
}

async function connections(server: NetServer): Promise<number> {
  return new Promise((resolve, reject) => {
    server.getConnections((error, count) => (error ? reject(error) : resolve(count)))
  })
}
