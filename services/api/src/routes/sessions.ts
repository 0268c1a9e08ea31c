import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { clearTokenCookies } from '../cookies.js'
import { Receipt } from '../denylist/denylist.js'
import { authenticatedErrors, bodyErrors, ErrorBody, SessionNotFound } from '../errors.js'
import { needsAccessToken } from '../plugins/docs.js'
import { endSession, endSessions, findSessions } from '../sessions.js'
import { Uuid } from '../tokens.js'

const Sessions = Type.Object(
  {
    sessions: Type.Array(
      Type.Object({
        id: Uuid,
        createdAt: Type.String({ format: 'date-time', description: 'The login' }),
        refreshedAt: Type.String({ format: 'date-time', description: 'The last refresh, or the login' }),
        userAgent: Type.Union([Type.String(), Type.Null()], { description: 'As it was at the login' }),
        current: Type.Boolean({ description: 'The one that asks' })
      })
    )
  },
  { description: 'The devices that are logged in, those used last first, a hundred at the most' }
)

const SessionId = Type.Object({ id: Uuid }, { additionalProperties: false })

export const sessions: FastifyPluginAsyncTypebox = async (app) => {
  app.get(
    '/me/sessions',
    {
      onRequest: app.authenticate,
      schema: {
        tags: ['sessions'],
        summary: 'My devices',
        ...needsAccessToken,
        response: { 200: Sessions, 400: ErrorBody, ...authenticatedErrors }
      }
    },
    async ({ token }) => {
      const found = await findSessions(app.pg, token.sub)
      return {
        sessions: found.map(({ id, createdAt, refreshedAt, userAgent }) => ({
          id,
          createdAt: createdAt.toISOString(),
          refreshedAt: refreshedAt.toISOString(),
          userAgent,
          current: id === token.sid
        }))
      }
    }
  )

  app.delete(
    '/me/sessions/:id',
    {
      onRequest: app.authenticate,
      schema: {
        tags: ['sessions'],
        summary: 'Log one device out, on every replica',
        ...needsAccessToken,
        params: SessionId,
        response: {
          200: Receipt,
          ...bodyErrors,
          403: ErrorBody,
          404: ErrorBody,
          414: ErrorBody,
          ...authenticatedErrors
        }
      }
    },
    async ({ token, transport, params: { id } }, reply) => {
      const revocations = await endSession(app.pg, token.sub, id)
      if (revocations === undefined) throw new SessionNotFound()
      const receipt = await app.denylist.publish(revocations)
      if (transport === 'cookie' && id === token.sid) clearTokenCookies(reply)
      return receipt
    }
  )

  app.delete(
    '/me/sessions',
    {
      onRequest: app.authenticate,
      schema: {
        tags: ['sessions'],
        summary: 'Log every device out, this one too, on every replica',
        ...needsAccessToken,
        response: { 200: Receipt, ...bodyErrors, 403: ErrorBody, ...authenticatedErrors }
      }
    },
    async ({ token, transport }, reply) => {
      const receipt = await app.denylist.publish(await endSessions(app.pg, token))
      if (transport === 'cookie') clearTokenCookies(reply)
      return receipt
    }
  )
}
