import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { exemptFromOverload } from '../plugins/overload.js'

const Alive = Type.Object({ status: Type.Literal('alive') }, { description: 'The process answers' })

const State = Type.Enum(['up', 'down'])
const Readiness = Type.Object({
  status: Type.Enum(['ready', 'not-ready', 'draining']),
  replica: Type.String(),
  postgres: State,
  redis: State,
  denylist: State
})

/**
 * Live: should this process be replaced? Never because of a dependency, for a new one would not have it either.
 * Ready: should it get requests? Not while it drains, nor where it could not serve them.
 */
export const health: FastifyPluginAsyncTypebox<{ replicaName: string }> = async (app, { replicaName }) => {
  app.get(
    '/health/live',
    {
      config: exemptFromOverload,
      schema: { tags: ['health'], summary: 'Is the process alive?', response: { 200: Alive } }
    },
    async () => ({ status: 'alive' as const })
  )

  app.get(
    '/health/ready',
    {
      config: exemptFromOverload,
      schema: {
        tags: ['health'],
        summary: 'Should it get requests?',
        response: {
          200: { ...Readiness, description: 'Ready' },
          503: { ...Readiness, description: 'Not ready, or draining' }
        }
      }
    },
    async (_request, reply) => {
      // Both are bounded by their connection's own time-outs.
      const [postgres, redis, denylist] = await Promise.all([
        state(app.pg.query('SELECT 1').then(() => true)),
        state(app.redis.ping().then(() => true)),
        state(app.denylist.isReady())
      ])
      const up = postgres === 'up' && redis === 'up' && denylist === 'up'
      const status = app.draining ? ('draining' as const) : up ? ('ready' as const) : ('not-ready' as const)
      return reply
        .code(status === 'ready' ? 200 : 503)
        .send({ status, replica: replicaName, postgres, redis, denylist })
    }
  )
}

const state = (answer: Promise<boolean>): Promise<'up' | 'down'> =>
  answer.then(
    (good) => (good ? 'up' : 'down'),
    () => 'down' as const
  )
