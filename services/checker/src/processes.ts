import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { cpSync, existsSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import {
  apiMigrate,
  createExitHook,
  createTempDir,
  findBinary,
  freePort,
  LocalError,
  runChild,
  spawnReplica,
  startPostgres,
  startRedis,
  type Redis,
  type Replica
} from '@one-secret/local'
import { Redis as RedisClient } from 'ioredis'
import pg from 'pg'
import type { Cluster, Need, Target } from './cluster.js'
import type { LineRequest } from './line-worker.js'

export interface ProcessesOptions {
  replicas: number
  leaseMs: number
  lastLeaseMs: number
  /** The module that the replicas run; the api's server where it is not given. */
  script: string | undefined
  signal: AbortSignal | undefined
}

/** Where Debian and Ubuntu keep it, and where `make install` puts it. */
const LIBFAKETIME = [
  `/usr/lib/${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}-linux-gnu/faketime/libfaketime.so.1`,
  '/usr/lib/faketime/libfaketime.so.1',
  '/usr/local/lib/faketime/libfaketime.so.1'
].find((path) => existsSync(path))

/**
 * libfaketime asks the allocator for memory before it can tell the time, and jemalloc, which redis-server is linked with, asks
 * for the time before it gives any. So the server gets glibc's allocator, which this library (glibc ≥ 2.34) puts before it.
 */
const GLIBC_MALLOC = 'libc_malloc_debug.so.0'

/** The cluster as processes of this machine. */
export async function startProcesses(options: ProcessesOptions): Promise<Cluster> {
  const { replicas: count, leaseMs, lastLeaseMs, script, signal } = options
  const exitHook = createExitHook()
  const common = { exitHook, signal }
  const closers: (() => unknown)[] = []
  const close = async (): Promise<void> => {
    for (const closer of closers.splice(0).reverse()) await closer()
  }

  try {
    const temp = createTempDir(exitHook)
    closers.push(() => temp.remove())
    const dir = join(temp.path, 'redis')
    const port = await freePort()
    const password = randomBytes(18).toString('base64url')
    const redisOptions = { ...common, dir, port, password }

    const [postgres, firstRedis] = await Promise.all([startPostgres(common), startRedis(redisOptions)])
    let redis: Redis | undefined = firstRedis
    const { url: redisUrl, kind: redisKind } = redis
    closers.push(() => Promise.all([postgres.stop(), redis?.stop()]))

    const client = new RedisClient(redisUrl, { retryStrategy: () => 100, maxRetriesPerRequest: 20 })
    client.on('error', () => undefined)
    closers.push(() => client.disconnect())
    const pool = new pg.Pool({ connectionString: postgres.url, max: 2, application_name: 'checker' })
    pool.on('error', () => undefined)
    closers.push(() => pool.end())

    const worker = new Worker(new URL('line-worker.js', import.meta.url), { workerData: redisUrl })
    closers.push(() => worker.terminate())
    const [lineUrl] = (await once(worker, 'message')) as [string]
    const tell = async (request: LineRequest): Promise<void> => {
      worker.postMessage(request)
      await once(worker, 'message')
    }

    const secret = randomBytes(32)
    const env = {
      PATH: process.env['PATH'],
      DATABASE_URL: postgres.url,
      REDIS_URL: redisUrl,
      JWT_KEYS: `checker:${secret.toString('base64url')}`,
      LOGIN_LIMIT_PER_ACCOUNT: '0',
      LOGIN_LIMIT_PER_ADDRESS: '0',
      REVOCATION_LEASE_MS: String(leaseMs),
      SHUTDOWN_DRAIN_MS: '0',
      LOG_LEVEL: 'info'
    }
    await runChild(process.execPath, [apiMigrate], { ...common, name: 'migrate', env })

    const missing: Partial<Record<Need, string>> = {}
    if (redisKind !== 'binary') missing['redis-process'] = missing['redis-clock'] = 'no redis-server on the PATH'
    if (postgres.pid === undefined || !postgres.restart) missing['postgres-process'] = 'Postgres is not ours to stop'
    if (LIBFAKETIME === undefined) {
      missing['replica-clock'] = 'no libfaketime (Debian: apt install faketime)'
      missing['redis-clock'] ??= missing['replica-clock']
    } else if (missing['redis-clock'] === undefined && !(await canFakeRedis(LIBFAKETIME))) {
      missing['redis-clock'] = 'libfaketime does not work with this redis-server'
    }

    const lines: string[] = []
    const onLine =
      (name: string) =>
      (line: string): void =>
        void lines.push(`${performance.now().toFixed(1)} ${name} ${line}`)
    /** Each replica's clock is set by a file of its own, which libfaketime reads once a second. */
    const clockOf = (name: string): string => join(temp.path, `clock-${name}`)
    const start = (name: string, lined: boolean, replicaPort?: number, mode = 'lease'): Promise<Replica> => {
      if (LIBFAKETIME !== undefined) writeFileSync(clockOf(name), '+0')
      return spawnReplica({
        ...common,
        name,
        onLine: onLine(name),
        ...(script !== undefined && { script }),
        ...(replicaPort !== undefined && { port: replicaPort }),
        env: {
          ...env,
          REVOCATION_MODE: mode,
          ...(lined && { REDIS_URL: lineUrl, REVOCATION_LEASE_MS: String(lastLeaseMs) }),
          ...(LIBFAKETIME !== undefined && {
            LD_PRELOAD: LIBFAKETIME,
            FAKETIME_TIMESTAMP_FILE: clockOf(name),
            FAKETIME_CACHE_DURATION: '1',
            FAKETIME_DONT_FAKE_MONOTONIC: '1'
          })
        }
      })
    }
    const names = Array.from({ length: count }, (_, i) => `api-${i + 1}`)
    const starts = await Promise.allSettled(names.map((name) => start(name, name === names.at(-1))))
    const processes = starts.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []))
    closers.push(() => Promise.all(processes.map((one) => one.stop(0))))
    for (const one of starts) if (one.status === 'rejected') throw one.reason

    const replicas: Target[] = [...processes]
    let added = 0
    const processOf = (name: string): Replica => {
      const found = processes.find((one) => one.name === name)
      if (!found) throw new LocalError(`there is no replica ${name}`)
      return found
    }
    const signalTo = (pid: number | undefined, sent: NodeJS.Signals): void => {
      if (pid !== undefined) process.kill(pid, sent)
    }

    return {
      description: `${count} replicas, lease ${leaseMs} ms, Redis ${describe(redis)}, Postgres ${describe(postgres)}`,
      replicas,
      lined: processes.at(-1)!,
      missing,
      secret,
      lines,

      killReplica: async (name) => signalTo(processOf(name).pid, 'SIGKILL'),
      stopReplica: async (name) => signalTo(processOf(name).pid, 'SIGSTOP'),
      continueReplica: async (name) => signalTo(processOf(name).pid, 'SIGCONT'),
      async setClock(name, seconds) {
        writeFileSync(clockOf(name), seconds < 0 ? String(seconds) : `+${seconds}`)
        // Until libfaketime has looked: once a second, and it counts in whole ones.
        await new Promise((resolve) => setTimeout(resolve, 2100))
      },
      async addReplica({ mode = 'lease' } = {}) {
        const name = `api-new-${++added}`
        const chosen = await freePort()
        const replica = { name, url: `http://127.0.0.1:${chosen}` }
        const ready = start(name, false, chosen, mode).then((one) => void processes.push(one))
        // Whoever waits for it is told; it may fail before anybody does.
        ready.catch(() => undefined)
        replicas.push(replica)
        return { replica, ready }
      },
      async removeReplica(name) {
        const found = processOf(name)
        await found.stop()
        processes.splice(processes.indexOf(found), 1)
        replicas.splice(
          replicas.findIndex((one) => one.name === name),
          1
        )
      },

      cutLine: () => tell({ do: 'cut' }),
      mendLine: () => tell({ do: 'mend' }),
      slowLine: (ms) => tell({ do: 'slow', ms }),

      async killRedis() {
        signalTo(redis?.pid, 'SIGKILL')
        await redis?.stop()
        redis = undefined
      },
      async startRedis({ empty = false, clock = 0, copy = false } = {}) {
        const data = join(dir, 'appendonlydir')
        if (empty || copy) rmSync(data, { recursive: true, force: true })
        if (copy) cpSync(join(temp.path, 'copy'), data, { recursive: true })
        const faked = clock !== 0 && LIBFAKETIME !== undefined
        redis = await startRedis({ ...redisOptions, ...(faked && { env: fakedRedis(LIBFAKETIME, clock) }) })
      },
      stopRedis: async () => signalTo(redis?.pid, 'SIGSTOP'),
      continueRedis: async () => signalTo(redis?.pid, 'SIGCONT'),
      async copyRedis() {
        rmSync(join(temp.path, 'copy'), { recursive: true, force: true })
        cpSync(join(dir, 'appendonlydir'), join(temp.path, 'copy'), { recursive: true })
      },
      redis: (...[command = '', ...rest]) => client.call(command, ...rest),

      async killPostgres() {
        // The postmaster's orderly way out takes its connections along, as a crash would.
        signalTo(postgres.pid, 'SIGINT')
      },
      startPostgres: async () => postgres.restart?.(),
      async sql(text) {
        const { rows } = await pool.query<string[]>({ text, rowMode: 'array' })
        return rows.map((row) => row.map(String))
      },
      close
    }
  } catch (error) {
    await close()
    throw error
  }
}

const fakedRedis = (library: string, seconds: number): NodeJS.ProcessEnv => ({
  LD_PRELOAD: `${GLIBC_MALLOC}:${library}`,
  FAKETIME: seconds < 0 ? String(seconds) : `+${seconds}`,
  FAKETIME_DONT_FAKE_MONOTONIC: '1'
})

/** Whether a redis-server starts with another clock: it depends on what it is linked with. */
async function canFakeRedis(library: string): Promise<boolean> {
  const command = findBinary('redis-server')
  if (command === undefined) return false
  const temp = createTempDir(createExitHook())
  const redis = await startRedis({ dir: join(temp.path, 'redis'), env: fakedRedis(library, -60) }).catch(
    () => undefined
  )
  if (!redis) {
    await temp.remove()
    return false
  }
  const client = new RedisClient(redis.url)
  const [seconds] = await client.time()
  client.disconnect()
  await redis.stop()
  await temp.remove()
  return Math.abs(Number(seconds) + 60 - Date.now() / 1000) < 10
}

const describe = ({ kind, version }: { kind: string; version?: string }): string =>
  version === undefined ? kind : `${kind} ${version}`
