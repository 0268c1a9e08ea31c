import { setTimeout as sleep } from 'node:timers/promises'
import { startChild, waitUntilReady, type Child } from './child.js'
import { LocalError, messageOf } from './errors.js'
import { createExitHook, type ExitHook } from './exit-hook.js'
import { askHttp } from './http-probe.js'
import { apiServer } from './paths.js'
import { freePort } from './ports.js'

export interface Upstream {
  /** As in `http://127.0.0.1:3001`. */
  url: string
  /** False while it is down, or about to be: not to be sent anything. */
  alive?: boolean
}

export interface ReplicaOptions {
  /** `REPLICA_NAME`, and the prefix of its lines. */
  name: string
  /** Its whole environment but for HOST, PORT and REPLICA_NAME. */
  env: NodeJS.ProcessEnv
  /** Default: a free one. */
  port?: number
  /** The module to run. Default: the api's server. */
  script?: string
  /** What it prints, and what is said about it. */
  onLine?: (line: string) => void
  signal?: AbortSignal | undefined
  exitHook?: ExitHook
  /** Time to be ready in, in milliseconds. Default: 45 s. */
  startTimeoutMs?: number
}

export interface Replica extends Upstream {
  readonly name: string
  readonly url: string
  /** Of the process that runs now, or ran last: another one after each restart. */
  readonly pid: number
  readonly alive: boolean
  /**
   * Replaces its process by a new one with the same name and port: takes it out of the balancer, lets it finish what it
   * has (SIGKILL after `boundMs`), starts the new one and waits until that is ready.
   * @throws {LocalError} the new one is not ready after 45 s; it is tried again and again all the same
   */
  replace(boundMs: number): Promise<void>
  /** SIGTERM, for it to finish what it is doing; SIGKILL after `boundMs`, by default 2500. It is not started again. */
  stop(boundMs?: number): Promise<void>
  /** SIGKILL, as where its machine is lost. It is not started again. */
  kill(): Promise<void>
}

/** Time to be ready in, in milliseconds: above what the api allows itself before it gives up and says why. */
const START_TIMEOUT_MS = 45_000

/** A replica that lived so long is started again at once; one that did not waits longer each time. In milliseconds. */
const STABLE_AFTER_MS = 10_000
const FIRST_BACK_OFF_MS = 500
const MAX_BACK_OFF_MS = 5_000

async function expectStatus(url: string, name: string, isGood: (status: number) => boolean): Promise<void> {
  const { status, servedBy, body } = await askHttp(url)
  // Another replica, of another cluster, may have come to the port first.
  if (servedBy !== undefined && servedBy !== name)
    throw new Error(`${new URL(url).host} is answered by ${String(servedBy)}, which is not ${name}`)
  if (!isGood(status)) throw new Error(`GET ${new URL(url).pathname} says ${status} ${body}`.trim())
}

/**
 * Starts one replica, waits until it is ready, and from then on starts it again whenever it dies: same name, same port.
 * @throws {LocalError} it ended before it was ever ready, with what it printed; or it is not ready after 45 s
 */
export async function spawnReplica(options: ReplicaOptions): Promise<Replica> {
  const { name, signal, onLine } = options
  const exitHook = options.exitHook ?? createExitHook()
  const timeoutMs = options.startTimeoutMs ?? START_TIMEOUT_MS
  const port = options.port ?? (await freePort())
  const url = `http://127.0.0.1:${port}`
  const stopping = new AbortController()
  const env = { ...options.env, HOST: '127.0.0.1', PORT: String(port), REPLICA_NAME: name }

  const start = (): Promise<Child> =>
    // It reads no argument: its name is there for whoever looks for it among the processes.
    startChild(process.execPath, [options.script ?? apiServer, name], {
      name,
      exitHook,
      env,
      ipc: true,
      onLine: (line) => (held ? held.push(line) : onLine?.(line))
    })

  // Until it is ready for the first time: where it never is, its lines are in the error.
  let held: string[] | undefined = []
  let alive = false
  let child = await start()
  const ready = (): Promise<void> => expectStatus(`${url}/health/ready`, name, (status) => status === 200)
  try {
    await waitUntilReady(name, ready, { timeoutMs, child, signal, everyMs: 25 })
  } catch (error) {
    await child.stop('SIGKILL', 0)
    throw error
  }
  alive = true
  for (const line of held) onLine?.(line)
  held = undefined
  let replacing = false

  const supervise = async (): Promise<void> => {
    let backOffMs = 0
    let startedAt = performance.now()
    while (!stopping.signal.aborted) {
      const why = await child.exited
      alive = false
      if (stopping.signal.aborted) return
      if (replacing) {
        replacing = false
        backOffMs = 0
      } else {
        const livedMs = performance.now() - startedAt
        if (livedMs > STABLE_AFTER_MS) backOffMs = 0
        onLine?.(`${why}; starting it again${backOffMs > 0 ? ` in ${backOffMs / 1000} s` : ''}`)
        await sleep(backOffMs, undefined, { signal: stopping.signal }).catch(() => undefined)
        if (stopping.signal.aborted) return
        backOffMs = Math.min(Math.max(FIRST_BACK_OFF_MS, backOffMs * 2), MAX_BACK_OFF_MS)
      }
      startedAt = performance.now()
      const gone = child
      try {
        child = await start()
        // It takes part again as soon as it answers, even if it says that Redis is down: so would it without us.
        const answers = (): Promise<void> => expectStatus(`${url}/health/live`, name, () => true)
        await waitUntilReady(name, answers, {
          timeoutMs,
          child,
          signal: stopping.signal,
          everyMs: 25
        })
        alive = child.ended === undefined
        if (alive) onLine?.(`is back, pid ${child.pid}`)
      } catch (error) {
        if (!stopping.signal.aborted && !(error instanceof LocalError)) throw error
        // Of one that has ended by itself the next turn tells.
        if (!stopping.signal.aborted && (child === gone || child.ended === undefined)) onLine?.(messageOf(error))
        await child.stop('SIGKILL', 0)
      }
    }
  }
  const supervised = supervise()

  return {
    name,
    url,
    get pid() {
      return child.pid
    },
    get alive() {
      return alive && child.ended === undefined
    },
    async replace(boundMs) {
      // Out of the embedded balancer first. nginx cannot be told: the replica leaves it by itself, while it drains.
      alive = false
      replacing = true
      const old = child
      await old.stop('SIGTERM', boundMs)
      const isReplaced = async (): Promise<void> => {
        // The supervisor's word too, or the one that is replaced next would still find this one down.
        if (child === old || !alive) throw new Error('it does not answer yet')
        await ready()
      }
      await waitUntilReady(name, isReplaced, { timeoutMs, signal: stopping.signal, everyMs: 25 })
    },
    async stop(boundMs = 2_500) {
      stopping.abort()
      await child.stop('SIGTERM', boundMs)
      await supervised
    },
    async kill() {
      stopping.abort()
      await child.stop('SIGKILL', 0)
      await supervised
    }
  }
}

/** Starts `count` replicas side by side, named `kind`-`first` and so on. If one fails, the others are stopped. */
export async function startReplicas(
  count: number,
  options: Omit<ReplicaOptions, 'name' | 'port' | 'onLine'> & {
    kind?: string
    first?: number
    onLine?: (name: string, line: string) => void
  }
): Promise<Replica[]> {
  const { kind = 'api', first = 1, onLine, ...common } = options
  const failed = new AbortController()
  const signal = common.signal ? AbortSignal.any([common.signal, failed.signal]) : failed.signal
  const starts = Array.from({ length: count }, (_, index) => {
    const name = `${kind}-${first + index}`
    return spawnReplica({ ...common, name, signal, ...(onLine && { onLine: (line) => onLine(name, line) }) })
  })
  try {
    return await Promise.all(starts)
  } catch (error) {
    failed.abort()
    const settled = await Promise.allSettled(starts)
    await Promise.all(settled.flatMap((start) => (start.status === 'fulfilled' ? [start.value.stop(0)] : [])))
    throw error
  }
}

/**
 * Replaces all of them, one after the other, while the others serve.
 * @throws {LocalError} there is only one, one is down, or a new one is not ready: the rest is left as it is
 */
export async function replaceReplicas(
  replicas: readonly Replica[],
  { boundMs, onLine }: { boundMs: number; onLine?: (name: string, line: string) => void }
): Promise<void> {
  if (replicas.length < 2) throw new LocalError('one replica cannot be replaced while it serves; start two or more')
  for (const replica of replicas) {
    const down = replicas.find(({ alive }) => !alive)
    if (down) throw new LocalError(`${down.name} is down, so no other is taken away`)
    onLine?.(replica.name, `is being replaced, pid ${replica.pid}`)
    await replica.replace(boundMs)
  }
}
