import type { Redis } from 'ioredis'
import { RevocationPending, RevocationUnknown } from '../errors.js'
import type { Denylist, Revocation } from './denylist.js'

/** The log of revocations, oldest first: what a replica that keeps its own copy follows. */
export const LOG = 'denylist:log'

/**
 * Appends to the log and sets the keys, all of it or nothing: what fails in a script ends it, while a MULTI would carry
 * on. No replica may learn of a revocation that another cannot see. The log is trimmed by Redis' own clock, which made
 * its ids; entries are kept for an hour, more than any token and any revocation lives.
 *
 * KEYS: the log, then a key for each revocation. ARGV: kind, id and expiry in milliseconds since 1970, for each.
 */
const APPEND = `
  local oldest = (redis.call('TIME')[1] - 3600) * 1000
  for i = 2, #KEYS do
    local kind, id, expires = unpack(ARGV, 3 * i - 5, 3 * i - 3)
    redis.call('XADD', KEYS[1], 'MINID', '~', string.format('%.0f', oldest), '*', 'kind', kind, 'id', id, 'expires', expires)
  end
  for i = 2, #KEYS do
    redis.call('SET', KEYS[i], 1, 'PXAT', ARGV[3 * i - 3])
  end`

/** The bound of a look-up, in milliseconds: a request waits no longer to learn whether its token has been revoked. */
const LOOK_UP_MS = 200

const keyOf = ({ kind, id }: Pick<Revocation, 'kind' | 'id'>): string => `denylist:${kind}:${id}`

/**
 * The denylist in its plain form: every replica asks Redis at every request, with one command. So a revocation is
 * final on all of them once Redis has it, and a Redis that does not answer means that nobody knows.
 */
export function createDirectDenylist(redis: Redis): Denylist {
  return {
    async isRevoked({ jti, sid }) {
      try {
        const found = await within(
          LOOK_UP_MS,
          redis.exists(keyOf({ kind: 'jti', id: jti }), keyOf({ kind: 'sid', id: sid }))
        )
        return found > 0
      } catch (cause) {
        throw Object.assign(new RevocationUnknown(), { cause })
      }
    },

    async publish(revocations) {
      const started = performance.now()
      const keys = [LOG, ...revocations.map(keyOf)]
      const entries = revocations.flatMap(({ kind, id, expiresAt }) => [kind, id, expiresAt.getTime()])
      try {
        await redis.eval(APPEND, keys.length, ...keys, ...entries)
      } catch (cause) {
        throw Object.assign(new RevocationPending(), { cause })
      }
      return {
        revoked: revocations.map(({ kind, id }) => ({ kind, id })),
        acknowledgedBy: [],
        waitedMs: Math.round((performance.now() - started) * 10) / 10,
        boundMs: 0
      }
    }
  }
}

/**
 * Rejects when the bound has passed. Where it was this process that had no time, the reply may have arrived: the event
 * loop looks at its timers before it reads, so what is there is read first.
 */
function within<T>(ms: number, reply: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => setImmediate(() => reject(new Error(`no reply within ${ms} ms`))), ms)
    reply.then(resolve, reject).finally(() => clearTimeout(timer))
  })
}
