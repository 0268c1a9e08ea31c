/**
 * Brings the database to the newest schema. Any number of these may start at once: node-pg-migrate's lock lets one
 * work and the others wait for it.
 */
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { runner } from 'node-pg-migrate'

const file = process.env.DATABASE_URL_FILE
const databaseUrl = process.env.DATABASE_URL ?? (file === undefined ? undefined : readFileSync(file, 'utf8').trim())
if (!databaseUrl) {
  console.error('DATABASE_URL is missing; expected postgres://user:password@host:port/database')
  process.exit(1)
}

try {
  const migrations = await runner({
    databaseUrl: { connectionString: databaseUrl, connectionTimeoutMillis: 5000 },
    dir: fileURLToPath(new URL('../migrations', import.meta.url)),
    direction: 'up',
    migrationsTable: 'migrations',
    advisoryLockMode: 'wait',
    log: () => {}
  })
  console.log(
    migrations.length === 0 ? 'the schema is up to date' : `applied ${migrations.map(({ name }) => name).join(', ')}`
  )
} catch (error) {
  console.error(`cannot migrate: ${(error as Error).message}`)
  process.exit(1)
}
