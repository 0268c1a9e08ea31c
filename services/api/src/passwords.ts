import { hash, verify, type Algorithm } from '@node-rs/argon2'

/** argon2id as OWASP's Password Storage Cheat Sheet has it: 19 MiB, two passes, one lane. */
const ARGON2ID = 2 satisfies Algorithm.Argon2id
const options = { algorithm: ARGON2ID, memoryCost: 19_456, timeCost: 2, parallelism: 1 }

/** Hashes a new password; the result names its own algorithm, parameters and salt (PHC string format). */
export function hashPassword(password: string): Promise<string> {
  return hash(normalize(password), options)
}

/**
 * Whether the password is the one that was hashed. For an unknown user pass `undefined`: as much work is done, so
 * that the time of the answer does not tell which names exist.
 */
export async function verifyPassword(hashed: string | undefined, password: string): Promise<boolean> {
  const matches = await verify(hashed ?? (await unknownUser), normalize(password))
  return matches && hashed !== undefined
}

const unknownUser = hashPassword('the password of nobody')

/** The same characters typed on two keyboards can be two sequences of code points (NIST SP 800-63B-4 §3.1.1.2). */
function normalize(password: string): string {
  return password.normalize('NFKC')
}
