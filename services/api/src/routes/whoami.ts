import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { authenticatedErrors, ErrorBody } from '../errors.js'
import { needsAccessToken } from '../plugins/docs.js'
import { AccessClaims } from '../tokens.js'

const WhoAmI = Type.Object(
  {
    ...AccessClaims.properties,
    issuedBy: Type.String({ description: 'The replica that issued the token.' }),
    servedBy: Type.String({ description: 'The replica that verified it.' })
  },
  { description: 'What the token says' }
)

/** The point of it all: who you are, from the token alone, on whichever replica you land. */
export const whoami: FastifyPluginAsyncTypebox<{ replicaName: string }> = async (app, { replicaName }) => {
  app.get(
    '/whoami',
    {
      onRequest: app.authenticate,
      schema: {
        tags: ['stateless'],
        summary: 'The verified claims, who issued them and who verified them',
        ...needsAccessToken,
        response: { 200: WhoAmI, 400: ErrorBody, ...authenticatedErrors }
      }
    },
    ({ token }) => ({ ...token, issuedBy: token.replica, servedBy: replicaName })
  )
}
