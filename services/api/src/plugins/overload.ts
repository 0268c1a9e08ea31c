import underPressure from '@fastify/under-pressure'
import fp from 'fastify-plugin'
import { Overloaded } from '../errors.js'

declare module 'fastify' {
  interface FastifyContextConfig {
    /** @fastify/under-pressure: instead of the refusal; what returns lets the request pass. */
    pressureHandler?: () => void
  }
}

/** How late the event loop may be, in milliseconds, before requests are refused. */
const MAX_DELAY_MS = 200

/**
 * Over how long the delay is averaged, in milliseconds. What comes during one such interval is told by the next at the
 * latest, so a replica begins to refuse within two, and serves again within one. Longer, a mean hides what a client
 * notices; shorter, it is a single turn of the loop. Taking the mean also reads the process's memory: some 20 µs, twice a
 * second.
 */
const INTERVAL_MS = 500

/** A replica that is late does not write a line for each request, but one in so many milliseconds. */
const LOG_EVERY_MS = 1000

/**
 * A replica whose event loop is late refuses at once what it could only answer late: 503, so that the balancer asks another
 * one, and what is under way gets done. Its other thresholds stay off: neither memory nor a dependency that is down is a
 * reason to refuse what needs neither.
 *
 * Its own start, which holds up the loop, is no overload: a new replica that refuses would make a rolling restart lose
 * requests. So only an interval is believed that began after it listened. Where it never does, it shares the loop with
 * whoever calls it.
 */
export const overload = fp(
  async (app) => {
    let believedFrom = Infinity
    app.addHook('onListen', async () => {
      believedFrom = performance.now() + 2 * INTERVAL_MS
    })
    let loggedAt = -Infinity
    await app.register(underPressure, {
      maxEventLoopDelay: MAX_DELAY_MS,
      sampleInterval: INTERVAL_MS,
      async pressureHandler(request, _reply, _type, delayMs) {
        const now = performance.now()
        if (now < believedFrom) return
        if (now - loggedAt > LOG_EVERY_MS) {
          loggedAt = now
          request.log.warn({ delayMs }, 'the event loop is late: requests are refused')
        }
        throw new Overloaded()
      }
    })
  },
  { name: 'overload' }
)

/** The `config` of a route that is to be answered all the same: who asks it wants to know how the replica is. */
export const exemptFromOverload = { pressureHandler: () => undefined }
