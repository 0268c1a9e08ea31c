import fastifyRedis from '@fastify/redis'
import type { FastifyBaseLogger } from 'fastify'
import fp from 'fastify-plugin'
import { Redis, type SentinelConnectionOptions } from 'ioredis'
import { watchFailovers, type Address } from './failovers.js'

/** A command is given up after this long, in milliseconds; what a request waits for has a bound of its own below it. */
const COMMAND_TIMEOUT_MS = 1000

const START_TIMEOUT_MS = 8000

/** How soon another primary is looked for again, in milliseconds. Each time the copy of the denylist is loaded anew. */
const CUT_OFF_RETRY_MS = 5000

declare module 'fastify' {
  interface FastifyInstance {
    /** One more connection to the same Redis, for what would block the others; closed with the application. */
    connectRedis: (role: string) => Redis
  }
}

export interface RedisOptions {
  url: string
  /** Where there are any, the host of `url` is the name under which they watch the primary. */
  sentinels: { host: string; port: number }[]
}

/** The connection to Redis. Commands fail at once while it is down: a queue would only hide that. */
export const redis = fp<RedisOptions>(
  async (app, { url, sentinels }) => {
    const client = new Redis(url, {
      ...(sentinels.length > 0 && bySentinel(url, sentinels)),
      // One shape of replies, whatever the server can do.
      protocol: 2,
      enableOfflineQueue: false,
      maxRetriesPerRequest: 1,
      commandTimeout: COMMAND_TIMEOUT_MS,
      // A connection whose other end has vanished without a word would stay silent for ever: a new one may answer.
      socketTimeout: COMMAND_TIMEOUT_MS,
      connectTimeout: 500,
      // Half closed, one whose host has gone would look ready for longer.
      disconnectTimeout: 500,
      retryStrategy: (attempt) => Math.min(attempt * 50, 500),
      reconnectOnError: leaveWrongPrimary()
    })
    const lastError = watch(client, app.log)
    let isClosing = false
    app.addHook('preClose', async () => void (isClosing = true))
    const connections: Redis[] = []
    const keep = (connection: Redis): void => {
      connections.push(connection)
      // ioredis ends a connection for good where it is told to leave a primary while it is still looking for it.
      connection.on('end', () => {
        // What fails ends it again, and is logged.
        setTimeout(() => isClosing || void connection.connect().catch(() => undefined), 50).unref()
      })
    }
    keep(client)
    const end = watchFailovers(sentinels, new URL(url).hostname, app.log, (primary) => {
      for (const connection of connections) if (!isTo(primary, connection)) connection.disconnect(true)
    })
    app.addHook('onClose', async () => end())
    app.addHook('onClose', async () => {
      // quit waits for the replies under way; where there is nobody to reply the socket is just dropped.
      await client.quit().catch(() => client.disconnect())
    })
    app.decorate('connectRedis', (role: string) => {
      // What has been sent is not sent again on another connection: it would be an answer to an older question.
      // Nor is it subscribed again by ioredis, which would take no notice of a refusal: whoever subscribes does it when it is ready.
      const another = client.duplicate({
        autoResendUnfulfilledCommands: false,
        autoResubscribe: false,
        maxRetriesPerRequest: 0,
        reconnectOnError: leaveWrongPrimary()
      })
      watch(another, app.log.child({ role }))
      keep(another)
      app.addHook('onClose', async () => another.disconnect())
      return another
    })

    await ready(client, lastError).catch((error: unknown) => {
      isClosing = true
      end()
      client.disconnect()
      throw error
    })
    // Where there is no such database ioredis goes on in the first one, which may be somebody else's.
    await client.select(client.options.db ?? 0)
    const server = await client.info('server')
    const [, version = '0'] = /^redis_version:(\S+)/m.exec(server) ?? []
    // SET … PXAT is of 6.2; and before 7 a script may write where min-replicas-to-write forbids it, so that a primary that is cut
    // off would go on to answer look-ups.
    if (parseInt(version) < 7) throw new Error(`Redis 7 or later is needed, and this one is ${version}`)
    if (/^redis_mode:cluster/m.test(server)) {
      throw new Error('Redis is a cluster, which would keep the denylist in pieces: one server is needed, or Sentinel')
    }
    // It would drop some revocations and keep the generation, which says that all are there.
    const memory = await client.info('memory')
    const [, policy = 'noeviction'] = /^maxmemory_policy:(\S+)/m.exec(memory) ?? []
    if (policy !== 'noeviction' && !/^maxmemory:0\b/m.test(memory)) {
      throw new Error(
        `Redis would drop revocations when it is full (maxmemory-policy ${policy}): it must be noeviction, or maxmemory 0`
      )
    }
    await app.register(fastifyRedis, { client })
  },
  { name: 'redis' }
)

/** Where the primary is, as the Sentinels say; who it is for, and all else, as the URL says. */
function bySentinel(url: string, sentinels: RedisOptions['sentinels']) {
  return {
    name: new URL(url).hostname,
    sentinels,
    // Those that were named, in turn. Others that they know of may have addresses that cannot be reached from here.
    updateSentinels: false,
    enableTLSForSentinelMode: url.startsWith('rediss:'),
    sentinelCommandTimeout: 500,
    sentinelRetryStrategy: (attempt) => Math.min(attempt * 50, 500)
  } satisfies SentinelConnectionOptions
}

/**
 * Whether an error says that this is no primary, or one that is cut off from its replicas: the next connection asks the next
 * Sentinel who is it. There may be none better, as where the replicas are down, so the latter is not tried at every error.
 */
function leaveWrongPrimary(): (error: Error) => boolean {
  let triedAt = -Infinity
  return ({ message }) => {
    if (message.startsWith('READONLY')) return true
    if (!/\bNOREPLICAS\b/.test(message) || performance.now() - triedAt < CUT_OFF_RETRY_MS) return false
    triedAt = performance.now()
    return true
  }
}

/** Whether a connection leads there. Never to a host that is named: that its address is the same is not known here. */
function isTo({ host, port }: Address, { status, stream }: Redis): boolean {
  const address = stream?.remoteAddress?.replace(/^::ffff:/, '')
  return ['connect', 'ready'].includes(status) && address === host && stream.remotePort === port
}

/**
 * Logs what becomes of a connection, each trouble once, for ioredis repeats it at each attempt.
 *
 * @returns what is wrong at the moment
 */
function watch(client: Redis, log: FastifyBaseLogger): () => string | undefined {
  let lastError: string | undefined
  client.on('error', (error: Error) => {
    // ioredis has come to the end of its list of Sentinels, none of which it has asked this time: it begins anew.
    if (/Retrying from scratch after \d+ms\.$/.test(error.message)) return
    // Its message only: the error of a refused AUTH carries the password.
    const reason = messageOf(error)
    if (lastError !== reason) log.warn({ reason }, 'no connection to Redis')
    lastError = reason
  })
  client.on('ready', () => {
    if (lastError !== undefined) log.info('connected to Redis again')
    lastError = undefined
  })
  return () => lastError
}

/** Where a name has several addresses, what came of each: the error itself says nothing. */
const messageOf = (error: Error): string =>
  error instanceof AggregateError ? (error.errors as Error[]).map(messageOf).join('; ') : error.message

/** @fastify/redis waits for a first connection without saying for what; this does, and gives up in words. */
function ready(client: Redis, lastError: () => string | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      reject(new Error(`Redis did not answer within ${START_TIMEOUT_MS / 1000} s: ${lastError() ?? 'no reply'}`))
    }, START_TIMEOUT_MS)
    client.once('ready', () => {
      clearTimeout(timer)
      resolve()
    })
  })
}
