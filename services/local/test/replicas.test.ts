import { once } from 'node:events'
import { rmSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { askHttp } from '../src/http-probe.js'
import { spawnReplica, startReplicas } from '../src/replicas.js'
import { isRunning, processes } from './processes.js'
import { until } from './waiting.js'

/** A replica of a few lines: it answers with what it was given, and does what `STUB` says. */
const STUB = `
  import { createServer } from 'node:http'
  import { existsSync, writeFileSync } from 'node:fs'
  const { HOST, PORT, REPLICA_NAME, STUB, STUB_FLAG, SECRET } = process.env
  if (STUB === 'refuses') { console.error('JWT_KEYS is missing'); process.exit(1) }
  if (STUB === 'hangs once more' && existsSync(STUB_FLAG)) await new Promise((resolve) => setTimeout(resolve, 60_000))
  if (STUB === 'crashes once more' && existsSync(STUB_FLAG)) process.exit(7)
  process.on('SIGTERM', () => { if (STUB !== 'ignores SIGTERM') process.exit(0) })
  process.on('disconnect', () => process.exit(0))
  console.log('hello from stdout'); console.error('hello from stderr')
  createServer((request, response) => {
    if (request.url === '/die') { if (STUB_FLAG) writeFileSync(STUB_FLAG, ''); process.exit(7) }
    response.statusCode = STUB === 'never ready' && request.url === '/health/ready' ? 503 : 200
    response.end(JSON.stringify({ name: REPLICA_NAME, SECRET, connected: process.connected }))
  }).listen(STUB === 'elsewhere' ? 0 : Number(PORT), HOST)
`

t.test('is given its name, its port and the environment', async (t) => {
  const script = join(t.testdir({ 'stub.mjs': STUB }), 'stub.mjs')
  const lines: string[] = []
  const env = { PATH: process.env['PATH'], SECRET: 's', PORT: '80', HOST: '0.0.0.0', REPLICA_NAME: 'mine' }
  const replica = await spawnReplica({ name: 'api-7', env, script, onLine: (line) => lines.push(line) })
  t.teardown(() => replica.stop())
  t.match(JSON.parse((await askHttp(replica.url)).body), {
    name: 'api-7',
    SECRET: 's',
    connected: true
  })
  t.not(new URL(replica.url).port, '80')
  await until(() => lines.includes('hello from stdout') && lines.includes('hello from stderr'))
  t.ok(replica.alive)
  await replica.stop()
  t.notOk(replica.alive)
  t.notOk(isRunning(replica.pid))
})

t.test('one that was killed is started again with its name and its port, and is out until it answers', async (t) => {
  const script = join(t.testdir({ 'stub.mjs': STUB }), 'stub.mjs')
  const lines: string[] = []
  const replica = await spawnReplica({ name: 'api-1', env: {}, script, onLine: (line) => lines.push(line) })
  t.teardown(() => replica.stop())
  const { pid, url } = replica
  process.kill(pid, 'SIGKILL')
  await until(() => !replica.alive)
  await until(() => replica.alive)
  t.not(replica.pid, pid)
  t.equal(replica.url, url)
  t.match(JSON.parse((await askHttp(url)).body), { name: 'api-1' })
  t.match(lines.join('\n'), /was ended by SIGKILL; starting it again\n[\s\S]*is back, pid \d+/)
})

t.test('whoever else answers on its port is not taken for it', async (t) => {
  const script = join(t.testdir({ 'stub.mjs': STUB }), 'stub.mjs')
  const other = createServer((_request, response) => response.setHeader('x-served-by', 'api-2').end()).listen(
    0,
    '127.0.0.1'
  )
  await once(other, 'listening')
  t.teardown(() => other.close())
  const { port } = other.address() as AddressInfo
  await t.rejects(spawnReplica({ name: 'api-1', env: { STUB: 'elsewhere' }, script, port, startTimeoutMs: 1500 }), {
    message: /is answered by api-2, which is not api-1/
  })
})

t.test('one that is replaced is out before it is told to end, and its successor is ready where it was', async (t) => {
  const script = join(t.testdir({ 'stub.mjs': STUB }), 'stub.mjs')
  const lines: string[] = []
  const replica = await spawnReplica({ name: 'api-1', env: {}, script, onLine: (line) => lines.push(line) })
  t.teardown(() => replica.stop())
  const { pid, url } = replica
  const replaced = replica.replace(5000)
  t.notOk(replica.alive)
  await replaced
  t.ok(replica.alive)
  t.notOk(isRunning(pid))
  t.equal(replica.url, url)
  t.match(JSON.parse((await askHttp(url)).body), { name: 'api-1' })
  t.notMatch(lines.join('\n'), 'starting it again', 'it did not die')
})

t.test('one that keeps dying is started again at longer and longer intervals', async (t) => {
  const dir = t.testdir({ 'stub.mjs': STUB })
  const lines: { line: string; at: number }[] = []
  const replica = await spawnReplica({
    name: 'api-1',
    env: { STUB: 'crashes once more', STUB_FLAG: join(dir, 'flag') },
    script: join(dir, 'stub.mjs'),
    onLine: (line) => lines.push({ line, at: performance.now() })
  })
  await askHttp(`${replica.url}/die`).catch(() => undefined)
  await until(() => lines.filter(({ line }) => line.includes('starting it again')).length >= 4)
  const said = lines.filter(({ line }) => line.startsWith('exited with code 7'))
  t.same(
    said.slice(0, 4).map(({ line }) => line),
    ['', ' in 0.5 s', ' in 1 s', ' in 2 s'].map((wait) => `exited with code 7; starting it again${wait}`)
  )
  const [first = 0, second = 0, third = 0] = said.map(({ at }) => at)
  t.ok(second - first < 450, 'at once')
  t.ok(third - second >= 500, 'then later')
  const start = performance.now()
  await replica.stop()
  t.ok(performance.now() - start < 1000, 'stop() does not wait for the next attempt')
  const count = lines.length
  await sleep(2200)
  t.equal(lines.length, count, 'and there is none')
})

t.test('one that comes back and says nothing is ended, and started again', async (t) => {
  const dir = t.testdir({ 'stub.mjs': STUB })
  const lines: string[] = []
  const replica = await spawnReplica({
    name: 'api-1',
    env: { STUB: 'hangs once more', STUB_FLAG: join(dir, 'flag') },
    script: join(dir, 'stub.mjs'),
    startTimeoutMs: 1500,
    onLine: (line) => lines.push(line)
  })
  t.teardown(() => replica.stop())
  await askHttp(`${replica.url}/die`).catch(() => undefined)
  await until(() => lines.some((line) => /^was ended by SIGKILL; starting it again/.test(line)))
  t.match(lines.join('\n'), /\napi-1 is not ready after 1\.5 s: .*\nwas ended by SIGKILL/)
  t.notOk(replica.alive)
  rmSync(join(dir, 'flag'))
  await until(() => replica.alive, 10_000)
  t.match(JSON.parse((await askHttp(replica.url)).body), { name: 'api-1' })
})

t.test('one that ends before it was ever ready fails the start with its own words', async (t) => {
  const script = join(t.testdir({ 'stub.mjs': STUB }), 'stub.mjs')
  await t.rejects(startReplicas(2, { env: { STUB: 'refuses' }, script }), {
    name: 'LocalError',
    message: /^api-[12] exited with code 1 before it was ready\n {2}JWT_KEYS is missing$/
  })
})

t.test('an interrupted start leaves no process', async (t) => {
  const script = join(t.testdir({ 'stub.mjs': STUB }), 'stub.mjs')
  const abort = new AbortController()
  const started = startReplicas(3, {
    env: { STUB: 'never ready' },
    script,
    signal: abort.signal,
    onLine: () => undefined
  })
  setTimeout(() => abort.abort(new Error('interrupted')), 400)
  await t.rejects(started, { message: 'interrupted' })
  t.strictSame(
    processes().filter(({ commandLine }) => commandLine.includes(script)),
    []
  )
})

t.test('one that does not hear SIGTERM is killed', async (t) => {
  const script = join(t.testdir({ 'stub.mjs': STUB }), 'stub.mjs')
  const replica = await spawnReplica({ name: 'api-1', env: { STUB: 'ignores SIGTERM' }, script })
  const start = performance.now()
  await replica.stop(300)
  const took = performance.now() - start
  t.ok(took >= 300 && took < 1500, `${took} ms`)
  t.notOk(isRunning(replica.pid))
})
