import fastifyRedis from '@fastify/redis'
import fp from 'fastify-plugin'
import { Redis } from 'ioredis'

/** A command is given up after this long, in milliseconds; what a request waits for has a bound of its own below it. */
const COMMAND_TIMEOUT_MS = 1000

const START_TIMEOUT_MS = 8000

/** The connection to Redis. Commands fail at once while it is down: a queue would only hide that. */
export const redis = fp<{ url: string }>(
  async (app, { url }) => {
    const client = new Redis(url, {
      // One shape of replies, whatever the server can do.
      protocol: 2,
      enableOfflineQueue: false,
      maxRetriesPerRequest: 1,
      commandTimeout: COMMAND_TIMEOUT_MS,
      // A connection whose other end has vanished without a word would stay silent for ever: a new one may answer.
      socketTimeout: COMMAND_TIMEOUT_MS,
      connectTimeout: 500,
      retryStrategy: (attempt) => Math.min(attempt * 50, 500)
    })
    let lastError: Error | undefined
    client.on('error', (error: Error) => {
      // ioredis repeats it at each attempt; the log wants to know once. Its message only: the error of a refused AUTH
      // carries the password.
      if (lastError?.message !== error.message) app.log.warn({ reason: error.message }, 'no connection to Redis')
      lastError = error
    })
    client.on('ready', () => {
      if (lastError !== undefined) app.log.info('connected to Redis again')
      lastError = undefined
    })
    app.addHook('onClose', async () => {
      // quit waits for the replies under way; where there is nobody to reply the socket is just dropped.
      await client.quit().catch(() => client.disconnect())
    })

    await ready(client, () => lastError)
    await app.register(fastifyRedis, { client })
  },
  { name: 'redis' }
)

/** @fastify/redis waits for a first connection without saying for what; this does, and gives up in words. */
function ready(client: Redis, lastError: () => Error | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      client.disconnect()
      reject(
        new Error(`Redis did not answer within ${START_TIMEOUT_MS / 1000} s: ${lastError()?.message ?? 'no reply'}`)
      )
    }, START_TIMEOUT_MS)
    client.once('ready', () => {
      clearTimeout(timer)
      resolve()
    })
  })
}
