/**
 * The one-shot of docker-compose.yml: makes the secrets that are missing below the directory named on the command line,
 * random ones, and keeps those that are there. Each part of the cluster mounts its own directory and sees no other:
 *
 *     api/jwt-keys api/database-url api/redis-url    postgres/password    redis/redis.conf
 *
 * A JWT_KEYS in the environment replaces the key ring, and running replicas take it at once. To change the ring step by step:
 * keys.ts.
 */
import { randomBytes } from 'node:crypto'
import { linkSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseKeyRing } from './key-ring.js'

const [directory] = process.argv.slice(2)
if (directory === undefined) {
  console.error('usage: make-secrets <directory>')
  process.exit(2)
}

const random = (): string => randomBytes(32).toString('base64url')

const given = process.env.JWT_KEYS
if (given) replace('api/jwt-keys', given)
else keepOrMake('api/jwt-keys', () => `k${new Date().toISOString().slice(0, 10).replaceAll('-', '')}:${random()}`)

const postgresPassword = keepOrMake('postgres/password', random)
keepOrMake('api/database-url', () => `postgres://one_secret:${postgresPassword}@postgres:5432/one_secret`)

const redisConf = keepOrMake('redis/redis.conf', () => `requirepass ${random()}`)
keepOrMake('api/redis-url', () => `redis://:${redisConf.split(' ')[1]}@redis:6379`)

/** A crash may have left one, which can be read only; and in a new container the next process may have the same number. */
function draftOf(file: string): string {
  const draft = `${file}.${process.pid}`
  rmSync(draft, { force: true })
  return draft
}

/** Written beside and linked into place: a crash half way leaves no half a secret, and of two at once one wins. */
function keepOrMake(name: string, make: () => string): string {
  const file = join(directory!, name)
  const draft = draftOf(file)
  writeFileSync(draft, `${make()}\n`, { mode: 0o444, flush: true })
  try {
    linkSync(draft, file)
    console.log(`${name}: made`)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    console.log(`${name}: kept`)
  } finally {
    rmSync(draft)
  }
  return readFileSync(file, 'utf8').trim()
}

function replace(name: string, value: string): void {
  try {
    parseKeyRing(value)
  } catch (error) {
    console.error(`JWT_KEYS ${(error as Error).message}`)
    process.exit(1)
  }
  const file = join(directory!, name)
  const draft = draftOf(file)
  writeFileSync(draft, `${value}\n`, { mode: 0o444, flush: true })
  renameSync(draft, file)
  console.log(`${name}: replaced by JWT_KEYS`)
}
