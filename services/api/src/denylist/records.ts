import type { ClientBase, Pool } from 'pg'
import { SESSION_REVOKED_SECONDS, type Revocation } from './denylist.js'

/** An UPDATE of sessions that ends them, to which `RETURNING` is added. */
export interface Ending {
  /** Of the statement: each connection has it parsed and planned once, which is half of what it costs. */
  name: string
  text: string
  values: unknown[]
}

/**
 * Ends sessions and writes the durable record of what that revokes, in one statement: either both have happened or neither.
 * Safe to repeat; what is on record stays for the longer of the two times.
 *
 * @param others what is to be revoked beside the sessions, if there are any
 * @returns what is on record now and has to be published; nothing where there was no session
 */
export async function endAndRecord(
  client: Pick<ClientBase, 'query'>,
  { name, text, values }: Ending,
  others: readonly Revocation[] = []
): Promise<Revocation[]> {
  const [seconds, kinds, ids, times] = [1, 2, 3, 4].map((n) => `$${values.length + n}`)
  const { rows } = await client.query<Revocation>({
    name,
    text: `WITH ended AS (${text} RETURNING id, ended_at)
     INSERT INTO revocations (kind, id, expires_at)
     SELECT * FROM unnest(${kinds}::text[], ${ids}::uuid[], ${times}::timestamptz[]) WHERE EXISTS (SELECT FROM ended)
     UNION ALL
     SELECT 'sid', id, ended_at + make_interval(secs => ${seconds}) FROM ended
     ON CONFLICT (kind, id) DO UPDATE SET expires_at = greatest(revocations.expires_at, excluded.expires_at)
     RETURNING kind, id, expires_at AS "expiresAt"`,
    values: [
      ...values,
      SESSION_REVOKED_SECONDS,
      others.map(({ kind }) => kind),
      others.map(({ id }) => id),
      others.map(({ expiresAt }) => expiresAt)
    ]
  })
  return rows
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
