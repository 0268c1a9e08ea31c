import type { Invariant } from '../src/judge.js'

/** A mistake in the denylist, made in the compiled module; and what finds it. */
export interface Mutation {
  name: string
  /** Of services/api/dist/denylist, what is replaced, and by what. */
  edits: [file: string, search: string, replacement: string][]
  faults: string
  violates: Invariant
  /** Of the first two replicas, and of the last; where those of the other runs are too short for a busy machine to be caught in. */
  leases?: [number, number]
}

/** Each in the short form, of three replicas: api-3 is the one that is cut off. */
export const mutations: Mutation[] = [
  {
    name: 'the denylist is off',
    edits: [['leased', 'isRevoked({ jti, sid }) {', 'isRevoked({ jti, sid }) { return false;']],
    faults: 'none',
    violates: 'R1'
  },
  {
    name: 'the set starts empty',
    edits: [['follower', '({ entries, view } = loaded);', '({ view } = loaded);']],
    faults: 'kill',
    violates: 'R1'
  },
  {
    name: 'an entry of the log is dropped now and then',
    edits: [['follower', 'entries.add(revocation);', 'if (!/[37]-\\d+$/.test(id)) entries.add(revocation);']],
    faults: 'none',
    violates: 'R1'
  },
  {
    name: 'the lease is not checked',
    edits: [['leased', '!isRevoked && !holds(follower.lease, now())', '!isRevoked && follower.lease === undefined']],
    faults: 'cut',
    violates: 'R1'
  },
  {
    name: 'it is acknowledged before the barrier',
    edits: [['barrier', 'remainingMs(barrier, confirmedBy, performance.now())', '0']],
    faults: 'cut',
    violates: 'R1',
    leases: [1000, 1000]
  },
  {
    name: 'the lease counts from the reply, not from the sending',
    edits: [['follower', 'lease = { sent, ms: leaseMs }', 'lease = { sent: answered, ms: leaseMs }']],
    faults: 'slow',
    violates: 'R1'
  },
  {
    name: 'a look-up does not read the generation',
    edits: [['protocol', ' && generation === view.generation', '']],
    faults: 'flushed-without-postgres',
    violates: 'R1'
  },
  {
    name: 'the barrier waits for some of those that are registered',
    edits: [
      [
        'protocol',
        'for (const one of registered) {',
        "for (const one of registered.filter(({ member }) => member < 'api-2')) {"
      ]
    ],
    faults: 'cut',
    violates: 'R1',
    leases: [1000, 1000]
  },
  {
    name: 'the registry of a Redis that was just met is believed',
    edits: [['barrier', 'isBelieved(seen, generation, appendedAt)', 'true']],
    faults: 'flushed-and-cut',
    violates: 'R1',
    leases: [100, 1000]
  },
  {
    name: 'a confirmation counts for whatever Redis it was given',
    edits: [
      ['barrier', 'if (isSameLog && ', 'if (before !== undefined && '],
      ['protocol', 'view.server === registered.server && view.generation === generation && ', '']
    ],
    faults: 'redis-behind',
    violates: 'R1',
    leases: [1000, 1000]
  },
  {
    name: 'a clock that was set is not noticed',
    edits: [['follower', '!haveMovedTogether(clocks, answered, leaseMs)', 'false']],
    faults: 'clock-jumps',
    violates: 'R1'
  },
  {
    name: 'once many have been revoked, everybody is',
    edits: [['leased', "entries.has('sid', sid);", "entries.has('sid', sid) || entries.size > 20;"]],
    faults: 'none',
    violates: 'R2'
  },
  {
    name: 'each request asks something of Redis',
    edits: [
      ['leased', 'const { entries } = follower;', "void redis.exists('anything'); const { entries } = follower;"]
    ],
    faults: 'none',
    violates: 'R3'
  },
  {
    name: 'what has expired is kept',
    edits: [['follower', 'entries.sweep(answered.wall)', 'void 0']],
    faults: 'memory',
    violates: 'R4'
  },
  {
    // The generation tells it that its set is no copy of this Redis: it serves nothing, for good.
    name: 'it does not load anew after a reconnect',
    edits: [['follower', 'await load(options,', 'view ? { entries, view } : await load(options,']],
    faults: 'redis-wiped',
    violates: 'availability'
  },
  {
    name: 'what is revoked is forgotten when it expires by one clock, and not by all of them',
    edits: [['denylist', 'const CLOCK_SKEW_SECONDS = 120;', 'const CLOCK_SKEW_SECONDS = 0;']],
    faults: 'expiring',
    violates: 'R1'
  },
  {
    name: 'the barrier takes the lease of others for its own',
    edits: [
      [
        'protocol',
        'Math.max(until, appendedAt + withSlack(one.leaseMs))',
        'Math.max(until, appendedAt + withSlack(100))'
      ]
    ],
    faults: 'cut',
    violates: 'R1',
    leases: [100, 1000]
  }
]
