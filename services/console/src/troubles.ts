import { computed, signal } from '@preact/signals'
import type { Answer } from './ask.js'
import { noteDate, now, skewSeconds } from './clock.js'

export type Trouble =
  /** Not even the balancer answers. */
  | { kind: 'unreachable' }
  /** The balancer answers, and finds no replica. */
  | { kind: 'no-replica' }
  /** A replica says that it cannot, and why. */
  | { kind: 'unavailable'; code: string }
  /** Too many logins: not before so many seconds, of those that there were at first. */
  | { kind: 'limited'; seconds: number; of: number }
  /** The browser's clock is so many seconds ahead of the balancer's, or behind. */
  | { kind: 'clock'; seconds: number }

/** What is wrong with the cluster, as the last answer had it; and until when it is to be believed at the least. */
const outage = signal<{ trouble: Trouble; until: number } | undefined>(undefined)
/** Somebody is there who serves, as far as is known. */
export const isServed = computed(() => outage.value === undefined || outage.value.trouble.kind === 'unavailable')
const limited = signal({ until: 0, seconds: 0 })

/** So long a trouble can be read, in milliseconds, also where the next answer is good. */
const READABLE_MS = 3_000

/** What is down, as `/health/ready` names it. */
const downIn = (body: Answer['body']): string =>
  Object.entries(body)
    .filter(([, state]) => state === 'down')
    .map(([name]) => name)
    .join(', ')

export function noteTroubles({ method, status, code, body, date, tookMs, retryAfterSeconds = 1 }: Answer): void {
  if (date !== undefined) noteDate(date, tookMs)
  const until = performance.now() + Math.max(READABLE_MS, retryAfterSeconds * 1000)
  if (status === 0) outage.value = { trouble: { kind: 'unreachable' }, until: 0 }
  // One server that hangs is not all of them: a GET has been sent to the others too, anything else to none.
  else if (status === 502 && method === 'GET') outage.value = { trouble: { kind: 'no-replica' }, until: 0 }
  else if (status === 503) {
    const said = outage.peek()?.trouble
    // What is down is told in more than one way: the first stays, or it would change and be read aloud without end.
    const trouble = said?.kind === 'unavailable' ? said : ({ kind: 'unavailable', code: code ?? downIn(body) } as const)
    outage.value = { trouble, until }
  } else if (outage.peek() !== undefined && outage.peek()!.until < performance.now()) outage.value = undefined
  if (status === 429) {
    limited.value = { until: performance.now() + retryAfterSeconds * 1000, seconds: retryAfterSeconds }
  }
}

/** All that is wrong at the moment; it goes away by itself. */
export const troubles = computed<readonly Trouble[]>(() => {
  const seconds = Math.ceil((limited.value.until - now.value) / 1000)
  return [
    ...(outage.value ? [outage.value.trouble] : []),
    ...(seconds > 0 ? [{ kind: 'limited', seconds, of: limited.value.seconds } as const] : []),
    ...(skewSeconds.value !== 0 ? [{ kind: 'clock', seconds: skewSeconds.value } as const] : [])
  ]
})
