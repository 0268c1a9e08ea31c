// hono/jwt as its documentation shows it, served by @hono/node-server as the guide for Node.js does:
// https://hono.dev/docs/middleware/builtin/jwt
// https://hono.dev/docs/getting-started/nodejs
import { env } from 'node:process'
import { serve } from '@hono/node-server'
import { Hono } from 'hono'
import { jwt } from 'hono/jwt'
import { Redis } from 'ioredis'

const app = new Hono()
const redis = new Redis(env.REDIS_URL)

app.use('/whoami', jwt({ secret: env.JWT_SECRET, alg: 'HS256' }))

app.use('/whoami', async (c, next) => {
  if (await redis.exists(`denylist:jti:${c.get('jwtPayload').jti}`)) return c.json({ error: 'revoked' }, 401)
  await next()
})

app.get('/whoami', (c) => {
  const payload = c.get('jwtPayload')
  return c.json({ ...payload, issuedBy: payload.replica, servedBy: env.REPLICA_NAME })
})

app.get('/health/ready', async (c) => c.json({ status: await redis.ping() }))

serve({ fetch: app.fetch, hostname: env.HOST, port: Number(env.PORT) })
