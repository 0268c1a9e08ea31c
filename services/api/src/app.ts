import type { FastifyInstance, FastifyServerOptions } from 'fastify'
import type { Config } from './config.js'
import { handleErrors } from './errors.js'
import { createHttpServer } from './http-server.js'
import { authenticate } from './plugins/authenticate.js'
import { cookies } from './plugins/cookies.js'
import { denylist } from './plugins/denylist.js'
import { docs } from './plugins/docs.js'
import { drain } from './plugins/drain.js'
import { jsonBody } from './plugins/json-body.js'
import { loginLimits } from './plugins/login-limits.js'
import { metrics } from './plugins/metrics.js'
import { overload } from './plugins/overload.js'
import { passwords } from './plugins/passwords.js'
import { isPostgresUnavailable, postgres } from './plugins/postgres.js'
import { protocol } from './plugins/protocol.js'
import { purge } from './plugins/purge.js'
import { redis } from './plugins/redis.js'
import { servedBy } from './plugins/served-by.js'
import { tokens } from './plugins/tokens.js'
import { auth } from './routes/auth.js'
import { health } from './routes/health.js'
import { sessions } from './routes/sessions.js'
import { users } from './routes/users.js'
import { whoami } from './routes/whoami.js'

/** One replica. All it knows is its configuration: nothing it holds in memory is needed by another. */
export async function buildApp(
  config: Config,
  logger: FastifyServerOptions['logger'] = false
): Promise<FastifyInstance> {
  const app = createHttpServer(config, logger)
  const { replicaName, keyRing, keyRingFile, issuer, audience, accessTokenTtlSeconds, refreshTokenTtlSeconds } = config
  await app.register(drain, { drainMs: config.shutdownDrainMs })
  await app.register(servedBy, { replicaName })
  await app.register(protocol, { replicaName })
  await app.register(jsonBody)
  await app.register(metrics, { replicaName })
  handleErrors(app, app.metricsRegistry, isPostgresUnavailable)
  await app.register(overload)
  await app.register(docs)

  await app.register(postgres, { url: config.databaseUrl })
  await app.register(purge, { everySeconds: config.purgeEverySeconds })
  await app.register(redis, { url: config.redisUrl, sentinels: config.redisSentinels })
  await app.register(tokens, { keyRing, keyRingFile, issuer, audience, replicaName, refreshTokenTtlSeconds })
  await app.register(denylist, {
    ...config.revocation,
    replicaName,
    sentinels: config.redisSentinels,
    primaryName: new URL(config.redisUrl).hostname
  })
  await app.register(passwords)
  await app.register(loginLimits, config.loginLimits)
  await app.register(cookies)
  await app.register(authenticate)

  await app.register(health, {
    replicaName,
    needs: {
      postgres: () => app.pg.query('SELECT 1'),
      redis: () => app.redis.ping(),
      denylist: () => app.denylist.isReady()
    }
  })
  await app.register(users)
  await app.register(auth, {
    accessTokenTtlSeconds,
    refreshTokenTtlSeconds,
    sessionLimit: { max: config.maxSessionsPerUser, overflow: config.sessionOverflow }
  })
  await app.register(sessions)
  await app.register(whoami, { replicaName })
  return app
}
