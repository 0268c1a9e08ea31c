import { randomInt } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import fp from 'fastify-plugin'
import type { Pool } from 'pg'
import { countBy } from '../counts.js'

const TABLES = ['sessions', 'revocations'] as const

/**
 * How long a row is kept after it has expired, in seconds: far longer than two clocks differ, and than the last access token
 * of an expired session lives.
 */
const KEPT_SECONDS = 24 * 3600

/** Rows at a time: few enough that a statement is done long before its time-out, and holds up nobody. */
const BATCH = 1000

/**
 * Deletes what has expired long ago, batch by batch, or Postgres would grow for ever: nothing reads it any more. Every replica
 * does so, each at its own time, and what another is about to delete, or somebody is changing, is left to the next.
 */
export const purge = fp<{ everySeconds: number }>(
  async (app, { everySeconds }) => {
    const purged = countBy(app.metricsRegistry, {
      name: 'purged_rows_total',
      help: 'Rows deleted because they had expired more than a day ago',
      label: 'table',
      values: TABLES
    })
    if (everySeconds === 0) return

    const closing = new AbortController()
    const { signal } = closing
    async function purgeAll(): Promise<void> {
      for (const table of TABLES) {
        let rows = BATCH
        while (rows === BATCH && !signal.aborted) {
          rows = await deleteExpired(app.pg.pool, table)
          purged[table] += rows
        }
      }
    }
    async function purgeForEver(): Promise<void> {
      const everyMs = everySeconds * 1000
      // Replicas that were started together do not purge together.
      await sleep(randomInt(everyMs), undefined, { signal, ref: false })
      for (;;) {
        await purgeAll().catch((err: unknown) => app.log.warn({ err }, 'what has expired could not be purged'))
        await sleep(everyMs, undefined, { signal, ref: false })
      }
    }
    // Nothing but the signal ends it.
    const ended = purgeForEver().catch(() => undefined)
    app.addHook('onClose', async () => {
      closing.abort()
      await ended
    })
  },
  { name: 'purge', dependencies: ['metrics', 'postgres'] }
)

/** @returns how many there were */
async function deleteExpired(pg: Pick<Pool, 'query'>, table: (typeof TABLES)[number]): Promise<number> {
  const { rowCount } = await pg.query(
    `DELETE FROM ${table} WHERE ctid = ANY (ARRAY(
       SELECT ctid FROM ${table} WHERE expires_at < now() - make_interval(secs => $1)
       ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED))`,
    [KEPT_SECONDS, BATCH]
  )
  return rowCount ?? 0
}
