import type { Redis } from 'ioredis'
import { RevocationUnknown } from '../errors.js'
import { within } from '../within.js'
import { GENERATION, keyOf } from './append.js'

/** The bound of a look-up, in milliseconds: a request waits no longer to learn whether its token has been revoked. */
const LOOK_UP_MS = 200

/**
 * As a write, which a primary refuses that has lost its replicas (min-replicas-to-write): cut off from them and from the
 * Sentinels, it would go on to answer, long after another has taken its place. KEYS: one to be written, then as below.
 */
const LOOK_UP_AT_PRIMARY = `
  redis.call('SET', KEYS[1], 1, 'PX', 1000)
  return redis.call('MGET', KEYS[2], KEYS[3], KEYS[4])`

const PRIMARY = 'denylist:primary'

/**
 * Asks Redis for the token's `jti`, its session's `sid` and the generation, in one command.
 *
 * @param hasReplicas whether it is a primary, of which there could be two
 * @throws RevocationUnknown (503) where it does not answer in time
 */
export async function lookUp(
  redis: Redis,
  { jti, sid }: { jti: string; sid: string },
  { hasReplicas = false } = {}
): Promise<{ generation: string | null; found: boolean }> {
  try {
    const keys = [GENERATION, keyOf({ kind: 'jti', id: jti }), keyOf({ kind: 'sid', id: sid })]
    const asked = hasReplicas
      ? (redis.eval(LOOK_UP_AT_PRIMARY, 4, PRIMARY, ...keys) as Promise<(string | null)[]>)
      : redis.mget(keys)
    const [generation = null, token, session] = await within(LOOK_UP_MS, asked)
    return { generation, found: token !== null || session !== null }
  } catch (cause) {
    throw Object.assign(new RevocationUnknown(), { cause })
  }
}
