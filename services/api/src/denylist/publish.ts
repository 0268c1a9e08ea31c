import type { Redis } from 'ioredis'
import { RevocationPending } from '../errors.js'
import { within } from '../within.js'
import { append, GENERATION, requireOneTime, type Appended } from './append.js'
import type { Barriers } from './barrier.js'
import type { Denylist, Revocation } from './denylist.js'
import { PAGE } from './records.js'
import { replicated } from './replicas-of-redis.js'
import { lostAgain } from './whole.js'

/** How long a revocation waits for a Redis that has lost its data to be filled again, in milliseconds. */
const RESTORE_MS = 2000

export interface PublishOptions {
  redis: Redis
  barriers: Barriers
  /** Who appends, and is told what has been applied. */
  member: string
  /** Fills a Redis that has lost its data. */
  restore: () => Promise<void>
  /** Whether Redis has replicas of its own, one of which may take its place. */
  hasReplicas: boolean
  /** How long a revocation has waited behind the barrier, in milliseconds. */
  onPassed: (ms: number) => void
}

/**
 * Appends in pages, so that Redis answers others in between. Whoever has applied the last page has applied those before it.
 *
 * @returns undefined where Redis has lost its data
 */
async function appendAll(redis: Redis, revocations: readonly Revocation[], by: string): Promise<Appended | undefined> {
  let appended
  let at = 0
  do {
    appended = await append(redis, GENERATION, revocations.slice(at, at + PAGE), { by })
    at += PAGE
  } while (appended !== undefined && at < revocations.length)
  return appended
}

/** Appends, and waits behind the barrier: the same whether this replica keeps a copy or asks Redis, for others may keep one. */
export function createPublish(options: PublishOptions): Denylist['publish'] {
  const { redis, barriers, member, restore, hasReplicas, onPassed } = options
  return async (revocations) => {
    const writeOnce = () => appendAll(redis, revocations, member)
    const write = () => (hasReplicas ? replicated(redis, writeOnce) : writeOnce())
    try {
      let appended = await write()
      if (appended === undefined) {
        await within(RESTORE_MS, restore())
        appended = await write()
        if (appended === undefined) throw lostAgain()
      }
      requireOneTime(appended, revocations)
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
  }
}
