import { ConfigError } from '@one-secret/api/config.js'
import { serve } from '@one-secret/api/serve.js'
import { buildSessions, type StoreKind } from './app.js'

await serve((config, logger) => buildSessions(config, storeKind(process.env['SESSION_STORE']), logger))

function storeKind(value = 'memory'): StoreKind {
  if (value === 'memory' || value === 'redis') return value
  throw new ConfigError([`SESSION_STORE must be memory or redis, not ${JSON.stringify(value)}`])
}
