import type { Redis } from 'ioredis'
import { RevocationPending, RevocationUnknown } from '../errors.js'
import { within } from '../within.js'
import { append, GENERATION } from './append.js'
import type { Barriers } from './barrier.js'
import type { Denylist } from './denylist.js'
import { now, serverOf, type Follower } from './follower.js'
import { lookUp } from './look-up.js'
import { replicated } from './replicas-of-redis.js'
import { holds, isYounger, judgeLookUp } from './protocol.js'

/** How long a revocation waits for a Redis that has lost its data to be filled again, in milliseconds. */
const RESTORE_MS = 2000

/** A token that nobody has. */
const NOBODY = { jti: '', sid: '' }

export interface Outage {
  /** Where neither the lease holds nor Redis answers: a 503, or the answer of the set as it was. */
  policy: 'refuse' | 'serve-stale'
  /** How long after the last lease was taken the set may still be served, in milliseconds. */
  maxStalenessMs: number
}

/** By what a token was checked. */
export type CheckedBy = 'local' | 'direct' | 'stale' | 'refused'

export interface LeasedOptions {
  /** The connection that appends and looks up directly. */
  redis: Redis
  follower: Follower
  barriers: Barriers
  /** Who appends: this replica, as it is registered. */
  member: string
  /** Fills a Redis that has lost its data. */
  restore: () => Promise<void>
  outage: Outage
  /** Whether Redis has replicas of its own, one of which may take its place. */
  hasReplicas: boolean
  onCheck: (by: CheckedBy) => void
  /** How long a revocation has waited behind the barrier, in milliseconds. */
  onPassed: (ms: number) => void
}

/**
 * The denylist without a round trip: this replica answers from its own copy for as long as it holds a lease, and a
 * revocation is acknowledged once no replica holds one that does not know of it. Without a lease Redis is asked.
 */
export function createLeasedDenylist(options: LeasedOptions): Denylist {
  const { redis, follower, barriers, member, restore, outage, hasReplicas, onCheck, onPassed } = options

  /** The process at the other end of the connection; undefined until it has said so. */
  let server: string | undefined
  let connection = 0
  const meet = async (): Promise<void> => {
    const met = connection
    const [name, generation] = await Promise.all([serverOf(redis), redis.get(GENERATION)])
    // One of the two may have been sent again on another connection, and the name be that of the last process.
    if (met !== connection) return
    server = name
    if (generation !== null) barriers.saw(generation)
  }
  // A connection that ends meanwhile is met again when the next is ready.
  const meetAgain = (): void => void meet().catch(() => undefined)
  redis.on('close', () => {
    connection++
    server = undefined
  })
  redis.on('ready', meetAgain)
  follower.onLoad(meetAgain)
  if (redis.status === 'ready') meetAgain()

  async function askRedis(token: { jti: string; sid: string }): Promise<boolean> {
    const [asked, on] = [server, connection]
    const found = await lookUp(redis, token, { hasReplicas })
    // Another connection meanwhile: the command may have been sent again, and who has answered is not known.
    const answer = judgeLookUp(follower.view, { server: on === connection ? asked : undefined, ...found })
    if (answer !== 'unknown') return answer
    throw Object.assign(new RevocationUnknown(), { cause: new Error('this is not the Redis that was loaded') })
  }

  async function checkWithoutLease(token: { jti: string; sid: string }): Promise<boolean> {
    try {
      const isRevoked = await askRedis(token)
      onCheck('direct')
      return isRevoked
    } catch (error) {
      if (outage.policy === 'serve-stale' && isYounger(follower.lease, now(), outage.maxStalenessMs)) {
        onCheck('stale')
        return false
      }
      onCheck('refused')
      throw error
    }
  }

  return {
    isRevoked({ jti, sid }) {
      // The set first: what is in it was revoked, lease or no lease.
      const { entries } = follower
      const isRevoked = entries.has('jti', jti) || entries.has('sid', sid)
      if (!isRevoked && !holds(follower.lease, now())) return checkWithoutLease({ jti, sid })
      onCheck('local')
      return isRevoked
    },

    async publish(revocations) {
      const writeOnce = () => append(redis, GENERATION, revocations, { by: member })
      const write = () => (hasReplicas ? replicated(redis, writeOnce) : writeOnce())
      try {
        let appended = await write()
        if (appended === undefined) {
          await within(RESTORE_MS, restore())
          appended = await write()
          if (appended === undefined) throw new Error('Redis has lost the denylist again')
        }
        const { acknowledgedBy, waitedMs, boundMs } = await barriers.pass(appended)
        onPassed(waitedMs)
        return {
          revoked: revocations.map(({ kind, id }) => ({ kind, id })),
          acknowledgedBy,
          waitedMs: Math.round(waitedMs * 10) / 10,
          boundMs: Math.round(boundMs)
        }
      } catch (cause) {
        throw Object.assign(new RevocationPending(), { cause })
      }
    },

    // Also without a lease, as where Redis is full: it answers, if more slowly.
    isReady: async () =>
      holds(follower.lease, now()) ||
      askRedis(NOBODY).then(
        () => true,
        () => false
      )
  }
}
