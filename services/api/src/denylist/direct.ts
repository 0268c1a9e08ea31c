import type { FastifyBaseLogger } from 'fastify'
import type { Redis } from 'ioredis'
import type { Pool } from 'pg'
import { RevocationUnknown } from '../errors.js'
import type { Denylist } from './denylist.js'
import { createLookUps } from './look-up.js'
import { judgeLookUp, type View } from './protocol.js'
import { askStanding, makeWhole, serverOf } from './whole.js'

export interface DirectOptions {
  redis: Redis
  pg: Pool
  publish: Denylist['publish']
  /** Fills a Redis that has lost its data. */
  restore: () => Promise<void>
  /** Whether Redis has replicas of its own, one of which may take its place. */
  hasReplicas: boolean
  /** Is told as soon as there may be another Redis, or another generation. */
  onMet: () => void
  log: FastifyBaseLogger
}

/**
 * The denylist in its plain form: every replica asks Redis at every request, with one command. So a revocation is
 * final on all of them once Redis has it, and a Redis that does not answer, or may have lost something, means that nobody
 * knows.
 */
export function createDirectDenylist(options: DirectOptions): Denylist & { load(): Promise<void> } {
  const { redis, pg, publish, restore, hasReplicas, onMet, log } = options
  /** The Redis that is known to have everything on record. */
  let view: View | undefined

  const lookUps = createLookUps(redis, {
    hasReplicas,
    onMet(server, generation) {
      onMet()
      if (server !== view?.server || generation !== view.generation) loadInBackground()
    }
  })

  /** Gives a process of Redis that is new to this replica what it lacks: it may have come back in an older state. */
  async function fill(): Promise<void> {
    const standing = await askStanding(redis, restore)
    await makeWhole(redis, pg, standing, log)
    const { server, generation, lastId } = standing
    if (server !== (await serverOf(redis))) throw new Error('Redis was replaced meanwhile')
    view = { server, generation, cursor: lastId }
    onMet()
  }

  let underWay: Promise<void> | undefined
  const load = (): Promise<void> => (underWay ??= fill().finally(() => (underWay = undefined)))
  // Nobody waits for it here: whoever comes next finds it done, or begins it again.
  const loadInBackground = (): void =>
    void load().catch(({ message }: Error) =>
      log.warn({ reason: message }, 'whether Redis lacks revocations is not known')
    )

  const isRevoked = async (token: { jti: string; sid: string }): Promise<boolean> => {
    const answer = judgeLookUp(view, await lookUps.lookUp(token))
    if (answer !== 'unknown') return answer
    lookUps.meet()
    throw Object.assign(new RevocationUnknown(), { cause: new Error('Redis may have lost revocations') })
  }

  return {
    load,
    isRevoked,
    publish,
    isReady: () =>
      isRevoked({ jti: '', sid: '' }).then(
        () => true,
        () => false
      )
  }
}
