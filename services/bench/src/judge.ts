import { formNames, formOf, type FormName } from './forms.js'
import type { BehindNginx } from './behind-nginx.js'
import type { GrowthRow } from './growth.js'
import type { Measurement } from './measure.js'
import { spreadOf, type Spread } from './statistics.js'

/** What a form costs, over all rounds. Each ratio is of the same round, so that what disturbs the machine disturbs both. */
export interface Row {
  form: FormName
  /** Requests a second of the steady part: below the common one where it could not answer so many. */
  rate: number
  cpuMicroseconds: Spread
  saturatedCpuMicroseconds: Spread
  perSecond: Spread
  p50Ms: Spread
  p99Ms: Spread
  serverShare: Spread
  redisPerRequest: Spread
  postgresPerRequest: Spread
  /** Undefined where `bare` was not measured. */
  cpuRatio: Spread | undefined
  saturatedCpuRatio: Spread | undefined
  perSecondRatio: Spread | undefined
}

type Figure = Exclude<keyof Measurement, 'round' | 'form'>

const of = (rounds: readonly Measurement[], form: FormName): Measurement[] =>
  rounds.filter((one) => one.form === form).toSorted((a, b) => a.round - b.round)

/** A figure of one form by that of another, in each round that has both; undefined where none has. */
function ratioOf(rounds: readonly Measurement[], figure: Figure, form: FormName, by: FormName): Spread | undefined {
  const divisors = new Map(of(rounds, by).map((one) => [one.round, one[figure]]))
  const ratios = of(rounds, form).flatMap((one) => {
    const divisor = divisors.get(one.round)
    return divisor === undefined ? [] : [one[figure] / divisor]
  })
  return ratios.length > 0 ? spreadOf(ratios) : undefined
}

/** In the order in which the forms were first measured: the median of a figure, and its spread. */
export function summarize(rounds: readonly Measurement[], forms: readonly FormName[]): Row[] {
  return forms.map((form) => {
    const own = of(rounds, form)
    const spread = (figure: Figure): Spread => spreadOf(own.map((one) => one[figure]))
    return {
      form,
      rate: spread('rate').min,
      cpuMicroseconds: spread('cpuMicroseconds'),
      saturatedCpuMicroseconds: spread('saturatedCpuMicroseconds'),
      perSecond: spread('perSecond'),
      p50Ms: spread('p50Ms'),
      p99Ms: spread('p99Ms'),
      serverShare: spread('serverShare'),
      redisPerRequest: spread('redisPerRequest'),
      postgresPerRequest: spread('postgresPerRequest'),
      cpuRatio: ratioOf(rounds, 'cpuMicroseconds', form, 'bare'),
      saturatedCpuRatio: ratioOf(rounds, 'saturatedCpuMicroseconds', form, 'bare'),
      perSecondRatio: ratioOf(rounds, 'perSecond', form, 'bare')
    }
  })
}

export interface Verdict {
  claim: string
  measured: string
  /** What must hold, and what is hoped for; the same where there is only one bound. */
  must: string
  aim: string
  holds: boolean
  reached: boolean
  /** Why it is not held against the form that the bound is missed; undefined where it is met, or counts. */
  outOfReach?: string
}

interface Bound {
  claim: string
  value: number | undefined
  /** Whether the value may not be below, or above, the bounds. */
  atLeast: boolean
  must: number
  aim: number
  /** The same of the server without authentication, which nothing can exceed: what the machine and the peer decide. */
  ceiling?: number | undefined
}

/** What part of the requests of the server without authentication those under a lease should be. */
const AIM_BY_BARE = 0.8

/**
 * Fewer than this for a request is none, for one that asks asks at least once: what replicas ask by themselves is known only
 * so well, and the shorter a round, the less well.
 */
const NO_COMMANDS = 0.01
/** In short rounds; and where eight replicas, or a thousand revocations a second, make Redis busy by themselves. */
const NEARLY_NO_COMMANDS = 0.05

/** Of requests that are looked up in Redis, for the same reason. */
const NEARLY_ONE = 0.9

/** Whatever a busy machine and short rounds may do to a ratio: `--quick` looks for what has gone badly wrong. */
const LOOSE = 3

/**
 * What the measurements must show. What was not measured is not judged. How much faster than a peer a server can be depends
 * on what a request costs the machine whoever answers it: where the server without authentication is not so much faster
 * that the aim by it would be enough, that is said, and not held against the lease.
 *
 * @param quick bounds that are so much looser that a busy machine passes them; commands are counted, so theirs stay
 */
export function judge(rounds: readonly Measurement[], { quick }: { quick: boolean }): Verdict[] {
  const perSecond = (form: FormName, by: FormName): number | undefined => ratioOf(rounds, 'perSecond', form, by)?.median
  const faster = (than: FormName, named: string, must: number, aim: number): Bound => ({
    claim: `lease ÷ ${named}: requests a second`,
    value: perSecond('lease', than),
    atLeast: true,
    must,
    aim,
    ceiling: perSecond('bare', than)
  })
  const ratios: Bound[] = [
    {
      claim: 'lease, the same tokens ÷ bare: processor time of a request',
      value: ratioOf(rounds, 'cpuMicroseconds', 'lease', 'bare')?.median,
      atLeast: false,
      must: 1.25,
      aim: 1.12
    },
    {
      claim: 'lease, the same tokens ÷ bare: requests a second',
      value: perSecond('lease', 'bare'),
      atLeast: true,
      must: 0.65,
      aim: AIM_BY_BARE
    },
    {
      claim: 'lease, each token for the first time ÷ bare: requests a second',
      value: perSecond('lease-first-seen', 'bare'),
      atLeast: true,
      must: 0.4,
      aim: 0.5
    },
    faster('fastify-jwt', '@fastify/jwt + EXISTS', 2, 3),
    faster('session-redis', 'session in Redis', 4, 5),
    faster('express-key-object', 'Express with a KeyObject', 7, 10),
    faster('express-string', 'Express with a string', 20, 30)
  ]
  return [
    ...ratios.flatMap((bound) => verdictOf(bound, quick ? LOOSE : 1)),
    ...countedVerdicts(rounds, quick ? NEARLY_NO_COMMANDS : NO_COMMANDS)
  ]
}

function verdictOf({ claim, value, atLeast, must, aim, ceiling }: Bound, loose: number): Verdict[] {
  if (value === undefined) return []
  const bound = atLeast ? must / loose : must * loose
  const sign = atLeast ? '≥' : '≤'
  const meets = (one: number): boolean => (atLeast ? value >= one : value <= one)
  const isOutOfReach = ceiling !== undefined && ceiling * AIM_BY_BARE < bound && !meets(bound)
  return [
    {
      claim,
      measured: value.toFixed(2),
      must: `${sign} ${Number(bound.toFixed(3))}`,
      aim: `${sign} ${aim}`,
      holds: meets(bound) || isOutOfReach,
      reached: meets(aim),
      ...(isOutOfReach && { outOfReach: `out of reach: bare ÷ the same is ${ceiling.toFixed(1)}` })
    }
  ]
}

/** Of each form there is, in the median round. */
const medians = (rounds: readonly Measurement[], forms: readonly FormName[], figure: Figure): number[] =>
  forms.flatMap((form) => {
    const own = of(rounds, form)
    return own.length > 0 ? [spreadOf(own.map((one) => one[figure])).median] : []
  })

/** Commands are counted, not timed: this must hold on any machine. */
function countedVerdicts(rounds: readonly Measurement[], none: number): Verdict[] {
  const verdicts: Verdict[] = []
  for (const [server, figure] of [
    ['Redis', 'redisPerRequest'],
    ['Postgres', 'postgresPerRequest']
  ] as const) {
    // The median round: on a machine that is starved a lease can end before it is renewed, and then Redis is asked, as it must be.
    const counts = medians(rounds, ['lease', 'lease-first-seen'], figure)
    if (counts.length === 0) continue
    const most = Math.max(...counts)
    const holds = most < none
    verdicts.push({
      claim: `lease: commands at ${server} for a request`,
      measured: most.toFixed(3),
      must: '0',
      aim: '0',
      holds,
      reached: holds
    })
  }
  const asking = medians(
    rounds,
    formNames.filter((form) => formOf(form).asksRedis),
    'redisPerRequest'
  )
  if (asking.length > 0) {
    const least = Math.min(...asking)
    const holds = least > NEARLY_ONE
    verdicts.push({
      claim: 'whoever looks a request up in Redis: commands for it, at least',
      measured: least.toFixed(3),
      must: '1',
      aim: '1',
      holds,
      reached: holds
    })
  }
  return verdicts
}

/** However much there is of anything, a request asks nobody; and it should cost the same. */
export function judgeGrowth(rows: readonly GrowthRow[], { quick }: { quick: boolean }): Verdict[] {
  const costs = rows.flatMap(({ cost }) => (cost ? [cost] : []))
  const ready: Verdict = {
    claim: 'every replica was ready in time',
    measured: `${costs.length} of ${rows.length}`,
    must: String(rows.length),
    aim: String(rows.length),
    holds: costs.length === rows.length,
    reached: costs.length === rows.length
  }
  const counted = (['redisPerRequest', 'postgresPerRequest'] as const).map((figure): Verdict => {
    const most = Math.max(0, ...costs.map((cost) => cost[figure]))
    const holds = most < NEARLY_NO_COMMANDS
    return {
      claim: `commands at ${figure === 'redisPerRequest' ? 'Redis' : 'Postgres'} for a request, at the most`,
      measured: most.toFixed(3),
      must: '0',
      aim: '0',
      holds,
      reached: holds
    }
  })
  const flat = [...new Set(rows.map(({ grows }) => grows))].flatMap((grows) => {
    const ratios = rows.filter((row) => row.grows === grows).flatMap(({ cost }) => (cost ? [cost.cpuRatio.median] : []))
    const [first, last] = [ratios[0], ratios.at(-1)]
    if (first === undefined || last === undefined || ratios.length < 2) return []
    const bound = { claim: `${grows}: processor time of a request, the most ÷ the fewest`, value: last / first }
    return verdictOf({ ...bound, atLeast: false, must: 1.5, aim: 1.15 }, quick ? LOOSE : 1)
  })
  return [ready, ...counted, ...flat]
}

/** What the balancer costs the replica: connections that are kept, and the headers that it adds. */
export function judgeBehindNginx({ rounds }: BehindNginx, { quick }: { quick: boolean }): Verdict[] {
  const value = spreadOf(rounds.map(({ direct, behind }) => behind / direct)).median
  const claim = 'behind nginx ÷ directly: processor time of a request at the replica'
  return verdictOf({ claim, value, atLeast: false, must: 1.35, aim: 1.2 }, quick ? LOOSE : 1)
}
