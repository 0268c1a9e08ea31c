import type { Redis } from 'ioredis'
import { RevocationUnknown } from '../errors.js'
import { within } from '../within.js'
import { GENERATION, keyOf } from './append.js'
import type { LookUp } from './protocol.js'
import { serverOf } from './whole.js'

/** The bound of a look-up, in milliseconds: a request waits no longer to learn whether its token has been revoked. */
const LOOK_UP_MS = 200

/**
 * As a write, which a primary refuses that has lost its replicas (min-replicas-to-write): cut off from them and from the
 * Sentinels, it would go on to answer, long after another has taken its place. DEL, for a primary that is
 * full refuses whatever takes memory, and can still be asked. KEYS: one that need not be there, then as below.
 */
const LOOK_UP_AT_PRIMARY = `
  redis.call('DEL', KEYS[1])
  return redis.call('MGET', KEYS[2], KEYS[3], KEYS[4])`

/** Written where only that something is written matters. */
export const PRIMARY = 'denylist:primary'

export interface LookUps {
  /**
   * Asks Redis for the token's `jti`, its session's `sid` and the generation, in one command.
   *
   * @throws RevocationUnknown (503) where it does not answer in time
   */
  lookUp(token: { jti: string; sid: string }): Promise<LookUp>
  /** Asks again which process it is, and what it holds. */
  meet: () => void
}

export interface LookUpOptions {
  /** Whether Redis is a primary, of which there could be two. */
  hasReplicas: boolean
  /** Is told whenever a connection has said which process it is, and which generation it holds. */
  onMet: (server: string, generation: string | null) => void
}

/** Direct look-ups, each with the process of Redis that answered, for another one may have lost something. */
export function createLookUps(redis: Redis, { hasReplicas, onMet }: LookUpOptions): LookUps {
  /** The process at the other end of the connection; undefined until it has said so. */
  let server: string | undefined
  let connection = 0
  let meeting = false

  function meet(): void {
    if (meeting) return
    meeting = true
    const met = connection
    Promise.all([serverOf(redis), redis.get(GENERATION)])
      .then(([name, generation]) => {
        // One of the two may have been sent again on another connection, and the name be that of the last process.
        if (met !== connection) return
        server = name
        onMet(name, generation)
      })
      // It is asked again when the next connection is ready, or the next token looked up.
      .catch(() => undefined)
      .finally(() => {
        meeting = false
        if (met !== connection && redis.status === 'ready') meet()
      })
  }
  redis.on('close', () => {
    connection++
    server = undefined
  })
  redis.on('ready', meet)
  if (redis.status === 'ready') meet()

  return {
    meet,
    async lookUp({ jti, sid }) {
      const [asked, on] = [server, connection]
      if (asked === undefined && redis.status === 'ready') meet()
      try {
        const keys = [GENERATION, keyOf({ kind: 'jti', id: jti }), keyOf({ kind: 'sid', id: sid })]
        const reply = hasReplicas
          ? (redis.eval(LOOK_UP_AT_PRIMARY, 4, PRIMARY, ...keys) as Promise<(string | null)[]>)
          : redis.mget(keys)
        const [generation = null, token, session] = await within(LOOK_UP_MS, reply)
        // Another connection meanwhile: the command may have been sent again, and who has answered is not known.
        return {
          server: on === connection ? asked : undefined,
          generation,
          found: token !== null || session !== null
        }
      } catch (cause) {
        throw Object.assign(new RevocationUnknown(), { cause })
      }
    }
  }
}
