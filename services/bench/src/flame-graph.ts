import type { Profiler } from 'node:inspector'
import * as Plot from '@observablehq/plot'
import { parseHTML } from 'linkedom'

/** What is narrower, as a share of the whole, cannot be seen; nor can what it calls. */
const NARROWEST = 0.002

const ROW_PX = 20
const WIDTH_PX = 1400
/** Of the font at its size, on the average. */
const CHARACTER_PX = 6.6

/** Where a function comes from. Warm colours for what is ours to change. */
const ORIGINS = { 'one-secret': '#e8710a', 'npm package': '#f2c14e', Node: '#9fb8ad', 'V8 and the kernel': '#c9ccd1' }
type Origin = keyof typeof ORIGINS

interface Frame {
  name: string
  origin: Origin
  depth: number
  /** Shares of the whole, from 0 to 1. */
  from: number
  to: number
}

interface Merged {
  name: string
  origin: Origin
  microseconds: number
  callees: Map<string, Merged>
}

function originOf(url: string): Origin {
  if (url === '') return 'V8 and the kernel'
  if (url.startsWith('node:')) return 'Node'
  return url.includes('/node_modules/') ? 'npm package' : 'one-secret'
}

/** `function  package or file`. */
function nameOf({ functionName, url }: Profiler.ProfileNode['callFrame']): string {
  const [, name] = /node_modules\/((?:@[^/]+\/)?[^/]+)(?!.*node_modules)/.exec(url) ?? []
  const where = name ?? url.split('/').at(-1) ?? ''
  return `${functionName || '(anonymous)'}  ${where}`.trim()
}

/** The time in which nothing was done, and that of the profiler itself. */
const isLeftOut = ({ functionName, url }: Profiler.ProfileNode['callFrame']): boolean =>
  functionName === '(idle)' || /\/bench\/dist\/profiler\.js$/.test(url)

/** Call stacks that are the same put together, with the time that was spent in and below them. */
function merge({ nodes, samples = [], timeDeltas = [] }: Profiler.Profile): Merged {
  const own = new Map<number, number>()
  for (const [i, id] of samples.entries()) own.set(id, (own.get(id) ?? 0) + Math.max(0, timeDeltas[i] ?? 0))
  const byId = new Map(nodes.map((node) => [node.id, node]))

  function add(target: Merged, node: Profiler.ProfileNode): number {
    let microseconds = own.get(node.id) ?? 0
    for (const id of node.children ?? []) {
      const child = byId.get(id)
      if (child === undefined || isLeftOut(child.callFrame)) continue
      const name = nameOf(child.callFrame)
      let callee = target.callees.get(name)
      if (callee === undefined) {
        callee = { name, origin: originOf(child.callFrame.url), microseconds: 0, callees: new Map() }
        target.callees.set(name, callee)
      }
      microseconds += add(callee, child)
    }
    target.microseconds += microseconds
    return microseconds
  }

  const root: Merged = { name: 'all', origin: 'V8 and the kernel', microseconds: 0, callees: new Map() }
  if (nodes[0] !== undefined) add(root, nodes[0])
  return root
}

/** Who called whom: each function lies under the one that called it, as wide as its share of the processor's time. */
export function framesOf(profile: Profiler.Profile): Frame[] {
  const root = merge(profile)
  const frames: Frame[] = []
  function lay(one: Merged, depth: number, from: number): void {
    const share = one.microseconds / root.microseconds
    if (!(share >= NARROWEST)) return
    frames.push({ name: one.name, origin: one.origin, depth, from, to: from + share })
    let next = from
    for (const callee of [...one.callees.values()].toSorted((a, b) => b.microseconds - a.microseconds)) {
      lay(callee, depth + 1, next)
      next += callee.microseconds / root.microseconds
    }
  }
  lay(root, 0, 0)
  return frames
}

/** @returns one SVG, which a browser shows with the share of whatever the pointer is on */
export function flameGraph(profile: Profiler.Profile, title: string): string {
  const frames = framesOf(profile)
  const depth = Math.max(...frames.map((one) => one.depth)) + 1
  const { document } = parseHTML('<html><body></body></html>')
  const percent = ({ from, to }: Frame): string => `${((to - from) * 100).toFixed(1)} %`
  const room = ({ from, to }: Frame): number => Math.floor(((to - from) * (WIDTH_PX - 20)) / CHARACTER_PX) - 1
  const svg = Plot.plot({
    document,
    style: { background: '#ffffff', color: '#222222', fontFamily: 'system-ui, sans-serif', fontSize: '12px' },
    width: WIDTH_PX,
    height: depth * ROW_PX + 70,
    margin: 10,
    marginTop: 60,
    x: { axis: null, domain: [0, 1] },
    y: { axis: null, domain: [depth, 0] },
    color: { domain: Object.keys(ORIGINS), range: Object.values(ORIGINS) },
    marks: [
      Plot.rect(frames, {
        x1: 'from',
        x2: 'to',
        y1: 'depth',
        y2: (one: Frame) => one.depth + 1,
        fill: 'origin',
        inset: 0.5,
        title: (one: Frame) => `${one.name}\n${percent(one)}`
      }),
      Plot.text(
        frames.filter((one) => room(one) >= 4),
        {
          x: 'from',
          y: (one: Frame) => one.depth + 0.5,
          text: (one: Frame) => (one.name.length > room(one) ? `${one.name.slice(0, room(one) - 1)}…` : one.name),
          textAnchor: 'start',
          dx: 4,
          pointerEvents: 'none'
        }
      ),
      Plot.text([`${title}. Each lies under the one that called it, as wide as its share of the processor's time.`], {
        frameAnchor: 'top-left',
        dy: -50,
        fontSize: 15
      }),
      ...Object.entries(ORIGINS).flatMap(([origin, colour], i) => {
        const place = { frameAnchor: 'top-left', dy: -26, fontSize: 13 } as const
        return [
          Plot.text(['■'], { ...place, dx: i * 160, fill: colour }),
          Plot.text([origin], { ...place, dx: i * 160 + 18 })
        ]
      })
    ]
  })
  svg.setAttribute('xmlns', 'http://www.w3.org/2000/svg')
  svg.setAttribute('role', 'img')
  svg.setAttribute('aria-label', title)
  return svg.outerHTML
}
