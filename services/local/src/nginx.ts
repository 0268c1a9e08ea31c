import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { findBinary } from './binaries.js'
import { runChild, startChild, waitUntilReady, type Child } from './child.js'
import { LocalError } from './errors.js'
import { createExitHook, type ExitHook } from './exit-hook.js'
import { askHttp } from './http-probe.js'
import type { Pools } from './lanes.js'
import { consoleTemplate, laneTemplates, nginxTemplate } from './paths.js'
import { freePort, requireFreePort } from './ports.js'
import type { Upstream } from './replicas.js'
import { createTail } from './tail.js'
import { createTempDir } from './temp-dir.js'

export interface BalancerOptions {
  /** Default: a free one. */
  port?: number
  /** Address to listen on. Default 127.0.0.1. */
  host?: string
  /** Whom to send requests to. A replica that is started again keeps its URL. */
  replicas: readonly Upstream[]
  /** The servers of a comparison, where there is one: then there are lanes. */
  pools?: Record<keyof Pools, readonly Upstream[]>
  /** The folder of the page at `/` (console.ts). Without it, `/` is a path like any other. */
  console?: string
  /** Gives up, and leaves nothing behind. */
  signal?: AbortSignal | undefined
  exitHook?: ExitHook
  /** Its log lines. Without it, nothing is logged. */
  onLine?: (line: string) => void
  /** It has ended, and nobody had told it to: why. */
  onEnd?: ((why: string) => void) | undefined
}

export interface Balancer {
  kind: 'nginx' | 'embedded'
  /** As in `http://127.0.0.1:8080`: where to reach it from this machine. */
  url: string
  reason: string
  version?: string
  pid?: number
  /** Looks again at who there is, where somebody was added or taken away. */
  refresh(): Promise<void>
  /** Ends what is under way, within a second. A second call waits for the first. */
  stop(): Promise<void>
}

const START_TIMEOUT_MS = 5_000
const STOP_TIMEOUT_MS = 1_000

/** An address as it stands in a URL or in nginx' `listen`. */
export const inBrackets = (host: string): string => (host.includes(':') ? `[${host}]` : host)

/** Where this machine reaches somebody who listens on `host`. */
export function localUrl(host: string, port: number): string {
  const anyAddress = host === '0.0.0.0' || host === '::'
  return `http://${anyAddress ? '127.0.0.1' : inBrackets(host)}:${port}`
}

/**
 * Replaces the template's `${…}`; nginx' own variables are `$name`, without braces.
 * @throws {Error} the template has a placeholder that nobody gave
 */
export function renderTemplate(template: string, values: Record<string, string>): string {
  return template.replace(/\$\{(\w+)\}/g, (_, name: string) => {
    const value = values[name]
    if (value === undefined) throw new Error(`nobody gives \${${name}} of the nginx template`)
    return value
  })
}

/** Only open-source nginx of this version or later keeps a client at its server by a cookie. */
const STICKY_SINCE = [1, 29, 6]

/** Whether the nginx on the PATH can serve the lanes of a comparison. */
export async function nginxKnowsSticky(exitHook: ExitHook): Promise<boolean> {
  const command = findBinary('nginx')
  if (command === undefined) return false
  const [line = ''] = await runChild(command, ['-v'], { name: 'nginx -v', exitHook })
  const version = (/nginx\/([\d.]+)/.exec(line)?.[1] ?? '0').split('.').map(Number)
  for (const [i, least] of STICKY_SINCE.entries()) {
    if (version[i] !== least) return (version[i] ?? 0) > least
  }
  return true
}

/** As nginx' configuration has them. A refused connection judges nobody: see the template. */
function serversOf(replicas: readonly Upstream[]): string {
  return replicas.map(({ url }) => `server ${new URL(url).host} max_fails=0;`).join(' ')
}

/**
 * Runs the nginx on the PATH with the configuration that Compose uses too.
 * @throws {LocalError} there is none, its port is taken, or it refuses the configuration
 */
export async function startNginx(options: BalancerOptions): Promise<Balancer> {
  const command = findBinary('nginx')
  if (command === undefined) throw new LocalError('no nginx on the PATH')
  const { host = '127.0.0.1', signal, onLine } = options
  const port = options.port || (await freePort(host))
  await requireFreePort(port, host)
  const exitHook = options.exitHook ?? createExitHook()
  const temp = createTempDir(exitHook)
  let child: Child | undefined
  const accessLog = onLine && createTail(join(temp.path, 'access.log'), onLine)
  let stopping: Promise<void> | undefined
  const stop = (): Promise<void> =>
    (stopping ??= (async () => {
      await child?.stop('SIGQUIT', STOP_TIMEOUT_MS)
      accessLog?.close()
      await temp.remove()
    })())

  try {
    const directory = join(temp.path, 'nginx')
    mkdirSync(directory)
    // Started by root, its workers are somebody else and write here.
    if (process.getuid?.() === 0) chmodSync(directory, 0o777)
    const file = join(temp.path, 'nginx.conf')
    const configure = (): void => {
      const { replicas, pools } = options
      const values = {
        // For nginx `::` is IPv6 alone, for everybody else both.
        NGINX_LISTEN: `${inBrackets(host)}:${port}${host === '::' ? ' ipv6only=off' : ''}`,
        NGINX_RESOLVER: '',
        NGINX_API_SERVERS: serversOf(replicas),
        NGINX_WORKERS: 'auto',
        NGINX_TMP: directory,
        NGINX_CONSOLE: options.console ?? '',
        ...(pools && {
          NGINX_SESSIONS_MEMORY_SERVERS: serversOf(pools['sessions-memory']),
          NGINX_SESSIONS_REDIS_SERVERS: serversOf(pools['sessions-redis']),
          NGINX_API_SINGLE_SERVERS: serversOf(pools['api-single'])
        })
      }
      writeFileSync(file, renderTemplate(readFileSync(nginxTemplate, 'utf8'), values))
      if (options.console !== undefined) {
        writeFileSync(join(directory, 'console.conf'), renderTemplate(readFileSync(consoleTemplate, 'utf8'), values))
      }
      if (!pools) return
      mkdirSync(join(directory, 'lanes'), { recursive: true })
      for (const { name, path } of laneTemplates) {
        writeFileSync(join(directory, 'lanes', name), renderTemplate(readFileSync(path, 'utf8'), values))
      }
    }
    configure()
    child = await startChild(command, ['-e', 'stderr', '-p', directory, '-c', file, '-g', 'daemon off;'], {
      name: 'nginx',
      exitHook,
      cwd: directory,
      // Immediate, but unlike SIGKILL it takes the workers along.
      lastSignal: 'SIGTERM',
      stdout: accessLog?.fd ?? 'ignore',
      ...(onLine && { onLine }),
      onEnd: options.onEnd
    })
    const nginx = child
    const url = localUrl(host, port)
    const answers = async (): Promise<void> => {
      await askHttp(`${url}/health/live`)
    }
    await waitUntilReady('nginx', answers, { timeoutMs: START_TIMEOUT_MS, child, signal })
    const [version = ''] = await runChild(command, ['-v'], { name: 'nginx -v', exitHook, signal })
    return {
      kind: 'nginx',
      url,
      reason: 'nginx is on the PATH',
      version: version.replace(/^.*nginx\//, ''),
      pid: child.pid,
      async refresh() {
        configure()
        // Those who are served by the old workers are served to the end.
        process.kill(nginx.pid, 'SIGHUP')
        await waitUntilReady('nginx', answers, { timeoutMs: START_TIMEOUT_MS, child: nginx, signal })
      },
      stop
    }
  } catch (error) {
    await stop()
    throw error
  }
}
