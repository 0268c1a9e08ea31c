import { setTimeout as sleep } from 'node:timers/promises'
import { startCluster, LocalError, NO_SERVERS, type Kind, type Pools } from '@one-secret/local'
import { Redis } from 'ioredis'
import pg from 'pg'
import { COLLECTED_WITHIN_MS, ENVIRONMENT, NODE_OPTIONS, readHeap, type Cluster } from './cluster.js'

/** What `npm start -- --compare` starts, in this process, on any free port. */
export async function startProcesses(replicas: number, signal: AbortSignal): Promise<Cluster> {
  const cluster = await startCluster({
    replicas,
    port: 0,
    host: '127.0.0.1',
    balancer: undefined,
    postgres: undefined,
    redis: undefined,
    compare: true,
    // Of its own: it makes thousands of users, and stops Redis.
    env: { ...process.env, ...NO_SERVERS, ...ENVIRONMENT, NODE_OPTIONS },
    signal
  })
  const pools = cluster.pools as Pools
  const { balancer, postgres, redis } = cluster
  const client = new Redis(redis.url, { protocol: 2 })
  client.on('error', () => undefined)
  const pool = new pg.Pool({ connectionString: postgres.url, max: 1 })
  pool.on('error', () => undefined)
  const describe = ({ kind, version }: { kind: string; version?: string }): string => `${kind} ${version ?? ''}`.trim()

  return {
    description: `processes: balancer ${describe(balancer)}, Redis ${describe(redis)}, Postgres ${describe(postgres)}`,
    url: balancer.url,
    replicas,
    async kill(kind) {
      const [victim] = pools[kind].splice(0, 1)
      if (!victim) throw new LocalError(`there is no ${kind} to kill`)
      // It is taken out of the list with it, as the resolver of a container platform does within a second.
      await victim.kill()
    },
    add: (kind: Kind) => cluster.add(kind),
    pauseRedis: () => redis.pause(),
    resumeRedis: () => redis.resume(),
    redis: async (command = '', ...args) => String(await client.call(command, ...args)),
    sql: async (text) => void (await pool.query(text)),
    async heap(kind) {
      for (const { pid } of pools[kind]) process.kill(pid, 'SIGWINCH')
      await sleep(COLLECTED_WITHIN_MS)
      const texts = await Promise.all(pools[kind].map(async ({ url }) => (await fetch(`${url}/metrics`)).text()))
      return texts.map(readHeap).reduce((sum, bytes) => sum + bytes, 0)
    },
    async close() {
      client.disconnect()
      await pool.end()
      await cluster.stop()
    }
  }
}
