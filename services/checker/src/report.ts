import type { Row, Verdict } from './judge.js'

export interface Skip {
  fault: string
  reason: string
}

const ms = (value: number): string => (value < 10 ? value.toFixed(1) : String(Math.round(value)))

const HEAD = [
  'fault',
  'revoked',
  'refused',
  '2xx',
  '401',
  '503',
  'failed',
  'propagation',
  'logout p50',
  'worst',
  'wrong'
]

function cells({ fault, acknowledged, refused, probes, ...row }: Row): string[] {
  const { accepted, denied, unknown, failed } = probes
  const counts = [acknowledged, refused, accepted, denied, unknown, failed].map(String)
  const times = [row.worstPropagationMs, row.logoutP50Ms, row.logoutWorstMs].map((value) => `${ms(value)} ms`)
  return [fault, ...counts, ...times, String(row.violations)]
}

/** One row for each fault, and one for each that was skipped. */
export function formatTable({ rows }: Verdict, skips: readonly Skip[], markdown: boolean): string {
  const body = rows.map(cells)
  const skipped = skips.map(({ fault, reason }) => [fault, `skipped: ${reason}`])
  if (markdown) {
    const line = (row: readonly string[]): string => `| ${row.join(' | ')} |`
    const filled = skipped.map((row) => [...row, ...HEAD.slice(row.length).map(() => '')])
    const rule = HEAD.map((_, i) => (i === 0 ? '---' : '---:'))
    return [HEAD, rule, ...body, ...filled].map(line).join('\n')
  }
  const widths = HEAD.map((_, i) => Math.max(...[HEAD, ...body].map((row) => row[i]!.length)))
  const width = Math.max(widths[0]!, ...skipped.map(([name]) => name!.length))
  const pad = (row: readonly string[]): string =>
    row.map((cell, i) => (i === 0 ? cell.padEnd(width) : cell.padStart(widths[i]!))).join('  ')
  return [...[HEAD, ...body].map(pad), ...skipped.map(([name, why]) => `${name!.padEnd(width)}  ${why}`)].join('\n')
}

/** Of each invariant the first few. */
export function formatViolations({ violations }: Verdict, most = 5): string {
  const lines: string[] = []
  const shown = new Map<string, number>()
  for (const { invariant, fault, text } of violations) {
    const key = `${invariant} ${fault}`
    const count = (shown.get(key) ?? 0) + 1
    shown.set(key, count)
    if (count <= most) lines.push(`${invariant}  ${fault}: ${text}`)
  }
  for (const [key, count] of shown) if (count > most) lines.push(`${key}: ${count - most} more`)
  return lines.join('\n')
}
