import type { RevocationKind } from './history.js'

/** A generator of numbers from 0 to 1 that a seed repeats (mulberry32). */
export type Random = () => number

export function seeded(seed: number, ...names: string[]): Random {
  // FNV-1a, so that each name has a sequence of its own: what one fault draws must not depend on which came before.
  let state = seed >>> 0
  for (const char of names.join(' ')) state = Math.imul(state ^ char.charCodeAt(0), 0x01000193)
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}

export const pick = <T>(random: Random, all: readonly T[]): T | undefined => all[Math.floor(random() * all.length)]

export interface Planned {
  kind: RevocationKind
  /** After the one before it, where nothing else says when, in milliseconds. */
  afterMs: number
  /** Which replica is asked first; a fraction of their number. */
  replica: number
  /** When the client of a `logout-left` goes away, in milliseconds. */
  leavesAfterMs: number
  /** Whether that client comes back and asks again. */
  comesBack: boolean
}

/** How many of a hundred are of each kind. A change of a password costs four hashes, a theft a login. */
const SHARES: Record<RevocationKind, number> = {
  logout: 45,
  'logout-twice': 10,
  'logout-left': 12,
  'end-one': 15,
  'end-all': 12,
  'change-password': 3,
  theft: 3
}

/** So many revocations, in the order in which they will be made. */
export function plan(random: Random, count: number, everyMs: number): Planned[] {
  return Array.from({ length: count }, () => {
    let rest = random() * 100
    const kind = (Object.keys(SHARES) as RevocationKind[]).find((one) => (rest -= SHARES[one]) < 0) ?? 'logout'
    return {
      kind,
      afterMs: -Math.log(1 - random()) * everyMs,
      replica: random(),
      leavesAfterMs: random() * 4,
      comesBack: random() < 0.5
    }
  })
}
