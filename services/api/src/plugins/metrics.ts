import fp from 'fastify-plugin'
import { collectDefaultMetrics, Histogram, Registry } from 'prom-client'

declare module 'fastify' {
  interface FastifyInstance {
    /** For what a plugin counts itself. */
    metricsRegistry: Registry
  }
}

/** `GET /metrics` in Prometheus' text format. The balancer does not pass it on. */
export const metrics = fp<{ replicaName: string }>(
  async (app, { replicaName }) => {
    const registry = new Registry()
    registry.setDefaultLabels({ replica: replicaName })
    collectDefaultMetrics({ register: registry })
    app.decorate('metricsRegistry', registry)
    const duration = new Histogram({
      name: 'http_request_duration_seconds',
      help: 'Time from the request to the end of its answer',
      labelNames: ['method', 'route', 'status'],
      buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5],
      registers: [registry]
    })

    app.addHook('onResponse', async (request, reply) => {
      // The route's pattern, not the URL: a client must not be able to make series.
      const route = request.routeOptions.url ?? 'none'
      duration.observe({ method: request.method, route, status: reply.statusCode }, reply.elapsedTime / 1000)
    })
    app.addHook('onClose', async () => registry.clear())
    app.get('/metrics', { schema: { hide: true } }, async (_request, reply) => {
      reply.type(registry.contentType)
      return registry.metrics()
    })
  },
  { name: 'metrics' }
)
