import type { ClientBase, Pool } from 'pg'
import { Type } from 'typebox'
import { CredentialsInvalid } from './errors.js'
import { PASSWORD_PATTERN, type Passwords } from './passwords.js'
import { findCredentials } from './users.js'

/** What a login is given, whatever else it takes. */
export const credentialFields = {
  username: Type.String({ minLength: 1, maxLength: 64, pattern: '^[^\\u0000\\ud800-\\udfff]*$' }),
  password: Type.String({ minLength: 1, maxLength: 128, pattern: PASSWORD_PATTERN })
}

/**
 * Finds whose name and password these are. A name that nobody has takes as long as a wrong password.
 *
 * @throws CredentialsInvalid (401), HashingBusy (503)
 */
export async function requireCredentials(
  pg: Pick<ClientBase | Pool, 'query'>,
  passwords: Passwords,
  { username, password }: { username: string; password: string }
): Promise<{ id: string; passwordHash: string }> {
  const credentials = await findCredentials(pg, username)
  const known = await passwords.verify(credentials?.passwordHash, password)
  if (credentials === undefined || !known) throw new CredentialsInvalid()
  return credentials
}
