import { authenticate } from '@one-secret/api/plugins/authenticate.js'
import { cookies } from '@one-secret/api/plugins/cookies.js'
import { tokens } from '@one-secret/api/plugins/tokens.js'
import { serve } from '@one-secret/api/serve.js'
import fp from 'fastify-plugin'
import { buildFoundation, WhoAmI } from './foundation.js'

/** `authenticate` wants one to be there; the hook that is used here never asks it. */
const noDenylist = fp(async () => undefined, { name: 'denylist' })

await serve(async (config, logger) => {
  const app = await buildFoundation(config, logger)
  const { replicaName, keyRing, keyRingFile, issuer, audience, refreshTokenTtlSeconds } = config
  await app.register(tokens, { keyRing, keyRingFile, issuer, audience, replicaName, refreshTokenTtlSeconds })
  await app.register(noDenylist)
  await app.register(cookies)
  await app.register(authenticate)
  app.get('/whoami', { onRequest: app.authenticateOrRevoked, schema: { response: { 200: WhoAmI } } }, ({ token }) => ({
    ...token,
    issuedBy: token.replica,
    servedBy: replicaName
  }))
  return app
})
