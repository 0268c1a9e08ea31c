import swagger from '@fastify/swagger'
import swaggerUi from '@fastify/swagger-ui'
import fp from 'fastify-plugin'
import { ACCESS_COOKIE } from '../cookies.js'

/** OpenAPI 3.1 made from the routes' own schemas, at /openapi.json, and a page to read and try it, at /docs. */
export const docs = fp(
  async (app) => {
    await app.register(swagger, {
      openapi: {
        openapi: '3.1.0',
        info: {
          title: 'one-secret',
          version: '0.1.0',
          description: 'A stateless API that scales out: identical replicas share only a secret key.'
        },
        servers: [{ url: '/' }],
        tags: [
          { name: 'users', description: 'Who there is' },
          { name: 'auth', description: 'Tokens: issued, exchanged, taken back' },
          { name: 'sessions', description: 'The devices of a user' },
          { name: 'stateless', description: 'Answered from the token alone' },
          { name: 'health', description: 'For the orchestrator' }
        ],
        components: {
          securitySchemes: {
            accessToken: { type: 'http', scheme: 'bearer', bearerFormat: 'JWT' },
            accessCookie: { type: 'apiKey', in: 'cookie', name: ACCESS_COOKIE }
          }
        }
      }
    })
    await app.register(swaggerUi, { routePrefix: '/docs', theme: { title: 'one-secret' } })
    app.get('/openapi.json', { schema: { hide: true } }, async () => app.swagger())
  },
  { name: 'docs' }
)

/** Marks a route in the documentation as one that needs an access token. */
export const needsAccessToken = { security: [{ accessToken: [] }, { accessCookie: [] }] }
