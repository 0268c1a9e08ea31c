import type { Redis } from 'ioredis'
import type pg from 'pg'

/** Heartbeats of connections, and what is asked here. */
const NOT_COUNTED = new Set(['info', 'ping', 'auth', 'client', 'select'])

interface Calls {
  all: number
  /** Reads of the denylist's log. */
  reads: number
  atMs: number
}

/** Commands since Redis was started. What a script calls is counted with the script. */
async function callsOf(redis: Redis): Promise<Calls> {
  const info = await redis.info('commandstats')
  const calls = { all: 0, reads: 0, atMs: performance.now() }
  for (const [, name = '', count] of info.matchAll(/^cmdstat_(\S+?):calls=(\d+)/gm)) {
    if (NOT_COUNTED.has(name)) continue
    calls.all += Number(count)
    if (name === 'xread') calls.reads = Number(count)
  }
  return calls
}

/** What Redis is asked while nobody asks the servers: replicas follow the denylist's log, whatever else happens. */
export interface IdleCalls {
  perRead: number
  perMs: number
}

/** @returns what `during` gave, and how many commands Redis was asked in that time beyond what it is asked anyway */
export async function countRedis<T>(redis: Redis, idle: IdleCalls, during: () => Promise<T>): Promise<[T, number]> {
  const before = await callsOf(redis)
  const result = await during()
  const after = await callsOf(redis)
  const reads = after.reads - before.reads
  // For each read, and not for each second: the busier Redis is, the more exactly it keeps to the time after which a read ends.
  const expected = reads > 0 ? idle.perRead * reads : idle.perMs * (after.atMs - before.atMs)
  return [result, Math.max(0, after.all - before.all - expected)]
}

export async function measureIdle(redis: Redis, during: () => Promise<unknown>): Promise<IdleCalls> {
  const before = await callsOf(redis)
  await during()
  const after = await callsOf(redis)
  const all = after.all - before.all
  return { perRead: all / Math.max(1, after.reads - before.reads), perMs: all / (after.atMs - before.atMs) }
}

/**
 * How many transactions Postgres ended while something was done, if the connections of `application` had any part in it; 0 where
 * none of them was asked anything, which is exact: each says when it was asked last.
 */
export async function countPostgres<T>(
  pool: pg.Pool,
  application: string,
  during: () => Promise<T>
): Promise<[T, number]> {
  const commits = `(SELECT xact_commit FROM pg_stat_database WHERE datname = current_database())`
  interface State {
    at: string
    commits: string
  }
  const before = await pool.query<State>(`SELECT clock_timestamp()::text AS at, ${commits} AS commits`)
  const result = await during()
  const after = await pool.query<State & { asked: string }>(
    `SELECT ${commits} AS commits, (
       SELECT count(*) FROM pg_stat_activity
       WHERE application_name LIKE $1 AND greatest(backend_start, query_start, state_change) > $2::timestamptz
     ) AS asked`,
    [application, before.rows[0]!.at]
  )
  const { asked, commits: last } = after.rows[0]!
  if (Number(asked) === 0) return [result, 0]
  return [result, Math.max(Number(asked), Number(last) - Number(before.rows[0]!.commits) - 1)]
}
