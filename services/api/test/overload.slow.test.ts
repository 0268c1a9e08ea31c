import { setTimeout as sleep } from 'node:timers/promises'
import { findBinary, startNginx } from '@one-secret/local'
import t from 'tap'
import { newUsername, PASSWORD, readMetrics, spawnReplica, startBackends, type Replica } from './harness.js'

/**
 * Loaded into a replica before its own program: SIGWINCH makes each turn of its event loop take 250 ms, or no more. With
 * LATE_START it does so for the 1.5 s before it listens.
 */
const BLOCK = `
  import { Server } from 'node:net'
  import { isMainThread } from 'node:worker_threads'
  let busy
  const block = () => { const end = performance.now() + 250; while (performance.now() < end); }
  const toggle = () => { busy = busy ? clearInterval(busy) : setInterval(block, 1) }
  if (isMainThread) process.on('SIGWINCH', toggle)
  const { listen } = Server.prototype
  if (process.env.LATE_START) Server.prototype.listen = function (...args) {
    toggle()
    setTimeout(() => { toggle(); listen.apply(this, args) }, 1500)
    return this
  }`

const { env } = await startBackends(t)
const blockable = { ...env, NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(BLOCK)}` }

const toggle = ({ pid }: Replica): void => void process.kill(pid, 'SIGWINCH')

/** A URL that needs neither a token nor a server: 404 NOT_FOUND, or 503 OVERLOADED. */
async function ask(url: string, path = '/nothing', method = 'GET') {
  const response = await fetch(`${url}${path}`, { method, signal: AbortSignal.timeout(10_000) })
  return { status: response.status, headers: response.headers, text: await response.text() }
}

/** Asks until the answer is of that status, and says in how many milliseconds. */
async function untilStatus(url: string, status: number, boundMs = 10_000): Promise<number> {
  const started = performance.now()
  while ((await ask(url)).status !== status) {
    if (performance.now() - started > boundMs) throw new Error(`not ${status} within ${boundMs} ms`)
    await sleep(20)
  }
  return performance.now() - started
}

t.test('an event loop that is late: 503 within a second or so, health 200, and served again as fast', async (t) => {
  const replica = await spawnReplica(t, blockable)
  t.equal((await ask(replica.url)).status, 404)
  await sleep(1000)

  toggle(replica)
  const refusedAfter = await untilStatus(replica.url, 503)
  t.comment(`refused after ${Math.round(refusedAfter)} ms`)
  t.ok(refusedAfter < 2500, `${refusedAfter} ms, two intervals and some turns`)

  const refused = await ask(replica.url)
  t.equal(refused.status, 503)
  t.match(refused.headers.get('retry-after'), /^[1-9]\d?$/)
  t.ok(refused.headers.get('x-served-by'))
  t.match(refused.headers.get('x-request-id'), /^[\w-]+$/)
  t.match(JSON.parse(refused.text), {
    statusCode: 503,
    code: 'OVERLOADED',
    error: 'Service Unavailable',
    message: String
  })
  t.equal((await ask(replica.url, '/users', 'POST')).status, 503, 'whatever the method')
  for (const path of ['/health/live', '/health/ready', '/metrics']) {
    t.equal((await ask(replica.url, path)).status, 200, path)
  }
  for (let i = 0; i < 5; i++) t.equal((await ask(replica.url)).status, 503)

  toggle(replica)
  const servedAfter = await untilStatus(replica.url, 404)
  t.comment(`served after ${Math.round(servedAfter)} ms`)
  t.ok(servedAfter < 1500, `${servedAfter} ms, one interval and the turn under way`)

  const metrics = readMetrics((await ask(replica.url, '/metrics')).text)
  const counted = metrics.get('http_errors_total{code="OVERLOADED"}')!
  t.ok(counted >= 8, `${counted} counted`)
  const lines = replica.output().match(/the event loop is late/g) ?? []
  t.ok(lines.length >= 1 && lines.length < counted, `${lines.length} lines for ${counted} refusals`)
})

const skip = findBinary('nginx') === undefined ? 'nginx is not on the PATH' : false
t.test('behind nginx: a GET is answered by another replica, a POST is 503 with Retry-After', { skip }, async (t) => {
  const late = await spawnReplica(t, { ...blockable, REPLICA_NAME: 'late' })
  const other = await spawnReplica(t, { ...env, REPLICA_NAME: 'other' })
  const nginx = await startNginx({ replicas: [late, other] })
  t.teardown(() => nginx.stop())
  const credentials = { username: newUsername(), password: PASSWORD }
  const post = (path: string): Promise<Response> =>
    fetch(`${nginx.url}${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(credentials)
    })
  t.equal((await post('/users')).status, 201)
  const { access_token } = (await (await post('/auth/login')).json()) as { access_token: string }

  toggle(late)
  await untilStatus(late.url, 503)
  const answers = []
  for (let i = 0; i < 10; i++) {
    const headers = { authorization: `Bearer ${access_token}` }
    answers.push(await fetch(`${nginx.url}/whoami`, { headers }))
  }
  t.strictSame(
    answers.map(({ status, headers }) => `${status} ${headers.get('x-served-by')}`),
    Array.from({ length: 10 }, () => '200 other')
  )

  const posts = await Promise.all([1, 2, 3, 4].map(() => post('/auth/login')))
  for (const response of posts.filter(({ status }) => status !== 200)) {
    t.equal(response.status, 503)
    t.equal(response.headers.get('retry-after'), '1')
    t.match(await response.json(), { code: 'OVERLOADED' })
  }
  t.strictSame(posts.map(({ status }) => status).sort(), [200, 200, 503, 503], 'sent once each, wherever that was')
})

t.test('a start that holds up the event loop is no overload: the first requests are served', async (t) => {
  const replica = await spawnReplica(t, { ...blockable, LATE_START: '1' })
  const listening = performance.now()
  const seen = new Set<number>()
  while (performance.now() - listening < 1500) {
    seen.add((await ask(replica.url)).status)
    await sleep(10)
  }
  t.strictSame([...seen], [404])
})

t.test('stopped and continued: one interval of refusals at the most, and it serves again', async (t) => {
  const replica = await spawnReplica(t, env)
  await sleep(1000)
  // Wherever in an interval it is stopped.
  for (const waitMs of [0, 130, 260, 390]) {
    await sleep(waitMs)
    process.kill(replica.pid, 'SIGSTOP')
    await sleep(1500)
    process.kill(replica.pid, 'SIGCONT')
    const continued = performance.now()
    const seen: number[] = []
    let refusedUntil = 0
    while (performance.now() - continued < 1500) {
      const { status } = await ask(replica.url)
      seen.push(status)
      if (status !== 404) refusedUntil = performance.now() - continued
      await sleep(10)
    }
    t.strictSame(
      [...new Set(seen)].filter((status) => status !== 404 && status !== 503),
      []
    )
    t.comment(`refused until ${Math.round(refusedUntil)} ms`)
    t.ok(refusedUntil < 1200, `refused until ${refusedUntil} ms`)
  }
})
