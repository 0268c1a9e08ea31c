import { computed, signal } from '@preact/signals'
import { ask, type Answer } from './ask.js'
import { present } from './replicas.js'

/** An answer to a token that is being taken back. Times are milliseconds since the logout was sent. */
export interface Sighting {
  replica: string
  sentMs: number
  atMs: number
  accepted: boolean
}

/** A logout, and how it was seen to arrive at each replica. */
export interface Watch {
  sightings: readonly Sighting[]
  /** Those who were there when it began, and whoever has answered since. */
  replicas: readonly string[]
  /** When the logout was answered, in milliseconds; undefined until then. */
  answeredMs: number | undefined
  answer: Answer | undefined
  done: boolean
}

export const watch = signal<Watch | undefined>(undefined)

/** One at a time: meanwhile nobody else is logged out. */
export const isWatching = computed(() => watch.value?.done === false)

/** So long before the logout the asking begins, so that the token is seen to be good; and so long after it goes on. */
const BEFORE_MS = 160
const AFTER_MS = 250
/** By then whoever has not answered will not. */
const GIVE_UP_MS = 3_000
/** How many of its requests are under way at a time. */
const AT_A_TIME = 3
const PAUSE_MS = 12

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

/** When each replica was first seen to refuse, in milliseconds since the logout was sent. */
export function firstRefusals({ sightings }: Watch): ReadonlyMap<string, number> {
  const first = new Map<string, number>()
  for (const { replica, atMs, accepted } of sightings) {
    if (!accepted) first.set(replica, Math.min(atMs, first.get(replica) ?? Infinity))
  }
  return first
}

/** Of the requests that were sent when the logout had been answered: how many, and how many were let in all the same. */
export function afterTheAnswer({ sightings, answeredMs }: Watch): { sent: number; accepted: number } {
  const after = sightings.filter(({ sentMs }) => answeredMs !== undefined && sentMs >= answeredMs)
  return { sent: after.length, accepted: after.filter(({ accepted }) => accepted).length }
}

/** Asks with the token without a pause, through the balancer, while `end` takes it back, until every replica has refused it. */
export async function watchRefusals(token: string, end: () => Promise<Answer>): Promise<Answer> {
  const names = present.peek().map(({ name }) => name)
  watch.value = { sightings: [], replicas: names, answeredMs: undefined, answer: undefined, done: false }
  const change = (changed: Partial<Watch>): void => void (watch.value = { ...watch.peek()!, ...changed })
  let startedAt = performance.now() + BEFORE_MS
  let finished = false

  const keepAsking = async (): Promise<void> => {
    while (!finished) {
      const { status, servedBy: replica, sentAt, tookMs } = await ask('GET', '/whoami', { token, quiet: true })
      if (replica !== undefined && (status === 200 || status === 401)) {
        const sentMs = sentAt - startedAt
        const sighting = { replica, sentMs, atMs: sentMs + tookMs, accepted: status === 200 }
        const { sightings, replicas } = watch.peek()!
        const met = replicas.includes(replica) ? replicas : [...replicas, replica].sort()
        change({ sightings: [...sightings, sighting], replicas: met })
      }
      await sleep(PAUSE_MS)
    }
  }
  const asking = Array.from({ length: AT_A_TIME }, keepAsking)
  await sleep(BEFORE_MS)
  // By what has really passed: a timer is late where there is much to do.
  const shift = performance.now() - startedAt
  startedAt += shift
  change({
    sightings: watch.peek()!.sightings.map((one) => ({ ...one, sentMs: one.sentMs - shift, atMs: one.atMs - shift }))
  })
  const answer = await end()
  const answeredMs = performance.now() - startedAt
  change({ answer, answeredMs })

  const refusedByAll = (): boolean => {
    const refused = firstRefusals(watch.peek()!)
    return watch.peek()!.replicas.every((name) => refused.has(name))
  }
  const passed = (): number => performance.now() - startedAt - answeredMs
  while (passed() < AFTER_MS || (!refusedByAll() && passed() < GIVE_UP_MS)) await sleep(20)
  finished = true
  await Promise.all(asking)
  change({ done: true })
  return answer
}
