import type { Redis } from 'ioredis'
import { RevocationPending, RevocationUnknown } from '../errors.js'
import { within } from '../within.js'
import { append, GENERATION } from './append.js'
import type { Denylist } from './denylist.js'
import { lookUp } from './look-up.js'
import { replicated } from './replicas-of-redis.js'

/** How long a revocation waits for a Redis that has lost its data to be filled again, in milliseconds. */
const RESTORE_MS = 2000

/**
 * The denylist in its plain form: every replica asks Redis at every request, with one command. So a revocation is
 * final on all of them once Redis has it, and a Redis that does not answer, or has lost its data, means that nobody
 * knows.
 *
 * @param restore fills Redis where it has lost its data
 */
export function createDirectDenylist(
  redis: Redis,
  restore: () => Promise<void>,
  { hasReplicas = false } = {}
): Denylist {
  // Nobody waits for it here: whoever comes next finds it done, or begins it again. It has logged why it failed.
  const restoreInBackground = (): void => void restore().catch(() => undefined)

  return {
    async isRevoked(token) {
      const { generation, found } = await lookUp(redis, token, { hasReplicas })
      if (generation === null) {
        restoreInBackground()
        throw Object.assign(new RevocationUnknown(), { cause: new Error('Redis has lost the denylist') })
      }
      return found
    },

    async publish(revocations) {
      const started = performance.now()
      const write = () => append(redis, GENERATION, revocations)
      const writeSafely = () => (hasReplicas ? replicated(redis, write) : write())
      try {
        if (!(await writeSafely())) {
          await within(RESTORE_MS, restore())
          if (!(await writeSafely())) throw new Error('Redis has lost the denylist again')
        }
      } catch (cause) {
        throw Object.assign(new RevocationPending(), { cause })
      }
      return {
        revoked: revocations.map(({ kind, id }) => ({ kind, id })),
        acknowledgedBy: [],
        waitedMs: Math.round((performance.now() - started) * 10) / 10,
        boundMs: 0
      }
    },

    async isReady() {
      if ((await redis.exists(GENERATION)) === 1) return true
      restoreInBackground()
      return false
    }
  }
}
