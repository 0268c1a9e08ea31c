import { signal } from '@preact/signals'
import { ask, type Answer } from './ask.js'
import { credentials, signUp } from './login.js'
import { present } from './replicas.js'

export const RACERS = ['memory', 'sticky', 'cluster', 'jwt'] as const
export type Racer = (typeof RACERS)[number]

/** How many seconds the charts go back. */
export const SECONDS = 60

/** Requests of each lane a second. */
export const RATE = 10

export interface Second {
  accepted: number
  refused: number
}

/** A server that has stopped answering, or has begun again; `at` is the second of the race. */
export interface Mark {
  at: number
  server: string
  what: 'gone' | 'back'
}

export interface Lane {
  /** What its login was answered with; undefined where it has not been tried. */
  login: Answer | undefined
  token: string | undefined
  seconds: readonly Second[]
  marks: readonly Mark[]
  servers: Readonly<Record<string, { seenAt: number; gone: boolean }>>
}

const EMPTY: Lane = { login: undefined, token: undefined, seconds: [], marks: [], servers: {} }

export const lanes = Object.fromEntries(RACERS.map((name) => [name, signal<Lane>(EMPTY)])) as Record<
  Racer,
  ReturnType<typeof signal<Lane>>
>
export const racing = signal(false)
/** The lanes have no servers: nobody has turned the comparison on. */
export const missing = signal(false)
/** Whole seconds since the start. */
export const elapsed = signal(0)

const laneOf = (name: Racer): Lane => lanes[name].value ?? EMPTY
const change = (name: Racer, changed: Partial<Lane>): void => void (lanes[name].value = { ...laneOf(name), ...changed })

async function enter(name: Racer): Promise<Answer> {
  const login = await ask('POST', `/lanes/${name}/auth/login`, { body: credentials(), cookies: true, quiet: true })
  const { access_token: token } = login.body
  change(name, { login, token: typeof token === 'string' ? token : undefined })
  return login
}

function count(name: Racer, answer: Answer): void {
  const lane = laneOf(name)
  const seconds = [...lane.seconds]
  const last = seconds.at(-1) ?? { accepted: 0, refused: 0 }
  seconds[Math.max(0, seconds.length - 1)] =
    answer.status === 200 ? { ...last, accepted: last.accepted + 1 } : { ...last, refused: last.refused + 1 }
  change(name, { seconds })
  if (answer.servedBy !== undefined) see(name, answer.servedBy)
}

/** One that has missed so many turns, while the others have not, is gone. */
const GONE_AFTER_TURNS = 3

function see(name: Racer, server: string): void {
  const { servers, marks } = laneOf(name)
  const at = elapsed.value
  const seenAt = performance.now()
  const known = servers[server]
  const seen = { ...servers, [server]: { seenAt, gone: false } }
  if (known?.gone) return change(name, { servers: seen, marks: [...marks, { at, server, what: 'back' }] })
  // Kept at one server, a visitor meets another only when that one has gone.
  if (name === 'sticky' && known === undefined && Object.keys(servers).length > 0) {
    const before = Object.entries(servers).sort(([, a], [, b]) => b.seenAt - a.seenAt)[0]![0]
    return change(name, {
      servers: { [server]: { seenAt, gone: false } },
      marks: [...marks, { at, server: before, what: 'gone' }]
    })
  }
  change(name, { servers: seen })
}

function missThoseWhoAreSilent(name: Racer): void {
  if (name === 'sticky') return
  const { servers, marks } = laneOf(name)
  const newest = Math.max(...Object.values(servers).map(({ seenAt }) => seenAt))
  const everyMs = (Object.keys(servers).length * 1000) / RATE
  for (const [server, { seenAt, gone }] of Object.entries(servers)) {
    // This lane's servers answer the rest of the page too, which takes turns of it.
    const isThere =
      name === 'jwt'
        ? present.peek().some((replica) => replica.name === server)
        : newest - seenAt < GONE_AFTER_TURNS * everyMs
    if (gone || isThere) continue
    const at = Math.max(0, elapsed.value - (performance.now() - seenAt) / 1000)
    change(name, {
      servers: { ...laneOf(name).servers, [server]: { seenAt, gone: true } },
      marks: [...marks, { at, server, what: 'gone' }]
    })
  }
}

/** The race that is under way. What comes back from an earlier one is not counted. */
let current: symbol | undefined

/** After so long without a turn, in milliseconds, nobody has been looked at: the tab was hidden, or the machine asleep. */
const LOOKED_AWAY_MS = 1_000
/** So long after that nobody is said to be gone, in milliseconds: first they have to be asked again. */
const SETTLES_MS = 3_000

/** Logs in to each lane and sends each the same, until `stop`. Once is enough: while one is under way it does nothing. */
export async function start(): Promise<void> {
  if (current !== undefined) return
  const race = (current = Symbol())
  racing.value = true
  missing.value = false
  elapsed.value = 0
  for (const name of RACERS) lanes[name].value = EMPTY
  await signUp(true)
  for (const name of RACERS) {
    if (current !== race) return
    await enter(name)
  }
  if (current !== race) return
  // The api's own servers are there in any case.
  missing.value = RACERS.every((name) => name === 'jwt' || laneOf(name).login?.code === 'LANE_EMPTY')
  if (missing.value) return stop()

  const startedAt = performance.now()
  let turnedAt = startedAt
  let lookedAwayAt = -Infinity
  const outstanding: Record<Racer, number> = { memory: 0, sticky: 0, cluster: 0, jwt: 0 }
  const turn = (): void => {
    if (current !== race) return clearInterval(turns)
    const at = performance.now()
    if (document.hidden || at - turnedAt > LOOKED_AWAY_MS) lookedAwayAt = at
    turnedAt = at
    elapsed.value = (at - startedAt) / 1000
    for (const name of RACERS) {
      const { seconds, token } = laneOf(name)
      const missed = Math.floor(elapsed.value) + 1 - seconds.length
      if (missed > 0) {
        change(name, { seconds: [...seconds, ...Array.from({ length: missed }, () => ({ accepted: 0, refused: 0 }))] })
      }
      if (document.hidden) continue
      if (at - lookedAwayAt > SETTLES_MS) missThoseWhoAreSilent(name)
      // A lane whose server is silent is not asked ever more.
      if (outstanding[name] >= RATE) continue
      outstanding[name]++
      const how = name === 'jwt' ? { token } : { cookies: true }
      void ask('GET', `/lanes/${name}/whoami`, { ...how, quiet: true }).then((answer) => {
        outstanding[name]--
        if (current === race) count(name, answer)
      })
    }
  }
  const turns = setInterval(turn, 1000 / RATE)
}

export function stop(): void {
  current = undefined
  racing.value = false
}
