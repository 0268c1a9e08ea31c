import { randomUUID } from 'node:crypto'
import type { FastifyBaseLogger } from 'fastify'
import type { Redis } from 'ioredis'
import type { Pool } from 'pg'
import { GENERATION } from './append.js'
import type { Revocation } from './denylist.js'
import { pagesOf } from './entries.js'
import { liveRevocations, PAGE } from './records.js'
import { fill } from './whole.js'

/** How long the mark of a restore that was broken off stays in Redis, in milliseconds. */
const MARK_LIFETIME_MS = 60_000

/** KEYS: the mark, the generation. ARGV: a new generation. Returns 0 where the mark is gone. */
const COMPLETE = `
  if redis.call('DEL', KEYS[1]) == 0 then return 0 end
  redis.call('SET', KEYS[2], ARGV[1], 'NX')
  return 1`

export interface RestoreOptions {
  /** What this replica knows of itself, beside what is on record. */
  own?: () => Iterable<Revocation>
  /** Is told of each restore. */
  onEnd?: (outcome: 'completed' | 'failed') => void
}

/**
 * Fills a Redis that has lost the denylist from the record in Postgres, and then says so by a generation.
 *
 * Nothing is missed: a revocation is committed in Postgres before it is appended, and an append without a generation
 * fails. So one that the restore did not read yet is appended after it. The mark stands for the Redis that the restore
 * began with: were it wiped again half way, the restore begins anew. Several replicas may do this at once.
 *
 * @returns a function that restores; a second call while one is under way is the same call
 */
export function createRestore(
  pg: Pool,
  redis: Redis,
  log: FastifyBaseLogger,
  { own = () => [], onEnd = () => undefined }: RestoreOptions = {}
): () => Promise<void> {
  async function* everything(onPage: (page: Revocation[]) => void): AsyncGenerator<Revocation[]> {
    for (const pages of [liveRevocations(pg), pagesOf(own(), PAGE)]) {
      for await (const page of pages) {
        onPage(page)
        yield page
      }
    }
  }

  async function restore(): Promise<void> {
    const started = performance.now()
    for (;;) {
      const mark = `denylist:restore:${randomUUID()}`
      await redis.set(mark, 1, 'PX', MARK_LIFETIME_MS)
      let count = 0
      const isFilled = await fill(
        redis,
        mark,
        everything((page) => (count += page.length))
      )
      if (!isFilled || (await redis.eval(COMPLETE, 2, mark, GENERATION, randomUUID())) === 0) continue
      // The first Redis there ever was had nothing to lose.
      const level = count === 0 ? 'info' : 'warn'
      log[level]({ count, ms: Math.round(performance.now() - started) }, 'filled the denylist in Redis from Postgres')
      onEnd('completed')
      return
    }
  }

  let underWay: Promise<void> | undefined
  return () =>
    (underWay ??= restore()
      .catch((error: unknown) => {
        log.warn({ err: error }, 'cannot fill the denylist in Redis from Postgres')
        onEnd('failed')
        throw error
      })
      .finally(() => (underWay = undefined)))
}
