import type { Redis } from 'ioredis'
import type { Appended } from './append.js'
import { boundOf, compareIds, isBelieved, remainingMs, type Sighting } from './protocol.js'
import { confirmationsOf, logOf, nameOf, parseConfirmation } from './registry.js'

/** What a barrier says when it is over. */
export interface Passed {
  /** The replicas that confirmed. Of the others it is known that no lease of theirs is left. */
  acknowledgedBy: string[]
  waitedMs: number
  boundMs: number
}

/**
 * How often the connection for confirmations is asked whether it is still there, in milliseconds: nothing else is ever sent
 * on it, and a connection that is silent for good looks like one on which nothing happens.
 */
const PING_EVERY_MS = 1000

export interface Barriers {
  /**
   * Resolves once no replica holds a lease that knows nothing of what was appended. To be called when Redis has answered.
   *
   * @param server the process that has answered; where it is not known no confirmation counts
   */
  pass(appended: Appended, server: string | undefined): Promise<Passed>
  /** The generation that Redis has been seen with. It counts how long: call it as soon as there is a new one. */
  saw(generation: string): void
  close(): void
}

/**
 * @param redis the connection that appends
 * @param subscriber one for the confirmations. Where it is down every barrier takes as long as it can, and holds all the same
 */
export function createBarriers(redis: Redis, subscriber: Redis, member: string): Barriers {
  let seen: Sighting | undefined
  redis.on('close', () => (seen = undefined))

  /** Up to where each member says that it has applied which log; of those that were registered a moment ago. */
  const confirmed = new Map<string, { log: string; cursor: string }>()
  const waiting = new Set<() => void>()
  const subscribe = (): void => void subscriber.subscribe(confirmationsOf(member)).catch(() => undefined)
  subscriber.on('ready', subscribe)
  if (subscriber.status === 'ready') subscribe()
  const pings = setInterval(() => void subscriber.ping().catch(() => undefined), PING_EVERY_MS).unref()
  subscriber.on('message', (_channel: string, message: string) => {
    const { member: from, log, cursor } = parseConfirmation(message)
    const before = confirmed.get(from)
    if (before?.log === log && compareIds(cursor, before.cursor) <= 0) return
    confirmed.set(from, { log, cursor })
    for (const look of waiting) look()
  })

  function saw(generation: string): void {
    if (seen?.generation !== generation) seen = { generation, since: performance.now() }
  }

  return {
    saw,
    close: () => clearInterval(pings),
    async pass({ generation, lastId: target, registered }, server) {
      const appendedAt = performance.now()
      const believed = isBelieved(seen, generation, appendedAt)
      saw(generation)
      const barrier = { appendedAt, target, registered, believed }
      const members = new Set(registered.map((one) => one.member))
      if (waiting.size === 0) {
        for (const gone of confirmed.keys()) if (!members.has(gone)) confirmed.delete(gone)
      }
      const log = server === undefined ? undefined : logOf({ server, generation })
      const cursorOf = (one: string): string | undefined => {
        const confirmation = confirmed.get(one)
        return confirmation?.log === log ? confirmation?.cursor : undefined
      }

      await new Promise<void>((resolve) => {
        let timer: NodeJS.Timeout | undefined
        const look = (): void => {
          clearTimeout(timer)
          const left = remainingMs(barrier, cursorOf, performance.now())
          if (left > 0) {
            timer = setTimeout(look, Math.ceil(left))
          } else {
            waiting.delete(look)
            resolve()
          }
        }
        waiting.add(look)
        look()
      })

      const hasApplied = ({ cursor }: { cursor: string | undefined }): boolean =>
        cursor !== undefined && compareIds(cursor, target) >= 0
      return {
        acknowledgedBy: registered
          .filter((one) => hasApplied(one) || hasApplied({ cursor: cursorOf(one.member) }))
          .map((one) => nameOf(one.member)),
        waitedMs: performance.now() - appendedAt,
        boundMs: boundOf(barrier)
      }
    }
  }
}
