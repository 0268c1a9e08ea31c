import type fastifySession from '@fastify/session'
import { within } from '@one-secret/api/within.js'
import type { Session } from 'fastify'
import type { Redis } from 'ioredis'
import { SessionStoreUnavailable } from './errors.js'

/** How long a request waits for its session, in milliseconds: as long as the api waits to learn whether a token is revoked. */
const WITHIN_MS = 200

const keyOf = (sessionId: string): string => `session:${sessionId}`

/** Sessions in Redis, one key each, which expires with the session. Every request reads one. */
export class RedisStore implements fastifySession.SessionStore {
  readonly #redis: Redis
  readonly #ttlSeconds: number

  constructor(redis: Redis, ttlSeconds: number) {
    this.#redis = redis
    this.#ttlSeconds = ttlSeconds
  }

  set(sessionId: string, session: Session, callback: (error?: unknown) => void): void {
    answer(this.#redis.set(keyOf(sessionId), JSON.stringify(session), 'EX', this.#ttlSeconds), callback)
  }

  get(sessionId: string, callback: (error: unknown, session?: Session | null) => void): void {
    const found = this.#redis.get(keyOf(sessionId))
    answer(found, (error, text) => callback(error, text ? (JSON.parse(text) as Session) : null))
  }

  destroy(sessionId: string, callback: (error?: unknown) => void): void {
    answer(this.#redis.del(keyOf(sessionId)), callback)
  }
}

/** Calls back with what Redis said, or with a 503 where it did not say it in time. */
function answer<T>(reply: Promise<T>, callback: (error: unknown, value?: T) => void): void {
  within(WITHIN_MS, reply).then(
    (value) => callback(null, value),
    (cause: unknown) => callback(Object.assign(new SessionStoreUnavailable(), { cause }))
  )
}
