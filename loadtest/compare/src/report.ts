import type { LaneName } from '@one-secret/local'
import { LEGENDS, memoryChart, timelineChart } from './charts.js'
import { judge, summarize, type Results, type Row } from './judge.js'

/** What each lane is, for a reader who has not seen the rest. */
const LANE_IS: Record<LaneName, string> = {
  memory: 'sessions in each server, round robin',
  sticky: 'sessions in each server, sticky cookie',
  cluster: 'sessions in Redis',
  jwt: 'signed tokens',
  single: 'signed tokens, one login a user'
}

const percent = (share: number): string => (Number.isNaN(share) ? '–' : `${Math.round(share * 100)} %`)
const ms = (value: number): string => `${value.toFixed(1)} ms`
const bytes = (value: number): string => (value < 1 ? '0' : Math.round(value).toLocaleString('en'))

function recovered({ recoveredAfter }: Row): string {
  if (recoveredAfter === undefined) return 'never'
  return recoveredAfter === 0 ? 'at once' : `${recoveredAfter.toFixed(1)} s`
}

/** One row a lane. */
function comparison(results: Results): string[][] {
  const { costs, timeline } = results
  const head = [
    'lane',
    'turned away',
    'p50',
    'p99',
    'Redis / request',
    'Redis / login',
    'login p50',
    'a second, at most',
    'logins lost in the kill',
    'failed',
    'recovers',
    'share of the added',
    'served without Redis'
  ]
  const rows = summarize(results).map((row) => {
    const { redisPerRequest, redisPerLogin, loginP50Ms, perSecond } = costs[row.lane]
    return [
      row.lane,
      percent(row.rejected),
      ms(row.p50Ms),
      ms(row.p99Ms),
      redisPerRequest.toFixed(1),
      redisPerLogin.toFixed(1),
      ms(loginP50Ms),
      Math.round(perSecond).toLocaleString('en'),
      `${row.lost} of ${timeline.visitors}`,
      String(row.failedAfterKill),
      recovered(row),
      percent(row.shareOfAdded),
      percent(row.servedWithoutRedis)
    ]
  })
  return [head, ...rows]
}

function memory({ memory }: Results): string[][] {
  return [
    ['lane', 'people logged in', 'bytes each, in the servers', 'bytes each, in Redis'],
    ...memory.map(({ lane, users, servers, redis }) => [
      lane,
      users.toLocaleString('en'),
      bytes(servers),
      redis === undefined ? 'not told' : bytes(redis)
    ])
  ]
}

function verdicts(results: Results): string[][] {
  return [
    ['claim', 'measured', ''],
    ...judge(results).map(({ claim, measured, holds }) => [claim, measured, holds ? 'holds' : 'DOES NOT HOLD'])
  ]
}

function markdownTable([head = [], ...rows]: string[][]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`
  return [head, head.map((_, i) => (i === 0 ? '---' : '---:')), ...rows].map(line).join('\n')
}

export function formatMarkdown(results: Results): string {
  const { description, date, replicas } = results
  return [
    `${date}, ${replicas} servers in each lane. ${description}.`,
    markdownTable(comparison(results)),
    markdownTable(memory(results)),
    markdownTable(verdicts(results))
  ].join('\n\n')
}

const escape = (text: string): string => text.replace(/[&<>"]/g, (character) => `&#${character.charCodeAt(0)};`)

function htmlTable([head = [], ...rows]: string[][]): string {
  const row = (cells: readonly string[], tag: 'td' | 'th'): string =>
    `<tr>${cells.map((cell, i) => (i === 0 && tag === 'td' ? `<th scope="row">${escape(cell)}</th>` : `<${tag}>${escape(cell)}</${tag}>`)).join('')}</tr>`
  return `<div class="table"><table><thead>${row(head, 'th')}</thead><tbody>${rows.map((cells) => row(cells, 'td')).join('')}</tbody></table></div>`
}

const STYLE = `
  :root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
  body { margin: 2rem auto; max-width: 62rem; padding: 0 1rem; }
  h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.5rem; }
  figure { margin: 1rem 0; } svg { max-width: 100%; height: auto; border-radius: 6px; }
  .legend { display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; padding: 0; list-style: none; font-size: .9rem; }
  .legend i { display: inline-block; width: .8em; height: .8em; border-radius: 2px; margin-right: .4em; }
  .table { overflow-x: auto; } table { border-collapse: collapse; font-size: .85rem; }
  th, td { padding: .3rem .6rem; border-bottom: 1px solid #8884; text-align: right; vertical-align: top; }
  td { white-space: nowrap; } th:first-child { text-align: left; font-weight: 600; } thead th { vertical-align: bottom; }
  .verdicts td { text-align: left; white-space: normal; } .verdicts th { font-weight: 400; }`

function legend(colours: Record<string, string>): string {
  const entries = Object.entries(colours)
  return `<ul class="legend">${entries.map(([name, colour]) => `<li><i style="background:${colour}"></i>${escape(name)}</li>`).join('')}</ul>`
}

/** One file that needs no other, and asks nothing of anybody. */
export function formatHtml(results: Results): string {
  const { description, date, replicas } = results
  const lanes = Object.entries(LANE_IS).map(([lane, is]) => `<li><b>${lane}</b>: ${is}</li>`)
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Four ways to stay logged in</title>
<style>${STYLE}</style>
</head>
<body>
<h1>Four ways to stay logged in</h1>
<p>${escape(date)}, ${replicas} servers in each lane. ${escape(description)}.</p>
<ul>${lanes.join('')}</ul>
<h2>The same people, the same requests, the same kills</h2>
${legend(LEGENDS.timeline)}
<figure>${timelineChart(results)}</figure>
${htmlTable(comparison(results))}
<p>In the lane jwt a silent Redis is answered with what is known (REVOCATION_OUTAGE=serve-stale), in single with 503 (refuse, the
default). The hash of the password is left out of logins: it costs the same in each lane, and more than all the rest.</p>
<h2>What somebody who is logged in takes</h2>
${legend(LEGENDS.memory)}
<figure>${memoryChart(results)}</figure>
${htmlTable(memory(results))}
<h2>What was claimed, and what was measured</h2>
<div class="verdicts">${htmlTable(verdicts(results))}</div>
</body>
</html>
`
}
