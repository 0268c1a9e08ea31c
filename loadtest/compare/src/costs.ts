import { setTimeout as sleep } from 'node:timers/promises'
import { LANES, type LaneName } from '@one-secret/local'
import autocannon from 'autocannon'
import type { Cluster } from './cluster.js'
import type { Credentials, Visitors } from './visitors.js'

const lanes = Object.keys(LANES) as LaneName[]

/** What one lane costs while nothing happens to it. */
export interface Costs {
  /** Of a login without the hash of its password, in milliseconds. */
  loginP50Ms: number
  redisPerLogin: number
  redisPerRequest: number
  /** Requests answered with 200 at saturation, each second: the best of the rounds. */
  perSecond: number
}

/** What a lane's servers, and Redis, hold for somebody who is logged in. */
export interface Memory {
  lane: LaneName
  users: number
  /** Bytes for each: of all the servers' heaps, and of Redis. */
  servers: number
  redis: number | undefined
}

/** Heartbeats of connections, and what is asked here. */
const NOT_COUNTED = new Set(['info', 'ping', 'auth', 'client', 'select'])

/** Commands since Redis was started, and how many of them were reads of the denylist's log. */
async function callsOf(cluster: Cluster): Promise<{ all: number; reads: number }> {
  const info = await cluster.redis('INFO', 'commandstats')
  const calls = { all: 0, reads: 0 }
  for (const [, name = '', count] of info.matchAll(/^cmdstat_(\S+?):calls=(\d+)/gm)) {
    if (NOT_COUNTED.has(name)) continue
    calls.all += Number(count)
    if (name === 'xread') calls.reads = Number(count)
  }
  return calls
}

const median = (numbers: number[]): number => numbers.sort((a, b) => a - b)[Math.floor(numbers.length / 2)]!

const IDLE_MS = 3000
const LOGINS = 100
const REQUESTS = 1500
const CONNECTIONS = 24

export async function measureCosts(
  cluster: Cluster,
  visitors: Visitors,
  { rounds, roundSeconds, onProgress }: { rounds: number; roundSeconds: number; onProgress: (text: string) => void }
): Promise<Record<LaneName, Costs>> {
  // The copies of the denylist follow its log, whatever is asked; a few commands for each read, and the more often the less
  // exactly Redis keeps to the time after which a read ends.
  onProgress('what Redis is asked while nobody comes')
  const idleFrom = await callsOf(cluster)
  await sleep(IDLE_MS)
  const idleTo = await callsOf(cluster)
  const perRead = (idleTo.all - idleFrom.all) / Math.max(1, idleTo.reads - idleFrom.reads)
  /** How many commands something costs, above those. */
  const counted = async (work: () => Promise<void>): Promise<number> => {
    const before = await callsOf(cluster)
    await work()
    const after = await callsOf(cluster)
    return Math.max(0, after.all - before.all - perRead * (after.reads - before.reads))
  }

  const costs = {} as Record<LaneName, Costs>
  const loggedIn = {} as Record<LaneName, Credentials[]>
  for (const lane of lanes) {
    onProgress(`${lane}: logins and requests, counted at Redis`)
    const names = await visitors.signUp(LOGINS)
    const everybody: Credentials[] = []
    const times: number[] = []
    // Each logs in twice: in the lane `single` the second login ends the first one's session.
    const logins = await counted(async () => {
      for (let round = 0; round < 2; round++) {
        for (const name of names) {
          const { status, ms, credentials } = await visitors.logIn(lane, name)
          if (status !== 200) throw new Error(`a login in the lane ${lane} was answered with ${status}`)
          times.push(ms)
          if (round === 1) everybody.push(credentials)
        }
      }
    })
    const requests = await counted(async () => {
      let left = REQUESTS
      const ask = async (): Promise<void> => {
        while (left-- > 0) await visitors.whoAmI(lane, everybody[left % everybody.length]!)
      }
      await Promise.all(Array.from({ length: 8 }, ask))
    })
    loggedIn[lane] = everybody
    costs[lane] = {
      loginP50Ms: median(times.slice(LOGINS)),
      redisPerLogin: logins / (2 * LOGINS),
      redisPerRequest: requests / REQUESTS,
      perSecond: 0
    }
  }

  for (let round = 1; round <= rounds; round++) {
    for (const lane of lanes) {
      onProgress(`${lane}: as fast as it goes, round ${round} of ${rounds}`)
      const result = await autocannon({
        url: cluster.url,
        connections: CONNECTIONS,
        duration: roundSeconds,
        requests: loggedIn[lane].map((headers) => ({ path: `/lanes/${lane}/whoami`, headers }))
      })
      costs[lane].perSecond = Math.max(costs[lane].perSecond, result['2xx'] / result.duration)
    }
  }
  return costs
}

/** How many log in at the same time. */
const AT_ONCE = 16

/** Logins after which all code has been compiled, and what is kept for each connection is there. */
const WARM_UP = 500

/** The lanes whose users take memory somewhere, and one whose users take none. */
const REMEMBERING = ['memory', 'cluster', 'jwt'] as const satisfies LaneName[]

/** Logs in more and more people, and looks at what that has taken. */
export async function measureMemory(
  cluster: Cluster,
  visitors: Visitors,
  { steps, onProgress }: { steps: readonly number[]; onProgress: (text: string) => void }
): Promise<Memory[]> {
  const used = async (): Promise<number | undefined> => {
    const value = /^used_memory:(\d+)/m.exec(await cluster.redis('INFO', 'memory'))?.[1]
    return value === undefined ? undefined : Number(value)
  }
  const logInAll = async (
    lane: LaneName,
    names: readonly string[],
    onLogin: (count: number) => void
  ): Promise<void> => {
    let next = 0
    const logIn = async (): Promise<void> => {
      for (let name = names[next++]; name !== undefined; name = names[next++]) {
        const { status } = await visitors.logIn(lane, name)
        if (status !== 200) throw new Error(`a login in the lane ${lane} was answered with ${status}`)
        onLogin(next)
      }
    }
    await Promise.all(Array.from({ length: AT_ONCE }, logIn))
  }

  const results: Memory[] = []
  for (const lane of REMEMBERING) {
    await logInAll(lane, await visitors.signUp(WARM_UP), () => undefined)
    const [heapBefore, redisBefore] = [await cluster.heap(LANES[lane]), await used()]
    let users = 0
    for (const step of steps) {
      await logInAll(lane, await visitors.signUp(step - users), (count) => {
        if ((users + count) % 5000 === 0) onProgress(`${lane}: ${users + count} of ${step} people logged in`)
      })
      users = step
      const [heap, redis] = [await cluster.heap(LANES[lane]), await used()]
      onProgress(`${lane}: ${users} people logged in`)
      results.push({
        lane,
        users,
        servers: (heap - heapBefore) / users,
        redis: redis === undefined || redisBefore === undefined ? undefined : (redis - redisBefore) / users
      })
    }
  }
  return results
}
