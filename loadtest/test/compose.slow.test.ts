import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { freePort } from '@one-secret/local'
import t, { type Test } from 'tap'
import { inLoadtest, run, versionOf, type Ended } from './cluster.js'
import { COME_AGAIN, startLoad, type Load } from './load.js'

if (versionOf('docker', 'info') === undefined) {
  t.plan(0, 'no Docker Engine answers')
  process.exit()
}

const root = fileURLToPath(new URL('../..', import.meta.url))
const HTTP_PORT = String(await freePort())
const url = `http://127.0.0.1:${HTTP_PORT}`
// A project of the test's own, with volumes and networks of its own, beside one that may be running.
const env = {
  HTTP_PORT,
  COMPOSE_PROJECT_NAME: `one-secret-test-${process.pid}`,
  REPLICAS: undefined,
  LOGIN_LIMIT_PER_ACCOUNT: '0',
  LOGIN_LIMIT_PER_ADDRESS: '0'
}
const compose = (...args: string[]): Promise<Ended> =>
  run('docker', ['compose', '--project-directory', root, ...args], env)

async function composed(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await compose(...args)
  if (code !== 0) throw new Error(`docker compose ${args.join(' ')}: ${stderr}`)
  return stdout
}

const credentials = { username: `user-${randomBytes(8).toString('hex')}`, password: 'correct horse battery staple' }

const post = (path: string, body: object, headers: Record<string, string> = {}): Promise<Response> =>
  fetch(`${url}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(body)
  })

interface Tokens {
  access_token: string
  refresh_token: string
}
const logIn = async (): Promise<Tokens> => (await (await post('/auth/login', credentials)).json()) as Tokens
const bearer = (token: string): Record<string, string> => ({ authorization: `Bearer ${token}` })
const whoami = (token: string): Promise<Response> => fetch(`${url}/whoami`, { headers: bearer(token) })

/** The names of those who answer, within so many milliseconds. */
async function seenWithin(ms: number, enough: (names: Set<string>) => boolean): Promise<Set<string>> {
  const deadline = performance.now() + ms
  let names = new Set<string>()
  while (performance.now() < deadline) {
    // A round of its own each time, so that one who has gone is not remembered.
    const answers = await Promise.all(Array.from({ length: 32 }, () => fetch(`${url}/health/live`)))
    names = new Set(answers.map((answer) => answer.headers.get('x-served-by') ?? ''))
    if (enough(names)) break
  }
  return names
}

t.test('docker compose', { timeout: 600_000 }, async (t) => {
  t.teardown(() => composed('down', '--volumes', '--timeout', '10'))
  await composed('up', '--build', '--detach', '--wait')
  t.equal((await post('/users', credentials)).status, 201)

  t.test('the tour of the README passes', async (t) => {
    const { code, stderr } = await run('bash', [inLoadtest('tour.sh'), url])
    t.equal(code, 0, stderr)
  })

  t.test('nothing is published but nginx, and everything is locked down', async (t) => {
    const ids = (await composed('ps', '--all', '--quiet')).trim().split('\n')
    const { stdout } = await run('docker', ['inspect', ...ids])
    const containers = JSON.parse(stdout) as {
      Config: { User: string; Labels: Record<string, string> }
      HostConfig: { ReadonlyRootfs: boolean; CapDrop: string[]; SecurityOpt: string[]; Init: boolean }
      NetworkSettings: { Ports: Record<string, unknown[] | null>; Networks: Record<string, unknown> }
    }[]
    t.equal(containers.length, 8)
    for (const { Config, HostConfig, NetworkSettings } of containers) {
      const service = Config.Labels['com.docker.compose.service']!
      const published = Object.values(NetworkSettings.Ports).filter((bindings) => bindings?.length)
      t.equal(published.length > 0, service === 'nginx', `${service}: published`)
      t.ok(Config.User !== '' && Config.User !== 'root', `${service}: not root`)
      t.equal(HostConfig.ReadonlyRootfs, true, `${service}: read-only`)
      t.strictSame(HostConfig.CapDrop, ['ALL'], service)
      t.strictSame(HostConfig.SecurityOpt, ['no-new-privileges:true'], service)
      t.equal(HostConfig.Init, true, service)
    }
    const networks = (service: string): string[] =>
      Object.keys(
        containers.find(({ Config }) => Config.Labels['com.docker.compose.service'] === service)!.NetworkSettings
          .Networks
      ).map((name) => name.replace(/^.*_/, ''))
    t.strictSame(networks('nginx'), ['front'])
    t.strictSame(networks('postgres'), ['back'])
    t.strictSame(networks('redis'), ['back'])
    t.strictSame(networks('api').sort(), ['back', 'front'])
    t.equal((await fetch(`${url}/metrics`)).status, 404)
  })

  t.test('the secrets are random, and each container sees its own', async (t) => {
    const ring = await composed('exec', 'api', 'cat', '/secrets/api/jwt-keys')
    t.match(ring, /^k\d{8}:[\w-]{43}\s*$/)
    for (const [service, sees] of [
      ['api', 'database-url jwt-keys redis-url'],
      ['postgres', 'password'],
      ['redis', 'redis.conf']
    ] as const) {
      const directory = service === 'api' ? '/secrets/api' : '/secrets'
      t.equal((await composed('exec', service, 'ls', directory)).trim().split(/\s+/).join(' '), sees)
    }
    const { stdout } = await run('docker', ['inspect', ...(await composed('ps', '--quiet')).trim().split('\n')])
    t.notMatch(stdout, ring.split(':')[1]!.trim())
  })

  /** Nothing failed, and Postgres holds what was acknowledged and nothing else. */
  async function audit(t: Test, load: Load): Promise<void> {
    const { requests, cameAgain, failures, sql, acknowledged } = await load.stop()
    t.comment(`${requests} requests, ${cameAgain} of which were told to come again`)
    t.strictSame(failures, [])
    t.ok(cameAgain < requests / 20, `${cameAgain} of ${requests} were told to come again`)
    t.ok(requests > 200, `${requests} requests`)
    const psql = ['psql', '--username=one_secret', '--tuples-only', '--no-align', '--command', sql]
    const lines = (await composed('exec', '-T', 'postgres', ...psql)).trim().split('\n')
    t.strictSame(lines.sort(), acknowledged, 'everything acknowledged was done, once')
  }

  /** The lane of the comparison that these replicas serve too, asked every 5 ms: how often, and each answer but 200. */
  function askLane(token: string): { stop: () => Promise<{ requests: number; others: string[] }> } {
    const asked: Promise<string>[] = []
    const ask = async (): Promise<string> => {
      const answer = await fetch(`${url}/lanes/jwt/whoami`, { headers: bearer(token) })
      return `${answer.status} ${await answer.text()}`
    }
    const timer = setInterval(() => asked.push(ask().catch(String)), 5)
    return {
      stop: async () => {
        clearInterval(timer)
        const others = (await Promise.all(asked)).filter((answer) => !answer.startsWith('200'))
        return { requests: asked.length, others }
      }
    }
  }

  t.test('two replicas become eight and then two under load, and no request fails', async (t) => {
    await composed('up', '--detach', '--wait', '--no-recreate', '--scale', 'api=2')
    t.equal((await seenWithin(2000, ({ size }) => size === 2)).size, 2)
    const lane = askLane((await logIn()).access_token)
    const load = startLoad(url)
    await sleep(1000)
    await composed('up', '--detach', '--wait', '--no-recreate', '--scale', 'api=8')
    t.equal((await seenWithin(2000, ({ size }) => size === 8)).size, 8, 'all eight are seen within 2 s')
    await sleep(1000)
    await composed('up', '--detach', '--wait', '--no-recreate', '--scale', 'api=2')
    t.equal((await seenWithin(2000, ({ size }) => size === 2)).size, 2, 'only two are seen within 2 s')
    await sleep(1000)
    const { requests, others } = await lane.stop()
    const isToComeAgain = (answer: string): boolean => answer.startsWith('503') && COME_AGAIN.test(answer)
    t.strictSame(
      others.filter((answer) => !isToComeAgain(answer)),
      [],
      'nor in the lane jwt'
    )
    t.ok(others.length < requests / 20, `${others.length} of ${requests} were told to come again`)
    await audit(t, load)
  })

  t.test('npm run roll: every container is replaced under load, and nothing is lost or done twice', async (t) => {
    const ids = async (): Promise<string[]> => (await composed('ps', '--quiet', 'api')).trim().split('\n')
    const before = await ids()
    const load = startLoad(url)
    await sleep(1000)
    const { code, stdout, stderr } = await run('npm', ['run', '--silent', 'roll'], env)
    t.equal(code, 0, stderr)
    t.strictSame(stdout.match(/^replaced \w{12}$/gm)?.sort(), before.map((id) => `replaced ${id.slice(0, 12)}`).sort())
    await sleep(1000)
    await audit(t, load)
    const after = await ids()
    t.equal(after.length, before.length)
    t.strictSame(
      after.filter((id) => before.includes(id)),
      []
    )
  })

  t.test('npm run keys: the secret is replaced under load, step by step, and nothing fails', async (t) => {
    const keys = async (expected: number, ...words: string[]): Promise<string> => {
      const { code, stdout, stderr } = await run('npm', ['run', '--silent', 'keys', '--', ...words], env)
      t.equal(code, expected, `${words.join(' ')}: ${stdout}${stderr}`)
      return stdout + stderr
    }
    await composed('up', '--detach', '--wait', '--no-recreate', '--scale', 'api=3')
    const [, old] = /^(k\d{8}) +signs +3 of 3$/m.exec(await keys(0))!
    const left = await logIn()
    const load = startLoad(url)
    await sleep(1000)
    t.match(await keys(0, 'add', 'next'), /3 of 3 replicas have it\nsafe next: sign next\n/)
    t.match(await keys(0, 'sign', 'next'), /3 of 3 replicas sign with it\nsafe next: drop /)
    t.match(await keys(1, 'drop'), /tokens that .* signed may still live: .* in 30 days/)
    await sleep(1000)
    await audit(t, load)
    const kept = await logIn()
    t.equal((await whoami(left.access_token)).status, 200)
    t.match(await keys(0, 'drop', old!, '--force'), /3 of 3 replicas have forgotten it/)
    for (let i = 0; i < 6; i++) {
      t.equal((await whoami(left.access_token)).status, 401)
      t.equal((await post('/auth/refresh', { refresh_token: left.refresh_token })).status, 401)
      t.equal((await whoami(kept.access_token)).status, 200)
    }
    const refused = await run('npm', ['run', '--silent', 'keys'], { ...env, JWT_KEYS: 'k1:x' })
    t.equal(refused.code, 1)
    t.match(refused.stderr, /take it out of \.env/)
  })

  t.test('users, keys and revocations survive down and up', async (t) => {
    const [kept, ended] = [await logIn(), await logIn()]
    t.equal((await post('/auth/logout', {}, bearer(ended.access_token))).status, 200)
    await composed('down')
    await composed('up', '--detach', '--wait')
    t.equal((await whoami(kept.access_token)).status, 200, 'a token issued before')
    const refused = await whoami(ended.access_token)
    t.equal(refused.status, 401)
    t.match(await refused.json(), { code: 'TOKEN_REVOKED' })
    t.equal((await post('/auth/login', credentials)).status, 200)
    t.equal((await post('/auth/refresh', { refresh_token: kept.refresh_token })).status, 200)
  })
})
