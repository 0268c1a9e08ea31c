import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'

export interface Cluster {
  /** The balancer. */
  url: string
  replicas: number
}

export const inLoadtest = (file: string): string => fileURLToPath(new URL(`../${file}`, import.meta.url))

const launcher = fileURLToPath(new URL('../../services/local/dist/main.js', import.meta.url))

/**
 * The one at BASE_URL, with REPLICAS of them; without it one of the test's own, stopped after it.
 *
 * @param options of the launcher, in that case
 */
export async function startCluster(t: Test, ...options: string[]): Promise<Cluster> {
  const { BASE_URL, REPLICAS } = process.env
  if (BASE_URL) return { url: BASE_URL, replicas: Number(REPLICAS || 3) }

  const child = spawn(process.execPath, [launcher, '--json', '--port', '0', ...options], {
    stdio: ['ignore', 'pipe', 'pipe']
  })
  const exited = once(child, 'exit')
  t.teardown(async () => {
    child.kill('SIGTERM')
    await exited
  })
  let complaints = ''
  child.stderr.on('data', (chunk: Buffer) => (complaints += chunk.toString()))
  const ready = await new Promise<string>((resolve, reject) => {
    let output = ''
    child.stdout.on('data', (chunk: Buffer) => {
      output += chunk.toString()
      if (output.includes('\n')) resolve(output)
    })
    child.on('exit', () => reject(new Error(complaints)))
  })
  const { balancer, replicas } = JSON.parse(ready) as { balancer: string; replicas: unknown[] }
  return { url: balancer, replicas: replicas.length }
}

export interface Ended {
  code: number | null
  stdout: string
  stderr: string
}

/** Runs a program to its end. What `env` says undefined of is not handed on. */
export async function run(
  program: string,
  args: string[],
  env: Record<string, string | undefined> = {}
): Promise<Ended> {
  const child = spawn(program, args, { env: { ...process.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
  const ended: Ended = { code: null, stdout: '', stderr: '' }
  child.stdout.on('data', (chunk: Buffer) => (ended.stdout += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (ended.stderr += chunk.toString()))
  const [code] = (await once(child, 'close')) as [number | null]
  return { ...ended, code }
}

/** What a program says of its version, undefined where it is not on the PATH. */
export function versionOf(program: string, ...args: string[]): string | undefined {
  try {
    return execFileSync(program, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] })
  } catch {
    return undefined
  }
}
