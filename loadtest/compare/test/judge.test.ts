import { LANES, type LaneName } from '@one-secret/local'
import t from 'tap'
import { judge, summarize, type Results } from '../src/judge.js'
import { formatHtml, formatMarkdown } from '../src/report.js'
import type { Exchange, Timeline } from '../src/timeline.js'

const marks = { kill: 10, add: 20, added: 24, redisStops: 32, redisReturns: 37, end: 42 }
const kinds = [...new Set<string>(Object.values(LANES))]
const named = (suffix: string): Record<string, string> =>
  Object.fromEntries(kinds.map((kind) => [kind, `${kind}-${suffix}`]))

/** What a lane answers to a request at that second, where all is as it is claimed to be. */
function status(lane: LaneName, at: number, nth: number): number {
  const isSilent = at >= marks.redisStops && at < marks.redisReturns
  if (lane === 'memory') return nth % 3 === 0 ? 200 : 401
  if (lane === 'sticky') return at >= marks.kill && at < marks.kill + 1 && nth % 3 === 0 ? 401 : 200
  return isSilent && (lane === 'cluster' || lane === 'single') ? 503 : 200
}

/** Thirty requests a second in each lane for the whole of it. */
function results(): Results {
  const exchanges: Exchange[] = []
  for (const lane of Object.keys(LANES) as LaneName[]) {
    for (let nth = 0; nth < 30 * marks.end; nth++) {
      const at = nth / 30
      const isAdded = at >= marks.added && lane !== 'sticky' && nth % 9 < 3
      const servedBy = `${LANES[lane]}-${isAdded ? 'added' : 1}`
      exchanges.push({ lane, what: 'whoami', at, ms: 1 + (nth % 100) / 10, status: status(lane, at, nth), servedBy })
    }
  }
  const costs = { loginP50Ms: 2, redisPerLogin: 0, redisPerRequest: 0, perSecond: 1000 }
  const lost: Timeline['lost'] = { memory: 7, sticky: 6, cluster: 0, jwt: 0, single: 0 }
  return {
    description: 'made up',
    date: '2026-01-01',
    replicas: 3,
    timeline: { exchanges, lost, visitors: 20, added: named('added'), marks },
    costs: { memory: costs, sticky: costs, cluster: { ...costs, redisPerRequest: 1 }, jwt: costs, single: costs },
    memory: [{ lane: 'memory', users: 1000, servers: 700, redis: 0 }]
  }
}

const fails = (some: Results): string[] => judge(some).flatMap(({ claim, holds }) => (holds ? [] : [claim]))

/** The same results, in which some requests were answered otherwise. */
function where(lane: LaneName, from: number, to: number, otherwise: Partial<Exchange>): Results {
  const changed = results()
  for (const one of changed.timeline.exchanges) {
    if (one.lane === lane && one.at >= from && one.at < to) Object.assign(one, otherwise)
  }
  return changed
}

t.test('every claim holds where all is as it is claimed to be', async (t) => {
  t.strictSame(fails(results()), [])
  const [memory, sticky, cluster, jwt] = summarize(results())
  t.match(memory, { lane: 'memory', rejected: 2 / 3, lost: 7, recoveredAfter: undefined })
  t.match(sticky, { rejected: 0, shareOfAdded: 0, servedWithoutRedis: 1 })
  t.ok(sticky!.recoveredAfter! > 0.8 && sticky!.recoveredAfter! < 1)
  t.match(cluster, { recoveredAfter: 0, servedWithoutRedis: 0 })
  t.match(jwt, { rejected: 0, failedAfterKill: 0, recoveredAfter: 0, servedWithoutRedis: 1 })
  t.equal(jwt!.shareOfAdded.toFixed(2), '0.33')
  t.ok(jwt!.p50Ms > 5 && jwt!.p50Ms < 7 && jwt!.p99Ms > 10)
})

const lying: [string, RegExp, Results][] = [
  ['memory turns nobody away', /^memory: about 67 %/, where('memory', 0, 10, { status: 200 })],
  ['jwt turns somebody away', /^sticky, cluster, jwt and single: none/, where('jwt', 3, 3.1, { status: 401 })],
  [
    'jwt turns somebody away after the kill',
    /^a server dies, cluster and jwt/,
    where('jwt', 12, 12.1, { status: 401 })
  ],
  ['cluster answers nobody', /^sticky, cluster, jwt and single: none/, where('cluster', 0, 10, { status: 500 })],
  ['jwt fails once its server is dead', /^a server dies, cluster and jwt/, where('jwt', 11, 12, { status: 502 })],
  ['nobody is sent to the added server', /^a server is added, jwt/, where('jwt', 24, 32, { servedBy: 'api-1' })],
  [
    'sticky sends everybody there',
    /^a server is added, sticky/,
    where('sticky', 24, 32, { servedBy: 'sessions-memory-added' })
  ],
  ['cluster goes on without Redis', /^Redis is silent: cluster stops/, where('cluster', 32, 37, { status: 200 })],
  ['jwt stops with Redis', /^Redis is silent: jwt goes on/, where('jwt', 34, 34.1, { status: 503 })],
  ['single goes on without Redis', /^Redis is silent: where nothing/, where('single', 34, 34.1, { status: 200 })]
]
const lost = (lane: LaneName, count: number): Results => {
  const changed = results()
  changed.timeline.lost[lane] = count
  return changed
}
const asked = (lane: LaneName, redisPerRequest: number): Results => {
  const changed = results()
  changed.costs[lane] = { ...changed.costs[lane], redisPerRequest }
  return changed
}
lying.push(
  ['sticky loses nobody', /^a server dies, memory and sticky/, lost('sticky', 0)],
  ['jwt loses somebody', /^a server dies, cluster, jwt and single/, lost('jwt', 1)],
  ['jwt asks Redis', /^cluster asks Redis at every request/, asked('jwt', 1)],
  ['cluster does not', /^cluster asks Redis at every request/, asked('cluster', 0)]
)

for (const [name, claim, some] of lying) {
  t.test(`where ${name}, that claim does not hold, and the others do`, async (t) => {
    const failing = fails(some)
    t.equal(failing.length, 1, failing.join('; '))
    t.match(failing[0], claim)
  })
}

t.test('the report says all of it, and asks nothing of anybody', async (t) => {
  const some = asked('jwt', 1)
  const [markdown, html] = [formatMarkdown(some), formatHtml(some)]
  for (const text of [markdown, html]) {
    for (const lane of Object.keys(LANES)) t.match(text, lane)
    t.match(text, 'DOES NOT HOLD')
  }
  t.equal(html.match(/<svg/g)?.length, 2)
  t.notMatch(html, /<script|<link|src=|url\(|@import/)
  t.strictSame(
    [...html.matchAll(/https?:[^"\s]*/g)].map(String).filter((url) => url !== 'http://www.w3.org/2000/svg'),
    []
  )
})
