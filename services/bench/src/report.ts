import { formOf } from './forms.js'
import { judge, judgeBehindNginx, judgeGrowth, summarize, type Row, type Verdict } from './judge.js'
import type { Conditions, FormResults, GrowthResults, NginxResults } from './results.js'
import { spreadOf, type Spread } from './statistics.js'

/** A median, and between which figures the rounds lie. */
const spread = ({ median, min, max }: Spread, format: (value: number) => string): string =>
  `${format(median)} (${format(min)}–${format(max)})`

const whole = (value: number): string => Math.round(value).toLocaleString('en')
const ratio = (value: number): string => value.toFixed(2)
const ms = (value: number): string => `${value.toFixed(value < 10 ? 1 : 0)} ms`
const commands = (value: number): string => (value < 0.005 ? '0' : value.toFixed(2))
const optional = (value: Spread | undefined): string => (value === undefined ? '–' : spread(value, ratio))

function markdownTable([head = [], ...rows]: string[][]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`
  return [head, head.map((_, i) => (i === 0 ? '---' : '---:')), ...rows].map(line).join('\n')
}

/** Says of a form that could not be asked at the common rate at which it was. */
function formsTable(rows: readonly Row[], rate: number): string {
  return markdownTable([
    [
      'form',
      'processor time of a request, µs',
      '÷ bare',
      'requests a second',
      '÷ bare',
      'p50',
      'p99',
      'server’s share of a core',
      'µs of it for a request',
      '÷ bare',
      'Redis / request',
      'Postgres / request'
    ],
    ...rows.map((row) => [
      formOf(row.form).title + (row.rate < rate ? `, at ${whole(row.rate)} a second` : ''),
      spread(row.cpuMicroseconds, whole),
      optional(row.cpuRatio),
      spread(row.perSecond, whole),
      optional(row.perSecondRatio),
      ms(row.p50Ms.median),
      ms(row.p99Ms.median),
      `${Math.round(row.serverShare.median * 100)} %`,
      spread(row.saturatedCpuMicroseconds, whole),
      optional(row.saturatedCpuRatio),
      commands(row.redisPerRequest.median),
      commands(row.postgresPerRequest.median)
    ])
  ])
}

function verdictsTable(verdicts: readonly Verdict[]): string {
  const outcome = ({ holds, reached, outOfReach }: Verdict): string =>
    outOfReach ?? (holds ? (reached ? 'holds, aim reached' : 'holds') : 'DOES NOT HOLD')
  return markdownTable([
    ['claim', 'measured', 'must be', 'aim', ''],
    ...verdicts.map((verdict) => [verdict.claim, verdict.measured, verdict.must, verdict.aim, outcome(verdict)])
  ])
}

/** How it was measured, for whoever would repeat it. */
const steadyLabel = ({ date, description, rate, rounds, seconds }: Conditions): string =>
  [
    `${date}. ${description}. Nobody logs requests.`,
    `Processor time at ${whole(rate)} requests a second for ${seconds} s; medians of ${rounds} rounds (least–most).`
  ].join('\n')

export function formatForms(results: FormResults): string {
  const { measurements, forms, client, seconds, rate } = results
  const label = `Requests a second by ${client} over 32 connections for ${seconds} s. Ratios are of the same round.`
  return [
    `${steadyLabel(results)}\n${label}`,
    formsTable(summarize(measurements, forms), rate),
    verdictsTable(judge(measurements, results))
  ].join('\n\n')
}

export function formatGrowth(results: GrowthResults): string {
  const rows = results.rows.map(({ grows, to, cost }) =>
    cost
      ? [
          grows,
          whole(to),
          spread(cost.cpuMicroseconds, whole),
          spread(cost.cpuRatio, ratio),
          commands(cost.redisPerRequest),
          commands(cost.postgresPerRequest),
          `${(cost.readyMs / 1000).toFixed(1)} s`
        ]
      : [grows, whole(to), 'not ready in time', '', '', '', '']
  )
  const head = ['what grows', 'to', 'processor time of a request, µs', '÷ bare', 'Redis / request']
  return [
    steadyLabel(results),
    markdownTable([[...head, 'Postgres / request', 'a replica ready after'], ...rows]),
    verdictsTable(judgeGrowth(results.rows, results))
  ].join('\n\n')
}

export function formatNginx(results: NginxResults): string {
  const { rounds, version } = results.nginx
  const figures = [
    ['directly', spreadOf(rounds.map(({ direct }) => direct))],
    [`behind nginx ${version}`, spreadOf(rounds.map(({ behind }) => behind))]
  ] as const
  return [
    steadyLabel(results),
    markdownTable([
      ['asked', 'processor time of a request at the replica, µs'],
      ...figures.map(([way, value]) => [way, spread(value, whole)])
    ]),
    verdictsTable(judgeBehindNginx(results.nginx, results))
  ].join('\n\n')
}
