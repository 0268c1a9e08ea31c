import { serve } from '@one-secret/api/serve.js'
import { buildFoundation, WhoAmI } from './foundation.js'

const ID = '00000000-0000-4000-8000-000000000000'

/** As long as the claims of a token that was signed for the other forms. */
const CLAIMS = {
  iss: 'one-secret',
  aud: 'one-secret-api',
  sub: ID,
  sid: ID,
  jti: ID,
  scope: 'user',
  replica: 'bench',
  iat: 1_700_000_000,
  exp: 1_700_000_900
}

await serve(async (config, logger) => {
  const app = await buildFoundation(config, logger)
  app.get('/whoami', { schema: { response: { 200: WhoAmI } } }, async () => ({
    ...CLAIMS,
    issuedBy: CLAIMS.replica,
    servedBy: config.replicaName
  }))
  return app
})
