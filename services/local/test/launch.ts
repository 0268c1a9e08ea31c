import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdtempSync, realpathSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'
import { until } from './waiting.js'

const main = fileURLToPath(new URL('../dist/main.js', import.meta.url))

export interface Ready {
  pid: number
  roll: string
  keys?: string
  balancer: string
  balancerKind: string
  replicas: { name: string; pid: number; url: string }[]
  postgres: { kind: string; url: string }
  redis: { kind: string; url: string }
}

export interface Launcher {
  child: ChildProcess
  stdout: () => string
  stderr: () => string
  /** The JSON it printed when it was ready. */
  ready: () => Promise<Ready>
  exit: Promise<number | null>
}

export const EMBEDDED = ['--postgres', 'embedded', '--redis', 'embedded', '--balancer', 'embedded']

/** Starts the launcher; if it still runs at the end of the test, it is told to stop. */
export function launch(t: Test, args: string[], env: NodeJS.ProcessEnv = {}): Launcher {
  const inherited = { ...process.env }
  for (const name of ['DATABASE_URL', 'REDIS_URL', 'JWT_KEYS', 'JWT_KEYS_FILE']) delete inherited[name]
  const child = spawn(process.execPath, [main, ...args], {
    env: { ...inherited, ...env },
    stdio: ['ignore', 'pipe', 'pipe']
  })
  let [stdout, stderr] = ['', '']
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
  const exit = once(child, 'close').then(([code]) => code as number | null)
  t.teardown(() => {
    child.kill('SIGTERM')
    return exit
  })
  return {
    child,
    exit,
    stdout: () => stdout,
    stderr: () => stderr,
    async ready() {
      await until(() => stdout.includes('\n') || child.exitCode !== null, 30_000)
      if (child.exitCode !== null) throw new Error(stderr)
      return JSON.parse(stdout) as Ready
    }
  }
}

/** A temporary directory of the test's own: what is left in it at the end was left by its launchers. */
export function useOwnTempDir(t: Test): void {
  const directory = realpathSync(mkdtempSync(join(tmpdir(), 'local-launcher-test-')))
  chmodSync(directory, 0o711)
  process.env['TMPDIR'] = directory
  t.teardown(() => rmSync(directory, { recursive: true, force: true }))
}
