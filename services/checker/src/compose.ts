import { execFile, execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { createExitHook, createTempDir, LocalError } from '@one-secret/local'
import type { Cluster, Target } from './cluster.js'

const exec = promisify(execFile)
const root = fileURLToPath(new URL('../../..', import.meta.url))

/** Not the project's own name, nor one from the environment: its volumes are removed. */
const PROJECT = 'one-secret-checker'

export interface ComposeOptions {
  replicas: number
  leaseMs: number
  signal: AbortSignal | undefined
}

interface Container {
  id: string
  target: { name: string; url: string }
}

/** The cluster as containers of docker-compose.yml, without the balancer: each replica is asked at its address on the network `front`. */
export async function startCompose({ replicas: count, leaseMs, signal }: ComposeOptions): Promise<Cluster> {
  const exitHook = createExitHook()
  const temp = createTempDir(exitHook)
  const secret = randomBytes(32)
  const env = {
    ...process.env,
    JWT_KEYS: `checker:${secret.toString('base64url')}`,
    LOGIN_LIMIT_PER_ACCOUNT: '0',
    LOGIN_LIMIT_PER_ADDRESS: '0'
  }
  // Asking whether a replica is healthy asks Postgres: once it has started only the checker does, or R3 could not be counted.
  const override = join(temp.path, 'checker.json')
  const environment = { REVOCATION_LEASE_MS: String(leaseMs) }
  writeFileSync(override, JSON.stringify({ services: { api: { environment, healthcheck: { interval: '1h' } } } }))

  const run = async (program: string, args: readonly string[], input?: string): Promise<string> => {
    const running = exec(program, [...args], { env, maxBuffer: 64 * 1024 * 1024 })
    if (input !== undefined) running.child.stdin?.end(input)
    try {
      return (await running).stdout
    } catch (error) {
      const { stderr = '', message } = error as Error & { stderr?: string }
      throw new LocalError(`docker ${args[0]}: ${stderr.trim().split('\n').at(-1) ?? message}`, {
        exitCode: 2,
        cause: error
      })
    }
  }
  const docker = (...args: string[]): Promise<string> => run('docker', args)
  const files = ['-f', join(root, 'docker-compose.yml'), '-f', override]
  const project = ['compose', '-p', PROJECT, '--project-directory', root, ...files]
  const compose = (...args: string[]): Promise<string> => docker(...project, ...args)
  const remove = ['down', '-v', '--timeout', '2']
  // Containers outlive a process that ends by a mistake of its own.
  const forget = exitHook.add(() => execFileSync('docker', [...project, ...remove], { env, stdio: 'ignore' }))

  const lines: string[] = []
  const close = async (): Promise<void> => {
    lines.push(...(await compose('logs', '--no-color', '--timestamps', 'api').catch(() => '')).split('\n'))
    await compose(...remove)
    forget()
    await temp.remove()
  }

  const idsOf = async (service: string): Promise<string[]> =>
    (await compose('ps', '--all', '-q', service)).split('\n').filter((id) => id !== '')
  const addressOf = async (id: string): Promise<string> => {
    const format = `{{(index .NetworkSettings.Networks "${PROJECT}_front").IPAddress}}`
    return `http://${(await docker('inspect', '-f', format, id)).trim()}:3000`
  }

  try {
    await compose(...remove)
    await compose('up', '-d', '--build', '--wait', '--scale', `api=${count}`, 'api')
    signal?.throwIfAborted()
    const [[redis], [postgres], ids] = await Promise.all([idsOf('redis'), idsOf('postgres'), idsOf('api')])
    if (redis === undefined || postgres === undefined) throw new LocalError('there is no Redis, or no Postgres')
    const containers: Container[] = await Promise.all(
      ids.map(async (id, i) => ({ id, target: { name: `api-${i + 1}`, url: await addressOf(id) } }))
    )
    const replicas: Target[] = containers.map(({ target }) => target)
    const lined = containers.at(-1)!
    const containerOf = (name: string): Container => {
      const found = containers.find(({ target }) => target.name === name)
      if (!found) throw new LocalError(`there is no replica ${name}`)
      return found
    }
    const [, password = ''] =
      /^requirepass +(\S+)/m.exec(await docker('exec', redis, 'cat', '/secrets/redis.conf')) ?? []
    // By its name: what is on a command line anybody may read.
    Object.assign(env, { REDISCLI_AUTH: password.replaceAll('"', '') })
    /** In Redis' volume, while it is down. */
    const inRedisData = (script: string): Promise<string> =>
      docker(
        ...['run', '--rm', '--network', 'none', '--user', 'redis', '-v', `${PROJECT}_redis:/data`],
        ...['--entrypoint', 'sh', 'redis:8', '-c', script]
      )

    const until = async (what: string, holds: () => Promise<boolean>): Promise<void> => {
      for (let i = 0; i < 600; i++) {
        if (await holds().catch(() => false)) return
        await sleep(50)
      }
      throw new LocalError(`${what} is not ready after 30 s`, { exitCode: 2 })
    }
    const redisCli = async (...command: string[]): Promise<string> =>
      docker('exec', '-e', 'REDISCLI_AUTH', redis, 'redis-cli', ...command)
    const sql = async (text: string): Promise<string[][]> => {
      const psql = [
        'psql',
        '-U',
        'one_secret',
        '-d',
        'one_secret',
        '-v',
        'ON_ERROR_STOP=1',
        '-XqAtF',
        '\u001f',
        '-f',
        '-'
      ]
      const output = await run('docker', ['exec', '-i', '-e', 'PGAPPNAME=checker', postgres, ...psql], text)
      return output
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => line.split('\u001f'))
    }
    /** The kernel may not stop what is in the middle of a call: then it is tried again. */
    const pause = async (id: string): Promise<void> => {
      for (let attempt = 1; ; attempt++) {
        try {
          return void (await docker('pause', id))
        } catch (error) {
          if (attempt === 5) throw error
        }
      }
    }
    /** It has another address each time it starts, which it does again where it could not. */
    const untilReady = ({ id, target }: Container): Promise<void> =>
      until(target.name, async () => {
        target.url = await addressOf(id)
        return (await fetch(`${target.url}/health/ready`)).ok
      })
    let named = 0
    let adding: Promise<unknown> = Promise.resolve()

    return {
      description: `${count} containers of the api, lease ${leaseMs} ms, with Redis and Postgres of docker-compose.yml`,
      replicas,
      lined: lined.target,
      missing: {
        'redis-clock': 'a container has no clock of its own',
        'replica-clock': 'a container has no clock of its own',
        'slow-line': 'nothing in the images slows a network down'
      },
      secret,
      lines,

      async killReplica(name) {
        const container = containerOf(name)
        const { id } = container
        await docker('kill', id)
        // Nobody else does: one that was killed by hand is left alone.
        const started = docker('start', id).then(() => untilReady(container))
        // Where it is not, the run finds out.
        started.catch(() => undefined)
      },
      stopReplica: (name) => pause(containerOf(name).id),
      continueReplica: async (name) => void (await docker('unpause', containerOf(name).id)),
      setClock: () => Promise.reject(new Error('a container has no clock of its own')),
      async addReplica() {
        const name = `api-new-${++named}`
        const add = async (): Promise<Container> => {
          await compose('up', '-d', '--no-deps', '--no-recreate', '--scale', `api=${containers.length + 1}`, 'api')
          const id = (await idsOf('api')).find((one) => !containers.some((known) => known.id === one))
          if (id === undefined) throw new LocalError('no container was added')
          const container = { id, target: { name, url: await addressOf(id) } }
          containers.push(container)
          replicas.push(container.target)
          return container
        }
        const container = adding.then(add)
        adding = container
        const added = await container
        const ready = untilReady(added)
        // Whoever waits for it is told; it may fail before anybody does.
        ready.catch(() => undefined)
        return { replica: added.target, ready }
      },
      async removeReplica(name) {
        const { id, target } = containerOf(name)
        await docker('stop', id)
        await docker('rm', id)
        containers.splice(
          containers.findIndex((one) => one.id === id),
          1
        )
        replicas.splice(replicas.indexOf(target), 1)
      },

      cutLine: async () => void (await docker('network', 'disconnect', `${PROJECT}_back`, lined.id)),
      mendLine: async () => void (await docker('network', 'connect', `${PROJECT}_back`, lined.id)),
      slowLine: () => Promise.reject(new Error('nothing slows a network down')),

      killRedis: async () => void (await docker('kill', redis)),
      async startRedis({ empty = false, copy = false } = {}) {
        if (empty || copy) await inRedisData('rm -rf /data/appendonlydir')
        if (copy) await inRedisData('cp -a /data/copy /data/appendonlydir')
        await docker('start', redis)
        await until('Redis', async () => (await redisCli('PING')).startsWith('PONG'))
      },
      stopRedis: () => pause(redis),
      continueRedis: async () => void (await docker('unpause', redis)),
      copyRedis: async () => void (await inRedisData('rm -rf /data/copy && cp -a /data/appendonlydir /data/copy')),
      redis: redisCli,

      killPostgres: async () => void (await docker('kill', postgres)),
      async startPostgres() {
        await docker('start', postgres)
        await until('Postgres', async () => (await sql('SELECT 1')).length === 1)
      },
      sql,
      close
    }
  } catch (error) {
    await close()
    throw error
  }
}
