import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { append, GENERATION } from '@one-secret/api/denylist/append.js'
import type { Revocation } from '@one-secret/api/denylist/denylist.js'
import { LocalError } from '@one-secret/local'
import type { Redis } from 'ioredis'
import type { Backends } from './backends.js'

/** Longer than a run: what expired on the way would be a part of what is measured. In milliseconds. */
const REVOKED_FOR_MS = 45 * 60_000

/** Revocations at a time, in either store: the script that appends them holds Redis up for some ten milliseconds. */
const BATCH = 2000

/** Revocations of so many a second are appended in groups, so many times a second. */
const GROUPS_PER_SECOND = 50

/** Sessions that never were. */
function inventRevocations(count: number): Revocation[] {
  const expiresAt = new Date(Date.now() + REVOKED_FOR_MS)
  return Array.from({ length: count }, () => ({ kind: 'sid', id: randomUUID(), expiresAt }))
}

async function publish(redis: Redis, revocations: readonly Revocation[]): Promise<void> {
  if ((await append(redis, GENERATION, revocations)) === undefined) throw new LocalError('Redis has lost the denylist')
}

/** Nothing is revoked, and Redis says that this is all. No replica may be there that knows better. */
export async function emptyDenylist({ pool, redis }: Backends): Promise<void> {
  await pool.query('TRUNCATE revocations')
  await redis.flushdb()
  await redis.set(GENERATION, randomUUID())
}

/** Revokes so many more, in Postgres and in Redis, as the api would have done in the course of time. */
export async function fillDenylist({ pool, redis }: Backends, count: number): Promise<void> {
  for (let done = 0; done < count; done += BATCH) {
    const revocations = inventRevocations(Math.min(BATCH, count - done))
    await pool.query(
      `INSERT INTO revocations (kind, id, expires_at) SELECT 'sid', id, $1 FROM unnest($2::uuid[]) AS ids (id)`,
      [revocations[0]!.expiresAt, revocations.map(({ id }) => id)]
    )
    await publish(redis, revocations)
  }
}

export interface Revoking {
  /** Now, or after some time. @returns how many were revoked */
  stop(options?: { afterMs?: number }): Promise<number>
}

/** Revokes so many a second, the first at once. Replicas hear of it from Redis, so only there. */
export function startRevoking(redis: Redis, perSecond: number): Revoking {
  const stopping = new AbortController()
  let revoked = 0
  const run = async (): Promise<void> => {
    const began = performance.now()
    while (!stopping.signal.aborted) {
      const due = Math.floor(((performance.now() - began) / 1000) * perSecond) + 1
      if (due > revoked) {
        await publish(redis, inventRevocations(due - revoked))
        revoked = due
      }
      await sleep(1000 / GROUPS_PER_SECOND)
    }
  }
  const running = run()
  // Whoever stops it is told.
  running.catch(() => undefined)
  return {
    async stop({ afterMs = 0 } = {}) {
      await sleep(afterMs)
      stopping.abort()
      await running
      return revoked
    }
  }
}
