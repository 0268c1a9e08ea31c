import fastifyCookie from '@fastify/cookie'
import fp from 'fastify-plugin'

/** Cookies are parsed where they are asked for: a request with an Authorization header never pays for them. */
export const cookies = fp(
  async (app) => {
    await app.register(fastifyCookie, { hook: false })
  },
  { name: 'cookies' }
)
