import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import t, { type Test } from 'tap'
import { inLoadtest, run, startCluster, versionOf, type Ended } from './cluster.js'
import { startMeddler } from './meddler.js'

if (versionOf('k6', 'version') === undefined) {
  t.plan(0, 'k6 is not on the PATH')
  process.exit()
}

// A storm of logins stops at the account's limit, not at the address's, which is everybody's here.
process.env['LOGIN_LIMIT_PER_ADDRESS'] = '0'
const { url, replicas } = await startCluster(t)
// Two at a time, of those that a meddler breaks: the others are to have the cluster for themselves.
t.jobs = 2
const besides = { buffered: true }

const PASSED = 0
const THRESHOLDS_CROSSED = 99
const ABORTED = 108

/** Which replica it is that breaks: the first that the meddler meets. */
function oneReplica(): (name: string) => boolean {
  let chosen: string | undefined
  return (name) => name === (chosen ??= name)
}

const loadtest = (script: string, at: string, ...args: string[]): Promise<Ended> =>
  run(
    process.execPath,
    [
      inLoadtest('run.mjs'),
      script,
      '--url',
      at,
      '--replicas',
      String(replicas),
      '-e',
      'DURATION=2s',
      '--quiet',
      ...args
    ],
    { REPLICAS: undefined, K6_WEB_DASHBOARD: 'false' }
  )

/** Of the first part of k6's summary: below each metric its threshold, with a tick or a cross. */
function thresholds(summary: string): { held: string[]; crossed: string[] } {
  const [, part = ''] = /█ THRESHOLDS([^]*?)█/.exec(summary) ?? []
  const named = (mark: string): string[] =>
    [...part.matchAll(new RegExp(String.raw`^ +([\w{}:]+)\n +${mark} `, 'gm'))].map(([, name]) => name!)
  return { held: named('✓'), crossed: named('✗') }
}

const ofEach = (metric: string): string[] => Array.from({ length: replicas }, (_, slot) => `${metric}{replica:${slot}}`)

t.test('cross-replica passes where every replica accepts the token and gets its share', async (t) => {
  const { code, stdout, stderr } = await loadtest('cross-replica', url)
  t.equal(code, PASSED, 'k6 ends with 0', { summary: stdout + stderr })
  t.strictSame(thresholds(stdout), {
    held: ['checks', 'http_req_failed', ...ofEach('share_of_requests'), 'tokens_accepted'],
    crossed: []
  })
  t.match(stdout, /✓ a refresh token works on any replica/)
  t.match(stderr, /replica:0 is /)
})

t.test('cross-replica says how many replicas it has seen where REPLICAS is another number', async (t) => {
  for (const promised of [replicas + 1, replicas - 1]) {
    const { code, stdout, stderr } = await loadtest('cross-replica', url, '--replicas', String(promised))
    t.equal(code, ABORTED)
    t.strictSame(thresholds(stdout).crossed, ['tokens_accepted'])
    t.match(stderr, `answered by ${replicas} replicas`)
    t.match(stderr, `REPLICAS is ${promised}. If ${replicas} is right, say so: -e REPLICAS=${replicas}`)
  }
})

t.test('cross-replica comes again where there is no time to hash a password, as after a storm', besides, async (t) => {
  let asked = 0
  const meddler = await startMeddler(
    t,
    url,
    (answer) => (++asked <= 2 ? { ...answer, status: 503, body: '{"code":"HASHING_BUSY"}' } : answer),
    { path: '/auth/login', honest: 0 }
  )
  const { code, stdout, stderr } = await loadtest('cross-replica', meddler)
  t.equal(code, PASSED, 'k6 ends with 0', { summary: stdout + stderr })
  t.equal(asked, 3)
})

t.test('cross-replica fails where one replica refuses the token', besides, async (t) => {
  const isStranger = oneReplica()
  const meddler = await startMeddler(t, url, (answer) =>
    isStranger(answer.servedBy) ? { ...answer, status: 401, body: '{"code":"TOKEN_INVALID"}' } : answer
  )
  const { code, stdout } = await loadtest('cross-replica', meddler)
  t.equal(code, THRESHOLDS_CROSSED)
  t.strictSame(thresholds(stdout).crossed, ['checks', 'http_req_failed'])
  t.match(stdout, /✗ \S+ accepts the token/)
})

t.test('cross-replica fails where one replica takes the token for somebody else’s', besides, async (t) => {
  const isConfused = oneReplica()
  const meddler = await startMeddler(t, url, (answer) =>
    isConfused(answer.servedBy) ? { ...answer, body: '{"sub":"somebody else"}' } : answer
  )
  const { code, stdout } = await loadtest('cross-replica', meddler)
  t.equal(code, THRESHOLDS_CROSSED)
  t.strictSame(thresholds(stdout).crossed, ['checks'])
})

t.test('cross-replica fails where one replica gets too little to do', besides, async (t) => {
  const isIdle = oneReplica()
  const meddler = await startMeddler(t, url, async (answer, again) => {
    let taken = answer
    while (isIdle(taken.servedBy)) taken = await again()
    return taken
  })
  const { code, stdout } = await loadtest('cross-replica', meddler)
  t.equal(code, THRESHOLDS_CROSSED)
  const { crossed } = thresholds(stdout)
  t.equal(crossed.length, 1)
  t.match(crossed[0], /^share_of_requests{replica:\d}$/)
})

t.test('revocation passes where no replica accepts a token after logout', async (t) => {
  const { code, stdout, stderr } = await loadtest('revocation', url)
  t.equal(code, PASSED, 'k6 ends with 0', { summary: stdout + stderr })
  t.strictSame(thresholds(stdout), {
    held: ['accepted_after_logout', 'checks', 'http_req_failed', 'logouts_probed', ...ofEach('replicas_probed')],
    crossed: []
  })
  t.match(stdout, "✓ 'count==0' count=0\n")
})

t.test(
  'revocation is given up, and not passed, where it sees fewer replicas than REPLICAS says',
  besides,
  async (t) => {
    const { code, stdout } = await loadtest('revocation', url, '--replicas', String(replicas + 1))
    t.equal(code, ABORTED)
    t.strictSame(thresholds(stdout).crossed, ['logouts_probed'])
  }
)

t.test('revocation fails where nobody logs out', besides, async (t) => {
  const { code, stdout } = await loadtest('revocation', url, '-e', 'SKIP_LOGOUT=1')
  t.equal(code, THRESHOLDS_CROSSED)
  t.strictSame(thresholds(stdout).crossed, ['accepted_after_logout', 'checks', 'http_req_failed'])
})

t.test('revocation fails where one replica has not heard of the logout', besides, async (t) => {
  const isDeaf = oneReplica()
  const meddler = await startMeddler(t, url, (answer) =>
    isDeaf(answer.servedBy) ? { ...answer, status: 200, body: '{}' } : answer
  )
  const { code, stdout } = await loadtest('revocation', meddler)
  t.equal(code, THRESHOLDS_CROSSED)
  t.strictSame(thresholds(stdout).crossed, ['accepted_after_logout', 'checks', 'http_req_failed'])
})

t.test('revocation fails where the refusal is another than that of a revoked token', besides, async (t) => {
  const isExpired = oneReplica()
  const meddler = await startMeddler(t, url, (answer) =>
    isExpired(answer.servedBy) && answer.status === 401 ? { ...answer, body: '{"code":"TOKEN_EXPIRED"}' } : answer
  )
  const { code, stdout } = await loadtest('revocation', meddler)
  t.equal(code, THRESHOLDS_CROSSED)
  t.strictSame(thresholds(stdout).crossed, ['checks'])
})

t.test('revocation fails where one replica could not be asked', besides, async (t) => {
  const isHidden = oneReplica()
  const meddler = await startMeddler(t, url, async (answer, again) => {
    let taken = answer
    while (isHidden(taken.servedBy)) taken = await again()
    return taken
  })
  const { code, stdout } = await loadtest('revocation', meddler)
  t.equal(code, THRESHOLDS_CROSSED)
  const { crossed } = thresholds(stdout)
  t.equal(crossed.length, 1)
  t.match(crossed[0], /^replicas_probed{replica:\d}$/)
})

t.test('refresh-storm passes where all tabs get the same successor', async (t) => {
  const { code, stdout, stderr } = await loadtest('refresh-storm', url)
  t.equal(code, PASSED, 'k6 ends with 0', { summary: stdout + stderr })
  t.strictSame(thresholds(stdout), { held: ['checks', 'exchanges', 'http_req_failed', 'one_successor'], crossed: [] })
})

t.test('refresh-storm fails where one tab gets another successor', async (t) => {
  let asked = 0
  const meddler = await startMeddler(
    t,
    url,
    (answer) => (++asked % 10 === 5 ? { ...answer, body: answer.body.replace(/"rt\./, '"rt.another.') } : answer),
    { path: '/auth/refresh', honest: 0 }
  )
  const { code, stdout } = await loadtest('refresh-storm', meddler)
  t.equal(code, THRESHOLDS_CROSSED)
  t.ok(thresholds(stdout).crossed.includes('one_successor'))
})

t.test('login-storm passes where the excess is told when to come again, and everybody else is served', async (t) => {
  const { code, stdout, stderr } = await loadtest('login-storm', url)
  t.equal(code, PASSED, 'k6 ends with 0', { summary: stdout + stderr })
  t.strictSame(thresholds(stdout), {
    held: ['logins_answered', 'logins_refused', 'logins_well_answered', 'others_served'],
    crossed: []
  })
})

t.test('login-storm fails where a refusal does not say when to come again', async (t) => {
  // The meddler passes on no Retry-After.
  const meddler = await startMeddler(t, url, (answer) => answer)
  const { code, stdout } = await loadtest('login-storm', meddler)
  t.equal(code, THRESHOLDS_CROSSED)
  t.strictSame(thresholds(stdout).crossed, ['logins_well_answered'])
})

t.test('login-storm fails where somebody who is logged in is not served', async (t) => {
  const meddler = await startMeddler(t, url, (answer) => ({ ...answer, status: 503, body: '{"code":"OVERLOADED"}' }))
  const { code, stdout } = await loadtest('login-storm', meddler)
  t.equal(code, THRESHOLDS_CROSSED)
  t.ok(thresholds(stdout).crossed.includes('others_served'))
})

t.test('stolen-token passes where it works until it expires, or until it is revoked', async (t) => {
  const { code, stdout, stderr } = await loadtest('stolen-token', url)
  t.equal(code, PASSED, 'k6 ends with 0', { summary: stdout + stderr })
  t.strictSame(thresholds(stdout), {
    held: [
      'accepted_too_long',
      'checks',
      'stolen_worked_for{until:expired}',
      'stolen_worked_for{until:revoked}',
      'thefts'
    ],
    crossed: []
  })
})

t.test('stolen-token fails where a token works for longer', besides, async (t) => {
  const meddler = await startMeddler(
    t,
    url,
    (answer) => (answer.status === 401 ? { ...answer, status: 200, body: '{}' } : answer),
    { honest: 0 }
  )
  const { code, stdout } = await loadtest('stolen-token', meddler)
  t.equal(code, THRESHOLDS_CROSSED)
  t.strictSame(thresholds(stdout).crossed, [
    'accepted_too_long',
    'checks',
    'stolen_worked_for{until:expired}',
    'stolen_worked_for{until:revoked}'
  ])
})

t.test('rolling-restart passes where everybody is served', async (t) => {
  const { code, stdout, stderr } = await loadtest('rolling-restart', url)
  t.equal(code, PASSED, 'k6 ends with 0', { summary: stdout + stderr })
  t.strictSame(thresholds(stdout), { held: ['checks', 'http_req_failed', 'reads', 'served', 'writes'], crossed: [] })
})

/** What the scale's setup asks, before anybody comes or goes. */
const SETUP_OF_SCALE = 40

for (const [what, meddle] of [
  ['a replica comes', (name: string) => (Math.random() < 0.5 ? 'newcomer' : name)],
  ['a replica goes', (name: string) => (name === 'api-1' ? 'api-2' : name)]
] as const) {
  t.test(`scale passes where ${what} and everybody is served`, async (t) => {
    const meddler = await startMeddler(t, url, (answer) => ({ ...answer, servedBy: meddle(answer.servedBy) }), {
      honest: SETUP_OF_SCALE
    })
    const { code, stdout, stderr } = await loadtest('scale', meddler)
    t.equal(code, PASSED, 'k6 ends with 0', { summary: stdout + stderr })
    t.strictSame(thresholds(stdout), {
      held: ['checks', 'http_req_failed', 'reads', 'replicas_came_or_went', 'served', 'writes'],
      crossed: []
    })
  })
}

t.test('scale fails where nobody comes or goes, and says who was there', besides, async (t) => {
  const { code, stdout, stderr } = await loadtest('scale', url)
  t.equal(code, THRESHOLDS_CROSSED)
  t.strictSame(thresholds(stdout).crossed, ['replicas_came_or_went'])
  t.match(stderr, /at the beginning api-1, api-2, api-3; at the end api-1, api-2, api-3/)
})

for (const script of ['rolling-restart', 'scale']) {
  t.test(`${script} fails where one in a hundred is not served`, besides, async (t) => {
    let asked = 0
    const meddler = await startMeddler(
      t,
      url,
      ({ servedBy, ...answer }) => {
        const met = { ...answer, servedBy: asked++ > SETUP_OF_SCALE ? `${servedBy}-new` : servedBy }
        return asked % 100 === 50 ? { ...met, status: 502, body: '{}' } : met
      },
      { honest: 0 }
    )
    const { code, stdout } = await loadtest(script, meddler)
    t.equal(code, THRESHOLDS_CROSSED)
    t.strictSame(thresholds(stdout).crossed, ['http_req_failed', 'served'])
  })
}

t.test('rolling-restart fails where a sign-up was carried out twice', besides, async (t) => {
  const meddler = await startMeddler(t, url, (answer) => ({ ...answer, status: 409, body: '{}' }), {
    path: '/users',
    // The one of the setup.
    honest: 1
  })
  const { code, stdout } = await loadtest('rolling-restart', meddler)
  t.equal(code, THRESHOLDS_CROSSED)
  t.strictSame(thresholds(stdout).crossed, ['checks', 'http_req_failed', 'served'])
})

/** Says what memory it has, as a replica does. */
async function startReplicaOf(t: Test, bytes: (seconds: number) => number): Promise<string> {
  const began = performance.now()
  const server = createServer((_request, response) => {
    const seconds = (performance.now() - began) / 1000
    response.end(`process_resident_memory_bytes{replica="a"} ${bytes(seconds)}\n`)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/metrics`
}

const soak = async (metrics: string): Promise<Ended> =>
  loadtest('soak', url, '-e', 'DURATION=7s', '-e', `METRICS=${metrics}`)

t.test('soak passes where memory comes and goes', async (t) => {
  const metrics = await startReplicaOf(t, () => 1e8 * (1 + 0.05 * Math.random()))
  const { code, stdout, stderr } = await soak(metrics)
  t.equal(code, PASSED, 'k6 ends with 0', { summary: stdout + stderr })
  t.strictSame(thresholds(stdout), {
    held: ['checks', 'http_req_failed', 'memory_growth', 'memory_read', 'reads', 'served', 'writes'],
    crossed: []
  })
})

t.test('soak fails where memory grows', besides, async (t) => {
  const { code, stdout } = await soak(await startReplicaOf(t, (seconds) => 1e8 * (1 + seconds)))
  t.equal(code, THRESHOLDS_CROSSED)
  t.strictSame(thresholds(stdout).crossed, ['memory_growth'])
})

t.test('soak fails where a replica does not say how much memory it has', besides, async (t) => {
  const { code, stdout } = await soak(await startReplicaOf(t, () => NaN))
  t.equal(code, THRESHOLDS_CROSSED)
  t.ok(thresholds(stdout).crossed.includes('checks'))
})

t.test('soak is given up where nobody said whose memory it is to look at', besides, async (t) => {
  const { code, stderr } = await loadtest('soak', url)
  t.equal(code, ABORTED)
  t.match(stderr, 'which replicas? -e METRICS=')
})
