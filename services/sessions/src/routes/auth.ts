import { randomUUID } from 'node:crypto'
import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { credentialFields, requireCredentials } from '@one-secret/api/credentials.js'
import { ErrorBody } from '@one-secret/api/errors.js'
import { Type } from 'typebox'
import { COOKIE } from '../app.js'

declare module 'fastify' {
  interface Session {
    /** The user; undefined where nobody has logged in. */
    sub?: string
    /** A name for the session that may be shown: its id is what proves it. */
    sid?: string
    issuedBy?: string
  }
}

const Credentials = Type.Object(credentialFields, { additionalProperties: false })

const LoggedIn = Type.Object(
  { transport: Type.Literal('cookie'), expires_in: Type.Integer({ description: 'Seconds' }) },
  { description: 'The session is in a cookie, and at the server' }
)
const LoggedOut = Type.Object({ status: Type.Literal('logged out') })

interface AuthOptions {
  replicaName: string
  ttlSeconds: number
}

/** The api's login, with a session in place of tokens. */
export const auth: FastifyPluginAsyncTypebox<AuthOptions> = async (app, { replicaName, ttlSeconds }) => {
  app.post(
    '/auth/login',
    {
      schema: {
        body: Credentials,
        response: { 200: LoggedIn, 400: ErrorBody, 401: ErrorBody, 415: ErrorBody, 503: ErrorBody }
      }
    },
    async (request) => {
      app.passwords.requireRoom()
      const { id } = await requireCredentials(app.pg, app.passwords, request.body)
      // A new id, or whoever has planted one in this browser would be logged in too.
      if (request.cookies[COOKIE] !== undefined) await request.session.regenerate()
      Object.assign(request.session, { sub: id, sid: randomUUID(), issuedBy: replicaName })
      return { transport: 'cookie' as const, expires_in: ttlSeconds }
    }
  )

  app.post('/auth/logout', { schema: { response: { 200: LoggedOut, 503: ErrorBody } } }, async (request, reply) => {
    await request.session.destroy()
    reply.clearCookie(COOKIE, { path: '/' })
    return { status: 'logged out' as const }
  })
}
