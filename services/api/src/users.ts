import type { ClientBase, Pool } from 'pg'
import { UsernameTaken } from './errors.js'

type Postgres = Pick<ClientBase | Pool, 'query'>

export interface User {
  id: string
  username: string
  createdAt: Date
}

/** What two spellings of one name have in common, as the index on `lower(username)` sees it. */
export const foldUsername = (username: string): string => username.toLowerCase()

/** @throws UsernameTaken (409); names are the same whatever their case */
export async function createUser(
  pg: Postgres,
  username: string,
  passwordHash: string
): Promise<{ id: string; username: string }> {
  const { rows } = await pg.query<{ id: string; username: string }>(
    `INSERT INTO users (username, password_hash) VALUES ($1, $2)
     ON CONFLICT (lower(username)) DO NOTHING
     RETURNING id, username`,
    [username, passwordHash]
  )
  if (rows[0] === undefined) throw new UsernameTaken()
  return rows[0]
}

/**
 * Names are ASCII. What else Postgres may fold to one of them, as a UTF-8 locale does with İ, foldUsername does not: each
 * spelling would have a login limit of its own. So it is nobody's.
 */
export async function findCredentials(
  pg: Postgres,
  username: string
): Promise<{ id: string; passwordHash: string } | undefined> {
  const { rows } = await pg.query<{ id: string; passwordHash: string }>(
    `SELECT id, password_hash AS "passwordHash" FROM users WHERE lower(username) = lower($1)`,
    [/^[\x20-\x7e]*$/.test(username) ? username : '']
  )
  return rows[0]
}

export async function findPasswordHash(pg: Postgres, id: string): Promise<string | undefined> {
  const { rows } = await pg.query<{ passwordHash: string }>(
    `SELECT password_hash AS "passwordHash" FROM users WHERE id = $1`,
    [id]
  )
  return rows[0]?.passwordHash
}

export async function findUser(pg: Postgres, id: string): Promise<User | undefined> {
  const { rows } = await pg.query<User>(`SELECT id, username, created_at AS "createdAt" FROM users WHERE id = $1`, [id])
  return rows[0]
}
