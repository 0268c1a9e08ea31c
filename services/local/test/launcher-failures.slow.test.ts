import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { descendants, isRunning } from './processes.js'
import { tempDirs, until } from './waiting.js'
import { EMBEDDED, launch, useOwnTempDir } from './launch.js'

useOwnTempDir(t)

t.test('interrupted while it starts, it leaves no process and no file', async (t) => {
  for (const afterMs of [150, 400, 800, 1300, 2000]) {
    const launcher = launch(t, ['--json', '--port', '0', '--replicas', '2'])
    await sleep(afterMs)
    const pids = descendants(launcher.child.pid ?? 0)
    launcher.child.kill('SIGINT')
    const code = await launcher.exit
    // Before its first line nobody listens for signals yet.
    t.ok(code === 0 || (code === null && pids.length === 0), `code ${String(code)} after ${afterMs} ms`)
    await until(() => !pids.some(isRunning), 2000)
    t.same(tempDirs(), [], `after ${afterMs} ms`)
    t.notMatch(launcher.stderr(), /^\s+at /m)
  }
})

t.test('an impatient second Ctrl-C leaves nothing either', async (t) => {
  const launcher = launch(t, ['--json', '--port', '0', '--replicas', '1', ...EMBEDDED], { SHUTDOWN_DRAIN_MS: '30000' })
  await launcher.ready()
  const pids = descendants(launcher.child.pid ?? 0)
  launcher.child.kill('SIGINT')
  await sleep(1200)
  t.equal(launcher.child.exitCode, null, 'the replica takes its time')
  launcher.child.kill('SIGINT')
  t.equal(await launcher.exit, 1)
  await until(() => !pids.some(isRunning), 2000)
  t.same(tempDirs(), [])
})

t.test('what cannot be is one clear line, exit code 1, and nothing left', async (t) => {
  const taken = createServer().listen(0, '127.0.0.1')
  await once(taken, 'listening')
  t.teardown(() => taken.close())
  const { port } = taken.address() as AddressInfo
  const silent = createServer(() => undefined).listen(0, '127.0.0.1')
  await once(silent, 'listening')
  t.teardown(() => silent.close())
  const cases: [string, string[], NodeJS.ProcessEnv, RegExp][] = [
    ['port in use', ['--port', String(port)], {}, /^one-secret: port \d+ on 127\.0\.0\.1 is in use; choose another/m],
    [
      'no such host',
      ['--host', '203.0.113.1'],
      {},
      /^one-secret: cannot listen on 203\.0\.113\.1:8080: EADDRNOTAVAIL/m
    ],
    [
      'DATABASE_URL',
      [],
      { DATABASE_URL: 'postgres://u:p@127.0.0.1:1/x' },
      /^one-secret: DATABASE_URL: no Postgres at 127/m
    ],
    [
      'REDIS_URL',
      [],
      { REDIS_URL: 'redis://:p@127.0.0.1:1' },
      /^one-secret: REDIS_URL: no Redis at 127\.0\.0\.1:1: .*ECONNREFUSED/m
    ],
    [
      'a REDIS_URL that says nothing',
      [],
      { REDIS_URL: `redis://:p@127.0.0.1:${(silent.address() as AddressInfo).port}` },
      /^one-secret: REDIS_URL: no Redis at 127\.0\.0\.1:\d+: it has said nothing for 3 s/m
    ],
    [
      'Sentinels',
      [],
      { REDIS_URL: 'redis://:p@mymaster', REDIS_SENTINELS: '127.0.0.1:1' },
      /^one-secret: REDIS_SENTINELS is for replicas that are started by themselves/m
    ],
    ['no URL', ['--postgres', 'url'], {}, /^one-secret: Postgres by URL needs DATABASE_URL/m],
    ['no nginx', ['--balancer', 'nginx'], { PATH: '/nonexistent' }, /^one-secret: no nginx on the PATH/m],
    ['no TMPDIR', [], { TMPDIR: '/nonexistent' }, /^one-secret: no temporary directory can be made in \/nonexistent/m],
    [
      'bad JWT_KEYS',
      [],
      { JWT_KEYS: 'k1:short' },
      /^one-secret: api-\d exited with code 1 before it was ready\n.*JWT_KEYS/ms
    ]
  ]
  for (const [name, args, env, message] of cases) {
    await t.test(name, async (t) => {
      const launcher = launch(
        t,
        [...(name === 'no such host' || name === 'port in use' ? [] : ['--port', '0']), ...args],
        env
      )
      t.equal(await launcher.exit, 1)
      t.match(launcher.stderr(), message)
      t.notMatch(launcher.stderr(), /^\s+at /m, 'no stack trace')
      t.notMatch(launcher.stderr(), /\/\/u:p@|:p@/, 'no password')
      t.equal(launcher.stdout(), '')
      t.same(tempDirs(), [])
    })
  }
})

t.test('usage', async (t) => {
  const help = launch(t, ['--help'])
  t.equal(await help.exit, 0)
  t.match(help.stdout(), /--replicas <n>[\s\S]*NOT durable/)
  const version = launch(t, ['--version'])
  t.equal(await version.exit, 0)
  t.match(version.stdout(), /^\d+\.\d+\.\d+\n$/)
  const wrong = launch(t, ['--bogus'])
  t.equal(await wrong.exit, 2)
  t.equal(wrong.stderr().trim().split('\n').length, 1)
})
