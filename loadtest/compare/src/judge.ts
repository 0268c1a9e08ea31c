import { LANES, type LaneName } from '@one-secret/local'
import type { Costs, Memory } from './costs.js'
import type { Exchange, Timeline } from './timeline.js'

export interface Results {
  description: string
  /** As in 2026-11-26. */
  date: string
  replicas: number
  timeline: Timeline
  costs: Record<LaneName, Costs>
  memory: Memory[]
}

/** What one lane comes to. Shares are between 0 and 1. */
export interface Row {
  lane: LaneName
  /** While nothing happens: of the requests of people who are logged in, those that were turned away. */
  rejected: number
  /** Then too: of the same, those that were answered with 200. */
  served: number
  p50Ms: number
  p99Ms: number
  /** Of the logins from before the kill, those that no server knows any more. */
  lost: number
  /** From the kill until another is added: all requests, those that were turned away, and those that failed (5xx, or no answer). */
  askedAfterKill: number
  rejectedAfterKill: number
  failedAfterKill: number
  /** From the kill until the last request that did not go well; undefined where that never ends. In seconds. */
  recoveredAfter: number | undefined
  /** Of all requests served once the new server was there, those that it served. */
  shareOfAdded: number
  /** While Redis said nothing: requests answered with 200. */
  servedWithoutRedis: number
}

export interface Verdict {
  /** What is claimed. */
  claim: string
  measured: string
  holds: boolean
}

const quantile = (numbers: readonly number[], share: number): number =>
  [...numbers].sort((a, b) => a - b)[Math.min(numbers.length - 1, Math.floor(numbers.length * share))] ?? NaN

const share = (part: number, whole: number): number => (whole === 0 ? NaN : part / whole)

/** After what is done, how long the lanes may take to settle, in seconds. */
const SETTLED_AFTER = 1
/** Of the requests just before a server is added: more of them that went wrong, and the lane has not recovered. */
const RECOVERED_BELOW = 0.05

/** More than this share of the requests of a lane that works: a busy machine may fail one in a hundred. */
const SERVED_BY_ALL = 0.99

const isFailure = ({ status }: Exchange): boolean => status === 0 || status >= 500

export function summarize({ timeline }: Results): Row[] {
  const { kill, add, added: addedAt, redisStops, redisReturns } = timeline.marks
  return (Object.keys(LANES) as LaneName[]).map((lane) => {
    const all = timeline.exchanges.filter((one) => one.lane === lane && one.what === 'whoami')
    const between = (from: number, to: number): Exchange[] => all.filter(({ at }) => at >= from && at < to)
    const rejected = (some: Exchange[]): number => some.filter(({ status }) => status === 401).length
    const served = (some: Exchange[]): Exchange[] => some.filter(({ status }) => status === 200)

    const quiet = between(0, kill)
    const afterKill = between(kill, add)
    const wrong = afterKill.filter((one) => one.status !== 200)
    const last = between(add - 2, add)
    const hasRecovered = share(last.length - served(last).length, last.length) < RECOVERED_BELOW
    const withAdded = served(between(addedAt + SETTLED_AFTER, redisStops))
    const added = timeline.added[LANES[lane]]
    const silent = between(redisStops + SETTLED_AFTER, redisReturns - SETTLED_AFTER)
    return {
      lane,
      rejected: share(rejected(quiet), quiet.length),
      served: share(served(quiet).length, quiet.length),
      p50Ms: quantile(
        quiet.map(({ ms }) => ms),
        0.5
      ),
      p99Ms: quantile(
        quiet.map(({ ms }) => ms),
        0.99
      ),
      lost: timeline.lost[lane],
      askedAfterKill: afterKill.length,
      rejectedAfterKill: rejected(afterKill),
      failedAfterKill: afterKill.filter(isFailure).length,
      recoveredAfter: hasRecovered ? Math.max(0, ...wrong.map(({ at }) => at - kill)) : undefined,
      shareOfAdded: share(withAdded.filter(({ servedBy }) => servedBy === added).length, withAdded.length),
      servedWithoutRedis: share(served(silent).length, silent.length)
    }
  })
}

const percent = (part: number): string => `${Math.round(part * 100)} %`

/** What the comparison is there to show. It has failed where one of these does not hold. */
export function judge(results: Results): Verdict[] {
  const { replicas, costs, timeline } = results
  const rows = Object.fromEntries(summarize(results).map((row) => [row.lane, row])) as Record<LaneName, Row>
  const { memory, sticky, cluster, jwt, single } = rows
  const expected = (replicas - 1) / replicas
  const fair = 1 / replicas
  const { visitors } = timeline
  return [
    {
      claim: `memory: about ${percent(expected)} of the requests of people who are logged in are turned away, (N−1)/N`,
      measured: percent(memory.rejected),
      holds: Math.abs(memory.rejected - expected) < 0.12
    },
    {
      claim: 'sticky, cluster, jwt and single: none is, while nothing happens',
      measured: [sticky, cluster, jwt, single].map(({ rejected }) => percent(rejected)).join(', '),
      holds: [sticky, cluster, jwt, single].every(({ rejected, served }) => rejected === 0 && served > SERVED_BY_ALL)
    },
    {
      claim: 'a server dies, memory and sticky: the logins that it kept are lost',
      measured: `${memory.lost} and ${sticky.lost} of ${visitors}`,
      // Which of them it had is up to the balancer.
      holds: [memory, sticky].every(({ lost }) => lost > 0 && lost < visitors)
    },
    {
      claim: 'a server dies, cluster, jwt and single: no login is lost',
      measured: [cluster, jwt, single].map(({ lost }) => lost).join(', '),
      holds: [cluster, jwt, single].every(({ lost }) => lost === 0)
    },
    {
      claim: 'a server dies, cluster and jwt: nobody is turned away, and the others serve',
      measured: [cluster, jwt]
        .map((row) => `${row.rejectedAfterKill} turned away, ${row.failedAfterKill} failed of ${row.askedAfterKill}`)
        .join('; '),
      holds: [cluster, jwt].every(
        (row) => row.rejectedAfterKill === 0 && row.failedAfterKill < row.askedAfterKill * (1 - SERVED_BY_ALL)
      )
    },
    {
      claim: `a server is added, jwt: it gets its share, about ${percent(fair)}`,
      measured: percent(jwt.shareOfAdded),
      holds: Math.abs(jwt.shareOfAdded - fair) < 0.12
    },
    {
      claim: 'a server is added, sticky: it gets less than half of that, for whoever is logged in stays where he is',
      measured: percent(sticky.shareOfAdded),
      holds: sticky.shareOfAdded < fair / 2
    },
    {
      claim: 'cluster asks Redis at every request, jwt at none',
      measured: `${costs.cluster.redisPerRequest.toFixed(2)} and ${costs.jwt.redisPerRequest.toFixed(2)} commands`,
      holds: costs.cluster.redisPerRequest > 0.9 && costs.jwt.redisPerRequest < 0.1
    },
    {
      claim: 'Redis is silent: cluster stops',
      measured: `${percent(cluster.servedWithoutRedis)} served`,
      holds: cluster.servedWithoutRedis === 0
    },
    {
      claim: 'Redis is silent: jwt goes on, with what it knows (REVOCATION_OUTAGE=serve-stale)',
      measured: `${percent(jwt.servedWithoutRedis)} served`,
      holds: jwt.servedWithoutRedis === 1
    },
    {
      claim:
        'Redis is silent: where nothing may be served that could have been revoked (refuse, the default), nothing is',
      measured: `${percent(single.servedWithoutRedis)} served in the lane single`,
      holds: single.servedWithoutRedis === 0
    }
  ]
}
