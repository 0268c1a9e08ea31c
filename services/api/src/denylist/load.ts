import { setImmediate as turn } from 'node:timers/promises'
import type { FastifyBaseLogger } from 'fastify'
import type { Redis } from 'ioredis'
import type { Pool } from 'pg'
import { append, GENERATION, LOG, parseEntry } from './append.js'
import { Entries, pagesOf } from './entries.js'
import { logSuffices, type View } from './protocol.js'
import { PAGE, readRecord } from './records.js'
import { askStanding, lostAgain, makeWhole } from './whole.js'

export interface LoadOptions {
  redis: Redis
  pg: Pool
  /** Fills a Redis that has lost its data. */
  restore: () => Promise<void>
  log: FastifyBaseLogger
}

/** A copy of the denylist, and what it is a copy of. */
export interface Loaded {
  entries: Entries
  view: View
}

/**
 * Builds the copy anew. What stands in the log so far was committed in Postgres before it was appended: so the record,
 * read after the end of the log was asked for, has all of it, in a fraction of the time that the log takes. What this replica
 * knew is added, so that it forgets nothing that was revoked whatever the others have lost.
 *
 * @param before what this replica has; it stays as it is
 */
export async function load({ redis, pg, restore, log }: LoadOptions, before: Partial<Loaded>): Promise<Loaded> {
  const standing = await askStanding(redis, restore)
  const { server, generation } = standing
  const entries = new Entries()
  let cursor = standing.lastId
  try {
    await makeWhole(redis, pg, standing, log)
    await readRecord(pg, entries)
  } catch (error) {
    if (!logSuffices(before.view, server, generation)) throw error
    log.warn({ err: error }, 'cannot read the record of revocations from Postgres, so the log is read')
    cursor = await readLog(redis, entries)
  }

  for (const page of pagesOf(before.entries ?? [], PAGE)) {
    const missing = page.filter((one) => entries.add(one))
    if (missing.length === 0) await turn()
    else if ((await append(redis, GENERATION, missing)) === undefined) throw lostAgain()
  }
  return { entries, view: { server, generation, cursor } }
}

/** @returns the id of its last entry */
async function readLog(redis: Redis, entries: Entries): Promise<string> {
  let cursor = '0-0'
  for (;;) {
    const page = await redis.xrange(LOG, `(${cursor}`, '+', 'COUNT', PAGE)
    for (const [id, fields] of page) {
      entries.add(parseEntry(fields).revocation)
      cursor = id
    }
    if (page.length < PAGE) return cursor
  }
}
