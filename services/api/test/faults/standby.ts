import { chmodSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Postgres } from '@one-secret/local'
import pg from 'pg'

/** Restarts a Postgres as a standby that is sent nothing: it can be read, as it was. @returns what promotes it */
export async function becomeStandby(postgres: Postgres): Promise<() => Promise<void>> {
  const ask = async <T extends pg.QueryResultRow>(sql: string): Promise<T> => {
    const client = new pg.Client(postgres.url)
    await client.connect()
    const { rows } = await client.query<T>(sql).finally(() => client.end())
    return rows[0]!
  }
  const { data_directory: data } = await ask<{ data_directory: string }>('SHOW data_directory')
  const signal = join(data, 'standby.signal')
  writeFileSync(signal, '')
  // Whoever Postgres runs as opens it for writing.
  chmodSync(signal, 0o666)
  await postgres.restart!()
  return async () => void (await ask('SELECT pg_promote()'))
}
