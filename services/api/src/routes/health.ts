import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { exemptFromOverload } from '../plugins/overload.js'

const Alive = Type.Object({ status: Type.Literal('alive') }, { description: 'The process answers' })

const State = Type.Enum(['up', 'down'])

export interface HealthOptions {
  replicaName: string
  /** What a request cannot be served without, by name: down where it answers false, or not at all. */
  needs: Record<string, () => Promise<unknown>>
}

/**
 * Live: should this process be replaced? Never because of a dependency, for a new one would not have it either.
 * Ready: should it get requests? Not while it drains, nor where it could not serve them.
 */
export const health: FastifyPluginAsyncTypebox<HealthOptions> = async (app, { replicaName, needs }) => {
  const Readiness = Type.Object({
    status: Type.Enum(['ready', 'not-ready', 'draining']),
    replica: Type.String(),
    ...Object.fromEntries(Object.keys(needs).map((name) => [name, State]))
  })

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
      // Each is bounded by its connection's own time-outs.
      const states = await Promise.all(
        Object.entries(needs).map(async ([name, ask]) => [name, await state(ask())] as const)
      )
      const up = states.every(([, one]) => one === 'up')
      const status = app.draining ? 'draining' : up ? 'ready' : 'not-ready'
      return reply
        .code(status === 'ready' ? 200 : 503)
        .send({ status, replica: replicaName, ...Object.fromEntries(states) })
    }
  )
}

const state = (answer: Promise<unknown>): Promise<'up' | 'down'> =>
  answer.then(
    (good) => (good === false ? 'down' : 'up'),
    () => 'down' as const
  )
