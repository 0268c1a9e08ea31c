import type { Redis } from 'ioredis'
import type pg from 'pg'

/** Heartbeats of connections, and what is asked here. */
const NOT_COUNTED = new Set(['info', 'ping', 'auth', 'client', 'select'])

interface Calls {
  byName: ReadonlyMap<string, number>
  atMs: number
}

/** Commands since Redis was started, those that scripts call among them. */
async function callsOf(redis: Redis): Promise<Calls> {
  const info = await redis.info('commandstats')
  const atMs = performance.now()
  const found = [...info.matchAll(/^cmdstat_(\S+?):calls=(\d+)/gm)]
  const calls = found.map(([, name = '', count]) => [name, Number(count)] as const)
  return { byName: new Map(calls.filter(([name]) => !NOT_COUNTED.has(name))), atMs }
}

/** By name, those that were called at all. */
function between(before: Calls, after: Calls): Map<string, number> {
  const counts = [...after.byName].map(([name, count]) => [name, count - (before.byName.get(name) ?? 0)] as const)
  return new Map(counts.filter(([, count]) => count > 0))
}

const sum = (numbers: Iterable<number>): number => [...numbers].reduce((total, one) => total + one, 0)

/** What replicas read the denylist's log with, whatever else happens. */
const READ = 'xread'

/** What Redis is asked while nobody asks the servers. */
export interface IdleCalls {
  names: ReadonlySet<string>
  /** For each read of the denylist's log. */
  perRead: number
  perMs: number
}

export const NO_CALLS: IdleCalls = { names: new Set(), perRead: 0, perMs: 0 }

/**
 * Exact for commands that nobody sends while nobody asks. Of the others so many are subtracted as are sent anyway, for each read of
 * the log and not for each second: the busier Redis is, the more exactly it keeps to the time after which a read ends.
 *
 * @returns what `during` gave, and how many commands Redis was asked in that time beyond what it is asked anyway
 */
export async function countRedis<T>(redis: Redis, idle: IdleCalls, during: () => Promise<T>): Promise<[T, number]> {
  const before = await callsOf(redis)
  const result = await during()
  const after = await callsOf(redis)
  const calls = between(before, after)
  const reads = calls.get(READ) ?? 0
  const expected = reads > 0 ? idle.perRead * reads : idle.perMs * (after.atMs - before.atMs)
  const shared = sum([...calls].flatMap(([name, count]) => (idle.names.has(name) ? [count] : [])))
  return [result, sum(calls.values()) - shared + Math.max(0, shared - expected)]
}

export async function measureIdle(redis: Redis, during: () => Promise<unknown>): Promise<IdleCalls> {
  const before = await callsOf(redis)
  await during()
  const after = await callsOf(redis)
  const calls = between(before, after)
  const all = sum(calls.values())
  return {
    names: new Set(calls.keys()),
    perRead: all / Math.max(1, calls.get(READ) ?? 0),
    perMs: all / (after.atMs - before.atMs)
  }
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
