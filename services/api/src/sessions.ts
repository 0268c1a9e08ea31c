import type { PostgresDb } from '@fastify/postgres'
import type { ClientBase } from 'pg'
import {
  revocationOfSession,
  revocationOfToken,
  SESSION_REVOKED_SECONDS,
  type Revocation
} from './denylist/denylist.js'
import { pagesOf } from './denylist/entries.js'
import { endAndRecord, recordAlone } from './denylist/records.js'
import { CredentialsInvalid, SessionLimitReached } from './errors.js'
import type { RefreshGrant } from './refresh-tokens.js'
import type { AccessClaims } from './tokens.js'
import { transact } from './transact.js'

/** How long the token just exchanged still gives the same successor: for two tabs, or an answer that was lost. */
export const REUSE_GRACE_SECONDS = 10

type Postgres = Pick<PostgresDb, 'query' | 'connect'>
type Client = Pick<ClientBase, 'query'>

export interface NewSession {
  /** How long it may go without a refresh. */
  ttlSeconds: number
  userAgent: string | undefined
}

export interface SessionLimit {
  /** 0: no limit. */
  max: number
  /** What a login does that would exceed it: end the oldest sessions, or be refused. */
  overflow: 'evict-oldest' | 'refuse'
}

/**
 * Starts a session: one login on one device. The user's row is locked, so that of any number of logins at once, on any
 * replicas, each sees the sessions of those before it; and one whose password was changed since it was compared is
 * refused, or the session would survive the change.
 *
 * @returns the grant, and what has to be published before it is handed out: the sessions that had to make room, now or
 *   a while ago
 * @throws CredentialsInvalid (401), SessionLimitReached (409)
 */
export async function startSession(
  pg: Postgres,
  user: { id: string; passwordHash: string },
  session: NewSession,
  { max, overflow }: SessionLimit
): Promise<{ grant: RefreshGrant; revocations: Revocation[] }> {
  if (max === 0) return { grant: await insertSession(pg, user, session), revocations: [] }

  return transact(pg, async (client) => {
    await client.query('SELECT FROM users WHERE id = $1 FOR NO KEY UPDATE', [user.id])
    const { rows: newest } = await client.query<{ id: string }>(
      `SELECT id FROM sessions WHERE user_id = $1 AND ended_at IS NULL AND expires_at > now()
       ORDER BY created_at DESC, id LIMIT $2`,
      [user.id, max]
    )
    if (overflow === 'refuse' && newest.length >= max) throw new SessionLimitReached()
    const kept = newest.slice(0, max - 1).map(({ id }) => id)
    // Also where there is room: the login before may have made it, and failed to publish that.
    const revocations = overflow === 'refuse' ? [] : await endSessionsExcept(client, user.id, kept)
    return { grant: await insertSession(client, user, session), revocations }
  })
}

async function insertSession(
  client: Client,
  { id, passwordHash }: { id: string; passwordHash: string },
  { ttlSeconds, userAgent }: NewSession
): Promise<RefreshGrant> {
  const { rows } = await client.query<RefreshGrant>(
    `WITH locked AS (SELECT id FROM users WHERE id = $1 AND password_hash = $2 FOR NO KEY UPDATE)
     INSERT INTO sessions (user_id, user_agent, created_at, rotated_at, expires_at)
     SELECT id, $3, began, began, now() + make_interval(secs => $4) FROM locked, clock_timestamp() AS began
     RETURNING id AS sid, generation`,
    [id, passwordHash, userAgent?.slice(0, 256), ttlSeconds]
  )
  if (rows[0] === undefined) throw new CredentialsInvalid()
  return rows[0]
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
export async function endReusedSession(
  pg: Client,
  { sid, generation }: RefreshGrant
): Promise<Revocation[] | undefined> {
  const revocations = await endAndRecord(pg, {
    name: 'end-reused-session',
    text: `UPDATE sessions SET ended_at = coalesce(ended_at, now()), reused = true
      WHERE id = $1 AND generation > $2 AND expires_at > now() AND (ended_at IS NULL OR reused)`,
    values: [sid, generation]
  })
  return revocations.length > 0 ? revocations : undefined
}

/**
 * Ends a session and records what that revokes. A refresh of the same session either came first,
 * and its access token is revoked with the session, or waits for the row and finds that the session has ended.
 * Safe to repeat, and then revokes the same.
 *
 * @param others what is to be revoked beside the session
 * @returns what has to be published, or undefined where the user has no such session
 */
export async function endSession(
  pg: Client,
  userId: string,
  sid: string,
  others: readonly Revocation[] = []
): Promise<Revocation[] | undefined> {
  const revocations = await endAndRecord(
    pg,
    {
      name: 'end-session',
      text: 'UPDATE sessions SET ended_at = coalesce(ended_at, now()) WHERE id = $1 AND user_id = $2',
      values: [sid, userId]
    },
    others
  )
  return revocations.length > 0 ? revocations : undefined
}

/**
 * Ends the session of an access token, and the token itself, also where the session is not on record any more.
 * Safe to repeat, and then revokes the same.
 *
 * @returns what has to be published
 */
export async function endOwnSession(pg: Client, token: AccessClaims): Promise<Revocation[]> {
  return (await endSession(pg, token.sub, token.sid, [revocationOfToken(token)])) ?? recordAlone(pg, ownOf(token))
}

/** What an access token and its session are revoked with. */
const ownOf = (token: AccessClaims): Revocation[] => [
  revocationOfToken(token),
  revocationOfSession(token.sid, new Date())
]

/**
 * Ends all sessions of the user of an access token, that of the token also where it is not on record any more. A login at the
 * same time either came first, and its session ends, or starts afterwards.
 *
 * @returns what has to be published, the token's own session last: until that is revoked the call can be repeated
 */
export function endSessions(pg: Postgres, token: AccessClaims): Promise<Revocation[]> {
  return transact(pg, async (client) => {
    await client.query('SELECT FROM users WHERE id = $1 FOR NO KEY UPDATE', [token.sub])
    const ended = await endSessionsExcept(client, token.sub, [])
    const own = ended.filter(({ id }) => id === token.sid)
    const others = ended.filter(({ id }) => id !== token.sid)
    return [...others, ...(own.length > 0 ? own : await recordAlone(client, ownOf(token)))]
  })
}

/**
 * Replaces a password and ends every session but one.
 *
 * @param hashes the one that the old password was compared with, and the new one; the same where it is only to be repeated
 * @returns what has to be published
 * @throws CredentialsInvalid (401) where the password has been changed meanwhile
 */
export function changePassword(
  pg: Postgres,
  userId: string,
  hashes: { from: string; to: string },
  keptSid: string
): Promise<Revocation[]> {
  return transact(pg, async (client) => {
    const { rowCount } = await client.query(
      'UPDATE users SET password_hash = $3 WHERE id = $1 AND password_hash = $2',
      [userId, hashes.from, hashes.to]
    )
    if (rowCount === 0) throw new CredentialsInvalid()
    return endSessionsExcept(client, userId, [keptSid])
  })
}

/** Sessions at a time: to end so many takes a tenth of the time that a statement has. */
const BATCH = 5000

/**
 * Ends the sessions of a user whose row is locked, so that none is added meanwhile. Those that ended a while ago are named again
 * for as long as their access tokens may be alive: whoever ended them may have failed to publish it. So this too is safe to
 * repeat.
 */
async function endSessionsExcept(client: Client, userId: string, kept: readonly string[]): Promise<Revocation[]> {
  const { rows } = await client.query<{ id: string }>(
    `SELECT id FROM sessions WHERE user_id = $1 AND id <> ALL ($2::uuid[])
       AND coalesce(ended_at, expires_at) > now() - make_interval(secs => $3)`,
    [userId, kept, SESSION_REVOKED_SECONDS]
  )
  const revocations: Revocation[][] = []
  for (const page of pagesOf(rows, BATCH)) {
    revocations.push(
      await endAndRecord(client, {
        name: 'end-sessions',
        text: 'UPDATE sessions SET ended_at = coalesce(ended_at, now()) WHERE id = ANY ($1::uuid[])',
        values: [page.map(({ id }) => id)]
      })
    )
  }
  return revocations.flat()
}

export interface Session {
  id: string
  createdAt: Date
  refreshedAt: Date
  userAgent: string | null
}

/** The live sessions of a user, those used last first, a hundred at the most. */
export async function findSessions(pg: Client, userId: string): Promise<Session[]> {
  const { rows } = await pg.query<Session>(
    `SELECT id, created_at AS "createdAt", rotated_at AS "refreshedAt", user_agent AS "userAgent" FROM sessions
     WHERE user_id = $1 AND ended_at IS NULL AND expires_at > now()
     ORDER BY rotated_at DESC, id LIMIT 100`,
    [userId]
  )
  return rows
}
