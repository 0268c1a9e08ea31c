import { execFile, execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { COMPARED, createExitHook, createTempDir, freePort, LocalError, type Kind } from '@one-secret/local'
import { COLLECTED_WITHIN_MS, ENVIRONMENT, NODE_OPTIONS, readHeap, type Cluster } from './cluster.js'

const exec = promisify(execFile)
const root = fileURLToPath(new URL('../../..', import.meta.url))

/** Not the project's own name, nor one from the environment: its volumes are removed. */
const PROJECT = 'one-secret-compare'

const METRICS =
  "fetch('http://127.0.0.1:3000/metrics').then((r) => r.text()).then((text) => process.stdout.write(text))"

/** What `docker compose --profile compare up` starts, as a project of its own. */
export async function startCompose(replicas: number, signal: AbortSignal): Promise<Cluster> {
  const exitHook = createExitHook()
  const temp = createTempDir(exitHook)
  const override = join(temp.path, 'compare.json')
  const kinds = ['api', ...COMPARED] as const
  const environment = { NODE_OPTIONS }
  writeFileSync(
    override,
    JSON.stringify({ services: Object.fromEntries(kinds.map((kind) => [kind, { environment }])) })
  )
  const port = await freePort()
  const env = { ...process.env, ...ENVIRONMENT, HTTP_PORT: String(port) }
  const docker = async (...args: string[]): Promise<string> => {
    try {
      return (await exec('docker', args, { env, maxBuffer: 64 * 1024 * 1024 })).stdout
    } catch (error) {
      const { stderr = '', message } = error as Error & { stderr?: string }
      throw new LocalError(`docker ${args[0]}: ${stderr.trim().split('\n').at(-1) ?? message}`, { cause: error })
    }
  }
  const files = ['-f', join(root, 'docker-compose.yml'), '-f', override]
  const project = ['compose', '-p', PROJECT, '--project-directory', root, ...files, '--profile', 'compare']
  const compose = (...args: string[]): Promise<string> => docker(...project, ...args)
  const remove = ['down', '-v', '--timeout', '2']
  // Containers outlive a process that ends by a mistake of its own.
  const forget = exitHook.add(() => execFileSync('docker', [...project, ...remove], { env, stdio: 'ignore' }))
  const close = async (): Promise<void> => {
    await compose(...remove)
    forget()
    await temp.remove()
  }

  const idsOf = async (service: string): Promise<string[]> =>
    (await compose('ps', '-q', service)).split('\n').filter((id) => id !== '')
  /** The name of its host, which is what a server calls itself. */
  const nameOf = (id: string): string => id.slice(0, 12)
  const scaled = (count: number, ...kinds: Kind[]): string[] => kinds.flatMap((kind) => ['--scale', `${kind}=${count}`])

  try {
    await compose(...remove)
    await compose('up', '-d', '--build', '--wait', ...scaled(replicas, ...kinds))
    signal.throwIfAborted()
    const [[redis], [postgres]] = await Promise.all([idsOf('redis'), idsOf('postgres')])
    if (redis === undefined || postgres === undefined) throw new LocalError('there is no Redis, or no Postgres')
    const config = await docker('exec', redis, 'cat', '/secrets/redis.conf')
    // By its name: what is on a command line anybody may read.
    Object.assign(env, { REDISCLI_AUTH: (/^requirepass +(\S+)/m.exec(config)?.[1] ?? '').replaceAll('"', '') })

    return {
      description: 'containers: nginx 1.30, Redis 8 and Postgres 18 of docker-compose.yml',
      url: `http://127.0.0.1:${port}`,
      replicas,
      async kill(kind) {
        const [id] = await idsOf(kind)
        if (id === undefined) throw new LocalError(`there is no ${kind} to kill`)
        await docker('kill', id)
      },
      async add(kind) {
        const before = await idsOf(kind)
        // Those that were killed would only be started again.
        await compose('rm', '--force', kind)
        await compose('up', '-d', '--no-deps', '--no-recreate', '--no-build', '--wait', ...scaled(replicas, kind), kind)
        const id = (await idsOf(kind)).find((one) => !before.includes(one))
        if (id === undefined) throw new LocalError(`no ${kind} was added`)
        // Until nginx has asked the resolver again.
        await sleep(1500)
        return { name: nameOf(id) }
      },
      pauseRedis: async () => void (await docker('pause', redis)),
      resumeRedis: async () => void (await docker('unpause', redis)),
      redis: (...command) => docker('exec', '-e', 'REDISCLI_AUTH', redis, 'redis-cli', ...command),
      async sql(text) {
        const psql = ['psql', '-U', 'one_secret', '-d', 'one_secret', '-v', 'ON_ERROR_STOP=1', '-Xqc', text]
        await docker('exec', postgres, ...psql)
      },
      async heap(kind) {
        const ids = await idsOf(kind)
        await docker('kill', '--signal', 'WINCH', ...ids)
        await sleep(COLLECTED_WITHIN_MS)
        const texts = await Promise.all(ids.map((id) => docker('exec', id, 'node', '-e', METRICS)))
        return texts.map(readHeap).reduce((sum, bytes) => sum + bytes, 0)
      },
      close
    }
  } catch (error) {
    await close()
    throw error
  }
}
