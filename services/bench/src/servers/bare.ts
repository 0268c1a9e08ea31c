import { serve } from '@one-secret/api/serve.js'
import type { AccessClaims } from '@one-secret/api/tokens.js'
import { buildFoundation, WhoAmI } from './foundation.js'

const ID = '00000000-0000-4000-8000-000000000000'

/**
 * As long as the claims of a token that was signed for the other forms, and parsed and frozen as those are: to copy the same
 * object written as a literal costs V8 some 20 µs more, and the server without authentication would be the dearer one.
 */
const CLAIMS = Object.freeze(
  JSON.parse(
    `{"iss":"one-secret","aud":"one-secret-api","sub":"${ID}","sid":"${ID}","jti":"${ID}","scope":"user","replica":"bench","iat":1700000000,"exp":1700000900}`
  ) as AccessClaims
)

await serve(async (config, logger) => {
  const app = await buildFoundation(config, logger)
  // Like the api's, its handler answers at once: a promise would make it dearer than it is.
  app.get('/whoami', { schema: { response: { 200: WhoAmI } } }, () => ({
    ...CLAIMS,
    issuedBy: CLAIMS.replica,
    servedBy: config.replicaName
  }))
  return app
})
