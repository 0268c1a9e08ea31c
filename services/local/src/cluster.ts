import { randomBytes } from 'node:crypto'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { findBinary } from './binaries.js'
import { runChild } from './child.js'
import { layOutConsole } from './console.js'
import { LocalError, messageOf } from './errors.js'
import { createExitHook, type ExitHook } from './exit-hook.js'
import { COMPARED, KINDS, type Kind, type Pools } from './lanes.js'
import { nginxKnowsSticky, startNginx, type Balancer } from './nginx.js'
import type { Options } from './options.js'
import { apiMigrate, consolePage } from './paths.js'
import { freePort, requireFreePort } from './ports.js'
import { startPostgres, type Postgres } from './postgres.js'
import { startProxy } from './proxy.js'
import { startRedis, type Redis } from './redis.js'
import { replaceReplicas, startReplicas, type Replica } from './replicas.js'
import { createTempDir } from './temp-dir.js'

export interface ClusterOptions extends Pick<
  Options,
  'replicas' | 'port' | 'host' | 'balancer' | 'postgres' | 'redis' | 'compare'
> {
  /** The environment given to the launcher, which every replica gets. */
  env: NodeJS.ProcessEnv
  /** Gives up: what was started is stopped again. */
  signal?: AbortSignal
  /** A part is ready, after so many milliseconds. */
  onStep?: (part: string, afterMs: number, detail: string) => void
  /** A line of a replica, or about it. */
  onReplicaLine?: (name: string, line: string) => void
  /** A line of Postgres, Redis or nginx. Without it they are not read. */
  onServerLine?: (name: string, line: string) => void
  /** Postgres, Redis or nginx has ended, and why. Only replicas are started again. */
  onServerEnd?: (name: string, why: string) => void
}

export interface Cluster {
  balancer: Balancer
  replicas: readonly Replica[]
  /** The servers of a comparison, those of the api among them; undefined where there is none. */
  pools: Pools | undefined
  postgres: Postgres
  redis: Redis
  /** The file of the key ring, undefined where the ring was given in JWT_KEYS. */
  keyRingFile: string | undefined
  /**
   * Replaces every replica by a new process, one after the other; the others serve meanwhile.
   * A second call waits for the first.
   * @throws {LocalError} there is only one, one is down, or a new one is not ready: the rest is left as it is
   */
  roll(): Promise<void>
  /** Adds a server of that kind. @returns when it is sent requests */
  add(kind: Kind): Promise<Replica>
  /** Balancer, then replicas, then Redis and Postgres; within 5 s. A second call waits for the first. */
  stop(): Promise<void>
}

/** A replica that is replaced ends by itself after SHUTDOWN_GRACE_MS; one that does not is killed so much later. */
const KILL_AFTER_GRACE_MS = 1_000

/** For an environment in which the servers that run already are not to be used, whatever it says. */
export const NO_SERVERS = { DATABASE_URL: '', DATABASE_URL_FILE: '', REDIS_URL: '', REDIS_URL_FILE: '' } as const

/** A setting, or what stands in the file that `<name>_FILE` names. */
function readSetting(env: NodeJS.ProcessEnv, name: string): string | undefined {
  const file = env[`${name}_FILE`]
  // An empty setting is one that is not set: that is how a shell switches it off for one command.
  if (env[name] || !file) return env[name] || undefined
  try {
    return readFileSync(file, 'utf8').trim()
  } catch (error) {
    throw new LocalError(`${name}_FILE: ${messageOf(error)}`, { cause: error })
  }
}

/** A ring of one random key, which the owner alone can read. */
function makeKeyRing(folder: string): string {
  const file = join(folder, 'jwt-keys')
  writeFileSync(file, `k1:${randomBytes(32).toString('base64url')}\n`, { mode: 0o600 })
  return file
}

/** What every replica is given: the launcher's environment, and where its dependencies are. */
function replicaEnvironment(env: NodeJS.ProcessEnv, postgres: Postgres, redis: Redis): NodeJS.ProcessEnv {
  const { DATABASE_URL_FILE: _database, REDIS_URL_FILE: _redis, ...given } = env
  void [_database, _redis]
  return {
    LOG_LEVEL: 'warn',
    ...Object.fromEntries(Object.entries(given).filter(([, value]) => value !== '')),
    DATABASE_URL: postgres.url,
    REDIS_URL: redis.url,
    // Those of another Redis would send the replicas there.
    REDIS_SENTINELS: '',
    TRUST_PROXY: '127.0.0.1'
  }
}

async function chooseBalancer(
  { balancer: asked, compare }: Pick<Options, 'balancer' | 'compare'>,
  exitHook: ExitHook
): Promise<{ kind: Balancer['kind']; reason: string }> {
  const hasNginx = findBinary('nginx') !== undefined
  const isTooOld = compare && hasNginx && !(await nginxKnowsSticky(exitHook))
  if (isTooOld && asked === 'nginx') {
    throw new LocalError(
      '--compare needs `sticky cookie`, which nginx has from 1.29.6 on: the one on the PATH is older'
    )
  }
  if (asked) return { kind: asked, reason: 'asked for' }
  if (isTooOld) return { kind: 'embedded', reason: '`sticky cookie` needs nginx 1.29.6: the one on the PATH is older' }
  if (hasNginx) return { kind: 'nginx', reason: 'nginx is on the PATH' }
  return { kind: 'embedded', reason: 'no nginx on the PATH' }
}

/**
 * Starts everything, in order. If a part fails or `signal` aborts, those that were started are stopped before it throws.
 * @throws {LocalError} a part cannot be started
 */
export async function startCluster(options: ClusterOptions): Promise<Cluster> {
  const { env, signal } = options
  const exitHook = createExitHook()
  const startedAt = performance.now()
  const stops: (() => Promise<void>)[] = []
  let isUp = false
  let stopping: Promise<void> | undefined
  const stop = (): Promise<void> =>
    (stopping ??= (async () => {
      for (const stopPart of stops.reverse()) await stopPart()
    })())

  const step = (part: string, detail: string): void => options.onStep?.(part, performance.now() - startedAt, detail)
  const serverLines = (name: string): { onLine?: (line: string) => void; onEnd: (why: string) => void } => {
    const { onServerLine, onServerEnd } = options
    return {
      ...(onServerLine && { onLine: (line) => onServerLine(name, line) }),
      // Before that it is the start that fails, or tries again with another port.
      onEnd: (why) => void (isUp && onServerEnd?.(name, why))
    }
  }

  try {
    for (const built of [apiMigrate, consolePage, ...Object.values(KINDS).map((kind) => kind.script)]) {
      if (!existsSync(built)) throw new LocalError(`${built} is missing; build it first (npm run build)`)
    }
    const balancerKind = await chooseBalancer(options, exitHook)
    if (balancerKind.kind === 'nginx' && findBinary('nginx') === undefined) throw new LocalError('no nginx on the PATH')
    const port = options.port || (await freePort(options.host))
    await requireFreePort(port, options.host)

    const redisUrl = readSetting(env, 'REDIS_URL')
    if (env['REDIS_SENTINELS'] && redisUrl !== undefined && (options.redis ?? 'url') === 'url')
      throw new LocalError(
        'REDIS_SENTINELS is for replicas that are started by themselves: npm start needs the REDIS_URL of the primary'
      )

    const common = { exitHook, signal }
    const starts = await Promise.allSettled([
      startPostgres({
        ...common,
        kind: options.postgres,
        url: readSetting(env, 'DATABASE_URL'),
        // Eight for each server, those that are added too.
        maxConnections: 8 * (options.replicas + 1) * (options.compare ? 1 + COMPARED.length : 1) + 50,
        ...serverLines('postgres')
      }),
      startRedis({ ...common, kind: options.redis, url: redisUrl, ...serverLines('redis') })
    ] as const)
    const started = starts.flatMap((start) => (start.status === 'fulfilled' ? [start.value] : []))
    stops.push(async () => void (await Promise.all(started.map((server) => server.stop()))))
    for (const start of starts) if (start.status === 'rejected') throw start.reason
    const [postgres, redis] = started as [Postgres, Redis]
    step('postgres', describe(postgres))
    step('redis', describe(redis))

    signal?.throwIfAborted()
    let keyRingFile = env['JWT_KEYS_FILE'] || undefined
    let keysDir: string | undefined
    if (!env['JWT_KEYS'] && keyRingFile === undefined) {
      const temp = createTempDir(exitHook)
      stops.push(() => temp.remove())
      keysDir = temp.path
      keyRingFile = makeKeyRing(keysDir)
    }
    const replicaEnv = replicaEnvironment(
      { ...env, ...(keyRingFile !== undefined && { JWT_KEYS_FILE: keyRingFile }) },
      postgres,
      redis
    )
    const migrate = (): Promise<unknown> =>
      runChild(process.execPath, [apiMigrate], { ...common, name: 'migrate', env: replicaEnv })
    await migrate()
    step('schema', 'up to date')

    const startServers = (kind: Kind, count: number, first = 1): Promise<Replica[]> =>
      startReplicas(count, {
        ...common,
        kind,
        first,
        script: KINDS[kind].script,
        env: { ...replicaEnv, ...KINDS[kind].env },
        ...(options.onReplicaLine && { onLine: options.onReplicaLine })
      })
    /** By the number of the last one that was ever started. */
    const newest: Partial<Record<Kind, number>> = {}
    const stopAll = (servers: readonly Replica[]) => async (): Promise<void> =>
      void (await Promise.all(servers.map((server) => server.stop())))
    const replicas = await startServers('api', options.replicas)
    stops.push(stopAll(replicas))
    // For `npm run keys`, which asks each of them.
    if (keysDir !== undefined) writeFileSync(join(keysDir, 'replicas'), replicas.map(({ url }) => `${url}\n`).join(''))
    step('replicas', `${replicas.length} of the api`)
    let pools: Pools | undefined
    if (options.compare) {
      const compared: [Kind, Replica[]][] = [['api', replicas]]
      // One kind after the other: all at once would take longer than each may.
      for (const kind of COMPARED) {
        signal?.throwIfAborted()
        const servers = await startServers(kind, options.replicas)
        compared.push([kind, servers])
        stops.push(stopAll(servers))
      }
      pools = Object.fromEntries(compared) as Pools
      step('compared', COMPARED.map((kind) => `${options.replicas} × ${kind}`).join(', '))
    }

    signal?.throwIfAborted()
    const consoleDir = createTempDir(exitHook)
    stops.push(() => consoleDir.remove())
    layOutConsole(consoleDir.path, { with: 'npm start', pid: process.pid })
    const startBalancer = balancerKind.kind === 'nginx' ? startNginx : startProxy
    const balancer = await startBalancer({
      ...common,
      port,
      host: options.host,
      replicas,
      console: consoleDir.path,
      ...(pools && { pools }),
      ...serverLines('nginx')
    })
    stops.push(() => balancer.stop())
    balancer.reason = balancerKind.reason
    step('balancer', describe(balancer))
    signal?.throwIfAborted()

    const { SHUTDOWN_GRACE_MS = '10000' } = replicaEnv
    let rolling: Promise<void> | undefined
    const roll = (): Promise<void> =>
      (rolling ??= (async () => {
        // What a new build needs of the schema, which the old one must be able to live with.
        await migrate()
        await replaceReplicas(replicas, {
          boundMs: Number(SHUTDOWN_GRACE_MS) + KILL_AFTER_GRACE_MS,
          ...(options.onReplicaLine && { onLine: options.onReplicaLine })
        })
      })().finally(() => (rolling = undefined)))
    const add = async (kind: Kind): Promise<Replica> => {
      const servers = kind === 'api' ? replicas : pools?.[kind]
      if (!servers) throw new LocalError(`there is no ${kind} without --compare`)
      const [added] = await startServers(kind, 1, (newest[kind] = (newest[kind] ?? options.replicas) + 1))
      servers.push(added!)
      await balancer.refresh()
      return added!
    }
    isUp = true
    return { balancer, replicas, pools, postgres, redis, keyRingFile, roll, add, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

function describe({ kind, version }: { kind: string; version?: string }): string {
  return version === undefined ? kind : `${kind} ${version}`
}
