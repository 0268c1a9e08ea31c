import type { Redis } from 'ioredis'
import { CLOCK_SKEW_SECONDS, type Revocation } from './denylist.js'
import type { Registered } from './protocol.js'
import { parseRegistration, REGISTRY } from './registry.js'

/** The log of revocations, oldest first: what a replica that keeps its own copy follows. */
export const LOG = 'denylist:log'

/**
 * Names what this Redis holds. Only a completed restore writes it, and nothing expires it: where it is absent, this
 * Redis has lost its data, and that a token is not in it says nothing.
 */
export const GENERATION = 'denylist:generation'

export const keyOf = ({ kind, id }: Pick<Revocation, 'kind' | 'id'>): string => `denylist:${kind}:${id}`

/**
 * Appends to the log and sets the keys, all of it or nothing: what fails in a script ends it, while a MULTI would carry
 * on. No replica may learn of a revocation that another cannot see. What has expired is left alone, and what is there
 * already, so that repeating costs nothing. The log is trimmed by Redis' own clock, which made its ids; entries are kept for
 * an hour, more than any token and any revocation lives.
 *
 * KEYS: the guard, the log, the registry, then a key for each revocation. ARGV: who appends, then kind, id and expiry in
 * milliseconds since 1970, for each. Returns nil where the guard is gone; else its value, the last id of the log, the
 * time in milliseconds since 1970, and name and registration of whoever is registered.
 */
const APPEND = `
  local guard = redis.call('GET', KEYS[1])
  if not guard then return false end
  local time = redis.call('TIME')
  local now = time[1] * 1000 + math.floor(time[2] / 1000)
  local oldest = string.format('%.0f', now - 3600000)
  for i = 4, #KEYS do
    local kind, id, expires = unpack(ARGV, 3 * i - 10, 3 * i - 8)
    if tonumber(expires) > now and redis.call('EXISTS', KEYS[i]) == 0 then
      redis.call('XADD', KEYS[2], 'MINID', '~', oldest, '*', 'kind', kind, 'id', id, 'expires', expires, 'by', ARGV[1])
      redis.call('SET', KEYS[i], 1, 'PXAT', expires)
    end
  end
  local last = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)
  return { guard, last[1] and last[1][1] or '0-0', string.format('%.0f', now), redis.call('HGETALL', KEYS[3]) }`

/** What Redis said in the step that appended. */
export interface Appended {
  generation: string
  /** The last entry of the log: whoever has applied it has applied what was appended. */
  lastId: string
  /** By Redis' clock, in milliseconds since 1970. */
  at: number
  registered: Registered[]
}

/**
 * Appends revocations in one step, if the guard is there in the same step: the generation, or the mark of a restore.
 *
 * @param by who is to be told that they have been applied
 * @returns undefined where the guard is gone, and nothing was appended
 */
export async function append(
  redis: Redis,
  guard: string,
  revocations: readonly Revocation[],
  { by = '' } = {}
): Promise<Appended | undefined> {
  const keys = [guard, LOG, REGISTRY, ...revocations.map(keyOf)]
  const entries = revocations.flatMap(({ kind, id, expiresAt }) => [kind, id, expiresAt.getTime()])
  const reply = (await redis.eval(APPEND, keys.length, ...keys, by, ...entries)) as
    [generation: string, lastId: string, at: string, registry: string[]] | null
  if (reply === null) return undefined
  const [generation, lastId, at, registry] = reply
  const registered: Registered[] = []
  // Members and registrations in turn.
  for (let i = 0; i < registry.length; i += 2) registered.push(parseRegistration(registry[i]!, registry[i + 1]!))
  return { generation, lastId, at: Number(at), registered }
}

/**
 * Redis leaves alone what has expired by its clock. Where that is so far ahead of this replica's that a token may still be
 * alive here, nothing was appended for it, and that must not be acknowledged. The last of a revocation's time is a
 * reserve: by then its tokens have expired here.
 *
 * @throws Error
 */
export function requireOneTime({ at }: Appended, revocations: readonly Revocation[]): void {
  const now = Date.now()
  const skipped = revocations.some(({ expiresAt }) => {
    const expires = expiresAt.getTime()
    return expires - CLOCK_SKEW_SECONDS * 1000 > now && expires <= at
  })
  if (skipped) throw new Error(`the clock of Redis is ${Math.round((at - now) / 1000)} s ahead of this one`)
}

/** An entry of the log, as the script writes it. */
export function parseEntry(fields: readonly string[]): { revocation: Revocation; by: string } {
  const [, kind, , id = '', , expires, , by = ''] = fields
  return { revocation: { kind: kind as Revocation['kind'], id, expiresAt: new Date(Number(expires)) }, by }
}
