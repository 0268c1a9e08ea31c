import { LocalError } from './errors.js'

/** A terminal's Ctrl-C reaches the whole group, and npm passes it on once more: within so many milliseconds it is one signal. */
const SAME_SIGNAL_MS = 1_000

/** What asks a process to end. */
export const ENDING = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/**
 * The first signal that asks this process to end lets it stop in good order; another one ends it at once, by `process.exit`,
 * so that the exit hooks of what still runs kill it and remove its files.
 */
export function onSignals(first: (signal: NodeJS.Signals) => void, second: (signal: NodeJS.Signals) => void): void {
  let firstAt: number | undefined
  const onSignal = (signal: NodeJS.Signals): void => {
    if (firstAt === undefined) {
      firstAt = performance.now()
      first(signal)
    } else if (performance.now() - firstAt > SAME_SIGNAL_MS) {
      second(signal)
      process.exit(1)
    }
  }
  for (const signal of ENDING) process.on(signal, onSignal)
}

/**
 * For a program that stops what it has started when it is interrupted, and then says so.
 *
 * @param say is told of the signal
 */
export function untilInterrupted(say: (text: string) => void): AbortSignal {
  const interrupted = new AbortController()
  onSignals(
    (signal) => {
      say(`${signal}: stopping`)
      interrupted.abort(new LocalError('interrupted', { exitCode: 2 }))
    },
    (signal) => say(`second ${signal}: killing what is left`)
  )
  return interrupted.signal
}
