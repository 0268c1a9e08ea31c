import { signal } from '@preact/signals'
import type { Answer } from './ask.js'

/** One request that has been answered, as it is drawn and listed. */
export interface Hop extends Pick<Answer, 'method' | 'path' | 'status' | 'code' | 'servedBy' | 'tookMs'> {
  id: number
}

/** How many are listed. */
export const LISTED = 6

export const recent = signal<readonly Hop[]>([])

/** How many each replica has answered, by its name, since the counts were last set to nothing. */
export const tally = signal<Readonly<Record<string, number>>>({})

let count = 0
const watchers = new Set<(hop: Hop) => void>()

/** @returns to be called when it is enough */
export function watchHops(watcher: (hop: Hop) => void): () => void {
  watchers.add(watcher)
  return () => watchers.delete(watcher)
}

export function noteHop({ method, path, status, code, servedBy, tookMs }: Answer): void {
  const hop = { id: ++count, method, path, status, code, servedBy, tookMs }
  recent.value = [hop, ...recent.peek()].slice(0, LISTED)
  if (servedBy !== undefined) tally.value = { ...tally.peek(), [servedBy]: (tally.peek()[servedBy] ?? 0) + 1 }
  for (const watcher of watchers) watcher(hop)
}

export const resetTally = (): void => void (tally.value = {})
