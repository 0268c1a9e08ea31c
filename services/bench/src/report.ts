import { formOf } from './forms.js'
import { judge, summarize, type Row, type Verdict } from './judge.js'
import type { Results } from './results.js'
import type { Spread } from './statistics.js'

/** A median, and between which figures the rounds lie. */
const spread = ({ median, min, max }: Spread, format: (value: number) => string): string =>
  `${format(median)} (${format(min)}–${format(max)})`

const whole = (value: number): string => Math.round(value).toLocaleString('en')
const ratio = (value: number): string => value.toFixed(2)
const ms = (value: number): string => `${value.toFixed(value < 10 ? 1 : 0)} ms`
const commands = ({ median }: Spread): string => (median < 0.005 ? '0' : median.toFixed(2))
const optional = (value: Spread | undefined): string => (value === undefined ? '–' : spread(value, ratio))

export function markdownTable([head = [], ...rows]: string[][]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`
  return [head, head.map((_, i) => (i === 0 ? '---' : '---:')), ...rows].map(line).join('\n')
}

function formsTable(rows: readonly Row[]): string {
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
      'Redis / request',
      'Postgres / request'
    ],
    ...rows.map((row) => [
      formOf(row.form).title,
      spread(row.cpuMicroseconds, whole),
      optional(row.cpuRatio),
      spread(row.perSecond, whole),
      optional(row.perSecondRatio),
      ms(row.p50Ms.median),
      ms(row.p99Ms.median),
      `${Math.round(row.serverShare.median * 100)} %`,
      commands(row.redisPerRequest),
      commands(row.postgresPerRequest)
    ])
  ])
}

export function verdictsTable(verdicts: readonly Verdict[]): string {
  const outcome = ({ holds, reached }: Verdict): string =>
    holds ? (reached ? 'holds, aim reached' : 'holds') : 'DOES NOT HOLD'
  return markdownTable([
    ['claim', 'measured', 'must be', 'aim', ''],
    ...verdicts.map((verdict) => [verdict.claim, verdict.measured, verdict.must, verdict.aim, outcome(verdict)])
  ])
}

/** How it was measured, in the words of whoever would repeat it. */
export const labelOf = ({ date, description, client, rate, rounds, seconds }: Results): string =>
  `${date}. ${description}. Processor time at ${whole(rate)} requests a second for ${seconds} s; requests a second with ${client}
over 32 connections for ${seconds} s; nobody logs requests; medians of ${rounds} rounds (least–most), ratios of the same round.`

export function formatMarkdown(results: Results): string {
  const rows = summarize(results.measurements, results.forms)
  return [labelOf(results), formsTable(rows), verdictsTable(judge(results.measurements, results))].join('\n\n')
}
