import { computed, signal } from '@preact/signals'

/** `performance.now()`, four times a second. */
export const now = signal(performance.now())
setInterval(() => (now.value = performance.now()), 250)

/** How far the browser's clock is ahead of the balancer's, in milliseconds; to the second, as a `Date` header is. */
const ahead = signal(0)

/** The time is not taken from an answer that took longer, in milliseconds: nobody knows when within it the balancer wrote it. */
const TELLS_TIME_MS = 1_000

/** Takes the time from an answer: its `Date` is cut off to the second, so on average half a second more has passed. */
export function noteDate(date: number, tookMs: number): void {
  if (tookMs > TELLS_TIME_MS) return
  const offset = Date.now() - tookMs / 2 - (date + 500)
  // Whatever is within the half second that the header does not tell is no difference.
  const measured = Math.abs(offset) < 1500 ? 0 : offset
  // Nor is it a change, or the seconds that are told would flicker.
  if (Math.abs(measured - ahead.peek()) > 1000) ahead.value = measured
}

/** A difference that a person should know of, in whole seconds; 0 where there is none. */
export const skewSeconds = computed(() => (Math.abs(ahead.value) > 5000 ? Math.round(ahead.value / 1000) : 0))

/** The servers' time, in seconds since 1970, four times a second: what `exp` is compared with. */
export const serverSeconds = computed(() => {
  void now.value
  return (Date.now() - ahead.value) / 1000
})
