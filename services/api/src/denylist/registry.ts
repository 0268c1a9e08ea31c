import { randomUUID } from 'node:crypto'
import { MAX_LEASE_MS, type Registered, type View } from './protocol.js'

/** Who may hold a lease: a hash from member to `<lease in ms> <round> <server> <generation> <cursor>`. */
export const REGISTRY = 'denylist:replicas'

/** Strikes a member off that has not registered again. KEYS: the registry. ARGV: the member and its registration. */
export const STRIKE = `
  if redis.call('HGET', KEYS[1], ARGV[1]) == ARGV[2] then return redis.call('HDEL', KEYS[1], ARGV[1]) end
  return 0`

/** @param round which of its registrations this is, so that no two are alike */
export const spellRegistration = (leaseMs: number, round: number, view: View): string =>
  `${leaseMs} ${round} ${spellView(view)}`

export function parseRegistration(member: string, spelled: string): Registered {
  const [leaseMs, , ...view] = spelled.split(' ')
  // What says nothing, and is none of ours, is waited for as long as any.
  return { member, spelled, leaseMs: Number(leaseMs) || MAX_LEASE_MS, ...parseView(view) }
}

/** A view as one line: in the registry, and in a confirmation. */
export const spellView = ({ server, generation, cursor }: View): string => `${server} ${generation} ${cursor}`

export function parseView([server = '', generation = '', cursor = '']: readonly string[]): View {
  return { server, generation, cursor }
}

/** Of a replica, and of this one of its lives: one that was killed and started again is another. */
export const newMember = (replicaName: string): string => `${replicaName}#${randomUUID().slice(0, 8)}`

export const nameOf = (member: string): string => member.slice(0, member.lastIndexOf('#'))

/** Where a member is told what has been applied of what it appended: `<member> <server> <generation> <cursor>`. */
export const confirmationsOf = (member: string): string => `denylist:applied:${member}`
