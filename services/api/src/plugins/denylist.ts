import fp from 'fastify-plugin'
import type { Registry } from 'prom-client'
import { countBy } from '../counts.js'
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
    const restores = countBy(app.metricsRegistry, {
      name: 'denylist_restores_total',
      help: 'Times that this replica filled a Redis that had lost the denylist, or tried to',
      label: 'outcome',
      values: ['completed', 'failed']
    })
    const restore = createRestore(app.pg.pool, app.redis, app.log, (outcome) => restores[outcome]++)
    app.decorate('denylist', counted(createDirectDenylist(app.redis, restore), app.metricsRegistry))
    // A new Redis has no generation either: who starts first writes it.
    if (!(await app.denylist.isReady())) await restore()
  },
  { name: 'denylist', dependencies: ['metrics', 'postgres', 'redis'] }
)

/** The same denylist, which counts what it is asked. */
function counted(denylist: Denylist, registry: Registry): Denylist {
  const lookUps = countBy(registry, {
    name: 'denylist_lookups_total',
    help: 'Valid tokens looked up in the denylist; unknown: nobody could tell whether it is revoked',
    label: 'outcome',
    values: ['clear', 'revoked', 'unknown']
  })
  const publications = countBy(registry, {
    name: 'revocations_published_total',
    help: 'Calls that revoked something; pending: not every replica could be told, and the client was asked to repeat it',
    label: 'outcome',
    values: ['acknowledged', 'pending']
  })
  const told = (revoked: boolean): boolean => {
    lookUps[revoked ? 'revoked' : 'clear']++
    return revoked
  }
  const unknown = (error: unknown): never => {
    lookUps.unknown++
    throw error
  }

  return {
    isRevoked(token) {
      let answer
      try {
        answer = denylist.isRevoked(token)
      } catch (error) {
        return unknown(error)
      }
      // At once, where it is known at once.
      return typeof answer === 'boolean' ? told(answer) : answer.then(told, unknown)
    },
    async publish(revocations) {
      try {
        const receipt = await denylist.publish(revocations)
        publications.acknowledged++
        return receipt
      } catch (error) {
        publications.pending++
        throw error
      }
    },
    isReady: () => denylist.isReady()
  }
}
