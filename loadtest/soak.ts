// Does memory stay flat under a steady load?
// Needs -e METRICS=<the /metrics of a replica>,…
import { check, sleep } from 'k6'
import http from 'k6/http'
import { Counter, Trend } from 'k6/metrics'
import type { Options } from 'k6/options'
import { giveUp } from './lib/api.ts'
import { duration } from './lib/environment.ts'
import { logInOnce, nobodyNotices, steadyLoad } from './lib/steady.ts'

const memoryGrowth = new Trend('memory_growth')
const memoryRead = new Counter('memory_read')

const DURATION = '10m'
const urls = (__ENV.METRICS || '').split(',').filter((url) => url !== '')

/** Between two looks, in seconds. */
const EVERY = 2

export const options: Options = {
  scenarios: {
    ...steadyLoad(DURATION),
    watching: { executor: 'per-vu-iterations', exec: 'watch', vus: 1, iterations: 1, maxDuration: '24h' }
  },
  thresholds: {
    ...nobodyNotices,
    // The least that is held in the last third, over the most in the first: garbage comes and goes, and a leak only comes.
    memory_growth: ['max<1.1'],
    memory_read: ['count>0']
  }
}

export function setup() {
  if (urls.length === 0) {
    giveUp(
      'which replicas? -e METRICS=http://127.0.0.1:23375/metrics,… (npm start says their URLs), or http://api:3000/metrics'
    )
  }
  return logInOnce()
}

/** As k6 takes it: `10m`, `1m30s`, `1.5m`, `500ms`; in seconds. */
const seconds = (text: string): number =>
  [...text.matchAll(/([\d.]+)(h|ms|m|s)/g)].reduce(
    (sum, [, n, unit]) => sum + Number(n) * { h: 3600, m: 60, s: 1, ms: 0.001 }[unit as 'h'],
    0
  )

/** What a replica's process has in memory, in bytes; 0 where it does not say. */
function resident(url: string): number {
  const { body } = http.get(url, { responseType: 'text' })
  return Number(/^process_resident_memory_bytes\S* (\S+)/m.exec(body ?? '')?.[1] ?? 0)
}

export function watch(): void {
  const total = seconds(duration(DURATION))
  const began = Date.now()
  const most = new Map<string, number>()
  const least = new Map<string, number>()
  for (let part = 0; part < 1; part = (Date.now() - began) / 1000 / total) {
    for (const url of urls) {
      const bytes = resident(url)
      check(bytes, { 'a replica says how much memory it has': (some) => some > 0 })
      if (part < 1 / 3) most.set(url, Math.max(most.get(url) ?? 0, bytes))
      if (part > 2 / 3) least.set(url, Math.min(least.get(url) ?? Infinity, bytes))
      memoryRead.add(1)
    }
    sleep(EVERY)
  }
  for (const url of urls) memoryGrowth.add((least.get(url) ?? Infinity) / (most.get(url) ?? 0))
}

export { goOn, read, write } from './lib/steady.ts'
