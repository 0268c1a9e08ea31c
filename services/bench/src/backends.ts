import { cpus } from 'node:os'
import {
  apiMigrate,
  createExitHook,
  runChild,
  spawnReplica,
  startPostgres,
  startRedis,
  type ExitHook,
  type Replica
} from '@one-secret/local'
import { Redis } from 'ioredis'
import pg from 'pg'
import type { Signer } from './tokens.js'

export interface ServerOptions {
  name: string
  script: string
  env?: NodeJS.ProcessEnv | undefined
}

/** One Redis and one Postgres for every server that is measured, and the servers themselves. */
export interface Backends {
  /** One line: of what all this is made. */
  readonly description: string
  readonly redis: Redis
  readonly pool: pg.Pool
  readonly exitHook: ExitHook
  /** Starts a server of its own process, which is ready when this resolves. */
  start(options: ServerOptions): Promise<Replica>
  close(): Promise<void>
}

/** The name under which the bench itself is connected to Postgres. */
const SELF = 'bench'

/** @throws {LocalError} one of them cannot be started; the others are stopped */
export async function startBackends(signer: Signer, signal: AbortSignal): Promise<Backends> {
  const exitHook = createExitHook()
  const common = { exitHook, signal }
  const closers: (() => unknown)[] = []
  const close = async (): Promise<void> => {
    for (const closer of closers.splice(0).reverse()) await closer()
  }
  try {
    const postgres = await startPostgres(common)
    closers.push(() => postgres.stop())
    const redis = await startRedis(common)
    closers.push(() => redis.stop())
    const client = new Redis(redis.url, { protocol: 2 })
    client.on('error', () => undefined)
    closers.push(() => client.disconnect())
    const pool = new pg.Pool({ connectionString: postgres.url, max: 2, application_name: SELF })
    pool.on('error', () => undefined)
    closers.push(() => pool.end())
    const replicas: Replica[] = []
    closers.push(() => Promise.all(replicas.map((one) => one.stop())))

    const environment = {
      PATH: process.env['PATH'],
      NODE_ENV: 'production',
      REDIS_URL: redis.url,
      DATABASE_URL: postgres.url,
      // The api's ring and the peers' secret are the same bytes.
      JWT_KEYS: signer.jwtKeys,
      JWT_SECRET: signer.secret,
      LOG_LEVEL: 'warn',
      SHUTDOWN_DRAIN_MS: '0',
      TRUST_PROXY: '127.0.0.1'
    }
    await runChild(process.execPath, [apiMigrate], { ...common, name: 'migrate', env: environment })

    const describe = ({ kind, version = '' }: { kind: string; version?: string }): string =>
      kind === 'binary' ? version : `${version} (${kind})`.trim()
    const cores = cpus()
    return {
      description: [
        `${cores[0]?.model ?? 'unknown processor'}, ${cores.length} cores`,
        `Node ${process.versions.node}`,
        `Redis ${describe(redis)}`,
        `Postgres ${describe(postgres)}`
      ].join(', '),
      redis: client,
      pool,
      exitHook,
      async start({ name, script, env }) {
        const replica = await spawnReplica({
          ...common,
          name,
          script,
          env: { ...environment, ...env, DATABASE_URL: `${postgres.url}?application_name=${name}` },
          onLine: (line) => process.stderr.write(`${name}: ${line}\n`)
        })
        replicas.push(replica)
        return replica
      },
      close
    }
  } catch (error) {
    await close()
    throw error
  }
}
