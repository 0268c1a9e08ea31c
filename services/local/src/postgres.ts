import { randomBytes } from 'node:crypto'
import { chownSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import pg from 'pg'
import { runChild, startChild, waitUntilReady, type Child } from './child.js'
import { LocalError, messageOf } from './errors.js'
import { createExitHook, type ExitHook } from './exit-hook.js'
import { freePort } from './ports.js'
import { installedPostgres, packagedPostgres, type PostgresBinaries } from './postgres-binaries.js'
import { createTempDir } from './temp-dir.js'
import { unprivilegedAccount, type Account } from './unprivileged.js'

export type PostgresKind = 'url' | 'binary' | 'embedded'

export interface PostgresOptions {
  /** Default: the first that is there of url, binary, embedded. */
  kind?: PostgresKind | undefined
  /** A server that runs already: used as it is, and left running. */
  url?: string | undefined
  /** How many there may be at the same time, of a server of its own; by default, and at the least, 200. */
  maxConnections?: number
  /** Gives up, and leaves nothing behind. */
  signal?: AbortSignal | undefined
  exitHook?: ExitHook
  onLine?: (line: string) => void
  /** It has ended, and nobody had told it to: why. */
  onEnd?: ((why: string) => void) | undefined
}

export interface Postgres {
  kind: PostgresKind
  /** Of the database `one_secret`, with the password. */
  url: string
  /** Why this kind. */
  reason: string
  version?: string
  /** Of the postmaster. */
  readonly pid?: number
  /** Starts it again on its data, under the same URL, however it came to an end. Absent where it is not ours. */
  restart?(): Promise<void>
  /** Fast shutdown; SIGKILL after 1.5 s. */
  stop(): Promise<void>
}

const DATABASE = 'one_secret'

/** Attempts at a free port that somebody else takes in the moment before Postgres does. */
const PORT_ATTEMPTS = 3

/** Time to be ready in, in milliseconds; it takes half a second. */
const START_TIMEOUT_MS = 20_000

/** Time between SIGINT and SIGKILL, in milliseconds. */
const STOP_TIMEOUT_MS = 1_500

async function query(url: string, sql: string): Promise<string | undefined> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 3_000 })
  // A server that goes away in the middle must not bring this process down with an unhandled 'error'.
  client.on('error', () => undefined)
  try {
    await client.connect()
    const result = await client.query<Record<string, string>>(sql)
    return Object.values(result.rows[0] ?? {})[0]
  } finally {
    await client.end().catch(() => undefined)
  }
}

function withoutPassword(url: string): string {
  try {
    const { host, pathname } = new URL(url)
    return `${host}${pathname}`
  } catch {
    return 'the URL given'
  }
}

async function usePostgres(url: string): Promise<Postgres> {
  try {
    const version = await query(url, 'SHOW server_version')
    return {
      kind: 'url',
      url,
      reason: 'DATABASE_URL is set',
      ...(version !== undefined && { version }),
      stop: async () => undefined
    }
  } catch (error) {
    throw new LocalError(`DATABASE_URL: no Postgres at ${withoutPassword(url)}: ${messageOf(error)}`, { cause: error })
  }
}

interface ServerOptions {
  binaries: PostgresBinaries
  maxConnections: number
  data: string
  account: Account | undefined
  exitHook: ExitHook
  signal: AbortSignal | undefined
  onLine: ((line: string) => void) | undefined
  onEnd: PostgresOptions['onEnd']
}

/** Nothing of the caller's environment: PGDATA, PGPORT and a locale that is not installed would all be obeyed. */
const serverEnvironment = (): NodeJS.ProcessEnv => ({ PATH: process.env['PATH'], LC_ALL: 'C', TZ: 'UTC' })

async function initialise(options: ServerOptions, directory: string, password: string): Promise<void> {
  const { account, binaries, data } = options
  mkdirSync(data, { mode: 0o700 })
  const passwordFile = join(directory, 'password')
  writeFileSync(passwordFile, password, { mode: 0o600 })
  if (account) {
    for (const path of [directory, data, passwordFile]) chownSync(path, account.uid, account.gid)
  }
  try {
    await runChild(
      binaries.initdb,
      [`--pgdata=${data}`, '--username=postgres', '--auth=scram-sha-256', `--pwfile=${passwordFile}`].concat([
        '--encoding=UTF8',
        '--locale=C',
        '--no-sync',
        '--no-instructions'
      ]),
      {
        name: 'initdb',
        exitHook: options.exitHook,
        signal: options.signal,
        env: serverEnvironment(),
        cwd: directory,
        ...(account && { uid: account.uid, gid: account.gid }),
        ...(options.onLine && { onLine: options.onLine })
      }
    )
  } finally {
    rmSync(passwordFile, { force: true })
  }
}

async function startServer(options: ServerOptions, port: number): Promise<Child> {
  const settings = {
    listen_addresses: '127.0.0.1',
    port,
    unix_socket_directories: '',
    max_connections: options.maxConnections,
    shared_buffers: '32MB',
    fsync: 'on',
    // Shared memory in the data directory: nothing is left in /dev/shm by a server that was killed.
    dynamic_shared_memory_type: 'mmap'
  }
  const flags = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`])
  return startChild(options.binaries.postgres, ['-D', options.data, ...flags], {
    name: 'postgres',
    exitHook: options.exitHook,
    // Immediate shutdown: unlike SIGKILL it lets the server take its own processes along.
    lastSignal: 'SIGQUIT',
    env: serverEnvironment(),
    cwd: options.data,
    ...(options.account && { uid: options.account.uid, gid: options.account.gid }),
    ...(options.onLine && { onLine: options.onLine }),
    onEnd: options.onEnd
  })
}

/** Initialises a cluster of its own in a directory of its own, and runs it on a free port of 127.0.0.1. */
async function runPostgres(kind: 'binary' | 'embedded', reason: string, options: PostgresOptions): Promise<Postgres> {
  const exitHook = options.exitHook ?? createExitHook()
  const temp = createTempDir(exitHook)
  let child: Child | undefined
  const end = async (): Promise<void> => child?.stop('SIGINT', STOP_TIMEOUT_MS)
  const stop = async (): Promise<void> => {
    await end()
    await temp.remove()
  }

  try {
    const account = unprivilegedAccount()
    const binaries = kind === 'binary' ? installedPostgres() : packagedPostgres(temp.path, account)
    if (!binaries) throw new LocalError('no postgres with initdb beside it on the PATH')
    const directory = join(temp.path, 'postgres')
    mkdirSync(directory, { mode: 0o700 })
    const { signal, onLine, onEnd } = options
    const data = join(directory, 'data')
    const maxConnections = Math.max(200, options.maxConnections ?? 0)
    const server: ServerOptions = { binaries, maxConnections, data, account, exitHook, signal, onLine, onEnd }
    const password = randomBytes(18).toString('base64url')
    await initialise(server, directory, password)

    for (let attempt = 1; ; attempt++) {
      const port = await freePort()
      const address = `postgres://postgres:${password}@127.0.0.1:${port}`
      const start = async (): Promise<Child> => {
        const started = (child = await startServer(server, port))
        const probe = async (): Promise<void> => void (await query(`${address}/postgres`, 'SELECT 1'))
        await waitUntilReady('postgres', probe, { timeoutMs: START_TIMEOUT_MS, child: started, signal })
        return started
      }
      try {
        let running = await start()
        await query(`${address}/postgres`, `CREATE DATABASE ${DATABASE}`)
        return {
          kind,
          reason,
          url: `${address}/${DATABASE}`,
          version: binaries.version,
          get pid() {
            return running.pid
          },
          restart: async () => {
            await end()
            running = await start()
          },
          stop
        }
      } catch (error) {
        const portTaken = child?.lastLines().some((line) => /could not bind|Address already in use/i.test(line))
        if (!portTaken || child?.ended === undefined || attempt === PORT_ATTEMPTS) throw error
      }
    }
  } catch (error) {
    await stop()
    throw error
  }
}

/**
 * A Postgres to work with: the one given, else a fresh and empty one that goes away with everything in it.
 * @throws {LocalError} none is to be had, or the one given cannot be reached
 */
export async function startPostgres(options: PostgresOptions = {}): Promise<Postgres> {
  const { kind, url } = options
  if (kind === 'url' || (kind === undefined && url !== undefined)) {
    if (url === undefined) throw new LocalError('Postgres by URL needs DATABASE_URL')
    return usePostgres(url)
  }
  if (kind !== undefined) return runPostgres(kind, 'asked for', options)
  if (installedPostgres()) return runPostgres('binary', 'no DATABASE_URL, postgres is on the PATH', options)
  return runPostgres('embedded', 'no DATABASE_URL, no postgres on the PATH', options)
}
