import type { ClientBase, Pool } from 'pg'
import type { Revocation } from './denylist.js'

/** Writes the durable record of revocations, in the transaction that ends their session. Safe to repeat. */
export async function recordRevocations(
  client: Pick<ClientBase, 'query'>,
  revocations: readonly Revocation[]
): Promise<void> {
  await client.query(
    `INSERT INTO revocations (kind, id, expires_at)
     SELECT * FROM unnest($1::text[], $2::uuid[], $3::timestamptz[])
     ON CONFLICT (kind, id) DO UPDATE SET expires_at = greatest(revocations.expires_at, excluded.expires_at)`,
    [
      revocations.map(({ kind }) => kind),
      revocations.map(({ id }) => id),
      revocations.map(({ expiresAt }) => expiresAt)
    ]
  )
}

/** Revocations at a time: few enough not to hold up Redis, or the event loop, for more than a few milliseconds. */
export const PAGE = 500

/** Everything on record that has not expired, in pages. What is recorded meanwhile may be missing. */
export async function* liveRevocations(pg: Pick<Pool, 'query'>): AsyncGenerator<Revocation[]> {
  let last: Pick<Revocation, 'kind' | 'id'> | undefined
  for (;;) {
    const { rows } = await pg.query<Revocation>(
      `SELECT kind, id, expires_at AS "expiresAt" FROM revocations
       WHERE expires_at > now() AND ($1::text IS NULL OR (kind, id) > ($1, $2::uuid))
       ORDER BY kind, id LIMIT ${PAGE}`,
      [last?.kind ?? null, last?.id ?? null]
    )
    if (rows.length > 0) yield rows
    if (rows.length < PAGE) return
    last = rows.at(-1)
  }
}
