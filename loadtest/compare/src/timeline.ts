import { setTimeout as sleep } from 'node:timers/promises'
import { LANES, type Kind, type LaneName } from '@one-secret/local'
import type { Cluster } from './cluster.js'
import type { Credentials, Visitors } from './visitors.js'

/** When what happens, in seconds from the start. */
const KILL = 10
const ADD = 20
/** How long there is to see what an added server gets, what a silent Redis does, and that all is well again, in seconds. */
const SHARES_FOR = 8
const SILENT_FOR = 5
const WELL_FOR = 5

/** How long somebody who was turned away takes to log in again, in milliseconds. */
const LOGS_IN_AFTER_MS = 1000

/** When it is asked whether the logins from before the kill are still worth something, in milliseconds after it. */
const ASKED_AFTER_MS = 2000

/** One answer, or none. */
export interface Exchange {
  lane: LaneName
  what: 'whoami' | 'login'
  /** When it was sent, in seconds from the start. */
  at: number
  ms: number
  status: number
  servedBy: string | undefined
}

export interface Timeline {
  exchanges: Exchange[]
  /** Logins from before the kill that no server knows any more, of how many. */
  lost: Record<LaneName, number>
  visitors: number
  /** Who was added, by kind. */
  added: Record<string, string>
  /** When it was done, in seconds from the start. `added`: the new servers were sent requests. */
  marks: Record<'kill' | 'add' | 'added' | 'redisStops' | 'redisReturns' | 'end', number>
}

export interface TimelineOptions {
  /** How many people are logged in, in each lane. */
  visitors: number
  /** How many requests they make together, in each lane, each second. */
  rate: number
  signal: AbortSignal
  onProgress: (text: string) => void
}

const lanes = Object.keys(LANES) as LaneName[]
const kinds = [...new Set<Kind>(Object.values(LANES))]
const each = <T>(value: (lane: LaneName) => T): Record<LaneName, T> =>
  Object.fromEntries(lanes.map((lane) => [lane, value(lane)])) as Record<LaneName, T>

/**
 * The same people in every lane at the same time, who ask at a fixed rate whether or not they are answered, while a server of
 * each kind is killed, another added, and Redis falls silent. Whoever is turned away logs in again a second later.
 */
export async function runTimeline(
  cluster: Cluster,
  visitors: Visitors,
  { visitors: count, rate, signal, onProgress }: TimelineOptions
): Promise<Timeline> {
  // Those of `single` are people of their own: their logins would end those of the same people in `jwt`.
  const names = await visitors.signUp(count)
  const singles = await visitors.signUp(count)
  const people = lanes.flatMap((lane) =>
    (lane === 'single' ? singles : names).map((username) => ({
      lane,
      username,
      credentials: {},
      out: false
    }))
  )
  for (const one of people) {
    const { status, credentials } = await visitors.logIn(one.lane, one.username)
    if (status !== 200) throw new Error(`a login in the lane ${one.lane} was answered with ${status}`)
    one.credentials = credentials
  }

  const exchanges: Exchange[] = []
  const began = performance.now()
  const seconds = (): number => (performance.now() - began) / 1000
  const record = (
    lane: LaneName,
    what: Exchange['what'],
    at: number,
    { status, ms, servedBy }: Omit<Exchange, 'lane' | 'what' | 'at'>
  ): void => void exchanges.push({ lane, what, at, status, ms, servedBy })

  async function visit(one: (typeof people)[number]): Promise<void> {
    const at = seconds()
    const answer = await visitors.whoAmI(one.lane, one.credentials)
    record(one.lane, 'whoami', at, answer)
    if (answer.status !== 401 || one.out) return
    one.out = true
    await sleep(LOGS_IN_AFTER_MS)
    const loginAt = seconds()
    const login = await visitors.logIn(one.lane, one.username)
    record(one.lane, 'login', loginAt, login)
    if (login.status === 200) one.credentials = login.credentials
    one.out = false
  }

  /** Whether somebody still takes these: asked often enough to come by every server. */
  async function isLost(lane: LaneName, credentials: Credentials): Promise<boolean> {
    for (let i = 0; i < 2 * cluster.replicas; i++) {
      if ((await visitors.whoAmI(lane, credentials)).status === 200) return false
    }
    return true
  }

  const added: Record<string, string> = {}
  const lost = each(() => 0)
  const marks: Timeline['marks'] = { kill: 0, add: 0, added: 0, redisStops: 0, redisReturns: 0, end: 0 }
  const until = (second: number, options?: { signal: AbortSignal }): Promise<void> =>
    sleep(Math.max(0, (second - seconds()) * 1000), undefined, options)

  // Whoever interrupts has not to wait for what is still to happen.
  const wait = (ms: number): Promise<void> => sleep(ms, undefined, { signal })
  const events = async (): Promise<void> => {
    await until(KILL, { signal })
    onProgress('a server of each kind is killed')
    marks.kill = seconds()
    const before = people.map(({ lane, credentials }) => ({ lane, credentials }))
    await Promise.all(kinds.map((kind) => cluster.kill(kind)))
    await wait(ASKED_AFTER_MS)
    for (const { lane, credentials } of before) if (await isLost(lane, credentials)) lost[lane]++
    await until(ADD, { signal })
    onProgress('a server of each kind is added')
    marks.add = seconds()
    await Promise.all(kinds.map(async (kind) => void (added[kind] = (await cluster.add(kind)).name)))
    marks.added = seconds()
    await wait(SHARES_FOR * 1000)
    onProgress('Redis falls silent')
    await cluster.pauseRedis()
    marks.redisStops = seconds()
    await wait(SILENT_FOR * 1000)
    onProgress('Redis is back')
    marks.redisReturns = seconds()
    await cluster.resumeRedis()
    await wait(WELL_FOR * 1000)
    marks.end = seconds()
  }

  const pending = new Set<Promise<void>>()
  let isOver = false
  const load = async (): Promise<void> => {
    for (let turn = 0; !isOver; turn++) {
      await until(turn / rate)
      for (const [i] of lanes.entries()) {
        const visiting = visit(people[i * count + (turn % count)]!).finally(() => pending.delete(visiting))
        pending.add(visiting)
      }
    }
    await Promise.all(pending)
  }
  const loading = load()
  try {
    onProgress(`${count} people in each of ${lanes.length} lanes, ${rate} requests a second in each`)
    await events()
  } finally {
    isOver = true
    await loading
  }
  return { exchanges, lost, visitors: count, added, marks }
}
