import { readFileSync } from 'node:fs'
import { isIP } from 'node:net'
import { hostname } from 'node:os'
import { envSchema, type JSONSchemaType } from 'env-schema'
import ms from 'ms'
import { Type, type Static } from 'typebox'
import { MAX_LEASE_MS } from './denylist/protocol.js'
import { MAX_ACCESS_TOKEN_TTL_SECONDS, parseKeyRing, type KeyRing } from './key-ring.js'

/** Of a byte each: longer ones would make tokens longer than are accepted, so that no token would be good. */
const CLAIM = '^[\\x20-\\x7e]{1,256}$'

const Environment = Type.Object({
  JWT_KEYS: Type.String({ minLength: 1 }),
  JWT_ISSUER: Type.String({ pattern: CLAIM, default: 'one-secret' }),
  JWT_AUDIENCE: Type.String({ pattern: CLAIM, default: 'one-secret-api' }),
  ACCESS_TOKEN_TTL: Type.String({ default: '15m' }),
  REFRESH_TOKEN_TTL: Type.String({ default: '30d' }),
  DATABASE_URL: Type.String({ minLength: 1 }),
  REDIS_URL: Type.String({ minLength: 1 }),
  REDIS_SENTINELS: Type.String({ default: '' }),
  HOST: Type.String({ minLength: 1, default: '0.0.0.0' }),
  PORT: Type.Integer({ minimum: 0, maximum: 65535, default: 3000 }),
  REPLICA_NAME: Type.String({ pattern: '^[A-Za-z0-9_.-]{1,64}$', default: hostname() }),
  LOGIN_LIMIT_PER_ACCOUNT: Type.Integer({ minimum: 0, maximum: 1_000_000, default: 10 }),
  LOGIN_LIMIT_PER_ADDRESS: Type.Integer({ minimum: 0, maximum: 1_000_000, default: 100 }),
  MAX_SESSIONS_PER_USER: Type.Integer({ minimum: 0, maximum: 1000, default: 0 }),
  SESSION_OVERFLOW: Type.Enum(['evict-oldest', 'refuse'], { default: 'evict-oldest' }),
  PURGE_EVERY_SECONDS: Type.Integer({ minimum: 0, maximum: 86_400, default: 3600 }),
  REVOCATION_MODE: Type.Enum(['lease', 'direct'], { default: 'lease' }),
  REVOCATION_LEASE_MS: Type.Integer({ minimum: 10, maximum: MAX_LEASE_MS, default: 250 }),
  REVOCATION_OUTAGE: Type.Enum(['refuse', 'serve-stale'], { default: 'refuse' }),
  REVOCATION_MAX_STALENESS_MS: Type.Integer({ minimum: 0, maximum: 3_600_000, default: 5000 }),
  TRUST_PROXY: Type.String({ default: '' }),
  LOG_LEVEL: Type.Enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'], { default: 'info' }),
  SHUTDOWN_GRACE_MS: Type.Integer({ minimum: 0, maximum: 600_000, default: 10_000 }),
  // Below pluginTimeout, which bounds a hook of closing too.
  SHUTDOWN_DRAIN_MS: Type.Integer({ minimum: 0, maximum: 30_000, default: 500 })
})
type Environment = Static<typeof Environment>

/** What each setting must be, said when it is not. */
const expectations: Record<keyof Environment, string> = {
  JWT_KEYS: 'kid:base64url,kid:base64url,… with at least 32 random bytes each; the first signs, all verify',
  JWT_ISSUER: '1 to 256 characters of ASCII',
  JWT_AUDIENCE: '1 to 256 characters of ASCII',
  ACCESS_TOKEN_TTL: `a duration with a unit, from 1s to ${MAX_ACCESS_TOKEN_TTL_SECONDS / 60}m`,
  REFRESH_TOKEN_TTL: 'a duration with a unit, from 1m to 400d, and not below ACCESS_TOKEN_TTL',
  DATABASE_URL: 'postgres://user:password@host:port/database',
  REDIS_URL: 'redis://:password@host:port or rediss://…, and maybe the number of a database behind it',
  REDIS_SENTINELS:
    'host:port of each Sentinel, separated by commas; REDIS_URL then has the name of the primary in place of a host',
  HOST: 'an address to listen on',
  PORT: 'a port number, 0 to 65535',
  REPLICA_NAME: '1 to 64 letters, digits, dots, dashes or underscores',
  LOGIN_LIMIT_PER_ACCOUNT: 'attempts a minute, 2 to 1000000, or 0 (no limit)',
  LOGIN_LIMIT_PER_ADDRESS: 'attempts a minute, 2 to 1000000, or 0 (no limit)',
  MAX_SESSIONS_PER_USER: 'a whole number, 0 (no limit) to 1000',
  SESSION_OVERFLOW: 'evict-oldest or refuse',
  PURGE_EVERY_SECONDS: 'seconds, 0 (never) to 86400',
  REVOCATION_MODE: 'lease or direct',
  REVOCATION_LEASE_MS: `milliseconds, 10 to ${MAX_LEASE_MS}`,
  REVOCATION_OUTAGE: 'refuse or serve-stale',
  REVOCATION_MAX_STALENESS_MS: 'milliseconds, 0 to 3600000',
  TRUST_PROXY: 'addresses or CIDR ranges of the balancer, separated by commas, or loopback, linklocal, uniquelocal',
  LOG_LEVEL: 'fatal, error, warn, info, debug, trace or silent',
  SHUTDOWN_GRACE_MS: 'milliseconds, 0 to 600000',
  SHUTDOWN_DRAIN_MS: 'milliseconds, 0 to 30000'
}

/** Settings whose value may stand in a file, named by the same setting with `_FILE` behind it. */
const secrets = ['JWT_KEYS', 'DATABASE_URL', 'REDIS_URL'] as const

export interface Config {
  keyRing: KeyRing
  /** Where the ring came from, to be looked at again; undefined where the environment itself held it. */
  keyRingFile: string | undefined
  issuer: string
  audience: string
  accessTokenTtlSeconds: number
  refreshTokenTtlSeconds: number
  databaseUrl: string
  redisUrl: string
  /** Who knows where the primary is that `redisUrl` names; none: `redisUrl` is where the server is. */
  redisSentinels: { host: string; port: number }[]
  host: string
  port: number
  replicaName: string
  /** Attempts a minute, over all replicas; 0: no limit. */
  loginLimits: { perAccount: number; perAddress: number }
  /** 0: no limit. */
  maxSessionsPerUser: number
  sessionOverflow: 'evict-oldest' | 'refuse'
  /** 0: never. */
  purgeEverySeconds: number
  revocation: {
    mode: 'lease' | 'direct'
    leaseMs: number
    outage: { policy: 'refuse' | 'serve-stale'; maxStalenessMs: number }
  }
  trustProxy: string[]
  logLevel: string
  shutdownGraceMs: number
  shutdownDrainMs: number
}

/** Thrown once, with every problem of the environment in its message and no secret value. */
export class ConfigError extends Error {
  constructor(readonly problems: string[]) {
    super(
      `${problems.length === 1 ? 'one setting is' : `${problems.length} settings are`} wrong:\n  ${problems.join('\n  ')}`
    )
    this.name = 'ConfigError'
  }
}

/**
 * Reads, checks and types the settings.
 *
 * @throws ConfigError that names every setting that is missing or wrong
 */
export function readConfig(environment: NodeJS.ProcessEnv): Config {
  const problems = new Map<string, string>()
  const blame = (name: keyof Environment, why: string): void => {
    if (!problems.has(name)) problems.set(name, `${name} ${why}; expected ${expectations[name]}`)
  }
  const check = <T>(name: keyof Environment, parse: () => T): T | undefined => {
    try {
      return parse()
    } catch (error) {
      blame(name, (error as Error).message)
      return undefined
    }
  }

  const data: NodeJS.ProcessEnv = {}
  for (const [name, value] of Object.entries(environment)) {
    // Compose and shells hand an unset variable on as an empty one: it takes the default.
    if (value !== '') data[name] = value
  }
  for (const name of secrets) {
    const file = data[`${name}_FILE`]
    if (file === undefined) continue
    if (data[name] !== undefined) blame(name, `and ${name}_FILE are both set`)
    else check(name, () => (data[name] = readSecret(file, `${name}_FILE`)))
  }

  // For ajv a blank is 0, which says "no limit", and Infinity is a whole number below every maximum.
  for (const [name, { type }] of Object.entries(Environment.properties) as [keyof Environment, { type?: string }][]) {
    if (type === 'integer' && !/^\d{1,9}$/.test(data[name] ?? '0')) blame(name, 'is not valid')
  }

  let env: Environment
  try {
    env = envSchema<Environment>({ schema: Environment as unknown as JSONSchemaType<Environment>, data, env: false })
  } catch (error) {
    for (const { instancePath, params } of (error as SchemaError).errors ?? []) {
      const name = (instancePath.slice(1) || params.missingProperty) as keyof Environment
      blame(name, params.missingProperty === undefined ? 'is not valid' : 'is missing')
    }
    if (problems.size === 0) throw error
    env = data as unknown as Environment
  }

  const parse = <T>(name: keyof Environment, parser: (value: string) => T): T | undefined => {
    const value = env[name]
    return typeof value === 'string' && !problems.has(name) ? check(name, () => parser(value)) : undefined
  }
  const keyRing = parse('JWT_KEYS', parseKeyRing)
  const accessTokenTtlSeconds = parse('ACCESS_TOKEN_TTL', (v) => parseDuration(v, 1, MAX_ACCESS_TOKEN_TTL_SECONDS))
  const refreshTokenTtlSeconds = parse('REFRESH_TOKEN_TTL', (v) => parseDuration(v, 60, 400 * 86_400))
  if (accessTokenTtlSeconds! > refreshTokenTtlSeconds!) {
    blame('REFRESH_TOKEN_TTL', 'is shorter than ACCESS_TOKEN_TTL, so that a session would end before its tokens')
  }
  for (const name of ['LOGIN_LIMIT_PER_ACCOUNT', 'LOGIN_LIMIT_PER_ADDRESS'] as const) {
    if (env[name] === 1) blame(name, 'is too low to repeat a change of password, which counts as two attempts')
  }
  const databaseUrl = parse('DATABASE_URL', (v) => parseUrl(v, ['postgres:', 'postgresql:']))
  const redisUrl = parse('REDIS_URL', (v) => parseRedisUrl(v))
  const redisSentinels = parse('REDIS_SENTINELS', parseSentinels)
  const trustProxy = parse('TRUST_PROXY', parseAddresses)

  if (
    problems.size > 0 ||
    keyRing === undefined ||
    accessTokenTtlSeconds === undefined ||
    refreshTokenTtlSeconds === undefined ||
    databaseUrl === undefined ||
    redisUrl === undefined
  ) {
    throw new ConfigError([...problems.values()])
  }
  return {
    keyRing,
    keyRingFile: environment.JWT_KEYS_FILE || undefined,
    issuer: env.JWT_ISSUER,
    audience: env.JWT_AUDIENCE,
    accessTokenTtlSeconds,
    refreshTokenTtlSeconds,
    databaseUrl,
    redisUrl,
    redisSentinels: redisSentinels ?? [],
    host: env.HOST,
    port: env.PORT,
    replicaName: env.REPLICA_NAME,
    loginLimits: { perAccount: env.LOGIN_LIMIT_PER_ACCOUNT, perAddress: env.LOGIN_LIMIT_PER_ADDRESS },
    maxSessionsPerUser: env.MAX_SESSIONS_PER_USER,
    sessionOverflow: env.SESSION_OVERFLOW,
    purgeEverySeconds: env.PURGE_EVERY_SECONDS,
    revocation: {
      mode: env.REVOCATION_MODE,
      leaseMs: env.REVOCATION_LEASE_MS,
      outage: { policy: env.REVOCATION_OUTAGE, maxStalenessMs: env.REVOCATION_MAX_STALENESS_MS }
    },
    trustProxy: trustProxy ?? [],
    logLevel: env.LOG_LEVEL,
    shutdownGraceMs: env.SHUTDOWN_GRACE_MS,
    shutdownDrainMs: env.SHUTDOWN_DRAIN_MS
  }
}

interface SchemaError extends Error {
  errors?: { instancePath: string; params: { missingProperty?: string } }[]
}

function readSecret(file: string, setting: string): string {
  try {
    return readFileSync(file, 'utf8').trim()
  } catch (error) {
    throw new Error(`cannot be read from ${setting}, ${file} (${(error as NodeJS.ErrnoException).code})`, {
      cause: error
    })
  }
}

/** A number without a unit is refused: `900` has been read as milliseconds and as seconds by different libraries. */
function parseDuration(value: string, min: number, max: number): number {
  const seconds = /^\d+\s?[a-z]+$/i.test(value) ? ms(value as ms.StringValue) / 1000 : NaN
  if (!Number.isInteger(seconds)) throw new Error(`is "${value}", not a whole number of seconds with its unit`)
  if (seconds < min || seconds > max) throw new Error(`is "${value}", out of range`)
  return seconds
}

function parseUrl(value: string, protocols: string[]): string {
  // The value is not repeated: it holds a password.
  const url = URL.canParse(value) ? new URL(value) : undefined
  if (url === undefined || url.host === '' || !protocols.includes(url.protocol)) throw new Error('is not such a URL')
  return value
}

function parseRedisUrl(value: string): string {
  const url = parseUrl(value, ['redis:', 'rediss:'])
  // ioredis would take what is no number for the name of nothing, and say so at the first command.
  const { pathname, username, password } = new URL(url)
  if (!/^\/?\d{0,3}$/.test(pathname)) throw new Error('names a database that is no number')
  if (/%(?![\da-f]{2})/i.test(username + password))
    throw new Error('has a % in its password that is not written as %25')
  return url
}

function parseSentinels(value: string): { host: string; port: number }[] {
  return listOf(value).map((address) => {
    const [, host, port] = /^(?:\[([\da-f:]+)\]|([\w.-]+)):(\d{1,5})$/i.exec(address)?.filter(Boolean) ?? []
    if (host === undefined || Number(port) > 65535) throw new Error(`has "${address}"`)
    return { host, port: Number(port) }
  })
}

const listOf = (value: string): string[] =>
  value
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '')

function parseAddresses(value: string): string[] {
  const addresses = listOf(value)
  for (const address of addresses) {
    if (/^(loopback|linklocal|uniquelocal)$/.test(address)) continue
    const [ip = '', bits = '1', ...rest] = address.split('/')
    const longest = [0, 0, 0, 0, 32, 0, 128][isIP(ip)] ?? 0
    if (longest === 0 || rest.length > 0 || !/^[1-9]\d{0,2}$/.test(bits) || Number(bits) > longest) {
      throw new Error(`has "${address}"`)
    }
  }
  return addresses
}
