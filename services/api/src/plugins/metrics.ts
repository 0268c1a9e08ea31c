import type { onResponseHookHandler } from 'fastify'
import fp from 'fastify-plugin'
import { collectDefaultMetrics, Registry } from 'prom-client'
import { createDurations } from '../durations.js'
import { exemptFromOverload } from './overload.js'

declare module 'fastify' {
  interface FastifyInstance {
    /** For what a plugin counts itself. */
    metricsRegistry: Registry
  }
}

/**
 * `GET /metrics` in Prometheus' text format, which the balancer does not pass on: what Node says of itself, and how long
 * requests took. Everything else is counted where it happens. A label has values of ours alone: a client must not be able
 * to make series.
 */
export const metrics = fp<{ replicaName: string }>(
  async (app, { replicaName }) => {
    const registry = new Registry()
    registry.setDefaultLabels({ replica: replicaName })
    collectDefaultMetrics({ register: registry })
    app.decorate('metricsRegistry', registry)

    const newSeries = createDurations(registry, {
      name: 'http_request_duration_seconds',
      help: 'Time from the request to the end of its answer'
    })

    function recorder(method: string, route: string): onResponseHookHandler {
      const byStatus = new Map<number, (seconds: number) => void>()
      return (_request, { statusCode, elapsedTime }, done) => {
        let observe = byStatus.get(statusCode)
        if (observe === undefined) {
          observe = newSeries({ method, route, status: statusCode })
          byStatus.set(statusCode, observe)
        }
        observe(elapsedTime / 1000)
        done()
      }
    }

    // A hook for each route, which has nothing to look up but the status; and one for what is no route, whatever was sent.
    app.addHook('onRoute', (route) => {
      const record = recorder([route.method].flat().join(), route.url)
      route.onResponse = [record, ...[route.onResponse ?? []].flat()]
    })
    const recordNotFound = recorder('any', 'none')
    app.addHook('onResponse', function (request, reply, done) {
      if (request.is404) recordNotFound.call(this, request, reply, done)
      else done()
    })

    app.addHook('onClose', async () => registry.clear())
    app.get('/metrics', { config: exemptFromOverload, schema: { hide: true } }, async (_request, reply) => {
      reply.type(registry.contentType)
      return registry.metrics()
    })
  },
  { name: 'metrics' }
)
