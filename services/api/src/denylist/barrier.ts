import type { Redis } from 'ioredis'
import { GENERATION, type Appended } from './append.js'
import {
  boundOf,
  compareIds,
  hasApplied,
  isBelieved,
  remainingMs,
  silent,
  type Sighting,
  type View
} from './protocol.js'
import { confirmationsOf, nameOf, parseRegistration, parseView, REGISTRY, STRIKE } from './registry.js'

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

/**
 * When a barrier that still waits asks the registry what each has applied, in milliseconds; then after twice that, and so on.
 * A confirmation may be lost, and nobody confirms what somebody else had appended before.
 */
const ASK_AFTER_MS = 5

export interface Barriers {
  /** Resolves once no replica holds a lease that knows nothing of what was appended. To be called when Redis has answered. */
  pass(appended: Appended): Promise<Passed>
  /** What a replica says that it has applied. Those elsewhere say it over Redis, this one here. */
  confirm(from: string, view: View): void
  /** Asks which generation Redis has. It counts for how long: call it as soon as there is a new one. */
  look: () => void
  close(): void
}

/**
 * @param redis the connection that appends
 * @param subscriber one for the confirmations. Where it is down every barrier takes as long as it can, and holds all the same
 */
export function createBarriers(redis: Redis, subscriber: Redis, member: string): Barriers {
  let seen: Sighting | undefined
  const saw = (generation: string): void => {
    if (seen?.generation !== generation) seen = { generation, since: performance.now() }
  }
  // Where it cannot be asked it is seen with the next append.
  const look = (): void =>
    void redis
      .get(GENERATION)
      .then((one) => one !== null && saw(one))
      .catch(() => undefined)
  redis.on('close', () => (seen = undefined))
  redis.on('ready', look)
  if (redis.status === 'ready') look()

  /** What each member says that it has applied; of those that were registered a moment ago. */
  const confirmed = new Map<string, View>()
  const waiting = new Set<() => void>()
  const subscribe = (): void => void subscriber.subscribe(confirmationsOf(member)).catch(() => undefined)
  subscriber.on('ready', subscribe)
  if (subscriber.status === 'ready') subscribe()
  const pings = setInterval(() => void subscriber.ping().catch(() => undefined), PING_EVERY_MS).unref()
  subscriber.on('message', (_channel: string, message: string) => {
    const [from = '', ...view] = message.split(' ')
    confirm(from, parseView(view))
  })

  function confirm(from: string, view: View): void {
    const before = confirmed.get(from)
    const isSameLog = before?.server === view.server && before.generation === view.generation
    if (isSameLog && compareIds(view.cursor, before.cursor) <= 0) return
    confirmed.set(from, view)
    for (const look of waiting) look()
  }

  /** Where it cannot be asked a barrier takes longer, no more. */
  async function askRegistry(): Promise<void> {
    const registry = await redis.hgetall(REGISTRY).catch(() => ({}))
    for (const [from, spelled] of Object.entries(registry)) confirm(from, parseRegistration(from, spelled))
  }

  return {
    confirm,
    look,
    close: () => clearInterval(pings),
    async pass({ generation, lastId: target, registered }) {
      const appendedAt = performance.now()
      const believed = isBelieved(seen, generation, appendedAt)
      saw(generation)
      const barrier = { appendedAt, target, generation, registered, believed }
      const members = new Set(registered.map((one) => one.member))
      if (waiting.size === 0) {
        for (const gone of confirmed.keys()) if (!members.has(gone)) confirmed.delete(gone)
      }
      const confirmedBy = (one: string): View | undefined => confirmed.get(one)

      await new Promise<void>((resolve) => {
        let [timer, askTimer]: NodeJS.Timeout[] = []
        const look = (): void => {
          clearTimeout(timer)
          const left = remainingMs(barrier, confirmedBy, performance.now())
          if (left > 0) {
            timer = setTimeout(look, Math.ceil(left))
          } else {
            waiting.delete(look)
            clearTimeout(askTimer)
            resolve()
          }
        }
        const askAfter = (ms: number): void => {
          askTimer = setTimeout(() => {
            void askRegistry()
            askAfter(2 * ms)
          }, ms)
        }
        waiting.add(look)
        askAfter(ASK_AFTER_MS)
        look()
      })
      for (const { member, spelled } of silent(barrier, confirmedBy)) {
        // Nobody waits for it: where it fails, the next barrier does it.
        redis.eval(STRIKE, 1, REGISTRY, member, spelled).catch(() => undefined)
      }

      return {
        acknowledgedBy: registered
          .filter((one) => hasApplied(barrier, one, confirmedBy(one.member)))
          .map((one) => nameOf(one.member)),
        waitedMs: performance.now() - appendedAt,
        boundMs: boundOf(barrier)
      }
    }
  }
}
