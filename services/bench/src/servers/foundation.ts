import type { Config } from '@one-secret/api/config.js'
import { handleErrors } from '@one-secret/api/errors.js'
import { createHttpServer } from '@one-secret/api/http-server.js'
import { docs } from '@one-secret/api/plugins/docs.js'
import { drain } from '@one-secret/api/plugins/drain.js'
import { jsonBody } from '@one-secret/api/plugins/json-body.js'
import { metrics } from '@one-secret/api/plugins/metrics.js'
import { overload } from '@one-secret/api/plugins/overload.js'
import { protocol } from '@one-secret/api/plugins/protocol.js'
import { servedBy } from '@one-secret/api/plugins/served-by.js'
import { health } from '@one-secret/api/routes/health.js'
import { AccessClaims } from '@one-secret/api/tokens.js'
import type { FastifyInstance, FastifyServerOptions } from 'fastify'

/**
 * The api without authentication: its server, and every plugin of `app.ts` that takes part in a request which is not
 * authenticated, in the same order. What is left out is what nothing here asks for: connections, passwords, tokens.
 */
export async function buildFoundation(
  { replicaName, trustProxy, shutdownDrainMs: drainMs }: Config,
  logger: FastifyServerOptions['logger']
): Promise<FastifyInstance> {
  const app = createHttpServer({ replicaName, trustProxy }, logger)
  await app.register(drain, { drainMs })
  await app.register(servedBy, { replicaName })
  await app.register(protocol, { replicaName })
  await app.register(jsonBody)
  await app.register(metrics, { replicaName })
  handleErrors(app, app.metricsRegistry, () => false)
  await app.register(overload)
  await app.register(docs)
  await app.register(health, { replicaName, needs: {} })
  return app
}

/** What `/whoami` answers: the schema of its route, so that the JSON is written by the same code. */
export const WhoAmI = {
  type: 'object',
  properties: { ...AccessClaims.properties, issuedBy: { type: 'string' }, servedBy: { type: 'string' } },
  required: [...AccessClaims.required, 'issuedBy', 'servedBy']
}
