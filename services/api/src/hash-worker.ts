import { getPriority, setPriority } from 'node:os'
import { hashSync, verifySync, type Algorithm } from '@node-rs/argon2'

/** argon2id as OWASP's Password Storage Cheat Sheet has it: 19 MiB, two passes, one lane. */
const ARGON2ID = 2 satisfies Algorithm.Argon2id
const options = { algorithm: ARGON2ID, memoryCost: 19_456, timeCost: 2, parallelism: 1 }

// 0 is the calling thread, on Linux alone; elsewhere it would be the process. Hashing takes the time that serving leaves.
// Where the replica itself runs with less than that (nice -n 19), only root may ask for more.
if (process.platform === 'linux') setPriority(0, Math.max(10, getPriority(0)))

export interface HashTask {
  password: string
  /** When whoever asked will have given up, in milliseconds since 1970. */
  deadline: number
}

/** A user who does not exist has this one's password: as much work is done for him. */
const unknownUser = hashSync('the password of nobody', options)

/** @returns undefined where it is too late */
export function hash({ password, deadline }: HashTask): string | undefined {
  return Date.now() > deadline ? undefined : hashSync(password, options)
}

/** @returns undefined where it is too late */
export function verify({ hashed, password, deadline }: HashTask & { hashed?: string }): boolean | undefined {
  if (Date.now() > deadline) return undefined
  return verifySync(hashed ?? unknownUser, password) && hashed !== undefined
}
