import * as protocol from '../src/denylist/protocol.js'
import { explore, type Explored } from './explore.js'
import { decisions, initial, isNormal, isTelling, order, steps, unregistered, violated, type World } from './world.js'

/** Two replicas, one revocation, a lease of one tick, and nothing fails. */
const plain: World = {
  replicas: 2,
  joins: false,
  revocations: 1,
  inTurn: false,
  hasPast: false,
  leaseTicks: 1,
  maxLeaseTicks: 1,
  page: 9,
  inSteps: false,
  faults: [],
  budget: 0,
  decisions,
  order
}

/** By name, what is explored in every test run; in about a minute. */
export const worlds: Record<string, World> = {
  'nothing fails': { ...plain, revocations: 2 },
  'a lease lasts two ticks': { ...plain, leaseTicks: 2, maxLeaseTicks: 3 },
  'every page is full': { ...plain, revocations: 2, page: 1 },
  'a replica joins': { ...plain, replicas: 1, joins: true },
  'an append gets no reply': { ...plain, faults: ['no reply'], budget: 1 },
  'a connection is cut': { ...plain, faults: ['cut'], budget: 1 },
  'Redis is full': { ...plain, faults: ['full'], budget: 1 },
  'Redis is wiped': { ...plain, faults: ['wiped'], budget: 1 },
  'Redis restarts empty': { ...plain, faults: ['restarted empty'], budget: 1 },
  'Redis restarts, as it was or older': {
    ...plain,
    faults: ['restarted', 'restarted in an older state'],
    budget: 1
  },
  'whoever is silent is struck off': { ...plain, revocations: 2, inTurn: true, leaseTicks: 2, maxLeaseTicks: 2 },
  'clocks are set, machines sleep': {
    ...plain,
    leaseTicks: 2,
    maxLeaseTicks: 2,
    faults: ['clock set', 'asleep'],
    budget: 1
  }
}

/** What takes minutes: two revocations, or two faults, or finer ticks. */
export const largerWorlds: Record<string, World> = {
  'nothing fails, in finer ticks': { ...plain, revocations: 2, leaseTicks: 2, maxLeaseTicks: 3 },
  'a third replica joins': { ...plain, joins: true },
  'two revocations, an append gets no reply': { ...plain, revocations: 2, faults: ['no reply'], budget: 1 },
  'two revocations, a connection is cut': { ...plain, revocations: 2, faults: ['cut'], budget: 1 },
  'two connections are cut': { ...plain, faults: ['cut'], budget: 2 },
  'Redis is wiped, with a lease shorter than the longest': {
    ...plain,
    maxLeaseTicks: 2,
    faults: ['wiped'],
    budget: 1
  },
  'Redis is wiped, one revocation after the other': {
    ...plain,
    revocations: 2,
    inTurn: true,
    faults: ['wiped'],
    budget: 1
  },
  'a connection is cut and Redis is wiped, one replica': {
    ...plain,
    replicas: 1,
    revocations: 2,
    hasPast: true,
    faults: ['cut', 'wiped'],
    budget: 2
  },
  'Redis is wiped, and had a past': { ...plain, revocations: 2, hasPast: true, faults: ['wiped'], budget: 1 },
  'Redis is wiped, and again while it is filled': {
    ...plain,
    replicas: 1,
    revocations: 2,
    inSteps: true,
    faults: ['wiped'],
    budget: 2
  },
  'Redis restarts older, and had a past': {
    ...plain,
    revocations: 2,
    hasPast: true,
    faults: ['restarted in an older state'],
    budget: 1
  },
  'Redis restarts older, and Postgres cannot be read': {
    ...plain,
    faults: ['restarted in an older state', 'no record'],
    budget: 2
  },
  'a machine sleeps for less than a quarter of a lease': {
    ...plain,
    leaseTicks: 5,
    maxLeaseTicks: 5,
    faults: ['asleep'],
    budget: 1
  }
}

export interface Mutation {
  world: World
  mutate: { decisions?: Partial<typeof decisions>; order?: Partial<typeof order> }
}

const wiped = { ...plain, faults: ['wiped'], budget: 1 } satisfies World
const older = { ...plain, faults: ['restarted in an older state'], budget: 1 } satisfies World

/** What must not go unnoticed: each breaks one rule, and the model has to find what comes of it. */
export const mutations: Record<string, Mutation> = {
  'the lease is not checked': {
    world: plain,
    mutate: { decisions: { holds: (lease) => lease !== undefined } }
  },
  'the lease is counted from the reply': { world: plain, mutate: { order: { countsFromSending: false } } },
  'the logout is acknowledged before the barrier': { world: plain, mutate: { decisions: { remainingMs: () => 0 } } },
  'the barrier waits for some of the registered': {
    world: plain,
    mutate: {
      decisions: {
        remainingMs: ({ registered, ...barrier }, confirmed, now) =>
          protocol.remainingMs({ ...barrier, registered: registered.slice(0, 1) }, confirmed, now)
      }
    }
  },
  'the registry of a Redis just met is believed': {
    world: wiped,
    mutate: { decisions: { isBelieved: () => true } }
  },
  'the generation is not read': {
    world: wiped,
    mutate: {
      decisions: { judgeRead: (view, read) => protocol.judgeRead(view, { ...read, generation: view.generation }) }
    }
  },
  'the generation is read before the log': { world: wiped, mutate: { order: { checksAfterReading: false } } },
  'a full page is taken for all there is': {
    world: { ...plain, revocations: 2, page: 1 },
    mutate: { decisions: { judgeRead: (view, read) => protocol.judgeRead(view, { ...read, complete: true }) } }
  },
  'a replica that could not be registered takes a lease': {
    world: { ...plain, faults: ['full'], budget: 1 },
    mutate: { decisions: { judgeRead: (view, read) => protocol.judgeRead(view, { ...read, registered: true }) } }
  },
  'a replica registers after it has read': { world: plain, mutate: { order: { registersBeforeReading: false } } },
  'an entry is dropped': { world: plain, mutate: { order: { appliesEveryEntry: false } } },
  'the set starts empty': {
    world: { ...plain, replicas: 1, joins: true },
    mutate: { order: { loadsBeforeFollowing: false } }
  },
  'nothing is loaded after a reconnect': { world: older, mutate: { order: { loadsAfterReconnecting: false } } },
  'a look-up believes any process of Redis': {
    world: older,
    mutate: {
      decisions: {
        judgeLookUp: (view, found) => protocol.judgeLookUp(view, view ? { ...found, server: view.server } : found)
      }
    }
  },
  'a look-up believes any generation': {
    world: wiped,
    mutate: {
      decisions: {
        judgeLookUp: (view, found) =>
          protocol.judgeLookUp(view, view ? { ...found, generation: view.generation } : found)
      }
    }
  },
  'the record is committed after the append': {
    world: wiped,
    mutate: { order: { commitsBeforeAppending: false } }
  },
  "the clocks' drift is not looked at": {
    world: { ...plain, leaseTicks: 2, maxLeaseTicks: 2, faults: ['asleep'], budget: 1 },
    mutate: {
      decisions: {
        holds: (lease, now) =>
          protocol.holds(lease, { ...now, wall: lease ? lease.sent.wall + now.monotonic - lease.sent.monotonic : 0 })
      }
    }
  },
  'the lease is counted by the monotonic clock alone': {
    world: { ...plain, leaseTicks: 5, maxLeaseTicks: 5, faults: ['asleep'], budget: 1 },
    mutate: {
      decisions: {
        holds: (lease, now) =>
          lease !== undefined &&
          now.monotonic - lease.sent.monotonic < lease.ms &&
          protocol.haveMovedTogether(lease.sent, now, lease.ms)
      }
    }
  },
  'the ids of two logs are compared': {
    world: { ...wiped, replicas: 1, revocations: 2, hasPast: true },
    mutate: {
      decisions: {
        remainingMs: (barrier, confirmed, now) =>
          protocol.remainingMs(
            barrier,
            (member) => {
              const view = confirmed(member)
              const one = barrier.registered.find((registered) => registered.member === member)!
              return view && { ...view, server: one.server, generation: barrier.generation }
            },
            now
          )
      }
    }
  },
  'a late registration of a lost log is believed': {
    world: { ...wiped, replicas: 1, revocations: 2, hasPast: true, faults: ['cut', 'wiped'], budget: 2 },
    mutate: {
      decisions: {
        remainingMs: (barrier, confirmed, now) => {
          const registered = barrier.registered.map((one) => ({ ...one, generation: barrier.generation }))
          return protocol.remainingMs({ ...barrier, registered }, confirmed, now)
        }
      }
    }
  },
  'what is said of another process is believed of this one': {
    world: older,
    mutate: { decisions: { isWhole: () => true } }
  },
  'the log of another process suffices': {
    world: { ...plain, faults: ['restarted in an older state', 'no record'], budget: 2 },
    mutate: { decisions: { logSuffices: () => true } }
  },
  'a restore has no mark': {
    world: { ...wiped, replicas: 1, inSteps: true, budget: 2 },
    mutate: { order: { marksRestores: false } }
  },
  'whoever has registered again is struck off all the same': {
    world: { ...plain, revocations: 2, inTurn: true, leaseTicks: 2, maxLeaseTicks: 2 },
    mutate: { order: { strikesTheSilentOnly: false } }
  }
}

export function check(world: World, isWrong = violated): Explored {
  return explore({
    initial: initial(world),
    steps: (state, step) => steps(world, state, step),
    violated: (state) => isWrong(world, state),
    isGoal: (state) => isNormal(world, state),
    count: (state) => isTelling(world, state)
  })
}

export const mutated = ({ world, mutate }: Mutation): World => ({
  ...world,
  decisions: { ...world.decisions, ...mutate.decisions },
  order: { ...world.order, ...mutate.order }
})

export const either = (...of: Parameters<typeof violated>): string | undefined => violated(...of) ?? unregistered(...of)
