import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Redis as Client } from 'ioredis'
import { findBinary } from './binaries.js'
import { startChild, waitUntilReady, type Child } from './child.js'
import { LocalError, messageOf } from './errors.js'
import { createExitHook, type ExitHook } from './exit-hook.js'
import { freePort } from './ports.js'
import { startEmbeddedRedis } from './redis-embedded/server.js'
import { createTempDir } from './temp-dir.js'

export type RedisKind = 'url' | 'binary' | 'embedded'

export interface RedisOptions {
  /** Default: the first that is there of url, binary, embedded. */
  kind?: RedisKind | undefined
  /** A server that runs already: used as it is, and left running. */
  url?: string | undefined
  /** Default: a free one. Given together with `dir`, a second start goes on where the first one stopped, under the same URL. */
  port?: number | undefined
  /** Where the append-only file is kept; it stays after `stop()`. Default: a temporary one that goes. */
  dir?: string | undefined
  /** Default: a random one, kept in `dir` if that is given. */
  password?: string | undefined
  /** What the server's process is given beside this process's environment. */
  env?: NodeJS.ProcessEnv
  /** Gives up, and leaves nothing behind. */
  signal?: AbortSignal | undefined
  exitHook?: ExitHook
  onLine?: (line: string) => void
  /** It has ended, and nobody had told it to: why. */
  onEnd?: ((why: string) => void) | undefined
}

export interface Redis {
  kind: RedisKind
  /** With the password. */
  url: string
  /** Why this kind. */
  reason: string
  version?: string
  /** Of the server, where it is a process of its own. */
  pid?: number
  /**
   * It is there and says nothing, until it is resumed.
   * @throws {LocalError} it is not ours to stop
   */
  pause(): Promise<void>
  resume(): Promise<void>
  /** SIGTERM; SIGKILL after 1.5 s. */
  stop(): Promise<void>
}

/** Attempts at a free port that somebody else takes in the moment before Redis does. */
const PORT_ATTEMPTS = 3

const START_TIMEOUT_MS = 10_000
const SILENT_MS = 3_000
const STOP_TIMEOUT_MS = 1_500

/** Connects, asks, and leaves. @returns the server's version */
async function ask(url: string): Promise<string | undefined> {
  const client = new Client(url, { lazyConnect: true, connectTimeout: 2_000, retryStrategy: () => null })
  let reason: unknown
  client.on('error', (error) => (reason = error))
  // Who takes a connection and then says nothing is no Redis, and no time-out of the client's ends the wait for its first word.
  const late = setTimeout(() => {
    reason = new Error(`it has said nothing for ${SILENT_MS / 1000} s`)
    client.disconnect()
  }, SILENT_MS)
  try {
    await client.connect()
    const info = await client.info('server')
    return /^redis_version:(\S+)/m.exec(info)?.[1]
  } catch (error) {
    throw reason ?? error
  } finally {
    clearTimeout(late)
    client.disconnect()
  }
}

function withoutPassword(url: string): string {
  try {
    return new URL(url).host
  } catch {
    return 'the URL given'
  }
}

async function notOurs(): Promise<never> {
  throw new LocalError('the Redis at REDIS_URL is not ours to stop')
}

async function useRedis(url: string): Promise<Redis> {
  if (!/^rediss?:\/\//.test(url)) throw new LocalError('REDIS_URL must begin with redis:// or rediss://')
  try {
    const version = await ask(url)
    return {
      kind: 'url',
      url,
      reason: 'REDIS_URL is set',
      ...(version !== undefined && { version }),
      pause: notOurs,
      resume: notOurs,
      stop: async () => undefined
    }
  } catch (error) {
    throw new LocalError(`REDIS_URL: no Redis at ${withoutPassword(url)}: ${messageOf(error)}`, { cause: error })
  }
}

/** The password of an earlier start in the same directory, or a new one that is written there. */
function passwordIn(dir: string): string {
  const file = join(dir, 'requirepass')
  if (existsSync(file)) return readFileSync(file, 'utf8')
  const password = randomBytes(18).toString('base64url')
  writeFileSync(file, password, { mode: 0o600 })
  return password
}

async function runRedis(command: string, reason: string, options: RedisOptions): Promise<Redis> {
  const exitHook = options.exitHook ?? createExitHook()
  const temp = options.dir === undefined ? createTempDir(exitHook) : undefined
  const dir = options.dir ?? join(temp?.path ?? '', 'redis')
  let child: Child | undefined
  const stop = async (): Promise<void> => {
    await child?.stop('SIGTERM', STOP_TIMEOUT_MS)
    await temp?.remove()
  }

  try {
    mkdirSync(dir, { recursive: true, mode: 0o700 })
    const password = options.password ?? passwordIn(dir)
    for (let attempt = 1; ; attempt++) {
      const port = options.port ?? (await freePort())
      const settings = [
        `bind 127.0.0.1`,
        `port ${port}`,
        `dir ${JSON.stringify(dir)}`,
        // On standard input, for a command line can be read by everybody on the machine.
        `requirepass ${JSON.stringify(password)}`,
        // A SIGKILL loses nothing that was written, and a crash of the machine the last second: of the denylist, that is on
        // record in Postgres, which each replica reads before it believes a Redis that came back.
        'appendonly yes',
        'appendfsync everysec',
        'save ""',
        // Evicting an entry of the denylist would make a revoked token good again.
        'maxmemory-policy noeviction',
        'daemonize no'
      ]
      child = await startChild(command, ['-'], {
        name: 'redis',
        exitHook,
        input: `${settings.join('\n')}\n`,
        cwd: dir,
        ...(options.env && { env: { ...process.env, ...options.env } }),
        ...(options.onLine && { onLine: options.onLine }),
        onEnd: options.onEnd
      })
      const url = `redis://:${encodeURIComponent(password)}@127.0.0.1:${port}`
      try {
        let version: string | undefined
        const probe = async (): Promise<void> => void (version = await ask(url))
        await waitUntilReady('redis', probe, { timeoutMs: START_TIMEOUT_MS, child, signal: options.signal })
        const { pid } = child
        return {
          kind: 'binary',
          url,
          reason,
          ...(version !== undefined && { version }),
          pid,
          pause: async () => void process.kill(pid, 'SIGSTOP'),
          resume: async () => void process.kill(pid, 'SIGCONT'),
          stop
        }
      } catch (error) {
        const portTaken = child.lastLines().some((line) => /Address already in use/i.test(line))
        if (!portTaken || options.port !== undefined || child.ended === undefined || attempt === PORT_ATTEMPTS)
          throw error
      }
    }
  } catch (error) {
    await stop()
    throw error
  }
}

async function embedRedis(reason: string, { port, password }: RedisOptions): Promise<Redis> {
  try {
    const server = await startEmbeddedRedis({ port, password })
    return { kind: 'embedded', reason: `${reason}; in memory, not durable`, ...server }
  } catch (error) {
    throw new LocalError(`the embedded Redis cannot listen: ${messageOf(error)}`, { cause: error })
  }
}

/**
 * A Redis to work with: the one given, else a fresh and empty one that goes away with everything in it.
 * @throws {LocalError} none is to be had, or the one given cannot be reached
 */
export async function startRedis(options: RedisOptions = {}): Promise<Redis> {
  const { kind, url } = options
  if (kind === 'url' || (kind === undefined && url !== undefined)) {
    if (url === undefined) throw new LocalError('Redis by URL needs REDIS_URL')
    return useRedis(url)
  }
  const command = findBinary('redis-server')
  if (kind === 'binary') {
    if (command === undefined) throw new LocalError('no redis-server on the PATH')
    return runRedis(command, 'asked for', options)
  }
  if (kind === 'embedded') return embedRedis('asked for', options)
  if (command !== undefined) return runRedis(command, 'no REDIS_URL, redis-server is on the PATH', options)
  return embedRedis('no REDIS_URL, no redis-server on the PATH', options)
}
