import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync
} from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { hostname } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { parseKeyRing } from '../src/key-ring.js'
import { newKeyRing, runProgram, spawnReplica, startBackends, type Replica } from './harness.js'

const { env: backends } = await startBackends(t)
const { JWT_KEYS: _none, ...env } = backends
void _none

// They share nothing but these servers, and most of each is waiting for processes to start.
t.jobs = 3
const buffered = { buffered: true }

const MINUTE_MS = 60_000

interface Ended {
  code: number | null
  output: string
}

/** A ring of its own, and `npm run keys` for it. Whatever the tool prints, none of the secrets is in it. */
function ringIn(t: Test, text = newKeyRing('k1')) {
  const folder = t.testdir()
  const file = join(folder, 'ring')
  writeFileSync(file, `${text}\n`)
  const secrets = new Set<string>()
  const learn = (): void => {
    for (const entry of readFileSync(file, 'utf8').trim().split(',')) secrets.add(entry.split(':')[1]!)
  }
  return {
    folder,
    file,
    read: (): string => readFileSync(file, 'utf8'),
    kids: (): string[] => parseKeyRing(readFileSync(file, 'utf8').trim()).map(({ kid }) => kid),
    /** Lets the last change be that long ago. */
    age: (ms: number): void => utimesSync(file, new Date(), new Date(Date.now() - ms)),
    async keys(...words: string[]): Promise<Ended> {
      learn()
      const ended = await runProgram('keys.js', {}, '--file', file, ...words)
      learn()
      for (const secret of secrets) t.notMatch(ended.output, secret)
      return ended
    }
  }
}

const replicasOf = (...replicas: { url: string }[]): string[] => ['--replicas', replicas.map(({ url }) => url).join()]

/** Refused, in these words, and the ring is what it was. */
async function refused(t: Test, ring: ReturnType<typeof ringIn>, words: string[], expected: RegExp): Promise<void> {
  const before = ring.read()
  const { code, output } = await ring.keys(...words)
  t.equal(code, 1, words.join(' '))
  t.match(output, expected)
  t.equal(ring.read(), before, 'the ring is as it was')
  t.strictSame(
    readdirSync(ring.folder).filter((name) => name !== 'ring' && name !== 'replicas'),
    [],
    'nothing is left behind'
  )
}

t.test('list, add, sign, drop, with two replicas: what is safe next is said at each step', buffered, async (t) => {
  const ring = ringIn(t)
  const spawn = (REPLICA_NAME: string) => spawnReplica(t, { ...env, JWT_KEYS_FILE: ring.file, REPLICA_NAME })
  const [a, b] = await Promise.all([spawn('a'), spawn('b')])
  // Taken where --replicas is not given.
  writeFileSync(join(ring.folder, 'replicas'), `${a.url}\n${b.url}\n`)

  t.match(await ring.keys(), { code: 0, output: /^key +use +replicas\nk1 +signs +2 of 2\nsafe next: add\n$/ })

  const added = await ring.keys('add')
  const today = `k${new Date().toISOString().slice(0, 10).replaceAll('-', '')}`
  t.match(added, { code: 0, output: new RegExp(`\\n  2 of 2 replicas have it\\nsafe next: sign ${today}\\n$`) })
  t.strictSame(ring.kids(), ['k1', today])
  t.match(await ring.keys('add', 'k3'), { code: 0 })
  t.match(await ring.keys('add'), { code: 0 })
  t.strictSame(ring.kids(), ['k1', today, 'k3', `${today}-2`], 'a name that is taken gets a number')
  t.equal(
    parseKeyRing(ring.read().trim()).every(({ secret }) => secret.length === 32),
    true
  )
  await refused(t, ring, ['add', 'k3'], /there is a key k3 already/)

  const signed = await ring.keys('sign', 'k3')
  t.match(signed, { code: 0, output: /\n {2}2 of 2 replicas sign with it\nsafe next: drop k1 or / })
  t.strictSame(ring.kids(), ['k3', 'k1', today, `${today}-2`])
  t.match(signed.output, /from \d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ on, in 30 days; --force/)
  const { mtimeMs } = statSync(ring.file)
  t.match(await ring.keys('sign', 'k3'), { code: 0 }, 'again')
  t.equal(statSync(ring.file).mtimeMs, mtimeMs, 'changes nothing')
  t.match(await ring.keys(), { code: 0, output: /k3 +signs +2 of 2\nk1 +verifies +2 of 2\n/ })

  await refused(t, ring, ['drop', 'k3'], /k3 signs: let another key sign first/)
  await refused(t, ring, ['drop', 'k9'], /there is no key k9; there is k3, k1, /)
  await refused(t, ring, ['drop', 'k1'], /k1 signed may still live: .* from \d{4}-.*Z on, in 30 days/)
  t.match(await ring.keys('drop', 'k1', '--force'), { code: 0, output: /2 of 2 replicas have forgotten it/ })
  t.strictSame(ring.kids(), ['k3', today, `${today}-2`])
  for (const kid of [today, `${today}-2`]) {
    ring.age(31 * 24 * 60 * MINUTE_MS)
    t.match(await ring.keys('drop', kid), { code: 0 })
  }
  await refused(t, ring, ['drop', 'k3'], /k3 is the only key/)
  await refused(t, ring, ['drop', 'k3', '--force'], /k3 is the only key/)
})

t.test('sign is refused until the key has reached every replica', buffered, async (t) => {
  const ring = ringIn(t, `${newKeyRing('k1')},${newKeyRing('k2')}`)
  const [k1, k2] = ring.read().trim().split(',') as [string, string]
  const good = await spawnReplica(t, { ...env, JWT_KEYS_FILE: ring.file, REPLICA_NAME: 'good' })
  const others: [string, () => Promise<Replica>, RegExp][] = [
    [
      'has an older ring',
      () => spawnReplica(t, { ...env, JWT_KEYS: k1, REPLICA_NAME: 'odd' }),
      /odd \(.*\) does not have k2/
    ],
    [
      'has another secret under its name',
      () => spawnReplica(t, { ...env, JWT_KEYS: `${k1},${newKeyRing('k2')}`, REPLICA_NAME: 'odd' }),
      /odd \(.*\) has another key called k2/
    ],
    [
      'is stopped',
      async () => {
        const replica = await spawnReplica(t, { ...env, JWT_KEYS: `${k1},${k2}` })
        process.kill(replica.pid, 'SIGSTOP')
        return replica
      },
      /no answer from 127\.0\.0\.1:\d+: /
    ],
    [
      'is down',
      async () => {
        const replica = await spawnReplica(t, { ...env, JWT_KEYS: `${k1},${k2}` })
        await replica.kill('SIGKILL')
        return replica
      },
      /no answer from 127\.0\.0\.1:\d+: ECONNREFUSED/
    ]
  ]
  for (const [what, start, expected] of others) {
    const other = await start()
    await refused(t, ring, ['sign', 'k2', ...replicasOf(good, other)], expected)
    t.match((await ring.keys(...replicasOf(good, other))).output, /safe next: nothing but add, for\n/, what)
    await other.kill('SIGKILL')
  }
  await refused(
    t,
    ring,
    ['sign', 'k2', '--replicas', 'http://nowhere.invalid:3000'],
    /no answer from nowhere\.invalid:3000/
  )
  await refused(t, ring, ['sign', 'k2'], /not said which replicas there are/)
  await refused(t, ring, ['sign', 'k9', ...replicasOf(good)], /there is no key k9/)
  t.match(await ring.keys('sign', 'k2', ...replicasOf(good)), { code: 0 })
})

t.test('add and drop end with 1 and say who has not taken it, where a replica has not', buffered, async (t) => {
  const ring = ringIn(t)
  const good = await spawnReplica(t, { ...env, JWT_KEYS_FILE: ring.file, REPLICA_NAME: 'good' })
  const stale = await spawnReplica(t, { ...env, JWT_KEYS: ring.read().trim(), REPLICA_NAME: 'stale' })
  const both = replicasOf(good, stale)
  t.match(await ring.keys('add', 'k2', '--wait', '2', ...both), {
    code: 1,
    output: /not done on every replica after 2 s\n(?: {2}not yet: good .*\n)? {2}not yet: stale \(/
  })
  t.strictSame(ring.kids(), ['k1', 'k2'], 'a key that verifies does no harm')
  t.match(await ring.keys('sign', 'k2', ...replicasOf(good)), { code: 0 })
  ring.age(31 * 24 * 60 * MINUTE_MS)
  await refused(
    t,
    ring,
    ['drop', 'k1', ...both],
    /every replica must be up to date before a key goes\n {2}stale \(.*\) does not have k2/
  )
  t.match(await ring.keys('drop', 'k1', '--force', '--wait', '2', ...both), { code: 1, output: /not yet: stale/ })
  t.strictSame(ring.kids(), ['k2'])
  t.match(await ring.keys(...both), { output: /k1 +dropped +1 of 2\n[^]*stale \(.*\) still has k1/ })
})

t.test(
  'where a refresh token lives for a minute, the access tokens of the old key still live for a quarter of an hour',
  buffered,
  async (t) => {
    const ring = ringIn(t, `${newKeyRing('k2')},${newKeyRing('k1')}`)
    const replica = await spawnReplica(t, {
      ...env,
      JWT_KEYS_FILE: ring.file,
      ACCESS_TOKEN_TTL: '1m',
      REFRESH_TOKEN_TTL: '1m'
    })
    ring.age(14 * MINUTE_MS)
    await refused(t, ring, ['drop', 'k1', ...replicasOf(replica)], /can be dropped from .* on, in 2 minutes/)
    ring.age(16.1 * MINUTE_MS)
    t.match(await ring.keys('drop', ...replicasOf(replica)), { code: 0 }, 'the only other one needs no name')
  }
)

t.test('a name that has addresses of both kinds is one replica', buffered, async (t) => {
  const ring = ringIn(t)
  const replica = await spawnReplica(t, { ...env, JWT_KEYS_FILE: ring.file })
  const { port } = new URL(replica.url)
  t.match(await ring.keys('--replicas', `http://localhost:${port}`), { output: /k1 +signs +1 of 1/ })
})

t.test('who answers and is no replica counts as one that does not answer', buffered, async (t) => {
  const ring = ringIn(t, `${newKeyRing('k1')},${newKeyRing('k2')}`)
  const answers: [(request: IncomingMessage, response: ServerResponse) => void, RegExp][] = [
    [(_, response) => response.writeHead(404).end(), /GET \/metrics answers 404/],
    [(_, response) => response.end('process_start_time_seconds 1\n'), /does not say which keys it has/],
    [() => undefined, /no answer/]
  ]
  for (const [answer, expected] of answers) {
    const server = createServer(answer).listen(0, '127.0.0.1')
    await new Promise((resolve) => server.once('listening', resolve))
    const { port } = server.address() as AddressInfo
    await refused(t, ring, ['sign', 'k2', '--replicas', `http://127.0.0.1:${port}`], expected)
    server.closeAllConnections()
    server.close()
  }
})

t.test('eight at once: one after the other, and no key is lost', buffered, async (t) => {
  const ring = ringIn(t)
  let looking = true
  const odd: unknown[] = []
  const watching = (async () => {
    while (looking) {
      try {
        ring.kids()
      } catch (error) {
        odd.push(error)
      }
      await new Promise(setImmediate)
    }
  })()
  const ended = await Promise.all(Array.from({ length: 8 }, () => ring.keys('add')))
  looking = false
  await watching
  t.strictSame([...new Set(ended.map(({ code }) => code))], [0])
  t.equal(new Set(ring.kids()).size, 9)
  t.strictSame(odd, [], 'whoever reads it meanwhile finds a whole ring')
  t.strictSame(readdirSync(ring.folder), ['ring'])
})

t.test('a lock', buffered, async (t) => {
  const ring = ringIn(t)
  const lock = `${ring.file}.lock`
  const { pid } = await runAndEnd()
  const write = (holder: object, ageMs = 0): void => {
    writeFileSync(lock, JSON.stringify(holder))
    utimesSync(lock, new Date(), new Date(Date.now() - ageMs))
  }
  write({ host: hostname(), pid })
  t.match(await ring.keys('add', 'a'), { code: 0 }, 'of a process that has ended is taken away')
  write({ host: 'elsewhere', pid: 1 }, 2 * MINUTE_MS)
  t.match(await ring.keys('add', 'b'), { code: 0 }, 'from elsewhere that is older than any edit is taken away')
  t.notOk(existsSync(lock))

  write({ host: hostname(), pid: process.pid })
  const before = ring.read()
  t.match(await ring.keys('add', 'c'), {
    code: 1,
    output: new RegExp(`somebody else is changing the key ring \\(process ${process.pid} on `)
  })
  t.equal(ring.read(), before)
  t.ok(existsSync(lock), 'that is held is left alone')
  setTimeout(() => rmSync(lock), 2000)
  t.match(await ring.keys('add', 'd'), { code: 0 }, 'that is given back is waited for')
  t.strictSame(ring.kids(), ['k1', 'a', 'b', 'd'])

  /** The id of a process that is no more. */
  async function runAndEnd(): Promise<{ pid: number }> {
    const { spawn } = await import('node:child_process')
    const child = spawn(process.execPath, ['--version'])
    await new Promise((resolve) => child.once('close', resolve))
    return { pid: child.pid! }
  }
})

t.test('mode, owner and symbolic link of the file stay', buffered, async (t) => {
  const ring = ringIn(t)
  const root = process.getuid?.() === 0
  chmodSync(ring.file, 0o440)
  if (root) chownSync(ring.file, 65534, 65534)
  const before = statSync(ring.file)
  const name = join(ring.folder, 'link')
  symlinkSync('ring', name)
  t.match(await runProgram('keys.js', { JWT_KEYS_FILE: name }, 'add', 'k2'), { code: 0 })
  t.ok(lstatSync(name).isSymbolicLink())
  t.strictSame(ring.kids(), ['k1', 'k2'])
  const { mode, uid, gid, ino } = statSync(ring.file)
  t.strictSame({ mode, uid, gid }, { mode: before.mode, uid: before.uid, gid: before.gid })
  t.not(ino, before.ino, 'it was exchanged, not written into')
})

t.test('whatever fails, the old ring stays', buffered, async (t) => {
  const ring = ringIn(t)
  mkdirSync(`${ring.file}.draft`)
  writeFileSync(join(`${ring.file}.draft`, 'x'), '')
  const before = ring.read()
  t.match(await ring.keys('add'), { code: 1, output: /the key ring cannot be replaced: / })
  t.equal(ring.read(), before)
  rmSync(`${ring.file}.draft`, { recursive: true })

  writeFileSync(ring.file, `${newKeyRing('k1')},`)
  await refused(t, ring, ['add'], /the key ring \S+ cannot be read: it has a key \(number 2\)/)
  rmSync(ring.file)
  t.match(await runProgram('keys.js', {}, '--file', ring.file, 'add'), { code: 1, output: /cannot be read: ENOENT/ })
  t.notOk(existsSync(ring.file))
})

t.test(
  'with JWT_KEYS in the environment it refuses, for that would replace the ring at the next start',
  buffered,
  async (t) => {
    const ring = ringIn(t)
    const JWT_KEYS = newKeyRing('k7')
    const { code, output } = await runProgram('keys.js', { JWT_KEYS, JWT_KEYS_FILE: ring.file }, 'add')
    t.equal(code, 1)
    t.match(output, /JWT_KEYS is set.* take it out of \.env/)
    t.notMatch(output, JWT_KEYS.slice(3))
    t.strictSame(ring.kids(), ['k1'])
  }
)

t.test('what is not understood: exit code 2, and a secret pasted by mistake is not repeated', buffered, async (t) => {
  const ring = ringIn(t)
  const secret = newKeyRing('k2')
  for (const words of [
    ['add', secret],
    ['sign'],
    ['remove', 'k1'],
    ['list', 'k1'],
    ['add', 'a', 'b'],
    ['--bogus'],
    ['--wait', 'long'],
    ['--replicas', secret],
    [secret]
  ]) {
    const { code, output } = await ring.keys(...words)
    t.equal(code, 2, words.join(' '))
    t.match(output, /^npm run keys: .*--help says more/)
    t.notMatch(output, secret.slice(3))
  }
  t.match(await runProgram('keys.js', {}), { code: 2, output: /which ring\? --file/ })
  t.match(await runProgram('keys.js', {}, '--help'), { code: 0, output: /npm run keys -- \[command\]/ })
  t.strictSame(ring.kids(), ['k1'])
})
