import fastifyCookie from '@fastify/cookie'
import type {} from '@fastify/postgres'
import type {} from '@fastify/redis'
import fastifySession from '@fastify/session'
import type { Config } from '@one-secret/api/config.js'
import { handleErrors } from '@one-secret/api/errors.js'
import { createHttpServer } from '@one-secret/api/http-server.js'
import { drain } from '@one-secret/api/plugins/drain.js'
import { jsonBody } from '@one-secret/api/plugins/json-body.js'
import { metrics } from '@one-secret/api/plugins/metrics.js'
import { overload } from '@one-secret/api/plugins/overload.js'
import { passwords } from '@one-secret/api/plugins/passwords.js'
import { isPostgresUnavailable, postgres } from '@one-secret/api/plugins/postgres.js'
import { protocol } from '@one-secret/api/plugins/protocol.js'
import { redis } from '@one-secret/api/plugins/redis.js'
import { servedBy } from '@one-secret/api/plugins/served-by.js'
import { health } from '@one-secret/api/routes/health.js'
import type { FastifyInstance, FastifyServerOptions } from 'fastify'
import { RedisStore } from './redis-store.js'
import { auth } from './routes/auth.js'
import { whoami } from './routes/whoami.js'

/** Where sessions are kept: in this process alone, or in Redis, where every server finds them (session clustering). */
export type StoreKind = 'memory' | 'redis'

export const COOKIE = 'session'

/**
 * The counter-example: the api's users and passwords, and who is logged in kept by the server. Its settings are the api's, and its
 * cookie is signed with the same ring; a session lasts as long as an access token.
 */
export async function buildSessions(
  config: Config,
  kind: StoreKind,
  logger: FastifyServerOptions['logger'] = false
): Promise<FastifyInstance> {
  const app = createHttpServer(config, logger)
  const { replicaName, accessTokenTtlSeconds: ttlSeconds } = config
  await app.register(drain, { drainMs: config.shutdownDrainMs })
  await app.register(servedBy, { replicaName })
  await app.register(protocol, { replicaName })
  await app.register(jsonBody)
  await app.register(metrics, { replicaName })
  handleErrors(app, app.metricsRegistry, isPostgresUnavailable)
  await app.register(overload)

  await app.register(postgres, { url: config.databaseUrl })
  await app.register(passwords)
  if (kind === 'redis') await app.register(redis, { url: config.redisUrl, sentinels: config.redisSentinels })

  await app.register(health, {
    replicaName,
    needs: {
      postgres: () => app.pg.query('SELECT 1'),
      store: async () => kind === 'memory' || app.redis.ping()
    }
  })
  await app.register(async (withSessions) => {
    await withSessions.register(fastifyCookie)
    await withSessions.register(fastifySession, {
      cookieName: COOKIE,
      secret: config.keyRing.map(({ secret }) => secret.toString('base64url')),
      // What its documentation says of the default store, that it leaks, is a part of what is shown.
      ...(kind === 'redis' && { store: new RedisStore(app.redis, ttlSeconds) }),
      cookie: { httpOnly: true, secure: 'auto', sameSite: 'lax', path: '/', maxAge: ttlSeconds * 1000 },
      saveUninitialized: false,
      rolling: false
    })
    await withSessions.register(auth, { replicaName, ttlSeconds })
    await withSessions.register(whoami, { replicaName })
  })
  return app
}
