import type { PostgresDb } from '@fastify/postgres'
import { recordRevocations } from './denylist/records.js'
import { revocationOfSession, type Revocation } from './denylist/denylist.js'
import type { RefreshGrant } from './refresh-tokens.js'

/** How long the token just exchanged still gives the same successor: for two tabs, or an answer that was lost. */
export const REUSE_GRACE_SECONDS = 10

type Postgres = Pick<PostgresDb, 'query' | 'transact'>

/** Starts a session: one login on one device. */
export async function startSession(pg: Postgres, userId: string, ttlSeconds: number): Promise<RefreshGrant> {
  const { rows } = await pg.query<RefreshGrant>(
    `INSERT INTO sessions (user_id, expires_at) VALUES ($1, now() + make_interval(secs => $2))
     RETURNING id AS sid, generation`,
    [userId, ttlSeconds]
  )
  return rows[0]!
}

export interface RotatedSession extends RefreshGrant {
  userId: string
}

/**
 * Exchanges a grant for its successor. One statement, so that of any number of exchanges at once, on any replicas, one
 * moves the session on and the others, which wait for its row, get that same successor.
 *
 * @returns undefined where the grant is not the live one, nor the one before it within the grace
 */
export async function rotateSession(
  pg: Postgres,
  { sid, generation }: RefreshGrant,
  ttlSeconds: number
): Promise<RotatedSession | undefined> {
  const { rows } = await pg.query<RotatedSession>(
    `UPDATE sessions SET
       generation = greatest(generation, $2 + 1),
       rotated_at = CASE WHEN generation = $2 THEN now() ELSE rotated_at END,
       expires_at = now() + make_interval(secs => $3)
     WHERE id = $1 AND ended_at IS NULL AND expires_at > now()
       AND (generation = $2 OR (generation = $2 + 1 AND rotated_at > now() - make_interval(secs => $4)))
     RETURNING id AS sid, generation, user_id AS "userId"`,
    [sid, generation, ttlSeconds, REUSE_GRACE_SECONDS]
  )
  return rows[0]
}

/**
 * Ends the session of a grant that was exchanged before: whoever presents it now, or whoever holds its successor, is
 * not the one who logged in (RFC 9700 §4.14.2). Also where that has ended it already: an earlier call may have
 * failed to publish.
 *
 * @returns what has to be published, or undefined where the grant is not an old one, or the session had ended otherwise
 */
export function endReusedSession(pg: Postgres, { sid, generation }: RefreshGrant): Promise<Revocation[] | undefined> {
  return pg.transact(async (client) => {
    const { rowCount } = await client.query(
      `UPDATE sessions SET ended_at = coalesce(ended_at, now()), reused = true
       WHERE id = $1 AND generation > $2 AND expires_at > now() AND (ended_at IS NULL OR reused)`,
      [sid, generation]
    )
    if (rowCount === 0) return undefined
    const revocations = [revocationOfSession(sid)]
    await recordRevocations(client, revocations)
    return revocations
  })
}

/**
 * Ends a session and records what that revokes, in one transaction. A refresh of the same session either came first,
 * and its access token is revoked with the session, or waits for the row and finds that the session has ended.
 */
export async function endSession(pg: Postgres, sid: string, revocations: Revocation[]): Promise<void> {
  await pg.transact(async (client) => {
    await client.query(`UPDATE sessions SET ended_at = now() WHERE id = $1 AND ended_at IS NULL`, [sid])
    await recordRevocations(client, revocations)
  })
}
