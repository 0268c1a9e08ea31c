import type { FastifyBaseLogger } from 'fastify'
import type { Redis } from 'ioredis'
import type { Pool } from 'pg'
import { append, GENERATION, keyOf, LOG } from './append.js'
import type { Revocation } from './denylist.js'
import { isWhole } from './protocol.js'
import { liveRevocations } from './records.js'

/** Which Redis has been given everything that was on record, by the name that it has for itself. */
export const WHOLE = 'denylist:whole'

/**
 * Which Redis it is, as `process:term`: a primary that was put aside, and came back as one, has lost what it did not hear of
 * meanwhile, but is the same process. `INFO` tells of both, and Redis makes a new `master_replid` for each term.
 */
const NAME = `
  local function name()
    local info = redis.call('INFO', 'server') .. redis.call('INFO', 'replication')
    return (info:match('run_id:(%w+)') or '') .. ':' .. (info:match('master_replid:(%w+)') or '')
  end`

/** KEYS: the generation, the log, who is whole. */
const ASK = `${NAME}
  local last = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)
  return { name(), redis.call('GET', KEYS[1]), last[1] and last[1][1] or '0-0', redis.call('GET', KEYS[3]) }`

/** KEYS: the generation, who is whole. ARGV: the name and the generation that have been given everything. Returns 0 where it is another. */
const VOUCH = `${NAME}
  if name() ~= ARGV[1] or redis.call('GET', KEYS[1]) ~= ARGV[2] then return 0 end
  redis.call('SET', KEYS[2], ARGV[1])
  return 1`

/** What a Redis is, and what it says that it has, all of one moment. */
export interface Standing {
  /** The process (`run_id`), and its term as a primary (`master_replid`). */
  server: string
  generation: string
  /** The last entry of the log. */
  lastId: string
  /** What `denylist:whole` says. */
  vouchedFor: string | null
}

/**
 * @param restore fills it, where it has no generation
 * @throws Error where it does not say which it is, or has lost everything again
 */
export async function askStanding(redis: Redis, restore: () => Promise<void>): Promise<Standing> {
  for (let isRestored = false; ; isRestored = true) {
    const [server, generation, lastId, vouchedFor] = (await redis.eval(ASK, 3, GENERATION, LOG, WHOLE)) as [
      server: string,
      generation: string | null,
      lastId: string,
      vouchedFor: string | null
    ]
    if (generation !== null) return { server: requireProcess(server), generation, lastId, vouchedFor }
    if (isRestored) throw lostAgain()
    await restore()
  }
}

/** The Redis that answers, by the same name: another one may have lost what the last one acknowledged. */
export async function serverOf(redis: Redis): Promise<string> {
  return requireProcess((await redis.eval(`${NAME} return name()`, 0)) as string)
}

function requireProcess(name: string): string {
  if (name.startsWith(':')) throw new Error('Redis does not say which process it is (INFO server, run_id)')
  return name
}

export const lostAgain = (): Error => new Error('Redis has lost the denylist again')

/**
 * Appends what Redis lacks of some revocations, if the guard is there: the generation, or the mark of a restore.
 *
 * @returns false where the guard was gone when something had to be appended
 */
export async function fill(redis: Redis, guard: string, pages: AsyncIterable<Revocation[]>): Promise<boolean> {
  for await (const page of pages) {
    // Nearly always it lacks none: to ask for all in one command takes a tenth of what the script takes.
    if ((await redis.exists(page.map(keyOf))) === page.length) continue
    if ((await append(redis, guard, page)) === undefined) return false
  }
  return true
}

/**
 * Sees to it that a Redis has everything that is on record: it may have come back in an older state. What is revoked from
 * now on is appended to it, so once is enough for all replicas and as long as it is the same one.
 */
export async function makeWhole(redis: Redis, pg: Pool, standing: Standing, log: FastifyBaseLogger): Promise<void> {
  if (isWhole(standing)) return
  const { server, generation } = standing
  if (!(await fill(redis, GENERATION, liveRevocations(pg)))) throw lostAgain()
  let isSame
  try {
    isSame = await redis.eval(VOUCH, 2, GENERATION, WHOLE, server, generation)
  } catch (error) {
    // As where Redis is full. It is whole all the same.
    log.warn(
      { err: error },
      'that Redis has all revocations on record cannot be noted: whoever loads next compares them again'
    )
    return
  }
  if (isSame === 0) throw lostAgain()
}
