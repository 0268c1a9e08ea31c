// Express as its documentation shows a middleware, and jsonwebtoken as its README shows `jwt.verify`:
// https://expressjs.com/en/guide/writing-middleware.html
// https://github.com/auth0/node-jsonwebtoken#jwtverifytoken-secretorpublickey-options-callback
// "secretOrPublicKey is a string (utf-8 encoded), buffer, or KeyObject": JWT_KEY_AS says which of them.
import { createSecretKey } from 'node:crypto'
import { env } from 'node:process'
import express from 'express'
import { Redis } from 'ioredis'
import jwt from 'jsonwebtoken'

const app = express()
const redis = new Redis(env.REDIS_URL)
const secret = env.JWT_KEY_AS === 'string' ? env.JWT_SECRET : createSecretKey(env.JWT_SECRET, 'utf8')

const authenticate = async (req, res, next) => {
  const [scheme, token] = (req.headers.authorization ?? '').split(' ')
  if (scheme !== 'Bearer' || !token) return res.status(401).json({ error: 'no token' })
  try {
    req.user = jwt.verify(token, secret, { algorithms: ['HS256'] })
  } catch (err) {
    return res.status(401).json({ error: err.message })
  }
  if (await redis.exists(`denylist:jti:${req.user.jti}`)) return res.status(401).json({ error: 'revoked' })
  next()
}

app.get('/whoami', authenticate, (req, res) => {
  res.json({ ...req.user, issuedBy: req.user.replica, servedBy: env.REPLICA_NAME })
})

app.get('/health/ready', async (req, res) => {
  res.json({ status: await redis.ping() })
})

app.listen(Number(env.PORT), env.HOST)
