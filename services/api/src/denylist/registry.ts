import { randomUUID } from 'node:crypto'
import { REGISTRATION_MARGIN_MS, type View } from './protocol.js'

/** Who may hold a lease: a hash from member to `<lease in ms> <until, in ms since 1970 by Redis' clock> <cursor>`. */
export const REGISTRY = 'denylist:replicas'

/**
 * Registers a replica until its lease is over for certain, whenever the read that follows is answered.
 *
 * KEYS: the registry. ARGV: member, lease in ms, margin in ms, cursor.
 */
export const REGISTER = `
  local time = redis.call('TIME')
  local until_ = time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[2] + ARGV[3]
  redis.call('HSET', KEYS[1], ARGV[1], string.format('%d %.0f %s', ARGV[2], until_, ARGV[4]))
  return 1`

export const registerArguments = (member: string, leaseMs: number, cursor: string) =>
  [REGISTER, 1, REGISTRY, member, leaseMs, REGISTRATION_MARGIN_MS, cursor] as const

/** Of a replica, and of this one of its lives: one that was killed and started again is another. */
export const newMember = (replicaName: string): string => `${replicaName}#${randomUUID().slice(0, 8)}`

export const nameOf = (member: string): string => member.slice(0, member.lastIndexOf('#'))

/** Where a member is told what has been applied of what it appended. */
export const confirmationsOf = (member: string): string => `denylist:applied:${member}`

/**
 * What one member has applied: the log of that Redis up to there. Of another Redis it says nothing: the ids of one that was filled
 * anew, or took over, may be lower, where its clock is behind.
 */
export interface Confirmation {
  member: string
  log: string
  cursor: string
}

/** Names a log. */
export const logOf = ({ server, generation }: Pick<View, 'server' | 'generation'>): string => `${server}/${generation}`

export const formatConfirmation = (member: string, view: View): string => `${member} ${logOf(view)} ${view.cursor}`

export function parseConfirmation(message: string): Confirmation {
  const [member = '', log = '', cursor = ''] = message.split(' ')
  return { member, log, cursor }
}
