import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { exemptFromOverload } from '@one-secret/api/plugins/overload.js'
import { Type } from 'typebox'
import type { StoreKind } from '../app.js'

const Alive = Type.Object({ status: Type.Literal('alive') })
const State = Type.Enum(['up', 'down'])
const Readiness = Type.Object({
  status: Type.Enum(['ready', 'not-ready', 'draining']),
  replica: Type.String(),
  postgres: State,
  store: State
})

/** As at the api. */
export const health: FastifyPluginAsyncTypebox<{ replicaName: string; kind: StoreKind }> = async (
  app,
  { replicaName, kind }
) => {
  app.get('/health/live', { config: exemptFromOverload, schema: { response: { 200: Alive } } }, async () => ({
    status: 'alive' as const
  }))

  app.get(
    '/health/ready',
    { config: exemptFromOverload, schema: { response: { 200: Readiness, 503: Readiness } } },
    async (_request, reply) => {
      const [postgres, store] = await Promise.all([
        state(app.pg.query('SELECT 1')),
        kind === 'memory' ? ('up' as const) : state(app.redis.ping())
      ])
      const up = postgres === 'up' && store === 'up'
      const status = app.draining ? ('draining' as const) : up ? ('ready' as const) : ('not-ready' as const)
      return reply.code(status === 'ready' ? 200 : 503).send({ status, replica: replicaName, postgres, store })
    }
  )
}

const state = (answer: Promise<unknown>): Promise<'up' | 'down'> =>
  answer.then(
    () => 'up' as const,
    () => 'down' as const
  )
