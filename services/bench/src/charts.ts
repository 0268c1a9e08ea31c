import * as Plot from '@observablehq/plot'
import { parseHTML } from 'linkedom'
import { formOf } from './forms.js'
import { summarize } from './judge.js'
import type { FormResults } from './results.js'

/** Told apart also by those who do not see all colours (Okabe and Ito). */
const KINDS = { 'one-secret': '#009e73', 'signed tokens, looked up in Redis': '#0072b2', 'session in Redis': '#d55e00' }

/** Legible on its own, on a light page and on a dark one: it has a ground of its own. */
const style = { background: '#ffffff', color: '#222222', fontFamily: 'system-ui, sans-serif', fontSize: '13px' }

/** Processor time of a request in each form, as a multiple of the same server's without authentication. */
export function costChart(results: FormResults): string {
  const bars = summarize(results.measurements, results.forms).flatMap(({ form, cpuRatio }) => {
    if (cpuRatio === undefined) return []
    const { title, script, brings } = formOf(form)
    const kind =
      brings === 'session'
        ? 'session in Redis'
        : script.includes('peers')
          ? 'signed tokens, looked up in Redis'
          : 'one-secret'
    return [{ title, kind, ...cpuRatio, text: `${cpuRatio.median.toFixed(2)} ×` }]
  })
  const { document } = parseHTML('<html><body></body></html>')
  const most = Math.max(...bars.map(({ max }) => max))
  const svg = Plot.plot({
    document,
    style,
    width: 800,
    height: 78 + 34 * bars.length,
    marginLeft: 330,
    marginRight: 24,
    marginTop: 20,
    marginBottom: 44,
    x: {
      label: 'processor time of a request ÷ without authentication',
      labelAnchor: 'right',
      labelArrow: 'none',
      grid: true,
      domain: [0, most * 1.12]
    },
    y: { label: null, domain: bars.map(({ title }) => title), tickSize: 0, padding: 0.25 },
    color: { domain: Object.keys(KINDS), range: Object.values(KINDS) },
    marks: [
      Plot.barX(bars, { x: 'median', y: 'title', fill: 'kind' }),
      // From the best round to the worst.
      Plot.ruleY(bars, { x1: 'min', x2: 'max', y: 'title', stroke: '#222222', strokeWidth: 1.5 }),
      Plot.text(bars, {
        x: 'max',
        y: 'title',
        text: 'text',
        dx: 6,
        textAnchor: 'start',
        fontWeight: 600
      }),
      // In the corner that the cheap forms, which come first, leave empty.
      ...Object.entries(KINDS).map(([kind, fill], i) =>
        Plot.text([`■ ${kind}`], { frameAnchor: 'top-right', dy: 12 + 20 * i, fill, fontWeight: 600 })
      ),
      Plot.ruleX([0]),
      Plot.ruleX([1], { stroke: '#222222', strokeDasharray: '3 3' })
    ]
  })
  svg.setAttribute('xmlns', 'http://www.w3.org/2000/svg')
  svg.setAttribute('role', 'img')
  svg.setAttribute('aria-label', bars.map(({ title, text }) => `${title}: ${text}`).join('; '))
  return svg.outerHTML
}
