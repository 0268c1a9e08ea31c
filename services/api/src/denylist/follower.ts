import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Redis } from 'ioredis'
import { GENERATION, LOG, parseEntry } from './append.js'
import { Entries } from './entries.js'
import { load, type LoadOptions } from './load.js'
import { haveMovedTogether, judgeRead, type Lease, type Moment, type View } from './protocol.js'
import { PAGE } from './records.js'
import { confirmationsOf, REGISTRY, spellRegistration, spellView } from './registry.js'

/** How often what has expired is dropped, in milliseconds. */
const SWEEP_EVERY_MS = 1000

/**
 * After a confirmation the next round waits, in milliseconds: it is a write, which Redis would bring to its disk before the
 * confirmations of the other replicas, and when many are revoked one round has all of them.
 */
const PAUSE_MS = 2

/** What the same connection says right after a read: the generation and the last id of the log. KEYS: both. */
const CHECK = `
  local last = redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1)
  return { redis.call('GET', KEYS[1]), last[1] and last[1][1] or '0-0' }`

export interface FollowerOptions extends LoadOptions {
  /** A connection of its own, for it is blocked most of the time. */
  redis: Redis
  member: string
  leaseMs: number
  /** Is told what has been applied of what this very replica appended. */
  onOwnApplied: (view: View) => void
}

/** A copy of the denylist in this process, kept by following the log, with the lease that says how long it may be believed. */
export interface Follower {
  readonly entries: Entries
  /** What the entries were loaded from; undefined before the first time. */
  readonly view: View | undefined
  /** The last one taken, whether or not it still holds. */
  readonly lease: Lease | undefined
  readonly reloads: number
  /** Why there is no lease, where there is none. */
  readonly trouble: string | undefined
  /** Calls back after every load. */
  onLoad(callback: () => void): void
  /** Builds the copy anew, where what it was loaded from has another name now. */
  reload(): void
  /** Resolves with the first lease. */
  readonly ready: Promise<void>
  /** Gives up the lease and follows no more. Whoever closes strikes the member off afterwards. */
  close(): void
}

export const now = (): Moment => ({ monotonic: performance.now(), wall: Date.now() })

export function startFollower(options: FollowerOptions): Follower {
  const { redis, member, leaseMs, onOwnApplied, log } = options
  const roundMs = leaseMs / 4
  let entries = new Entries()
  let view: View | undefined
  let lease: Lease | undefined
  let reloads = 0
  let closed = false
  let isStale = false
  let trouble: string | undefined
  const callbacks = new Set<() => void>()
  let firstLease: () => void
  const ready = new Promise<void>((resolve) => (firstLease = resolve))
  let round = 0
  /** How long the last reply lay there before this process came to read it, in milliseconds. */
  let lateMs = 0
  /** When the expired were dropped last, and whether all of them were. */
  let clocks = now()
  let isSwept = false

  /** Counts the connections, for ioredis makes a new one by itself: what was read on one says nothing of the next. */
  let connection = 0
  redis.on('close', () => connection++)

  /** One read of the log's tail, told the others and judged. @returns false where the set is no copy of this Redis any more */
  async function read(current: View): Promise<boolean> {
    const sent = now()
    // A process with much to do comes late to each reply, and so would to the renewal of its lease.
    const blockMs = Math.max(1, Math.floor(roundMs - lateMs))
    const pipeline = redis.pipeline()
    pipeline.hset(REGISTRY, member, spellRegistration(leaseMs, round++, current))
    pipeline.xread('COUNT', PAGE, 'BLOCK', blockMs, 'STREAMS', LOG, current.cursor)
    pipeline.eval(CHECK, 2, GENERATION, LOG)
    const replies = (await pipeline.exec())?.slice(-3) ?? []
    const [registration, tail, check] = replies
    if (!registration || !tail || !check) throw new Error('Redis did not answer')
    const error = tail[0] ?? check[0]
    if (error) throw error

    const page = (tail[1] as [string, [string, string[]][]][] | null)?.[0]?.[1] ?? []
    const toConfirm = new Set<string>()
    for (const [id, fields] of page) {
      const { revocation, by } = parseEntry(fields)
      entries.add(revocation)
      if (by !== '') toConfirm.add(by)
      current.cursor = id
    }
    // Whoever waits is told at once. It is asked of the registry too, so that nothing hangs on this.
    for (const by of toConfirm) {
      if (by === member) onOwnApplied({ ...current })
      else redis.publish(confirmationsOf(by), `${member} ${spellView(current)}`).catch(() => undefined)
    }

    const [generation, lastId] = check[1] as [string | null, string]
    const registered = registration[0] === null
    const judgement = judgeRead(current, { registered, complete: page.length < PAGE, generation, lastId })
    const answered = now()
    lateMs = Math.max(0, answered.monotonic - sent.monotonic - blockMs)
    // By a clock that was set forward, and back again, entries may have been dropped that have not expired.
    if (isStale || judgement === 'reload' || !haveMovedTogether(clocks, answered, leaseMs)) return false
    if (judgement === 'lease' && !closed) {
      lease = { sent, ms: leaseMs }
      firstLease()
      if (trouble !== undefined) log.info('the denylist is followed again')
      trouble = undefined
    }
    if (!isSwept || answered.monotonic - clocks.monotonic > SWEEP_EVERY_MS) {
      isSwept = entries.sweep(answered.wall)
      clocks = answered
    }
    // As where Redis is full. It is asked again, without a lease meanwhile.
    if (!registered) {
      report(registration[0] as Error)
      await sleep(roundMs)
    } else if (toConfirm.size > 0) await sleep(PAUSE_MS)
    return true
  }

  /** Once, however often it is tried. Its message only: an error of the connection can carry the password. */
  function report({ message }: Error): void {
    if (trouble !== message)
      log.warn({ reason: message }, 'the denylist cannot be followed, so Redis is asked at each request')
    trouble = message
  }

  async function follow(): Promise<void> {
    while (!closed) {
      try {
        if (redis.status !== 'ready') await once(redis, 'ready')
        const began = connection
        isStale = false
        const loaded = await load(options, { entries, ...(view && { view }) })
        if (connection !== began) continue
        ;({ entries, view } = loaded)
        clocks = now()
        isSwept = entries.sweep(clocks.wall)
        reloads++
        for (const callback of callbacks) callback()
        while (connection === began && (await read(view)));
      } catch (error) {
        if (closed) return
        report(error as Error)
        await sleep(roundMs)
      }
    }
  }
  void follow()

  return {
    get entries() {
      return entries
    },
    get view() {
      return view
    },
    get lease() {
      return lease
    },
    get reloads() {
      return reloads
    },
    get trouble() {
      return trouble
    },
    onLoad: (callback) => void callbacks.add(callback),
    reload: () => void (isStale = true),
    ready,
    close() {
      closed = true
      lease = undefined
      redis.disconnect()
    }
  }
}
