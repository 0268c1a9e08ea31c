import { Redis } from 'ioredis'
import { PRIMARY } from './look-up.js'
import { MAX_LEASE_MS } from './protocol.js'

/** How long an append waits for a replica of Redis to have it, in milliseconds. */
const REPLICATED_MS = 1000

/**
 * Does something on one connection and waits until a replica of Redis has what it wrote, or a failover could lose it.
 *
 * @throws Error where none has, or where the connection was another in the end: `WAIT` on a new one says nothing of the old
 */
export async function replicated<T>(redis: Redis, write: () => Promise<T>): Promise<T> {
  let closed = false
  const onClose = (): void => void (closed = true)
  redis.setMaxListeners(0).once('close', onClose)
  try {
    const result = await write()
    // What was there already, another connection has written, and Redis 8 waits only for what this one has: so it writes.
    const [, replicas] = await Promise.all([redis.set(PRIMARY, 1, 'PX', 1000), redis.wait(1, REPLICATED_MS - 100)])
    if (closed) throw new Error('the connection to Redis was replaced')
    if (replicas < 1) throw new Error('no replica of Redis has it')
    return result
  } finally {
    redis.off('close', onClose)
  }
}

/**
 * Checks that a primary which is cut off stops answering before another takes its place and the leases it gave are over:
 * `min-replicas-to-write`, and `down-after-milliseconds` above `min-replicas-max-lag` and the longest lease. Nor may it be cut off
 * together with as many replicas as it needs, and leave as many to the other.
 *
 * @returns what is wrong, or cannot be asked, in words; empty where all is well
 */
export async function checkFailover(
  redis: Redis,
  name: string,
  sentinels: readonly { host: string; port: number }[]
): Promise<{ wrong: string[]; unknown: string[] }> {
  const [wrong, unknown]: string[][] = [[], []]
  const settings = (await redis.config('GET', 'min-replicas-*').catch(() => [])) as string[]
  const setting = (key: string): number => Number(settings[settings.indexOf(key) + 1])
  const [toWrite, maxLagSeconds] = [setting('min-replicas-to-write'), setting('min-replicas-max-lag')]
  if (!settings.includes('min-replicas-to-write')) unknown!.push('Redis does not tell its settings (CONFIG GET)')
  else if (toWrite < 1 || maxLagSeconds === 0) {
    wrong!.push('min-replicas-to-write must be 1 or more, and min-replicas-max-lag not 0')
  }

  for (const { host, port } of sentinels) {
    const sentinel = new Redis({
      host,
      port,
      protocol: 2,
      lazyConnect: true,
      retryStrategy: () => null,
      connectTimeout: 500,
      // One that takes connections and says nothing.
      commandTimeout: 500,
      socketTimeout: 500
    })
    sentinel.on('error', () => undefined)
    try {
      await sentinel.connect()
      const reply = (await sentinel.call('SENTINEL', 'MASTER', name)) as string[]
      const field = (key: string): number => Number(reply[reply.indexOf(key) + 1])
      const [downAfterMs, replicas] = [field('down-after-milliseconds'), field('num-slaves')]
      const least = maxLagSeconds * 1000 + MAX_LEASE_MS
      if (downAfterMs <= least) {
        wrong!.push(`down-after-milliseconds is ${downAfterMs} at ${host}:${port}, and must exceed ${least}`)
      }
      if (toWrite >= 1 && 2 * toWrite < replicas) {
        const half = `half of the ${replicas} replicas that ${host}:${port} knows, or more`
        wrong!.push(
          `min-replicas-to-write is ${toWrite}, and must be ${half} (SENTINEL RESET forgets those that are gone)`
        )
      }
    } catch (error) {
      unknown!.push(`the Sentinel at ${host}:${port} does not answer (${(error as Error).message})`)
    } finally {
      sentinel.disconnect()
    }
  }
  return { wrong: wrong!, unknown: unknown! }
}
