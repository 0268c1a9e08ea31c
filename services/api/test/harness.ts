import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type {} from '@fastify/postgres'
import type {} from '@fastify/redis'
import { randomBytes } from 'node:crypto'
import { startPostgres, startRedis, type Postgres, type Redis, type RedisOptions } from '@one-secret/local'
import type { FastifyInstance, LightMyRequestResponse } from 'fastify'
import type { Test } from 'tap'
import { buildApp } from '../src/app.js'
import { readConfig } from '../src/config.js'

/** A key ring of one random key. */
export const newKeyRing = (kid = 'k1'): string => `${kid}:${randomBytes(32).toString('base64url')}`

export interface Backends {
  postgres: Postgres
  redis: Redis
  /** What every replica of this cluster is started with. */
  env: Record<string, string>
}

/** A Postgres with the schema and a Redis of the test's own, stopped after it. */
export async function startBackends(t: Test, redisOptions: RedisOptions = {}): Promise<Backends> {
  const [postgres, redis] = await Promise.all([startPostgres(), startRedis(redisOptions)])
  t.teardown(() => Promise.all([postgres.stop(), redis.stop()]))
  const env = {
    DATABASE_URL: postgres.url,
    REDIS_URL: redis.url,
    JWT_KEYS: newKeyRing(),
    // Tests log in as often as they like; those of the limits set their own.
    LOGIN_LIMIT_PER_ACCOUNT: '0',
    LOGIN_LIMIT_PER_ADDRESS: '0'
  }
  const migration = await runProgram('migrate.js', env)
  if (migration.code !== 0) throw new Error(migration.output)
  return { postgres, redis, env }
}

/** A replica inside the test's process, called through `inject`. */
export async function buildReplica(t: Test, env: Record<string, string>): Promise<FastifyInstance> {
  const app = await buildApp(readConfig({ REPLICA_NAME: 'api', SHUTDOWN_DRAIN_MS: '0', ...env }), {
    level: 'error',
    stream: { write: (line) => t.comment(line) }
  })
  t.teardown(() => app.close())
  await app.ready()
  return app
}

const program = (name: string): string => fileURLToPath(new URL(`../dist/${name}`, import.meta.url))

/** Runs one of the api's programs to its end, with this environment alone. */
export async function runProgram(
  name: string,
  env: Record<string, string>,
  ...args: string[]
): Promise<{ code: number | null; output: string }> {
  const child = spawn(process.execPath, [program(name), ...args], { env, stdio: ['ignore', 'pipe', 'pipe'] })
  const output = collect(child)
  const [code] = (await once(child, 'exit')) as [number | null]
  return { code, output: output() }
}

export interface Replica {
  url: string
  pid: number
  /** All it has written so far. */
  output: () => string
  kill: (signal?: NodeJS.Signals) => Promise<{ code: number | null; signal: NodeJS.Signals | null }>
}

/** A replica as a process of its own, on a port that the system chose. */
export async function spawnReplica(t: Test, env: Record<string, string>): Promise<Replica> {
  const child = spawn(process.execPath, [program('bundle/server.js')], {
    env: { HOST: '127.0.0.1', PORT: '0', ...env },
    stdio: ['ignore', 'pipe', 'pipe']
  })
  const output = collect(child)
  const exited = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve) => {
    child.once('exit', (code, signal) => resolve({ code, signal }))
  })
  const kill: Replica['kill'] = (signal = 'SIGTERM') => {
    child.kill(signal)
    return exited
  }
  t.teardown(() => kill('SIGKILL'))
  const url = await new Promise<string>((resolve, reject) => {
    child.stdout.on('data', () => {
      const [, address] = /Server listening at (http:\/\/[^"]+)/.exec(output()) ?? []
      if (address !== undefined) resolve(address)
    })
    void exited.then(() => reject(new Error(output())))
  })
  return { url, pid: child.pid!, output, kill }
}

function collect(child: ChildProcess): () => string {
  let text = ''
  child.stdout?.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
  child.stderr?.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
  return () => text
}

export const PASSWORD = 'correct horse battery staple'

/** Names are never used twice, so that tests do not meet in the database. */
export const newUsername = (): string => `user-${randomBytes(8).toString('hex')}`

export interface TokenResponse {
  access_token: string
  token_type: string
  expires_in: number
  refresh_token: string
}

/** Hashing takes the time that is left: on a busy machine it is refused now and then, and the client told to come back. */
export async function post(app: FastifyInstance, url: string, payload: object): Promise<LightMyRequestResponse> {
  for (let attempt = 0; ; attempt++) {
    const response = await app.inject({ method: 'POST', url, payload })
    if (attempt === 100 || response.json<{ code?: string }>().code !== 'HASHING_BUSY') return response
    await sleep(100)
  }
}

async function insist(app: FastifyInstance, url: string, payload: object): Promise<LightMyRequestResponse> {
  const response = await post(app, url, payload)
  if (response.statusCode >= 300) throw new Error(response.body)
  return response
}

export async function signUp(app: FastifyInstance): Promise<{ id: string; username: string }> {
  return (await insist(app, '/users', { username: newUsername(), password: PASSWORD })).json()
}

export async function logIn(app: FastifyInstance, username?: string, options: object = {}): Promise<TokenResponse> {
  const payload = { username: username ?? (await signUp(app)).username, password: PASSWORD, ...options }
  return (await insist(app, '/auth/login', payload)).json()
}

/** What a token says, whether or not it is any good. */
export const claimsOf = (token: string): { jti: string; sid: string; sub: string; exp: number } =>
  JSON.parse(Buffer.from(token.split('.')[1]!, 'base64url').toString()) as {
    jti: string
    sid: string
    sub: string
    exp: number
  }

export const bearer = (token: string): { authorization: string } => ({ authorization: `Bearer ${token}` })

/** `GET /whoami` with a token: the status and the error's code, where there is one. */
export async function present(app: FastifyInstance, token: string): Promise<{ status: number; code?: string }> {
  const response = await app.inject({ url: '/whoami', headers: bearer(token) })
  const { code } = response.json<{ code?: string }>()
  return code === undefined ? { status: response.statusCode } : { status: response.statusCode, code }
}

export const refresh = (app: FastifyInstance, token: string) =>
  app.inject({ method: 'POST', url: '/auth/refresh', payload: { refresh_token: token } })

export const logOut = (app: FastifyInstance, token: string) =>
  app.inject({ method: 'POST', url: '/auth/logout', headers: bearer(token) })

/** None of these replicas takes a token of this login any longer. */
export async function refusedBy(
  t: Test,
  replicas: FastifyInstance[],
  { access_token, refresh_token }: TokenResponse,
  what: string
): Promise<void> {
  for (const app of replicas) {
    t.strictSame(await present(app, access_token), { status: 401, code: 'TOKEN_REVOKED' }, what)
  }
  t.equal((await refresh(replicas[0]!, refresh_token)).statusCode, 401, what)
}

/** All of these replicas take its access token. */
export async function acceptedBy(
  t: Test,
  replicas: FastifyInstance[],
  { access_token }: TokenResponse,
  what: string
): Promise<void> {
  for (const app of replicas) t.match(await present(app, access_token), { status: 200 }, what)
}

/** What a replica says at /metrics, by the series as it is written there, without the replica's name. */
export function readMetrics(text: string): Map<string, number> {
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  return new Map(
    lines.map((line) => {
      const [, series = '', value] = /^(.*) (\S+)$/.exec(line) ?? []
      return [series.replace(/replica="[^"]*",?/, '').replace(',}', '}'), Number(value)]
    })
  )
}
