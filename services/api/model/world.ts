import type { Step } from './explore.js'
import * as protocol from '../src/denylist/protocol.js'

/**
 * The world that the replicas live in: Redis, Postgres, connections and time. What a replica decides is asked of the very
 * functions it runs on, in src/denylist/protocol.ts; here is only what happens to it, in any order and with any delay.
 *
 * A state has no clock. It says how long ago each thing was, in ticks, and no more than matters: so there is no horizon,
 * and all that can ever happen is explored. Delays, pauses and losses are steps that are not taken, for a while or for ever.
 */

/** The decisions of the protocol. A mutation replaces one. */
export const decisions = {
  holds: protocol.holds,
  judgeRead: protocol.judgeRead,
  judgeLookUp: protocol.judgeLookUp,
  logSuffices: protocol.logSuffices,
  isBelieved: protocol.isBelieved,
  isWhole: protocol.isWhole,
  remainingMs: protocol.remainingMs
}

/** The order of things in the code around the decisions. A mutation turns one over. */
export const order = {
  commitsBeforeAppending: true,
  registersBeforeReading: true,
  checksAfterReading: true,
  countsFromSending: true,
  appliesEveryEntry: true,
  loadsBeforeFollowing: true,
  loadsAfterReconnecting: true,
  marksRestores: true,
  strikesTheSilentOnly: true
}

export type Fault =
  /** Redis loses everything: and the connections to it are cut; or not, as by FLUSHALL. */
  | 'restarted empty'
  | 'wiped'
  /** Redis comes back with everything; or without the last it had acknowledged. */
  | 'restarted'
  | 'restarted in an older state'
  /** One connection is cut, and what is under way on it gets no reply. */
  | 'cut'
  /** An append gets no reply, or whoever waits for it dies, and the client repeats its call. */
  | 'no reply'
  /** A replica cannot be registered: Redis is full. */
  | 'full'
  /** The record in Postgres cannot be read by a replica that loads. */
  | 'no record'
  /** A replica's wall clock is set, by a tick or by many. */
  | 'clock set'
  /** A replica's monotonic clock stands still for a tick. */
  | 'asleep'

export interface World {
  replicas: number
  /** A replica that starts while the others run. */
  joins: boolean
  revocations: number
  /** Whether one of them begins when the one before has been acknowledged; else whenever. */
  inTurn: boolean
  /** Whether the first of them is over, and everybody knows of it. */
  hasPast: boolean
  /** A lease, and the longest that can be configured, which is 1000 ms: this says how fine the ticks are. */
  leaseTicks: number
  maxLeaseTicks: number
  /** How many entries a read returns at the most. */
  page: number
  /** Whether what nobody else can see half done, a restore and a load after the last fault, is done in many steps all the same. */
  inSteps: boolean
  faults: readonly Fault[]
  /** How many of them there may be. */
  budget: number
  decisions: typeof decisions
  order: typeof order
}

const LOSSES: readonly Fault[] = ['restarted empty', 'wiped', 'restarted in an older state']

/** A set of small numbers, as bits. */
type Bits = number
const has = (bits: Bits, one: number): boolean => (bits & (1 << one)) !== 0
const bit = (one: number): Bits => 1 << one
const NOBODY = -1

interface Entry {
  id: number
  revocation: number
  by: number
}

/** Of which log somebody has applied how much. */
interface View {
  server: number
  generation: number
  cursor: number
}

interface Redis {
  /** Which of its processes it is, and what it says it holds; 0: nothing. */
  server: number
  generation: number
  /** How many generations there have been. */
  generations: number
  lastId: number
  log: readonly Entry[]
  keys: Bits
  /** Whose restores are under way. */
  marks: Bits
  /** Which of its processes has been given all that was on record; 0: none. */
  whole: number
  registry: readonly (View | null)[]
  /** Who is registered still as he was when somebody appended who has waited for him in vain: to be struck off, some time. */
  strikes: Bits
}

/** How long ago something was by the monotonic clock of a replica, and how much longer ago by its wall clock. */
interface Age {
  ticks: number
  drift: number
}

/** What a replica's follower is doing. */
type Follower =
  | { at: 'not started' }
  | { at: 'load' }
  | { at: 'make whole'; generation: number; cursor: number }
  | { at: 'vouch'; generation: number; cursor: number }
  | { at: 'load record'; generation: number; cursor: number }
  | { at: 'load log'; generation: number }
  | { at: 'append missing'; generation: number; cursor: number; set: Bits; missing: Bits }
  | { at: 'idle' }
  | Round
  | {
      at: 'reply'
      sent: Age
      applies: Bits
      tells: Bits
      cursor: number
      judgement: ReturnType<typeof protocol.judgeRead>
    }

interface Round {
  at: 'round'
  sent: Age
  /** How many of its commands Redis has carried out: the registration, the read and the check. */
  done: number
  registered: boolean
  page: readonly Entry[]
  generation: number
  lastId: number
}

interface Replica {
  set: Bits
  view: View | null
  /** And whether it was taken in the Redis that there is. */
  lease: (Age & { here: boolean }) | null
  /** To which process of Redis its connections go. */
  server: number
  mainServer: number
  /** Which generation it has seen on its main connection, since when: as soon as there is one, for later means longer barriers. */
  seen: { generation: number; ticks: number } | null
  follower: Follower
  /** Which page of a restore is next, from 1; 0: none. */
  restore: number
  /** What each replica has confirmed to it. */
  confirmed: readonly (View | null)[]
  /** A registration that Redis has received on a connection that was cut, and not carried out yet. */
  late: View | null
}

type Logout =
  | { at: 'not begun' }
  /** Recorded in Postgres. Here it is again whenever its client had no answer. */
  | { at: 'begun' }
  | (Appended & { at: 'appended' })
  | (Appended & { at: 'waiting'; believed: boolean; ticks: number })
  | { at: 'acknowledged' }

interface Appended {
  by: number
  target: number
  generation: number
  registered: readonly Registered[]
  /** Who of them has registered since. */
  again: Bits
}

interface Registered extends View {
  replica: number
}

export interface State {
  redis: Redis
  /** What is on record in Postgres. */
  record: Bits
  replicas: readonly Replica[]
  logouts: readonly Logout[]
  faults: number
}

const name = (replica: number): string => 'ABC'[replica]!
const token = (revocation: number): string => `token ${revocation + 1}`
const idOf = (id: number): string => `${id}-0`

/** The longest lease and the slack, over the ticks it takes: so that a lease and a barrier end with a tick, not within one. */
const tickMs = ({ maxLeaseTicks }: World): number =>
  Math.ceil(protocol.withSlack(protocol.MAX_LEASE_MS) / maxLeaseTicks)
const leaseMs = (world: World): number => Math.floor((world.leaseTicks * tickMs(world)) / protocol.withSlack(1))

const NOW: protocol.Moment = { monotonic: 0, wall: 0 }
/** By the clocks of whoever holds a lease, which are as slow as they may be. */
const ago = (world: World, { ticks, drift }: Age): protocol.Moment => {
  const slowMs = tickMs(world) / protocol.withSlack(1)
  return { monotonic: -ticks * slowMs, wall: -(ticks + drift) * slowMs }
}

const isHeld = (world: World, lease: Age | null): boolean =>
  world.decisions.holds(lease === null ? undefined : { sent: ago(world, lease), ms: leaseMs(world) }, NOW)

const spellings = new Map<number, protocol.View>()

/** There are few, and each is asked for a million times. */
function spelled({ server, generation, cursor }: View): protocol.View {
  // Each fits in a byte: explore.ts sees to that.
  const number = (server * 256 + generation) * 256 + cursor
  let view = spellings.get(number)
  if (view === undefined) {
    view = { server: String(server), generation: String(generation), cursor: idOf(cursor) }
    spellings.set(number, view)
  }
  return view
}

const orNull = (generation: number): string | null => (generation === 0 ? null : String(generation))

/** Everybody runs, and the Redis they know is long known. */
export function initial(world: World): State {
  const all = Array.from({ length: world.replicas + (world.joins ? 1 : 0) }, (_, i) => i)
  const [past, last]: [Bits, number] = world.hasPast ? [bit(0), 9] : [0, 0]
  const view: View = { server: 1, generation: 1, cursor: last }
  const redis: Redis = {
    server: 1,
    generation: 1,
    generations: 1,
    lastId: last,
    log: world.hasPast ? [{ id: last, revocation: 0, by: 0 }] : [],
    keys: past,
    marks: 0,
    whole: 1,
    registry: all.map(() => null),
    strikes: 0
  }
  const running: Replica = {
    set: past,
    view,
    lease: null,
    server: 1,
    mainServer: 1,
    seen: { generation: 1, ticks: seenCap(world) },
    follower: { at: 'idle' },
    restore: 0,
    confirmed: all.map(() => null),
    late: null
  }
  return {
    redis,
    record: past,
    replicas: all.map((i) => {
      if (i >= world.replicas) return { ...running, set: 0, view: null, seen: null, follower: { at: 'not started' } }
      return i === 0 && world.hasPast ? { ...running, confirmed: all.map(() => view) } : running
    }),
    logouts: Array.from({ length: world.revocations }, (_, r) => ({ at: has(past, r) ? 'acknowledged' : 'not begun' })),
    faults: world.budget
  }
}

/** From how many ticks on it makes no difference how long ago Redis was met. */
const seenCap = ({ maxLeaseTicks }: World): number => maxLeaseTicks + 1

/** Everything that may happen next. */
export function steps(world: World, state: State, step: Step<State>): void {
  const { redis, replicas } = state
  const go = (says: string, changes: Partial<State>): void =>
    step(...acknowledge(world, says, { ...state, ...changes }, state))
  const mayFail = (fault: Fault): boolean => state.faults > 0 && world.faults.includes(fault)
  const fail = (says: string, changes: Partial<State>): void =>
    step(...acknowledge(world, says, { ...state, ...changes, faults: state.faults - 1 }, state), true)
  const changed = (i: number, changes: Partial<Replica>): { replicas: Replica[] } => ({
    replicas: replicas.with(i, { ...replicas[i]!, ...changes })
  })

  go('a tick passes', pass(world, state))
  for (const i of replicas.keys()) {
    if (!has(redis.strikes, i)) continue
    const struck = { ...redis, registry: redis.registry.with(i, null), strikes: redis.strikes & ~bit(i) }
    go(`Redis strikes ${name(i)} off, which was silent`, { redis: struck })
  }
  logouts(world, state, go, (says, changes) => mayFail('no reply') && fail(says, changes))
  for (const [i, replica] of replicas.entries()) {
    if (replica.follower.at === 'not started') {
      const seen = redis.generation > 0 ? justSeen(redis) : null
      const start = { server: redis.server, mainServer: redis.server, seen, follower: { at: 'load' } } as const
      go(`${name(i)} starts`, changed(i, start))
      continue
    }
    follow(world, state, i, go, (says, changes) => mayFail('no record') && fail(says, changes))
    restore(world, state, i, go)

    const { server, view, late, follower } = replica
    if (follower.at === 'idle' && server === redis.server && mayFail('full')) {
      fail(
        `Redis is full, and refuses to register ${name(i)}`,
        changed(i, { follower: { ...sent, registered: false } })
      )
    }
    if (late !== null) {
      const done = late.server === redis.server ? register(state, i, late) : {}
      go(`Redis carries out a registration of ${name(i)} from before`, { ...changed(i, { late: null }), ...done })
    }
    // A connection that is cut may still bring what Redis had sent: until its end is noticed, which is this step.
    const isLoaded = !world.order.loadsAfterReconnecting && view !== null
    const again = { server: redis.server, follower: { at: isLoaded ? 'idle' : 'load' } } as const
    if (server !== redis.server) go(`${name(i)} connects to Redis again, to follow it`, changed(i, again))
    else if (mayFail('cut')) {
      const says = `the connection on which ${name(i)} follows is cut, and made again`
      fail(says, changed(i, again))
      if (follower.at === 'idle') fail(`${says}, with a round on the way`, changed(i, { ...again, late: view }))
    }

    const meetsAnew = (): Partial<State> => ({
      ...changed(i, { mainServer: redis.server, seen: redis.generation > 0 ? justSeen(redis) : null, restore: 0 }),
      logouts: state.logouts.map((one): Logout => (one.at === 'appended' && one.by === i ? { at: 'begun' } : one))
    })
    if (replica.mainServer !== redis.server) go(`${name(i)} connects to Redis again, to ask and to append`, meetsAnew())
    else if (mayFail('cut'))
      fail(`the connection on which ${name(i)} asks and appends is cut, and made again`, meetsAnew())

    if (mayFail('clock set')) {
      for (const [by, says] of [
        [1, 'forward by a tick'],
        [-1, 'back by a tick'],
        [20, 'far forward']
      ] as const) {
        fail(`the clock of ${name(i)} is set ${says}`, { replicas: replicas.with(i, drifted(replica, by)) })
      }
    }
    if (mayFail('asleep')) fail(`a tick passes while the machine of ${name(i)} sleeps`, pass(world, state, i))
  }

  if (state.faults === 0) return
  const lose = (says: string, lost: Redis): void => fail(says, { redis: lost, replicas: cutOff(state, lost) })
  const nobody = redis.registry.map(() => null)
  const nothing = { ...redis, generation: 0, log: [], keys: 0, marks: 0, whole: 0, registry: nobody, strikes: 0 }
  const server = redis.server + 1
  if (mayFail('wiped')) {
    lose('Redis is wiped', nothing)
    if (redis.lastId > 0) lose('Redis is wiped, and its clock is behind', { ...nothing, lastId: 0 })
  }
  if (mayFail('restarted empty')) {
    lose('Redis restarts empty', { ...nothing, server })
    if (redis.lastId > 0) lose('Redis restarts empty, and its clock is behind', { ...nothing, server, lastId: 0 })
  }
  if (mayFail('restarted')) lose('Redis restarts with all it had', { ...redis, server })
  if (mayFail('restarted in an older state')) {
    for (let kept = 0; kept < redis.log.length; kept++) {
      const log = redis.log.slice(0, kept)
      const lastId = log.at(-1)?.id ?? 0
      const keys = log.reduce((keys, { revocation }) => keys | bit(revocation), 0)
      const older = { ...redis, server, log, keys, registry: nobody, strikes: 0 }
      const says = `Redis restarts in an older state: without its last ${redis.log.length - kept}`
      lose(says, older)
      lose(`${says}, and its clock is behind`, { ...older, lastId })
      const registry = redis.registry.map((one) => one && { ...one, cursor: Math.min(one.cursor, lastId) })
      lose(`${says}, its clock is behind, and it knows the replicas`, { ...older, lastId, registry })
    }
  }
}

/** What is left of the replicas' connections, and of what was under way on them. */
function cutOff({ redis, replicas, logouts }: State, lost: Redis): Replica[] {
  const isSame = lost.server === redis.server
  return replicas.map((one, i) => {
    const isRunning = one.follower.at !== 'not started'
    // What had been sent may still arrive.
    const waits = logouts.some((logout) => logout.at === 'appended' && logout.by === i)
    const follower: Follower = one.view === null ? { at: 'load' } : { at: 'idle' }
    return {
      ...one,
      lease: one.lease && { ...one.lease, here: false },
      seen: isSame || waits ? one.seen : null,
      late: isSame ? one.late : null,
      follower: isSame || !isRunning || one.follower.at === 'reply' ? one.follower : follower
    }
  })
}

type Go = (says: string, changes: Partial<State>) => void

/** A tick passes, though not for the monotonic clock of a machine that sleeps. */
function pass(world: World, { replicas, logouts }: State, asleep?: number): Partial<State> {
  const older = ({ ticks, drift }: Age, i: number): Age =>
    // What is as old as a lease will never be one again.
    i === asleep
      ? { ticks, drift: ticks < world.leaseTicks ? drift + 1 : 0 }
      : { ticks: Math.min(ticks + 1, world.leaseTicks), drift: ticks + 1 < world.leaseTicks ? drift : 0 }
  return {
    replicas: replicas.map((replica, i) => {
      const { follower, seen } = replica
      let { lease } = replica
      if (lease !== null) lease = { ...older(lease, i), here: lease.here }
      return {
        ...replica,
        lease: lease?.ticks === world.leaseTicks && !isHeld(world, lease) ? null : lease,
        follower: 'sent' in follower ? { ...follower, sent: older(follower.sent, i) } : follower,
        seen: seen && i !== asleep ? { ...seen, ticks: Math.min(seen.ticks + 1, seenCap(world)) } : seen
      }
    }),
    logouts: logouts.map((one) =>
      one.at === 'waiting' && one.by !== asleep ? { ...one, ticks: Math.min(one.ticks + 1, world.maxLeaseTicks) } : one
    )
  }
}

function drifted(replica: Replica, by: number): Replica {
  const { lease, follower } = replica
  const set = ({ ticks, drift }: Age): Age => ({ ticks, drift: drift + by })
  return {
    ...replica,
    lease: lease && { ...set(lease), here: lease.here },
    follower: 'sent' in follower ? { ...follower, sent: set(follower.sent) } : follower
  }
}

const justSeen = ({ generation }: Redis): Replica['seen'] => ({ generation, ticks: 0 })

/** No registration is like another, so whoever saw the one before knows by this one that it is another. */
function register({ redis, logouts }: State, i: number, view: View): { redis: Redis; logouts: Logout[] } {
  return {
    redis: { ...redis, registry: redis.registry.with(i, view), strikes: redis.strikes & ~bit(i) },
    logouts: logouts.map((one) => ('again' in one ? { ...one, again: one.again | bit(i) } : one))
  }
}

/** A round that has just been sent. */
const sent = {
  at: 'round',
  sent: { ticks: 0, drift: 0 },
  done: 1,
  registered: true,
  page: [],
  generation: 0,
  lastId: 0
} as const

/** What `append` of append.ts does in Redis, whoever guards it. */
function append(redis: Redis, revocations: Bits, by: number, world: World): Redis {
  let { lastId, log, keys } = redis
  for (let revocation = 0; revocation < world.revocations; revocation++) {
    if (!has(revocations, revocation) || has(keys, revocation)) continue
    lastId++
    log = [...log, { id: lastId, revocation, by }]
    keys |= bit(revocation)
  }
  return { ...redis, lastId, log, keys }
}

const lastIdOf = ({ log }: Redis): number => log.at(-1)?.id ?? 0

/** Commit, append and its reply. */
function logouts(world: World, state: State, go: Go, fail: Go): void {
  const { redis, replicas, record } = state
  for (const [r, logout] of state.logouts.entries()) {
    const becomes = (next: Logout): { logouts: Logout[] } => ({ logouts: state.logouts.with(r, next) })
    if (logout.at === 'not begun') {
      // The tokens are alike: let the first be the first to go.
      if (r > 0 && (world.inTurn ? !isAcknowledged(state.logouts[r - 1]!) : state.logouts[r - 1]!.at === 'not begun'))
        continue
      if (world.order.commitsBeforeAppending) {
        go(`the logout of ${token(r)} is committed in Postgres`, {
          ...becomes({ at: 'begun' }),
          record: record | bit(r)
        })
      } else go(`the logout of ${token(r)} begins`, becomes({ at: 'begun' }))
      continue
    }
    if (!has(record, r)) go(`the logout of ${token(r)} is committed in Postgres at last`, { record: record | bit(r) })
    if (logout.at === 'begun') {
      for (const [by, replica] of replicas.entries()) {
        if (replica.mainServer !== redis.server || redis.generation === 0) continue
        // A and B are alike: let the first that appends be A.
        if (by === 1 && r === 0 && world.replicas === 2 && !world.faults.includes('no reply')) continue
        const appended = append(redis, bit(r), by, world)
        const { generation } = appended
        const target = lastIdOf(appended)
        const registered = appended.registry.flatMap((one, i) => {
          return one === null
            ? []
            : [{ server: one.server, generation: one.generation, cursor: one.cursor, replica: i }]
        })
        const reply = { by, target, generation, registered, again: 0 }
        const says = `Redis appends ${token(r)} for ${name(by)}`
        // Where nothing is gained by a reply that takes longer, it is heard at once.
        if (isBelieved(world, replica, generation)) {
          go(`${says}, which waits for ${names(registered)}`, {
            ...becomes({ at: 'waiting', ...reply, believed: true, ticks: 0 }),
            redis: appended
          })
        } else go(says, { ...becomes({ at: 'appended', ...reply }), redis: appended })
      }
    } else if (logout.at === 'appended') {
      const { by, target, generation, registered, again } = logout
      const replica = replicas[by]!
      const believed = isBelieved(world, replica, generation)
      const says = `${name(by)} hears of it, and waits for ${believed ? names(registered) : 'the longest lease'}`
      go(says, becomes({ at: 'waiting', by, target, generation, registered, again, believed, ticks: 0 }))
    }
    if (logout.at === 'appended' || logout.at === 'waiting') {
      fail(`the client has no answer to the logout of ${token(r)}, and repeats it`, becomes({ at: 'begun' }))
    }
  }
}

const names = (registered: readonly Registered[]): string =>
  registered.map((one) => name(one.replica)).join(' and ') || 'nobody'

function isBelieved(world: World, { seen }: Replica, generation: number): boolean {
  const since = seen ? { generation: String(seen.generation), since: -seen.ticks * tickMs(world) } : undefined
  return world.decisions.isBelieved(since, String(generation), 0)
}

const isAcknowledged = ({ at }: Logout): boolean => at === 'acknowledged'
const knowsOfNone = ({ confirmed }: Replica): boolean => confirmed.every((one) => one === null)

/**
 * The end of the barriers that are over: acknowledged as soon as may be, for later proves less. Then forgets what can
 * make no difference any more, so that states that are alike are counted once.
 */
function acknowledge(world: World, says: string, state: State, before: State): [says: string, state: State] {
  let { redis, logouts, replicas } = state
  for (const [r, logout] of logouts.entries()) {
    if (logout.at !== 'waiting' || (logout === before.logouts[r] && isNotTold(state, before, logout.by))) continue
    const { by, target, generation, believed, ticks } = logout
    const barrier: protocol.Barrier = {
      appendedAt: -ticks * tickMs(world),
      target: idOf(target),
      generation: String(generation),
      believed,
      registered: logout.registered.map((one) => ({
        ...spelled(one),
        member: String(one.replica),
        leaseMs: leaseMs(world),
        spelled: ''
      }))
    }
    const { confirmed, mainServer } = replicas[by]!
    const isConnected = mainServer === redis.server
    const confirmedBy = (member: string): protocol.View | undefined => {
      const i = Number(member)
      // What it has confirmed; and the registry may be asked at any moment.
      const views = [confirmed[i], isConnected ? redis.registry[i] : null].flatMap((one) => (one ? [spelled(one)] : []))
      const one = barrier.registered.find((registered) => registered.member === member)!
      return views.find((view) => protocol.hasApplied(barrier, one, view)) ?? views[0]
    }
    if (world.decisions.remainingMs(barrier, confirmedBy, 0) > 0) continue
    says += `; ${name(by)} acknowledges the logout of ${token(r)}`
    logouts = logouts.with(r, { at: 'acknowledged' })
    if (!isConnected) continue
    for (const { member } of protocol.silent(barrier, confirmedBy)) {
      const isSame = !world.order.strikesTheSilentOnly || !has(logout.again, Number(member))
      if (isSame && redis.registry[Number(member)]) redis = { ...redis, strikes: redis.strikes | bit(Number(member)) }
    }
  }
  if (logouts.every(isAcknowledged) && !replicas.every(knowsOfNone)) {
    replicas = replicas.map((one) => ({ ...one, confirmed: one.confirmed.map(() => null) }))
  }
  return [
    says,
    logouts === state.logouts && replicas === state.replicas ? state : { ...state, redis, logouts, replicas }
  ]
}

/** Whether a step has told a replica nothing of what the others have applied: then a barrier of its waits on, as before. */
function isNotTold(state: State, before: State, replica: number): boolean {
  const [now, then] = [state.replicas[replica]!, before.replicas[replica]!]
  return (
    now.confirmed === then.confirmed &&
    now.mainServer === then.mainServer &&
    state.redis.registry === before.redis.registry &&
    state.redis.server === before.redis.server
  )
}

/** What follower.ts does: load, then rounds of registration, read and check. */
function follow(world: World, state: State, i: number, go: Go, fail: Go): void {
  const { redis, replicas } = state
  const replica = replicas[i]!
  const { follower, view } = replica
  const isConnected = replica.server === redis.server
  const changed = (changes: Partial<Replica>): { replicas: Replica[] } => ({
    replicas: replicas.with(i, { ...replica, ...changes })
  })
  const loaded = (generation: number, cursor: number, set: Bits): Partial<Replica> => {
    const complete = world.order.loadsBeforeFollowing ? set : 0
    return { set: complete, view: { server: replica.server, generation, cursor }, follower: { at: 'idle' } }
  }
  const isWhole = world.decisions.isWhole({
    server: String(redis.server),
    vouchedFor: redis.whole === 0 ? null : String(redis.whole)
  })
  /** What was read, and what the replica knew, which is appended if it was not there. */
  const union = (generation: number, cursor: number, read: Bits): { replicas: Replica[] } => {
    const set = read | replica.set
    const missing = set & ~read
    return changed(
      missing === 0
        ? loaded(generation, cursor, set)
        : { follower: { at: 'append missing', generation, cursor, set, missing } }
    )
  }
  const withoutRecord = (generation: number): { replicas: Replica[] } => {
    const before = view ? spelled(view) : undefined
    const suffices = world.decisions.logSuffices(before, String(replica.server), String(generation))
    return changed({ follower: suffices ? { at: 'load log', generation } : { at: 'load' } })
  }
  switch (follower.at) {
    case 'load': {
      if (!isConnected || redis.generation === 0) return
      const { generation } = redis
      const cursor = lastIdOf(redis)
      if (world.budget > 0 && state.faults === 0 && !world.inSteps) {
        const all = state.record | replica.set
        go(`${name(i)} loads`, {
          ...changed(loaded(generation, cursor, all)),
          redis: { ...append(redis, isWhole ? replica.set & ~state.record : all, NOBODY, world), whole: redis.server }
        })
        return
      }
      const at = isWhole ? 'load record' : 'make whole'
      go(`${name(i)} begins to load`, changed({ follower: { at, generation, cursor } }))
      return
    }

    case 'make whole': {
      const { generation, cursor } = follower
      fail(`${name(i)} cannot read the record in Postgres`, withoutRecord(generation))
      if (!isConnected) return
      if (redis.generation === 0) go(`${name(i)} finds Redis lost`, changed({ follower: { at: 'load' } }))
      else {
        go(`${name(i)} gives Redis what it lacks of the record`, {
          ...changed({ follower: { at: 'vouch', generation, cursor } }),
          redis: append(redis, state.record, NOBODY, world)
        })
      }
      return
    }

    case 'vouch': {
      if (!isConnected) return
      const { generation, cursor } = follower
      if (redis.generation === generation) {
        go(`${name(i)} notes that Redis has all of the record`, {
          ...changed({ follower: { at: 'load record', generation, cursor } }),
          redis: { ...redis, whole: redis.server }
        })
      } else go(`${name(i)} finds Redis lost`, changed({ follower: { at: 'load' } }))
      return
    }

    case 'load record': {
      const { generation, cursor } = follower
      go(`${name(i)} loads the record in Postgres`, union(generation, cursor, state.record))
      fail(`${name(i)} cannot read the record in Postgres`, withoutRecord(generation))
      return
    }

    case 'load log': {
      if (!isConnected) return
      const set = redis.log.reduce((set, { revocation }) => set | bit(revocation), 0)
      go(`${name(i)} loads the log`, union(follower.generation, lastIdOf(redis), set))
      return
    }

    case 'append missing': {
      if (!isConnected) return
      const { generation, cursor, set, missing } = follower
      if (redis.generation === 0) go(`${name(i)} finds Redis lost`, changed({ follower: { at: 'load' } }))
      else {
        const appended = append(redis, missing, NOBODY, world)
        go(`Redis appends what ${name(i)} found missing`, {
          ...changed(loaded(generation, cursor, set)),
          redis: appended
        })
      }
      return
    }

    case 'idle':
      if (isConnected) go(...carryOut(world, state, i, { ...sent, done: 0 }, `${name(i)} sends a round: `))
      return

    case 'round':
      if (isConnected) go(...carryOut(world, state, i, follower))
      return

    case 'reply':
      go(`${name(i)} hears the reply`, { replicas: heard(world, state, i, follower) })
  }
}

/**
 * Redis carries out the next command of a round. The first when it is sent: had it been sent earlier, the lease would be
 * shorter and all else the same. The check together with the read where nothing can come between them that it would tell.
 */
function carryOut(
  world: World,
  state: State,
  i: number,
  round: Round,
  says = ''
): [says: string, changes: Partial<State>] {
  const { replicas } = state
  const replica = replicas[i]!
  const view = replica.view!
  const commands = ['registers', 'reads', 'checks']
  if (!world.order.registersBeforeReading) commands.splice(0, 2, 'reads', 'registers')
  if (!world.order.checksAfterReading) commands.splice(1, 2, 'checks', 'reads')

  let { redis, logouts } = state
  const becomes = { ...round }
  const settled = redis.generation > 0 && (state.faults === 0 || !world.faults.some((fault) => LOSSES.includes(fault)))
  do {
    const command = commands[becomes.done++]
    if (command === 'registers') {
      ;({ redis, logouts } = register({ ...state, redis, logouts }, i, view))
      says += `Redis registers ${name(i)}`
    } else if (command === 'reads') {
      becomes.page = redis.log.filter(({ id }) => id > view.cursor).slice(0, world.page)
      says += `Redis gives ${name(i)} ${becomes.page.map(({ revocation }) => token(revocation)).join(' and ') || 'nothing new'}`
    } else {
      becomes.generation = redis.generation
      becomes.lastId = lastIdOf(redis)
      says += ` and tells ${name(i)} its generation`
    }
  } while (commands[becomes.done] === 'checks' && settled)
  const follower = becomes.done < 3 ? becomes : judged(world, view, becomes)
  return [says, { redis, logouts, replicas: replicas.with(i, { ...replica, follower }) }]
}

/** What a replica will make of the reply to a round, when it hears it. */
function judged(world: World, view: View, { sent, registered, page, generation, lastId }: Round): Follower {
  const complete = page.length < world.page
  const cursor = page.at(-1)?.id ?? view.cursor
  let [applies, tells]: Bits[] = [0, 0]
  for (const { revocation, by } of page) {
    if (world.order.appliesEveryEntry || revocation > 0) applies! |= bit(revocation)
    if (by !== NOBODY) tells! |= bit(by)
  }
  const read = { registered, complete, generation: orNull(generation), lastId: idOf(lastId) }
  const judgement = world.decisions.judgeRead(spelled({ ...view, cursor }), read)
  const age = judgement === 'lease' ? sent : { ticks: world.leaseTicks, drift: 0 }
  return { at: 'reply', sent: age, applies: applies!, tells: tells!, cursor, judgement }
}

/** What it confirms is heard at once: a confirmation that is late, or lost, only makes a barrier longer. */
function heard(world: World, { redis, replicas }: State, i: number, reply: Follower & { at: 'reply' }): Replica[] {
  const { sent, applies, tells, cursor, judgement } = reply
  const replica = replicas[i]!
  const view = { ...replica.view!, cursor }
  let { lease } = replica
  if (judgement === 'lease') {
    const age = world.order.countsFromSending ? sent : { ticks: 0, drift: 0 }
    const isOld = age.ticks === world.leaseTicks
    lease = isOld ? null : { ...age, here: view.server === redis.server && view.generation === redis.generation }
  }
  const follower: Follower = { at: judgement === 'reload' ? 'load' : 'idle' }
  return replicas
    .with(i, { ...replica, set: replica.set | applies, view, lease, follower })
    .map((one, to) => (has(tells, to) ? { ...one, confirmed: one.confirmed.with(i, view) } : one))
}

/** What restore.ts does. Whoever finds Redis lost begins; each page is read from Postgres and appended under the mark. */
function restore(world: World, state: State, i: number, go: Go): void {
  const { redis, replicas, record } = state
  const replica = replicas[i]!
  if (replica.mainServer !== redis.server) return
  const becomes = (restore: number, lost = redis): Partial<State> => ({
    redis: lost,
    replicas: replicas.with(i, { ...replica, restore })
  })
  const known = record | replica.set
  const page = replica.restore
  if (page === 0) {
    if (redis.generation > 0) return
    if (world.inSteps) go(`${name(i)} begins to fill Redis`, becomes(1, { ...redis, marks: redis.marks | bit(i) }))
    else go(`${name(i)} fills Redis`, filled({ ...state, redis: append(redis, known, NOBODY, world) }, i))
  } else if (world.order.marksRestores && !has(redis.marks, i)) {
    go(`${name(i)} finds Redis lost while it fills it`, becomes(0))
  } else if (page <= world.revocations) {
    const says = `${name(i)} fills Redis with page ${page} of the record`
    go(says, becomes(page + 1, append(redis, known & bit(page - 1), NOBODY, world)))
  } else go(`${name(i)} has filled Redis`, filled(state, i))
}

function filled({ redis, replicas }: State, i: number): Partial<State> {
  const isFirst = redis.generation === 0
  const generations = redis.generations + (isFirst ? 1 : 0)
  const complete = {
    ...redis,
    marks: redis.marks & ~bit(i),
    generations,
    generation: isFirst ? generations : redis.generation
  }
  const see = (one: Replica): Replica => (one.mainServer === redis.server ? { ...one, seen: justSeen(complete) } : one)
  return {
    redis: complete,
    replicas: replicas.with(i, { ...replicas[i]!, restore: 0 }).map((one) => (isFirst ? see(one) : one))
  }
}

/** What would be answered to a token, by a request that begins now. */
type Answer = 'refused' | 'accepted under a lease' | 'accepted by Redis'

function answer(world: World, { redis }: State, replica: Replica, revocation: number): Answer {
  if (has(replica.set, revocation)) return 'refused'
  if (isHeld(world, replica.lease)) return 'accepted under a lease'
  // What a connection to a Redis that is no more would answer is nothing.
  if (replica.mainServer !== redis.server) return 'refused'
  const server = String(replica.mainServer)
  const found = has(redis.keys, revocation)
  const isRevoked = world.decisions.judgeLookUp(replica.view ? spelled(replica.view) : undefined, {
    server,
    generation: orNull(redis.generation),
    found
  })
  return isRevoked === false ? 'accepted by Redis' : 'refused'
}

/** What the denylist promises. */
export function violated(world: World, state: State): string | undefined {
  const { redis, replicas, logouts } = state
  for (const [r, { at }] of logouts.entries()) {
    for (const [i, replica] of replicas.entries()) {
      if (at === 'acknowledged') {
        const says = answer(world, state, replica, r)
        if (says !== 'refused') return `R1: ${token(r)} is acknowledged to be revoked, and ${says} at ${name(i)}`
        // Nor by a replica without a set (direct.ts): it believes a Redis in an older state once that has been given all.
        const mayBeOlder = world.faults.includes('restarted in an older state') && redis.whole !== redis.server
        if (redis.generation > 0 && !has(redis.keys, r) && !mayBeOlder) {
          return `R1: ${token(r)} is acknowledged to be revoked, and Redis, which says that it has everything, does not know it`
        }
      }
      if (at === 'not begun' && (has(replica.set, r) || has(redis.keys, r))) {
        return `R2: nobody revoked ${token(r)}, and it is refused at ${name(i)}`
      }
    }
  }
  return undefined
}

/** Why they hold: whoever has a lease that was taken in this Redis is registered in it. */
export function unregistered(world: World, { redis, replicas }: State): string | undefined {
  const i = replicas.findIndex(({ lease }, i) => lease?.here && isHeld(world, lease) && !redis.registry[i])
  return i < 0 ? undefined : `${name(i)} holds a lease, and is not registered`
}

/** Normal: every logout is acknowledged, and everybody answers without I/O. */
export const isNormal = (world: World, { logouts, replicas }: State): boolean =>
  logouts.every(isAcknowledged) && replicas.every((replica) => isHeld(world, replica.lease))

/** Where R1 is put to the test: the last logout is acknowledged, and somebody answers without asking. */
export const isTelling = (world: World, { logouts, replicas }: State): boolean =>
  logouts.at(-1)?.at === 'acknowledged' && replicas.some((replica) => isHeld(world, replica.lease))
