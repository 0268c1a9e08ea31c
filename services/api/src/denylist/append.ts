import type { Redis } from 'ioredis'
import type { Revocation } from './denylist.js'

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
 * on. No replica may learn of a revocation that another cannot see. What is there already, or has expired, is left
 * alone, so that repeating costs nothing. The log is trimmed by Redis' own clock, which made its ids; entries are kept for an hour,
 * more than any token and any revocation lives.
 *
 * KEYS: the guard, the log, then a key for each revocation. ARGV: kind, id and expiry in milliseconds since 1970, for
 * each. Returns 0 where the guard is gone.
 */
const APPEND = `
  if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
  local now = redis.call('TIME')[1] * 1000
  local oldest = string.format('%.0f', now - 3600000)
  for i = 3, #KEYS do
    local kind, id, expires = unpack(ARGV, 3 * i - 8, 3 * i - 6)
    if tonumber(expires) > now and redis.call('EXISTS', KEYS[i]) == 0 then
      redis.call('XADD', KEYS[2], 'MINID', '~', oldest, '*', 'kind', kind, 'id', id, 'expires', expires)
      redis.call('SET', KEYS[i], 1, 'PXAT', expires)
    end
  end
  return 1`

/**
 * Appends revocations in one step, if the guard is there in the same step: the generation, or the mark of a restore.
 *
 * @returns false where the guard is gone, and nothing was appended
 */
export async function append(redis: Redis, guard: string, revocations: readonly Revocation[]): Promise<boolean> {
  const keys = [guard, LOG, ...revocations.map(keyOf)]
  const entries = revocations.flatMap(({ kind, id, expiresAt }) => [kind, id, expiresAt.getTime()])
  return (await redis.eval(APPEND, keys.length, ...keys, ...entries)) === 1
}
