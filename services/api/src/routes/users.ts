import type { FastifyPluginAsyncTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { Receipt } from '../denylist/denylist.js'
import { authenticatedErrors, bodyErrors, CredentialsInvalid, ErrorBody, TokenInvalid } from '../errors.js'
import { hashingDeadline, PASSWORD_PATTERN } from '../passwords.js'
import { needsAccessToken } from '../plugins/docs.js'
import { changePassword } from '../sessions.js'
import { Uuid } from '../tokens.js'
import { createUser, findPasswordHash, findUser } from '../users.js'

const Username = Type.String({
  pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{1,31}$',
  description: '2 to 32 letters, digits, dots, dashes or underscores; case does not distinguish'
})

/** Length is what counts, and nothing is asked of its characters (NIST SP 800-63B-4 §3.1.1.2). */
const NewPassword = Type.String({
  minLength: 15,
  maxLength: 128,
  pattern: PASSWORD_PATTERN,
  description: '15 to 128 characters, any'
})

const NewUser = Type.Object({ username: Username, password: NewPassword }, { additionalProperties: false })

const PasswordChange = Type.Object(
  {
    old_password: Type.String({ minLength: 1, maxLength: 128, pattern: PASSWORD_PATTERN }),
    new_password: NewPassword
  },
  { additionalProperties: false }
)

const CreatedUser = Type.Object({ id: Uuid, username: Type.String() }, { description: 'The user has been created' })

const Profile = Type.Object(
  { id: Uuid, username: Type.String(), createdAt: Type.String({ format: 'date-time' }) },
  { description: 'The profile' }
)

export const users: FastifyPluginAsyncTypebox = async (app) => {
  app.post(
    '/users',
    {
      schema: {
        tags: ['users'],
        summary: 'Sign up',
        body: NewUser,
        response: { 201: CreatedUser, ...bodyErrors, 409: ErrorBody, 503: ErrorBody }
      }
    },
    async ({ body }, reply) => {
      app.passwords.requireRoomToSignUp()
      reply.code(201)
      return createUser(app.pg, body.username, await app.passwords.hash(body.password))
    }
  )

  app.get(
    '/me',
    {
      onRequest: app.authenticate,
      schema: {
        tags: ['users'],
        summary: 'My profile, from the database',
        ...needsAccessToken,
        response: { 200: Profile, 400: ErrorBody, ...authenticatedErrors }
      }
    },
    async ({ token }) => {
      const user = await findUser(app.pg, token.sub)
      if (user === undefined) throw new TokenInvalid('its user does not exist any more')
      return { ...user, createdAt: user.createdAt.toISOString() }
    }
  )
  app.put(
    '/me/password',
    {
      onRequest: app.authenticate,
      schema: {
        tags: ['users'],
        summary: 'Change the password, and log every other device out',
        ...needsAccessToken,
        body: PasswordChange,
        response: {
          200: Receipt,
          ...bodyErrors,
          403: ErrorBody,
          429: ErrorBody,
          ...authenticatedErrors
        }
      }
    },
    async (request) => {
      const { token, body } = request
      app.passwords.requireRoom()
      await app.loginLimits.check(request, { id: token.sub })
      const from = await findPasswordHash(app.pg, token.sub)
      if (from === undefined) throw new TokenInvalid('its user does not exist any more')
      const deadline = hashingDeadline()
      let to: string
      if (await app.passwords.verify(from, body.old_password, deadline)) {
        to = await app.passwords.hash(body.new_password, deadline)
      } else {
        // Repeated, because the first call could not publish? Then the new password is the one that is known already.
        // It is another guess, so it counts as one.
        await app.loginLimits.check(request, { id: token.sub })
        if (!(await app.passwords.verify(from, body.new_password, deadline))) throw new CredentialsInvalid()
        to = from
      }
      return app.denylist.publish(await changePassword(app.pg, token.sub, { from, to }, token.sid))
    }
  )
}
