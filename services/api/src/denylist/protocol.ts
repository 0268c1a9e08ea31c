/**
 * What the replicas decide, without I/O and without a clock of its own: the denylist runs on these functions, and the
 * model in services/api/model explores every order of events that they can meet. ARCHITECTURE.md has the argument in one page.
 */

/** The longest lease that can be configured, in milliseconds: what a barrier waits for where it does not know better. */
export const MAX_LEASE_MS = 1000

/**
 * How much slower than another one replica's clock may tick. Both of a machine's clocks are slewed while its time is being
 * corrected, by chrony up to 83,333 ppm (maxslewrate): of two machines, one faster and one slower, 1.0833 / 0.9167.
 */
const CLOCK_RATE_SLACK = 0.182

/** A reading of both clocks, in milliseconds. The monotonic one is never set; it stands still while the machine sleeps. */
export interface Moment {
  monotonic: number
  wall: number
}

/** That the set was complete when a read was sent, which is good for so many milliseconds from then on. */
export interface Lease {
  sent: Moment
  ms: number
}

/**
 * Whether the set may be believed. Asked at each request, never of a timer: a process that was stopped finds its lease
 * expired when it goes on. Where the clocks have moved apart the machine slept, or its clock was set: void.
 */
export const holds = (lease: Lease | undefined, now: Moment): boolean => isYounger(lease, now, lease?.ms ?? 0)

/**
 * Whether it was taken less than so many milliseconds ago, by clocks that nobody has set since. By both of them: within
 * what they may differ the machine may have slept, while a barrier counted on.
 */
export function isYounger(lease: Lease | undefined, now: Moment, ms: number): boolean {
  if (lease === undefined) return false
  const elapsed = Math.max(now.monotonic - lease.sent.monotonic, now.wall - lease.sent.wall)
  return elapsed < ms && haveMovedTogether(lease.sent, now, lease.ms)
}

/** Whether the two clocks have agreed, within a quarter of a lease, on how much time there was in between. */
export function haveMovedTogether(from: Moment, to: Moment, leaseMs: number): boolean {
  return Math.abs(to.wall - from.wall - (to.monotonic - from.monotonic)) <= leaseMs / 4
}

/** Orders two ids of stream entries, `milliseconds-sequence`. */
export function compareIds(a: string, b: string): number {
  const [aMs = '', aSeq = ''] = a.split('-')
  const [bMs = '', bSeq = ''] = b.split('-')
  return Number(aMs) - Number(bMs) || Number(aSeq) - Number(bSeq)
}

/** What a replica's set was built from. */
export interface View {
  /** The Redis it was loaded from: its process and its term as a primary, `run_id:master_replid`. */
  server: string
  generation: string
  /** Everything in the log up to here is in the set. */
  cursor: string
}

/**
 * Whether a load may do without the record in Postgres, where that cannot be read: in the very Redis this replica loaded
 * from before. Another process may have come back with an older log, under the same generation.
 */
export function logSuffices(before: View | undefined, server: string, generation: string): boolean {
  return before !== undefined && before.server === server && before.generation === generation
}

/**
 * Whether a Redis has been given everything on record since it became what it is. A process that came back in an older state
 * still says so of what it was before.
 */
export function isWhole({ server, vouchedFor }: { server: string; vouchedFor: string | null }): boolean {
  // One that does not tell its term could have had others.
  return !server.endsWith(':') && vouchedFor === server
}

/** The reply to a read of the log, with what the same connection said right after it. */
export interface Read {
  /** False where the replica could not be registered before it. */
  registered: boolean
  /** False where there may be more: a full page. */
  complete: boolean
  generation: string | null
  /** The last entry of the log, whatever was read. */
  lastId: string
}

/**
 * What follows from a read once its entries have been applied and the view's cursor moved on.
 *
 * The generation is asked after the log was read. Had it been asked before, Redis could have lost its log in between,
 * and an empty reply would have been taken for "nothing new".
 */
export function judgeRead({ generation, cursor }: View, read: Read): 'lease' | 'again' | 'reload' {
  if (read.generation !== generation || compareIds(read.lastId, cursor) < 0) return 'reload'
  return read.registered && read.complete ? 'lease' : 'again'
}

/** A direct look-up: keys of Redis, with the generation in the same command. */
export interface LookUp {
  /** The process that answered, as far as it is known. */
  server: string | undefined
  generation: string | null
  found: boolean
}

/**
 * What a look-up says. A key that is there is a revocation, whatever else was lost. That none is there says something
 * only in the very Redis the set was loaded from: one that came back, or took over, may lack what was acknowledged.
 */
export function judgeLookUp(view: View | undefined, { server, generation, found }: LookUp): boolean | 'unknown' {
  if (found) return true
  const known = view !== undefined && server === view.server && generation === view.generation
  return known ? false : 'unknown'
}

/** Whether two names are of one process: its term can change while connections to it go on, as where a first replica joins it. */
export const isSameProcess = (a: string, b: string): boolean => a.split(':')[0] === b.split(':')[0]

/** A replica that may hold a lease, and what it had when it registered. */
export interface Registered extends View {
  /** Its name and, behind a `#`, which of its lives this is. */
  member: string
  leaseMs: number
  /** As it stands in the registry: no two of its registrations are alike. */
  spelled: string
}

/** What a barrier waits for. */
export interface Barrier {
  /** When the append was acknowledged, on the monotonic clock. */
  appendedAt: number
  /** The entry that must have been applied, and of what. */
  target: string
  generation: string
  registered: readonly Registered[]
  /** Whether everybody who may hold a lease is among them. */
  believed: boolean
}

/** Which connection has said which generation, since when. */
export interface Sighting {
  generation: string
  /** On the monotonic clock. */
  since: number
}

/**
 * Whether the registry names everybody who may hold a lease. The Redis that had it may have been lost while leases taken
 * there still ran; whoever has seen the same Redis for longer than any lease knows that they have ended.
 */
export function isBelieved(seen: Sighting | undefined, generation: string, now: number): boolean {
  return seen !== undefined && seen.generation === generation && now - seen.since > withSlack(MAX_LEASE_MS)
}

/** How long another replica's clock may take for so many milliseconds. */
export const withSlack = (ms: number): number => ms * (1 + CLOCK_RATE_SLACK)

/**
 * Whether somebody registered has applied the entry, as it said when it registered or has confirmed since. Of the same log:
 * where Redis lost one and its clock was set back, the ids of the next are lower.
 */
export function hasApplied(
  { target, generation }: Pick<Barrier, 'target' | 'generation'>,
  registered: Registered,
  confirmed: View | undefined
): boolean {
  const isApplied = (view: View): boolean =>
    view.server === registered.server && view.generation === generation && compareIds(view.cursor, target) >= 0
  return isApplied(registered) || (confirmed !== undefined && isApplied(confirmed))
}

/** How long the barrier can take at the most, in milliseconds after the append. */
export function boundOf({ registered, believed }: Barrier): number {
  return withSlack(believed ? Math.max(0, ...registered.map(({ leaseMs }) => leaseMs)) : MAX_LEASE_MS)
}

/**
 * How many milliseconds are left to wait; 0: no replica holds a lease that knows nothing of the entry. A lease from before
 * the append belongs to somebody registered, and has ended so long after it; one from after it has read the entry. A
 * confirmation only makes it shorter.
 *
 * @param confirmed what a member says that it has applied since
 */
export function remainingMs(barrier: Barrier, confirmed: (member: string) => View | undefined, now: number): number {
  const { appendedAt, registered, believed } = barrier
  let until = believed ? appendedAt : appendedAt + withSlack(MAX_LEASE_MS)
  for (const one of registered) {
    if (!hasApplied(barrier, one, confirmed(one.member))) until = Math.max(until, appendedAt + withSlack(one.leaseMs))
  }
  return Math.max(0, until - now)
}

/**
 * Whom to strike off once a barrier is over: who has let the whole of it pass in silence. If it is registered still as it was
 * at the append, it has begun no read since, and its last lease has ended; whoever is alive registers again. So nobody
 * has to count by Redis' clock, which may be set, and one that has died is waited for once.
 */
export function silent(barrier: Barrier, confirmed: (member: string) => View | undefined): Registered[] {
  return barrier.registered.filter((one) => !hasApplied(barrier, one, confirmed(one.member)))
}
