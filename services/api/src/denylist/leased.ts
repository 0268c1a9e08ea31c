import type { Redis } from 'ioredis'
import { RevocationUnknown } from '../errors.js'
import type { Denylist } from './denylist.js'
import { now, type Follower } from './follower.js'
import { createLookUps } from './look-up.js'
import { holds, isSameProcess, isYounger, judgeLookUp } from './protocol.js'

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
  /** The connection that looks up directly. */
  redis: Redis
  follower: Follower
  publish: Denylist['publish']
  outage: Outage
  /** Whether Redis has replicas of its own, one of which may take its place. */
  hasReplicas: boolean
  onCheck: (by: CheckedBy) => void
  /** Is told as soon as there may be another Redis, or another generation. */
  onMet: () => void
}

/**
 * The denylist without a round trip: this replica answers from its own copy for as long as it holds a lease, and a
 * revocation is acknowledged once no replica holds one that does not know of it. Without a lease Redis is asked.
 */
export function createLeasedDenylist(options: LeasedOptions): Denylist {
  const { redis, follower, publish, outage, hasReplicas, onCheck, onMet } = options
  const lookUps = createLookUps(redis, {
    hasReplicas,
    onMet(server) {
      onMet()
      const loaded = follower.view?.server
      if (loaded !== undefined && loaded !== server && isSameProcess(loaded, server)) follower.reload()
    }
  })
  follower.onLoad(lookUps.meet)

  async function askRedis(token: { jti: string; sid: string }): Promise<boolean> {
    const answer = judgeLookUp(follower.view, await lookUps.lookUp(token))
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

    publish,

    // Also without a lease, as where Redis is full: it answers, if more slowly.
    isReady: async () =>
      holds(follower.lease, now()) ||
      askRedis(NOBODY).then(
        () => true,
        () => false
      )
  }
}
