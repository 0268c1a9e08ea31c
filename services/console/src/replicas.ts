import { computed, signal } from '@preact/signals'
import { now } from './clock.js'

export interface Replica {
  name: string
  /** Which of the colours is its own, from 0. */
  colour: number
  /** When it last answered anything, by `performance.now()`. */
  seenAt: number
}

/** How many colours there are in style/colours.css; a ninth replica has the first one's. */
export const COLOURS = 8

/** One that has answered nothing for so long is taken off the picture, in milliseconds. */
const FORGET_MS = 30_000

const known = signal<readonly Replica[]>([])

/** Who keeps which colour, also while it is away: a replica that comes back looks the same. */
const colours = new Map<string, number>()

function colourOf(name: string): number {
  const kept = colours.get(name)
  if (kept !== undefined) return kept
  const taken = new Set(known.peek().map(({ colour }) => colour))
  // By its number first, where it has one: so another tab, and the next load, show it in the same colour.
  const [, number = 1] = /-(\d+)$/.exec(name) ?? []
  const inTurn = Array.from({ length: COLOURS }, (_, i) => (Number(number) - 1 + i + COLOURS) % COLOURS)
  const free = inTurn.find((colour) => !taken.has(colour)) ?? colours.size % COLOURS
  colours.set(name, free)
  return free
}

export function colourOfReplica(name: string): number | undefined {
  return colours.get(name)
}

/** Somebody of that name has answered just now. */
export function noteSeen(name: string): void {
  const seen = { name, colour: colourOf(name), seenAt: performance.now() }
  const others = known.peek().filter((replica) => replica.name !== name)
  known.value = [...others, seen].sort((a, b) => a.name.localeCompare(b.name, 'en', { numeric: true }))
}

/** Those who have answered lately, by name. */
export const replicas = computed(() => known.value.filter(({ seenAt }) => now.value - seenAt < FORGET_MS))

/** The page asks for everybody once a second (heartbeat.ts). Who has missed two turns, of which each may take two seconds where a server hangs, is silent. In milliseconds. */
const SILENT_MS = 3_000

export const isSilent = ({ seenAt }: Replica): boolean => now.value - seenAt > SILENT_MS

/** Those from whom an answer is to be expected. */
export const present = computed(() => replicas.value.filter((replica) => !isSilent(replica)))

/** A container's id is shown as git shows a commit: as much of it as tells it from the others. */
export const shortName = (name: string): string => (/^[0-9a-f]{12}$/.test(name) ? name.slice(0, 7) : name)
