import * as Plot from '@observablehq/plot'
import { LANES, type LaneName } from '@one-secret/local'
import { parseHTML } from 'linkedom'
import type { Results } from './judge.js'

const lanes = Object.keys(LANES) as LaneName[]

/** One colour a lane, told apart also by those who do not see all of them (Okabe and Ito). */
const COLOURS: Record<LaneName, string> = {
  memory: '#d55e00',
  sticky: '#e69f00',
  cluster: '#0072b2',
  jwt: '#009e73',
  single: '#56b4e9'
}
const REJECTED = 'turned away, though logged in'
const FAILED = 'failed'
const OUTCOMES: Record<string, string> = { ...COLOURS, [REJECTED]: '#b0b0b0', [FAILED]: '#303030' }
const MEMORIES = { servers: '#0072b2', Redis: '#cc79a7' }

/** Legible on its own, on a light page and on a dark one: it has a ground of its own. */
const style = { background: '#ffffff', color: '#222222', fontFamily: 'system-ui, sans-serif', fontSize: '12px' }

function render(options: Plot.PlotOptions, title: string): string {
  const { document } = parseHTML('<html><body></body></html>')
  const svg = Plot.plot({ ...options, style, document: document })
  svg.setAttribute('xmlns', 'http://www.w3.org/2000/svg')
  svg.setAttribute('role', 'img')
  svg.setAttribute('aria-label', title)
  return svg.outerHTML
}

/** Each second of each lane: how many requests were served, how many turned away, how many failed. */
export function timelineChart({ timeline }: Results): string {
  const { kill, add, redisStops, redisReturns, end } = timeline.marks
  const marks = [
    { at: kill, text: 'a server dies' },
    { at: add, text: 'one is added' },
    { at: redisStops, text: 'Redis falls silent', before: true },
    { at: redisReturns, text: 'Redis is back' }
  ]
  const counts = new Map<string, { lane: LaneName; second: number; outcome: string; requests: number }>()
  for (const { lane, what, at, status } of timeline.exchanges) {
    if (what !== 'whoami') continue
    const outcome = status === 200 ? lane : status === 401 ? REJECTED : FAILED
    const second = Math.floor(at)
    const key = `${lane} ${second} ${outcome}`
    const entry = counts.get(key) ?? { lane, second, outcome, requests: 0 }
    entry.requests++
    counts.set(key, entry)
  }
  const outcomes = Object.keys(OUTCOMES)
  return render(
    {
      width: 860,
      height: 560,
      marginLeft: 60,
      marginRight: 70,
      marginTop: 58,
      x: { label: 'seconds', domain: [0, end] },
      y: { label: 'requests a second', labelAnchor: 'top', ticks: 3, grid: true },
      fy: { domain: lanes, label: null },
      color: { domain: outcomes, range: Object.values(OUTCOMES) },
      marks: [
        Plot.rectY(
          [...counts.values()],
          Plot.stackY({
            x1: 'second',
            x2: (one: { second: number }) => one.second + 1,
            y: 'requests',
            fy: 'lane',
            fill: 'outcome',
            order: outcomes,
            inset: 0.5,
            insetBottom: 0
          })
        ),
        // What a lane served has its colour, and its name beside it.
        ...[REJECTED, FAILED].flatMap((outcome, i) => {
          const place = { fy: () => lanes[0], frameAnchor: 'top-left', dy: -40 } as const
          return [
            Plot.text(['■'], { ...place, dx: 120 + i * 220, fill: OUTCOMES[outcome]!, fontSize: 15 }),
            Plot.text([outcome], { ...place, dx: 138 + i * 220 })
          ]
        }),
        Plot.ruleX(marks, { x: 'at', stroke: '#222222', strokeDasharray: '3 3' }),
        // Two that are close to each other are written on either side.
        ...[true, false].map((isBefore) =>
          Plot.text(
            marks.filter(({ before = false }) => before === isBefore),
            {
              x: 'at',
              text: 'text',
              fy: () => lanes[0],
              frameAnchor: 'top',
              dx: isBefore ? -4 : 4,
              dy: -14,
              textAnchor: isBefore ? 'end' : 'start'
            }
          )
        )
      ]
    },
    'Requests a second in each lane: served, turned away and failed, while a server dies, one is added and Redis falls silent'
  )
}

/** What somebody who is logged in takes, in the servers and in Redis, by how many there are. */
export function memoryChart({ memory }: Results): string {
  const bars = memory.flatMap(({ lane, users, servers, redis }) => [
    { lane, users: users.toLocaleString('en'), where: 'servers', bytes: Math.max(0, servers) },
    ...(redis === undefined
      ? []
      : [{ lane, users: users.toLocaleString('en'), where: 'Redis', bytes: Math.max(0, redis) }])
  ])
  return render(
    {
      width: 860,
      height: 260,
      marginLeft: 60,
      marginTop: 44,
      marginBottom: 40,
      x: { label: 'people logged in', domain: [...new Set(bars.map(({ users }) => users))] },
      fx: { label: null, domain: [...new Set(bars.map(({ lane }) => lane))] },
      y: { label: 'bytes each', labelOffset: 50, grid: true },
      color: { domain: Object.keys(MEMORIES), range: Object.values(MEMORIES) },
      marks: [
        Plot.barY(
          bars,
          Plot.stackY({ x: 'users', fx: 'lane', y: 'bytes', fill: 'where', order: Object.keys(MEMORIES) })
        ),
        Plot.ruleY([0])
      ]
    },
    'Bytes of memory for each person who is logged in'
  )
}

/** Colours and what they stand for, for a page to show: a chart of its own would be set apart from what it explains. */
export const LEGENDS = { timeline: OUTCOMES, memory: MEMORIES }
