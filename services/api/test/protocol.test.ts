import t from 'tap'
import {
  boundOf,
  compareIds,
  holds,
  isBelieved,
  isYounger,
  judgeLookUp,
  judgeRead,
  MAX_LEASE_MS,
  remainingMs,
  silent,
  withSlack,
  type Lease,
  type Moment,
  type Registered
} from '../src/denylist/protocol.js'

const at = (monotonic: number, wall = 1_700_000_000_000 + monotonic): Moment => ({ monotonic, wall })
const lease: Lease = { sent: at(1000), ms: 250 }

t.test('a lease', async (t) => {
  t.equal(holds(undefined, at(0)), false)
  t.equal(holds(lease, at(1000)), true)
  t.equal(holds(lease, at(1249.9)), true)
  t.equal(holds(lease, at(1250)), false, 'it ends with its last millisecond')
  t.equal(isYounger(lease, at(3000), 2001), true, 'what is served stale may be older')
  t.equal(isYounger(lease, at(3000), 2000), false)

  const wall = lease.sent.wall
  t.equal(holds(lease, at(1100, wall + 100 + 62)), true, 'clocks may differ by a quarter of a lease')
  t.equal(holds(lease, at(1100, wall + 100 + 63)), false, 'the machine slept, and the monotonic clock with it')
  t.equal(holds(lease, at(1100, wall + 100 - 63)), false, 'the clock was set back')
  t.equal(isYounger(lease, at(1100, wall + 3_600_000), 60_000), false, 'nor is it served stale')
})

t.test('ids are compared as numbers', async (t) => {
  t.ok(compareIds('9-0', '10-0') < 0)
  t.ok(compareIds('10-2', '10-10') < 0)
  t.ok(compareIds('1700000000001-0', '1700000000000-99') > 0)
  t.equal(compareIds('5-5', '5-5'), 0)
})

t.test('a read', async (t) => {
  const view = { server: 's', generation: 'g', cursor: '10-0' }
  const read = { registered: true, complete: true, generation: 'g', lastId: '10-0' }
  t.equal(judgeRead(view, read), 'lease')
  t.equal(judgeRead(view, { ...read, lastId: '11-0' }), 'lease', 'there is more since')
  t.equal(judgeRead(view, { ...read, complete: false }), 'again')
  t.equal(judgeRead(view, { ...read, registered: false }), 'again')
  t.equal(judgeRead(view, { ...read, generation: null }), 'reload')
  t.equal(judgeRead(view, { ...read, generation: 'h' }), 'reload')
  t.equal(judgeRead(view, { ...read, lastId: '9-99' }), 'reload', 'the log has lost its end')
})

t.test('a direct look-up', async (t) => {
  const view = { server: 's', generation: 'g', cursor: '10-0' }
  const clear = { server: 's', generation: 'g', found: false }
  t.equal(judgeLookUp(view, clear), false)
  t.equal(judgeLookUp(view, { ...clear, found: true }), true)
  t.equal(judgeLookUp(undefined, { server: 'x', generation: null, found: true }), true, 'what is there was revoked')
  t.equal(judgeLookUp(undefined, clear), 'unknown')
  t.equal(judgeLookUp(view, { ...clear, generation: null }), 'unknown')
  t.equal(judgeLookUp(view, { ...clear, generation: 'h' }), 'unknown')
  t.equal(judgeLookUp(view, { ...clear, server: 'another process' }), 'unknown')
  t.equal(judgeLookUp(view, { ...clear, server: undefined }), 'unknown')
})

t.test('a barrier', async (t) => {
  const log = { server: 's', generation: 'g' }
  const registered: Registered[] = [
    { member: 'a#1', leaseMs: 250, spelled: '7', ...log, cursor: '9-0' },
    { member: 'b#2', leaseMs: 100, spelled: '0', ...log, cursor: '9-0' },
    { member: 'c#3', leaseMs: 500, spelled: '9', ...log, cursor: '10-0' }
  ]
  const barrier = { appendedAt: 1000, target: '10-0', generation: 'g', registered, believed: true }
  const nobody = (): undefined => undefined
  const left = (confirmed: Record<string, string>, now = 1000, of = log): number => {
    const view = (member: string) => {
      const cursor = confirmed[member]
      return cursor === undefined ? undefined : { ...of, cursor }
    }
    return Math.round(remainingMs(barrier, view, now))
  }

  t.equal(left({}), 296, 'the longest lease of those who have not applied it, and the slack')
  t.equal(left({ 'a#1': '10-0' }), 118)
  t.equal(left({ 'a#1': '9-9' }), 296, 'that was not it')
  t.equal(left({ 'a#1': '10-0', 'b#2': '11-0' }), 0)
  t.equal(left({}, 1296), 0, 'time does it too')
  const all = { 'a#1': '99-0', 'b#2': '99-0' }
  t.equal(left(all, 1000, { ...log, generation: 'f' }), 296, 'of a log that is lost it says nothing')
  t.equal(left(all, 1000, { ...log, server: 'r' }), 296, 'nor of that of another process')
  t.equal(boundOf(barrier), 591)

  // As far as chrony slews: the clock of the one that waits is faster, that of the one that holds slower.
  t.ok(remainingMs(barrier, nobody, 1000) / 1.08333 > 250 / 0.91667, 'also by clocks that are being corrected')

  const unbelieved = { ...barrier, believed: false }
  t.equal(
    Math.round(remainingMs(unbelieved, () => ({ ...log, cursor: '11-0' }), 1000)),
    withSlack(MAX_LEASE_MS),
    'there may be others'
  )
  t.equal(Math.round(boundOf(unbelieved)), withSlack(MAX_LEASE_MS))
  t.equal(remainingMs({ ...barrier, registered: [] }, nobody, 1000), 0)
  t.strictSame(
    silent(barrier, (member) => (member === 'a#1' ? { ...log, cursor: '10-0' } : undefined)),
    [registered[1]],
    'who has neither confirmed it nor had it'
  )
})

t.test('the registry is believed once every lease from before has ended', async (t) => {
  const seen = { generation: 'g', since: 1000 }
  t.equal(isBelieved(undefined, 'g', 9999), false)
  t.equal(isBelieved(seen, 'g', 1000 + withSlack(MAX_LEASE_MS)), false)
  t.equal(isBelieved(seen, 'g', 1001 + withSlack(MAX_LEASE_MS)), true)
  t.equal(isBelieved(seen, 'h', 99_999), false)
})
