import t from 'tap'
import type { GrowthRow } from '../dist/growth.js'
import { judge, judgeBehindNginx, judgeGrowth, summarize, type Verdict } from '../dist/judge.js'
import type { Measurement } from '../dist/measure.js'
import { spreadOf } from '../dist/statistics.js'
import { ideal, measurement } from './measurements.js'

const full = { quick: false }
const missed = (verdicts: readonly Verdict[]): string[] =>
  verdicts.filter(({ holds }) => !holds).map(({ claim }) => claim)

/** The ideal round with some forms measured otherwise. */
const but = (...others: Measurement[]): Measurement[] => [
  ...ideal.filter(({ form }) => !others.some((other) => other.form === form)),
  ...others
]

t.test('a run in which every aim is reached', async (t) => {
  const verdicts = judge(ideal, full)
  t.equal(verdicts.length, 10)
  t.ok(verdicts.every(({ holds, reached }) => holds && reached))
})

t.test('each claim can fail, alone', async (t) => {
  const slower = measurement('lease', 110, 7000)
  const cases: [claim: RegExp, measurements: Measurement[]][] = [
    [/same tokens ÷ bare: processor time/, but(measurement('lease', 126, 8500))],
    [
      /same tokens ÷ bare: requests/,
      but(
        measurement('lease', 110, 6400),
        measurement('express-string', 3000, 100),
        measurement('session-redis', 350, 1000)
      )
    ],
    [/first time ÷ bare: requests/, but(measurement('lease-first-seen', 140, 3900))],
    [/@fastify\/jwt \+ EXISTS/, but(slower, measurement('fastify-jwt', 300, 3800))],
    [/session in Redis/, but(slower, measurement('session-redis', 350, 1900))],
    [/Express with a KeyObject/, but(slower, measurement('express-key-object', 800, 1100))],
    [/Express with a string/, but(slower, measurement('express-string', 3000, 380))],
    [/commands at Redis/, but(measurement('lease', 110, 8500, { redisPerRequest: 0.02 }))],
    [/commands at Postgres/, but(measurement('lease-first-seen', 140, 6000, { postgresPerRequest: 0.02 }))],
    [/looks a request up/, but(measurement('hono-jwt', 300, 2500, { redisPerRequest: 0 }))]
  ]
  for (const [claim, measurements] of cases) {
    const names = missed(judge(measurements, full))
    t.equal(names.length, 1, `${claim} alone`)
    t.match(names[0], claim)
  }
})

t.test('what not even the server without authentication could do is said, and not held against it', async (t) => {
  const claim = ({ claim }: Verdict): boolean => /Express with a string/.test(claim)
  const verdictOn = (perSecond: number): Verdict =>
    judge(but(measurement('express-string', 3000, perSecond)), full).find(claim)!
  t.match(verdictOn(450), { measured: '18.89', holds: true, reached: false, outOfReach: /bare ÷ the same is 22\.2/ })
  t.equal(verdictOn(420).outOfReach, undefined, 'it is met')
  const [own] = judge([measurement('bare', 100, 10_000), measurement('lease', 100, 100)], full).slice(1)
  t.match(own, { claim: /÷ bare: requests/, holds: false, outOfReach: undefined })
})

t.test('a bound that holds, and an aim that is not reached', async (t) => {
  const verdicts = judge(but(measurement('lease', 120, 8500)), full)
  const { holds, reached } = verdicts.find(({ claim }) => /same tokens ÷ bare: processor time/.test(claim))!
  t.ok(holds)
  t.notOk(reached)
})

t.test('--quick passes what a busy machine does to a ratio, and no command', async (t) => {
  const busy = but(measurement('lease', 200, 5500), measurement('lease-first-seen', 300, 2500))
  t.not(missed(judge(busy, full)).length, 0)
  t.strictSame(missed(judge(busy, { quick: true })), [])
  t.match(missed(judge(but(measurement('lease', 110, 8500, { redisPerRequest: 1 })), { quick: true })), [/at Redis/])
})

t.test('what was not measured is not judged', async (t) => {
  const two = [measurement('bare', 100, 10_000), measurement('lease', 110, 8500)]
  t.equal(judge(two, full).length, 4)
  t.strictSame(judge([measurement('hono-jwt', 300, 2500)], full).length, 1)
})

t.test('a ratio is of one round, and the median of all', async (t) => {
  // The machine was half as fast in the second round, for everybody; in the third something fell on one of them.
  const rounds = [
    measurement('bare', 100, 10_000, { round: 1 }),
    measurement('lease', 110, 9000, { round: 1 }),
    measurement('bare', 200, 5000, { round: 2 }),
    measurement('lease', 220, 4500, { round: 2 }),
    measurement('bare', 100, 10_000, { round: 3 }),
    measurement('lease', 500, 2000, { round: 3 })
  ]
  const row = summarize(rounds, ['bare', 'lease'])[1]!
  t.strictSame(row.cpuRatio, { median: 1.1, min: 1.1, max: 5 })
  t.equal(row.perSecondRatio?.median, 0.9)
  t.equal(summarize([measurement('lease', 110, 9000)], ['lease'])[0]!.cpuRatio, undefined)
})

t.test('a median lies between the two in the middle', async (t) => {
  t.strictSame(spreadOf([4, 1, 3, 2]), { median: 2.5, min: 1, max: 4 })
  t.strictSame(spreadOf([3, 1, 20]), { median: 3, min: 1, max: 20 })
  t.throws(() => spreadOf([]))
})

t.test('growth', async (t) => {
  const row = (to: number, ratio: number, other: Partial<GrowthRow['cost']> = {}): GrowthRow => ({
    grows: 'revoked',
    to,
    cost: {
      readyMs: 500,
      cpuMicroseconds: spreadOf([100 * ratio]),
      cpuRatio: spreadOf([ratio]),
      redisPerRequest: 0,
      postgresPerRequest: 0,
      ...other
    }
  })
  const flat = [row(1000, 1.1), row(1_000_000, 1.2)]
  t.strictSame(missed(judgeGrowth(flat, full)), [])
  t.match(missed(judgeGrowth([row(1000, 1.1), row(1_000_000, 1.7)], full)), [/^revoked/])
  t.match(missed(judgeGrowth([...flat, row(2, 1.1, { redisPerRequest: 1 })], full)), [/at Redis/])
  t.match(missed(judgeGrowth([...flat, row(2, 1.1, { postgresPerRequest: 1 })], full)), [/at Postgres/])
  t.match(missed(judgeGrowth([...flat, { grows: 'revoked', to: 2, cost: undefined }], full)), [/ready in time/])
})

t.test('behind nginx', async (t) => {
  const at = (behind: number) => ({ version: '1.22.1', rounds: [{ direct: 100, behind }] })
  t.strictSame(missed(judgeBehindNginx(at(134), full)), [])
  t.equal(missed(judgeBehindNginx(at(136), full)).length, 1)
  t.notOk(judgeBehindNginx(at(130), full)[0]?.reached)
})
