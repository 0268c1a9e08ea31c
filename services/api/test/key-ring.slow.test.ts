import { randomBytes } from 'node:crypto'
import {
  closeSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
  writeSync
} from 'node:fs'
import { rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import t, { type Test } from 'tap'
import {
  buildReplica,
  claimsOf,
  logIn,
  newKeyRing,
  newUsername,
  PASSWORD,
  present,
  refresh,
  runProgram,
  signUp,
  spawnReplica,
  startBackends,
  type Replica,
  type TokenResponse
} from './harness.js'
import { BUSY, kidOf, post, startLoad, whoami, type Target } from './rotation-load.js'

const { env: backends } = await startBackends(t)
const { JWT_KEYS: _none, ...env } = backends
void _none

// They share nothing but these servers, and most of each is waiting.
t.jobs = 2
const buffered = { buffered: true }

const DAY_MS = 86_400_000

/** The lines of `jwt_key_info`, as in `k1 signs`. */
async function keysOf({ url }: Target): Promise<string[]> {
  const text = await (await fetch(`${url}/metrics`)).text()
  return [...text.matchAll(/^jwt_key_info\{kid="([^"]+)",use="(\w+)",.*\} 1$/gm)].map(([, kid, use]) => `${kid} ${use}`)
}

async function failuresOf({ url }: Target): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text()
  return Number(/^jwt_key_ring_reload_failures_total\{.*\} (\d+)$/m.exec(text)![1])
}

async function until(isSo: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 15_000
  while (!(await isSo())) {
    if (performance.now() > deadline) throw new Error(`still not so: ${String(isSo)}`)
    await sleep(20)
  }
}

/** In one step, as it should be. */
async function replaceFile(file: string, text: string): Promise<void> {
  await writeFile(`${file}.new`, text)
  await rename(`${file}.new`, file)
}

async function logInAt({ url }: Target): Promise<TokenResponse> {
  const user = { username: newUsername(), password: PASSWORD }
  await insist(() => post(`${url}/users`, user))
  return (await (await insist(() => post(`${url}/auth/login`, user))).json()) as TokenResponse
}

/** Again, where a busy machine had no time to hash the password. */
async function insist(call: () => Promise<Response>): Promise<Response> {
  for (;;) {
    const response = await call()
    if (response.ok) return response
    if (response.status !== 503) throw new Error(await response.text())
  }
}

interface Steps {
  add: () => Promise<void>
  sign: () => Promise<void>
  drop: () => Promise<void>
}

/**
 * The key k1 is replaced by k2 under load. Each step is looked at by itself: no token whose key is in the ring is refused,
 * and in the end every token of the key that went is, by every replica.
 */
async function rotate(t: Test, replicas: readonly Target[], steps: Steps): Promise<void> {
  const load = await startLoad(replicas)
  async function nothingWrong(step: string): Promise<void> {
    const { wrongs, done } = await load.report()
    t.comment(`${step}: ${JSON.stringify(done)}`)
    t.strictSame(wrongs, [], `${step}: no valid token is refused`)
    for (const [what, count] of Object.entries(done)) t.ok(count > 0, `${step}: ${count} × ${what}`)
  }
  const kids = (): Set<string> => new Set(load.sessions.map(({ access }) => kidOf(access.at(-1)!)))
  await nothingWrong('before')

  await steps.add()
  await nothingWrong('add')
  t.strictSame([...kids()], ['k1'], 'the new key signs nothing yet')

  await steps.sign()
  await nothingWrong('sign')
  t.strictSame([...kids()].sort(), ['k1', 'k2'])

  // The old key is retired: it verifies. A refresh token of it that nobody has used so far still is good, at every replica.
  const retired = () => load.sessions.filter(({ refresh }) => kidOf(refresh) === 'k1')
  const left = retired()
    .filter(({ idle }) => idle)
    .slice(0, 2)
  t.ok(retired().length > left.length + 3)
  await load.refreshAll(retired().filter((session) => !left.includes(session)))
  t.strictSame(retired(), left)
  await nothingWrong('retired')

  load.goes('k1')
  await steps.drop()
  load.gone('k1')
  const { wrongs } = await load.report()
  t.strictSame(wrongs, [], 'drop: no valid token is refused, and none of the key that went is accepted')
  await load.stop()

  const tokens = load.sessions.flatMap(({ access }) => access)
  const [old, valid] = [
    tokens.filter((token) => kidOf(token) === 'k1'),
    tokens.filter((token) => kidOf(token) === 'k2')
  ]
  t.ok(old.length > 20 && valid.length > 20, `${old.length} old, ${valid.length} new`)
  for (const replica of replicas) {
    const statuses = async (some: string[]): Promise<number[]> => {
      const all = []
      for (const token of some) {
        let status
        do status = await whoami(replica, token)
        while (status === BUSY)
        all.push(status)
      }
      return [...new Set(all)]
    }
    t.strictSame(await statuses(old), [401], 'every access token of the key that went is refused')
    t.strictSame(await statuses(valid), [200], 'every other one is accepted')
    for (const { refresh } of left) {
      t.equal(kidOf(refresh), 'k1')
      const response = await post(`${replica.url}/auth/refresh`, { refresh_token: refresh })
      t.equal(response.status, 401)
      t.match(await response.json(), { code: 'REFRESH_TOKEN_INVALID' })
    }
  }
  for (const session of load.sessions.filter(({ refresh }) => kidOf(refresh) === 'k2')) {
    await load.refreshAll([session])
  }
  t.strictSame((await load.report(0)).wrongs, [], 'every other refresh token is accepted')
}

t.test(
  'JWT_KEYS_FILE: a key is replaced by npm run keys under load, and no valid token is refused',
  buffered,
  async (t) => {
    const file = join(t.testdir(), 'ring')
    writeFileSync(file, `${newKeyRing('k1')}\n`)
    const replicas = await Promise.all(
      ['a', 'b', 'c'].map((REPLICA_NAME) => spawnReplica(t, { ...env, JWT_KEYS_FILE: file, REPLICA_NAME }))
    )
    const keys = async (...words: string[]): Promise<void> => {
      const urls = replicas.map(({ url }) => url).join()
      const { code, output } = await runProgram('keys.js', {}, '--file', file, '--replicas', urls, ...words)
      t.equal(code, 0, output)
    }
    await rotate(t, replicas, {
      add: () => keys('add', 'k2'),
      sign: () => keys('sign', 'k2'),
      async drop() {
        // As it will be when every token of the old key has expired.
        utimesSync(file, new Date(), new Date(Date.now() - 31 * DAY_MS))
        await keys('drop', 'k1')
      }
    })
    for (const replica of replicas) t.strictSame(await keysOf(replica), ['k2 signs'], 'the old key is not heard of')
  }
)

t.test(
  'JWT_KEYS: a key is replaced by restarts, one replica after the other, and no valid token is refused',
  buffered,
  async (t) => {
    const [k1, k2] = [newKeyRing('k1'), newKeyRing('k2')]
    const start = (ring: string): Promise<Replica> =>
      spawnReplica(t, { ...env, JWT_KEYS: ring, SHUTDOWN_DRAIN_MS: '0' })
    const replicas = await Promise.all([start(k1), start(k1), start(k1)])
    /** Those that are sent requests: one that leaves is taken out before. */
    const targets: Target[] = [...replicas]
    const restart = async (ring: string): Promise<void> => {
      const leaving = []
      for (const [i, old] of replicas.entries()) {
        const fresh = await start(ring)
        replicas[i] = fresh
        targets[i] = fresh
        // What it has been sent is answered: that is its own promise.
        leaving.push(old.kill())
      }
      t.match(await Promise.all(leaving), [{ code: 0 }, { code: 0 }, { code: 0 }])
    }
    await rotate(t, targets, {
      add: () => restart(`${k1},${k2}`),
      sign: () => restart(`${k2},${k1}`),
      drop: () => restart(k2)
    })
  }
)

t.test('SIGHUP: the file is read at once, and the replica serves on', buffered, async (t) => {
  const file = join(t.testdir(), 'ring')
  let ring = newKeyRing('k0')
  writeFileSync(file, ring)
  const replica = await spawnReplica(t, { ...env, JWT_KEYS_FILE: file })
  const { access_token } = await logInAt(replica)
  for (let n = 1; n <= 5; n++) {
    ring = `${newKeyRing(`k${n}`)},${ring}`
    await replaceFile(file, ring)
    process.kill(replica.pid, 'SIGHUP')
    await until(() => replica.output().includes(`"kids":["k${n}","`))
    t.match((await keysOf(replica))[0], `k${n} signs`)
    t.equal(await whoami(replica, access_token), 200)
  }
  t.notMatch(replica.output(), 'closing')
})

t.test('SIGHUP with JWT_KEYS in the environment: one line that says that only a restart helps', buffered, async (t) => {
  const replica = await spawnReplica(t, { ...env, JWT_KEYS: newKeyRing() })
  process.kill(replica.pid, 'SIGHUP')
  await until(() => replica.output().includes('only a restart takes another one'))
  t.equal((await fetch(`${replica.url}/health/ready`)).status, 200)
})

t.test(
  'a bad ring: the one in use stays, it is logged once and counted, and no secret is told',
  buffered,
  async (t) => {
    const file = join(t.testdir(), 'ring')
    const ring = newKeyRing('k1')
    writeFileSync(file, ring)
    const replica = await spawnReplica(t, { ...env, JWT_KEYS_FILE: file })
    const { access_token, refresh_token } = await logInAt(replica)
    const secret = randomBytes(32).toString('base64url')
    const bad: [string, () => void, RegExp][] = [
      ['empty', () => writeFileSync(file, ''), /number 1.*not kid:base64url/],
      ['cut off', () => writeFileSync(file, `k2:${secret},k1`), /number 2.*not kid:base64url/],
      ['a short key', () => writeFileSync(file, `${ring},k2:${secret.slice(0, 20)}`), /of 15 bytes/],
      ['a secret where the kid should be', () => writeFileSync(file, `${secret}:k2`), /not kid:base64url/],
      ['a kid twice', () => writeFileSync(file, `${ring},k1:${secret}`), /twice/],
      ['gone', () => rmSync(file), /ENOENT/],
      ['a folder', () => mkdirSync(file), /EISDIR/]
    ]
    for (const [what, make, expected] of bad) {
      const before = await failuresOf(replica)
      make()
      await until(async () => (await failuresOf(replica)) >= before + 2)
      t.strictSame(await keysOf(replica), ['k1 signs'], what)
      t.equal(await whoami(replica, access_token), 200, what)
      const complaints = replica
        .output()
        .split('\n')
        .filter((line) => line.includes('"level":50'))
      t.match(complaints.at(-1), expected, what)
      t.equal(complaints.length, bad.findIndex(([name]) => name === what) + 1, `${what}: one line`)
    }
    for (const part of [secret, secret.slice(0, 20), ring.slice(3)]) t.notMatch(replica.output(), part)

    rmSync(file, { recursive: true })
    await replaceFile(file, `k2:${secret},${ring}`)
    await until(async () => (await keysOf(replica)).join() === 'k2 signs,k1 verifies')
    t.equal(await whoami(replica, access_token), 200, 'a good ring is taken again')
    t.equal((await post(`${replica.url}/auth/refresh`, { refresh_token })).status, 200)
  }
)

t.test(
  'a file that is written in place, half of it being a whole ring: no key is missed for a moment',
  buffered,
  async (t) => {
    const file = join(t.testdir(), 'ring')
    const [k1, k2] = [newKeyRing('k1'), newKeyRing('k2')]
    writeFileSync(file, k1)
    const replica = await spawnReplica(t, { ...env, JWT_KEYS_FILE: file })
    const { access_token } = await logInAt(replica)
    const pause = new Int32Array(new SharedArrayBuffer(4))
    for (let round = 0; round < 10; round++) {
      const handle = openSync(file, 'r+')
      ftruncateSync(handle)
      writeSync(handle, k2, 0)
      process.kill(replica.pid, 'SIGHUP')
      // Not by a timer: nothing else of this process comes in between.
      Atomics.wait(pause, 0, 0, 20)
      writeSync(handle, `,${k1}`, k2.length)
      closeSync(handle)
      for (let i = 0; i < 4; i++) {
        t.equal(await whoami(replica, access_token), 200)
        await sleep(100)
      }
    }
    await until(async () => (await keysOf(replica)).join() === 'k2 signs,k1 verifies')
  }
)

t.test('another secret under the same kid: the new one counts', buffered, async (t) => {
  const file = join(t.testdir(), 'ring')
  writeFileSync(file, newKeyRing('k1'))
  const app = await buildReplica(t, { ...env, JWT_KEYS_FILE: file })
  const old = await logIn(app)
  writeFileSync(file, newKeyRing('k1'))
  await app.reloadKeyRing()
  t.strictSame(await present(app, old.access_token), { status: 401, code: 'TOKEN_INVALID' })
  t.equal((await refresh(app, old.refresh_token)).statusCode, 401)
  t.match(await present(app, (await logIn(app)).access_token), { status: 200 })
})

t.test('two tabs refresh at once, at replicas that sign with different keys: that is no theft', buffered, async (t) => {
  const [k1, k2] = [newKeyRing('k1'), newKeyRing('k2')]
  const [a, b] = await Promise.all(
    [`${k1},${k2}`, `${k2},${k1}`].map((ring) => buildReplica(t, { ...env, JWT_KEYS: ring }))
  )
  for (const [first, second] of [
    [a!, b!],
    [b!, a!]
  ] as const) {
    const { refresh_token, access_token } = await logIn(first, (await signUp(first)).username)
    const answers = await Promise.all([refresh(first, refresh_token), refresh(second, refresh_token)])
    const [one, other] = answers.map((answer) => answer.json<TokenResponse>())
    t.not(kidOf(one!.refresh_token), kidOf(other!.refresh_token))
    t.equal((await refresh(second, one!.refresh_token)).statusCode, 200)
    t.equal((await refresh(first, other!.refresh_token)).statusCode, 200)
    t.match(await present(first, access_token), { status: 200 }, `the session ${claimsOf(access_token).sid} lives`)
  }
})

t.test('a ring that was exchanged without a change of the file’s size and times is seen', buffered, async (t) => {
  const file = join(t.testdir(), 'ring')
  const ring = newKeyRing('k1')
  writeFileSync(file, ring)
  const replica = await spawnReplica(t, { ...env, JWT_KEYS_FILE: file })
  // Same length, same times: what counts is what it says.
  const times = new Date(Date.now() - DAY_MS)
  utimesSync(file, times, times)
  await sleep(1500)
  writeFileSync(file, newKeyRing('k2'))
  utimesSync(file, times, times)
  t.equal(readFileSync(file, 'utf8').length, ring.length)
  await until(async () => (await keysOf(replica)).join() === 'k2 signs')
})
