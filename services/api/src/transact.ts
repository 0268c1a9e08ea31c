import type { PostgresDb } from '@fastify/postgres'
import pg, { type PoolClient } from 'pg'

/**
 * Does the work in one transaction, on a connection of its own. A connection that did not answer in time is closed and
 * not given back: it may still be in the transaction, and would fail whoever gets it next.
 *
 * @throws what the work throws, after a rollback; what Postgres answers to COMMIT. Where there was no answer to COMMIT
 *   nobody knows whether it has happened, so whatever is done here must be safe to repeat.
 */
export async function transact<T>(
  { connect }: Pick<PostgresDb, 'connect'>,
  work: (client: PoolClient) => Promise<T>
): Promise<T> {
  const client = await connect()
  let lost: Error | undefined
  try {
    await client.query('BEGIN')
    const result = await work(client)
    await client.query('COMMIT')
    return result
  } catch (error) {
    // Where there was no answer to a query there will be none to ROLLBACK: it would only take as long again.
    if (isOfConnection(error)) lost = error
    else await client.query('ROLLBACK').catch((rollback: Error) => (lost = rollback))
    throw error
  } finally {
    client.release(lost)
  }
}

/** Of the connection, and not the answer of Postgres to a statement, nor the work's own. */
function isOfConnection(error: unknown): error is Error {
  return error instanceof Error && !(error instanceof pg.DatabaseError) && !('statusCode' in error)
}
