import { existsSync, mkdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { findBinary } from '../src/binaries.js'
import { descendants, isRunning, processes } from './processes.js'
import { tempDirs, until } from './waiting.js'
import { EMBEDDED, launch, useOwnTempDir, type Ready } from './launch.js'

useOwnTempDir(t)

async function useIt(t: Test, { balancer }: Ready): Promise<void> {
  const post = (path: string, body: object, headers = {}): Promise<Response> =>
    fetch(`${balancer}${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: JSON.stringify(body)
    })
  const credentials = { username: `ada${process.pid}`, password: 'correct horse battery staple' }
  t.equal((await post('/users', credentials)).status, 201)
  const { access_token } = (await (await post('/auth/login', credentials)).json()) as { access_token: string }
  const authorization = `Bearer ${access_token}`
  const whoami = (): Promise<Response> => fetch(`${balancer}/whoami`, { headers: { authorization } })
  const servedBy = new Set<unknown>()
  for (let i = 0; i < 9; i++) {
    const response = await whoami()
    t.equal(response.status, 200)
    servedBy.add(response.headers.get('x-served-by'))
  }
  t.ok(servedBy.size > 1, `served by ${[...servedBy].join(', ')}`)
  const logout = await fetch(`${balancer}/auth/logout`, { method: 'POST', headers: { authorization } })
  t.equal(logout.status, 200)
  for (let i = 0; i < 9; i++) t.equal((await whoami()).status, 401)
}

t.test('all embedded: one line of JSON, a cluster that works, and nothing left after SIGTERM', async (t) => {
  const launcher = launch(t, ['--json', '--port', '0', '--replicas', '2', ...EMBEDDED])
  t.teardown(() => launcher.child.kill('SIGTERM'))
  const ready = await launcher.ready()
  t.match(ready, {
    balancer: /^http:\/\/127\.0\.0\.1:\d+$/,
    balancerKind: 'embedded',
    replicas: [{ name: 'api-1' }, { name: 'api-2' }],
    postgres: { kind: 'embedded', url: /^postgres:\/\/.*\/one_secret$/ },
    redis: { kind: 'embedded', url: /^redis:\/\/:/ }
  })
  await useIt(t, ready)
  const pids = descendants(launcher.child.pid ?? 0)
  t.ok(ready.replicas.every(({ pid }) => pids.includes(pid)))
  t.ok(pids.length >= 4, 'two replicas, and Postgres with its own')

  const start = performance.now()
  launcher.child.kill('SIGTERM')
  t.equal(await launcher.exit, 0)
  t.ok(performance.now() - start < 5000)
  t.equal(launcher.stdout().trim().split('\n').length, 1, 'nothing else on stdout')
  t.notOk(pids.some(isRunning))
  t.same(tempDirs(), [])
})

const binaries = ['postgres', 'redis-server', 'nginx'].every((name) => findBinary(name) !== undefined)
t.test('all from the PATH', { skip: !binaries && 'needs postgres, redis-server and nginx on the PATH' }, async (t) => {
  const launcher = launch(t, ['--json', '--port', '0', '--verbose'])
  t.teardown(() => launcher.child.kill('SIGTERM'))
  const ready = await launcher.ready()
  t.match(ready, { balancerKind: 'nginx', postgres: { kind: 'binary' }, redis: { kind: 'binary' } })
  t.equal(ready.replicas.length, 3)
  await useIt(t, ready)
  await until(() => launcher.stderr().includes('[nginx] {"time":'))
  const pids = descendants(launcher.child.pid ?? 0)
  const redis = processes().find(({ pid, commandLine }) => pids.includes(pid) && commandLine.includes('redis-server'))
  process.kill(redis!.pid, 'SIGKILL')
  await until(() => launcher.stderr().includes('[redis] was ended by SIGKILL, and is not started again'))
  launcher.child.kill('SIGTERM')
  t.equal(await launcher.exit, 0)
  t.notOk(pids.some(isRunning))
  t.same(tempDirs(), [])
})

t.test('with nothing but node on the PATH', async (t) => {
  const path = join(tmpdir(), 'bare')
  mkdirSync(path)
  symlinkSync(process.execPath, join(path, 'node'))
  const launcher = launch(t, ['--port', '0'], { PATH: path })
  t.teardown(() => launcher.child.kill('SIGTERM'))
  await until(() => launcher.stderr().includes('Ready at') || launcher.child.exitCode !== null, 30_000)
  t.match(launcher.stderr(), /Balancer +embedded +no nginx on the PATH/)
  t.match(launcher.stderr(), /Postgres +embedded [\d.]+ +no DATABASE_URL, no postgres on the PATH/)
  t.match(launcher.stderr(), /Redis +embedded +no REDIS_URL, no redis-server on the PATH; in memory, not durable/)
  t.match(launcher.stderr(), /curl -si localhost:\d+\/whoami/)
  t.match(launcher.stderr(), /npm run keys -- --file \S+\/jwt-keys /)
  t.equal(launcher.stdout(), '')
  launcher.child.kill('SIGINT')
  launcher.child.kill('SIGINT')
  t.equal(await launcher.exit, 0, 'a Ctrl-C that comes twice, as under npm, is one')
  t.same(tempDirs(), [])
})

t.test('a replica that is killed comes back, and nobody at the balancer notices', async (t) => {
  const launcher = launch(t, ['--json', '--port', '0', ...EMBEDDED])
  t.teardown(() => launcher.child.kill('SIGTERM'))
  const { balancer, replicas } = await launcher.ready()
  const [victim] = replicas
  process.kill(victim?.pid ?? 0, 'SIGKILL')
  const seen = new Set<unknown>()
  await until(async () => {
    const response = await fetch(`${balancer}/health/live`)
    t.equal(response.status, 200)
    if (launcher.stderr().includes('is back')) seen.add(response.headers.get('x-served-by'))
    return seen.has('api-1')
  })
  t.match(launcher.stderr(), /\[api-1\] was ended by SIGKILL; starting it again/)
  const pids = descendants(launcher.child.pid ?? 0)
  launcher.child.kill('SIGTERM')
  t.equal(await launcher.exit, 0)
  t.notOk(pids.some(isRunning))
})

t.test('killed itself, its replicas do not outlive it', async () => {
  const launcher = launch(t, ['--json', '--port', '0', '--replicas', '1', ...EMBEDDED])
  const { replicas, postgres } = await launcher.ready()
  const pids = descendants(launcher.child.pid ?? 0)
  launcher.child.kill('SIGKILL')
  await launcher.exit
  await until(() => !replicas.some(({ pid }) => isRunning(pid)))
  // Postgres is not ours to follow a SIGKILL: it is ended here, by the pid in its own file.
  const { port } = new URL(postgres.url)
  const files = tempDirs().map((name) => join(tmpdir(), name, 'postgres', 'data', 'postmaster.pid'))
  for (const file of files.filter((file) => existsSync(file))) {
    const [pid, , , listening] = readFileSync(file, 'utf8').split('\n')
    if (listening === port) process.kill(Number(pid), 'SIGQUIT')
  }
  await until(() => !pids.some(isRunning))
  for (const name of tempDirs()) rmSync(join(tmpdir(), name), { recursive: true, force: true })
})

t.test('the environment reaches every replica, and an only one is not replaced', async (t) => {
  const launcher = launch(t, ['--json', '--port', '0', '--replicas', '1', ...EMBEDDED], { ACCESS_TOKEN_TTL: '77s' })
  t.teardown(() => launcher.child.kill('SIGTERM'))
  const { balancer } = await launcher.ready()
  const body = JSON.stringify({ username: 'env', password: 'correct horse battery staple' })
  const init = { method: 'POST', headers: { 'content-type': 'application/json' }, body }
  await fetch(`${balancer}/users`, init)
  const { expires_in } = (await (await fetch(`${balancer}/auth/login`, init)).json()) as { expires_in: number }
  t.equal(expires_in, 77)

  launcher.child.kill('SIGUSR2')
  await until(() => launcher.stderr().includes('one-secret: one replica cannot be replaced while it serves'))
  t.equal((await fetch(`${balancer}/health/live`)).status, 200, 'and it goes on')
  launcher.child.kill('SIGTERM')
  t.equal(await launcher.exit, 0)
})
