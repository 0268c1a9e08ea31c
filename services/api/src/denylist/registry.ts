import { randomUUID } from 'node:crypto'
import { REGISTRATION_MARGIN_MS, type View } from './protocol.js'

/**
 * Who may hold a lease: a hash from member to `<lease in ms> <until, in ms since 1970 by Redis' clock> <server> <generation>
 * <cursor>`.
 */
export const REGISTRY = 'denylist:replicas'

/**
 * Registers a replica until its lease is over for certain, whenever the read that follows is answered.
 *
 * KEYS: the registry. ARGV: member, lease in ms, margin in ms, its view.
 */
export const REGISTER = `
  local time = redis.call('TIME')
  local until_ = time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[2] + ARGV[3]
  redis.call('HSET', KEYS[1], ARGV[1], string.format('%d %.0f %s', ARGV[2], until_, ARGV[4]))
  return 1`

export const registerArguments = (member: string, leaseMs: number, view: View) =>
  [REGISTER, 1, REGISTRY, member, leaseMs, REGISTRATION_MARGIN_MS, spellView(view)] as const

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
