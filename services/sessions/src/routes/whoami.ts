import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { ErrorBody } from '@one-secret/api/errors.js'
import { Type } from 'typebox'
import { COOKIE } from '../app.js'
import { SessionMissing, SessionUnknown } from '../errors.js'

const WhoAmI = Type.Object(
  {
    sub: Type.String(),
    sid: Type.String(),
    exp: Type.Integer({ description: 'Seconds since 1970' }),
    issuedBy: Type.String({ description: 'The server that was logged in at.' }),
    servedBy: Type.String({ description: 'The server that found the session.' })
  },
  { description: 'What the session says' }
)

/** Who you are, from the session: if this server can find it. */
export const whoami: FastifyPluginAsyncTypebox<{ replicaName: string }> = async (app, { replicaName }) => {
  app.get(
    '/whoami',
    { schema: { response: { 200: WhoAmI, 401: ErrorBody, 503: ErrorBody } } },
    async ({ cookies, session }) => {
      const { sub, sid, issuedBy, cookie } = session
      if (sub === undefined || sid === undefined || issuedBy === undefined) {
        throw cookies[COOKIE] === undefined ? new SessionMissing() : new SessionUnknown()
      }
      const expires = new Date(cookie.expires ?? Date.now())
      return { sub, sid, exp: Math.floor(expires.getTime() / 1000), issuedBy, servedBy: replicaName }
    }
  )
}
