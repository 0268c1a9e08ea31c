import type { ClientBase } from 'pg'
import type { Revocation } from './denylist.js'

/** Writes the durable record of revocations, in the transaction that ends their session. Safe to repeat. */
export async function recordRevocations(client: Pick<ClientBase, 'query'>, revocations: Revocation[]): Promise<void> {
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
