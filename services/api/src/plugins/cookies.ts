import fastifyCookie from '@fastify/cookie'
import fp from 'fastify-plugin'

/** Cookies are parsed where they are asked for: a request with an Authorization header never pays for them. */
export const cookies = fp(
  async (app) => {
    // Nothing is decoded: a token has one spelling. The package's types know only the options of writing.
    const parseOptions = { decode: (value: string) => value } as object
    await app.register(fastifyCookie, { hook: false, parseOptions })
  },
  { name: 'cookies' }
)
