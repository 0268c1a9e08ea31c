// @fastify/jwt as its README shows it, "Usage" with `fastify.decorate("authenticate", …)` and `onRequest: [fastify.authenticate]`:
// https://github.com/fastify/fastify-jwt#usage
// The look-up in Redis is what such an application adds to be able to log somebody out.
import { env } from 'node:process'
import fastifyJwt from '@fastify/jwt'
import Fastify from 'fastify'
import { Redis } from 'ioredis'

const fastify = Fastify()
const redis = new Redis(env.REDIS_URL)

fastify.register(fastifyJwt, { secret: env.JWT_SECRET })

fastify.decorate('authenticate', async function (request, reply) {
  try {
    await request.jwtVerify()
  } catch (err) {
    return reply.send(err)
  }
  if (await redis.exists(`denylist:jti:${request.user.jti}`)) return reply.code(401).send({ error: 'revoked' })
})

fastify.after(() => {
  fastify.get('/whoami', { onRequest: [fastify.authenticate] }, async (request) => {
    return { ...request.user, issuedBy: request.user.replica, servedBy: env.REPLICA_NAME }
  })
})

fastify.get('/health/ready', async () => ({ status: await redis.ping() }))

await fastify.listen({ host: env.HOST, port: Number(env.PORT) })
