import { chmodSync, cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readlinkSync, rmSync } from 'node:fs'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import t from 'tap'
import { linkLibraries, installedPostgres, packagedFolder, packagedPostgres } from '../src/postgres-binaries.js'
import { startPostgres } from '../src/postgres.js'
import { unprivilegedAccount } from '../src/unprivileged.js'
import { isRunning } from './processes.js'
import { tempDirs, until } from './waiting.js'

async function ask(url: string, sql: string): Promise<unknown> {
  const client = new pg.Client(url)
  await client.connect()
  const { rows } = await client.query<Record<string, unknown>>(sql)
  await client.end()
  return Object.values(rows[0] ?? {})[0]
}

// Its own temporary directory: what is left in it was left by these tests.
process.env['TMPDIR'] = mkdtempSync(join(tmpdir(), 'local-postgres-test-'))
chmodSync(process.env['TMPDIR'], 0o711)
t.teardown(() => rmSync(tmpdir(), { recursive: true, force: true }))

for (const kind of ['embedded', 'binary'] as const) {
  const skip = kind === 'binary' && installedPostgres() === undefined && 'needs postgres and initdb on the PATH'
  t.test(`${kind}: durable, UTF-8, behind a password, and gone after stop`, { skip }, async (t) => {
    const postgres = await startPostgres({ kind })
    t.teardown(() => postgres.stop())
    const { url, pid = 0 } = postgres
    t.equal(postgres.kind, kind)
    t.match(await ask(url, 'SHOW server_version'), postgres.version)
    t.equal(await ask(url, 'SHOW fsync'), 'on')
    t.equal(await ask(url, 'SHOW synchronous_commit'), 'on')
    t.equal(await ask(url, 'SHOW server_encoding'), 'UTF8')
    t.equal(await ask(url, 'SHOW max_connections'), '200')
    t.equal(await ask(url, 'SHOW listen_addresses'), '127.0.0.1')
    t.equal(await ask(url, 'SELECT current_database()'), 'one_secret')
    await t.rejects(ask(url.replace(/:[^:@]+@/, ':wrong@'), 'SELECT 1'), { code: '28P01' })
    t.equal(tempDirs().length, 1)
    t.notOk(existsSync(join(tmpdir(), tempDirs()[0] ?? '', 'postgres', 'password')), 'the password is in no file')
    await postgres.stop()
    t.notOk(isRunning(pid))
    t.same(tempDirs(), [])
  })
}

for (const signal of ['SIGQUIT', undefined] as const) {
  t.test(`restarted after ${signal ?? 'nothing'}: the same data under the same URL`, async (t) => {
    const postgres = await startPostgres()
    t.teardown(() => postgres.stop())
    const { url, pid } = postgres
    await ask(url, 'CREATE TABLE kept AS SELECT 42 AS n')
    if (signal) process.kill(pid ?? 0, signal)
    await postgres.restart?.()
    t.not(postgres.pid, pid)
    t.equal(await ask(url, 'SELECT n FROM kept'), 42)
    await postgres.stop()
    t.notOk(isRunning(postgres.pid ?? 0))
    t.same(tempDirs(), [])
  })
}

t.test('stops one that is itself stopped', async (t) => {
  const postgres = await startPostgres()
  process.kill(postgres.pid ?? 0, 'SIGSTOP')
  const start = performance.now()
  await postgres.stop()
  t.ok(performance.now() - start < 3000)
  t.notOk(isRunning(postgres.pid ?? 0))
  t.same(tempDirs(), [])
})

t.test('several at once', async (t) => {
  const all = await Promise.all([startPostgres(), startPostgres(), startPostgres()])
  t.equal(new Set(all.map(({ url }) => new URL(url).port)).size, 3)
  await Promise.all(all.map((postgres) => postgres.stop()))
  t.same(tempDirs(), [])
})

t.test('interrupted at any moment, it leaves no process and no file', async (t) => {
  for (const afterMs of [0, 50, 200, 400, 550]) {
    const abort = new AbortController()
    const started = startPostgres({ signal: abort.signal })
    await sleep(afterMs)
    abort.abort(new Error('interrupted'))
    await started.then(
      (postgres) => postgres.stop(),
      (error: unknown) => t.match(error, { message: 'interrupted' })
    )
    t.same(tempDirs(), [], `after ${afterMs} ms`)
  }
})

t.test('a process that ends without stop() leaves nothing', async (t) => {
  const source = new URL('../dist/index.js', import.meta.url).href
  const script = `import { startPostgres, startRedis } from '${source}'
    const [postgres, redis] = await Promise.all([startPostgres(), startRedis()])
    process.stdout.write(JSON.stringify([postgres.pid, redis.pid ?? 0]))
    process.exit(3)`
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], { stdio: ['ignore', 'pipe', 'inherit'] })
  let output = ''
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()))
  const [code] = (await once(child, 'close')) as [number]
  t.equal(code, 3)
  const pids = JSON.parse(output) as number[]
  t.equal(pids.length, 2)
  await until(() => !pids.some((pid) => pid > 0 && isRunning(pid)))
  t.same(tempDirs(), [])
})

t.test('a URL is used as it is', async (t) => {
  const server = await startPostgres()
  t.teardown(() => server.stop())
  const postgres = await startPostgres({ url: server.url })
  t.match(postgres, { kind: 'url', url: server.url, reason: 'DATABASE_URL is set' })
  await postgres.stop()
  t.equal(await ask(server.url, 'SELECT 1'), 1, 'and is left running')
})

t.test('a URL where there is nothing is one clear line without the password', async (t) => {
  const error = await startPostgres({ url: 'postgres://u:secret@127.0.0.1:1/db' }).catch((reason: unknown) => reason)
  t.match(error, { name: 'LocalError', message: /^DATABASE_URL: no Postgres at 127\.0\.0\.1:1\/db: .*ECONNREFUSED/ })
  t.notMatch(String(error), /secret/)
  t.notMatch(String(error), /\n/)
})

t.test('makes the links that npm did not, and again, and side by side', async (t) => {
  const root = t.testdir({
    native: {
      'pg-symlinks.json': '[{"source":"native/lib/a.so.1.2","target":"native/lib/a.so"}]',
      lib: { 'a.so.1.2': '' }
    }
  })
  const native = join(root, 'native')
  t.ok(linkLibraries(native))
  t.equal(readlinkSync(join(native, 'lib', 'a.so')), 'a.so.1.2')
  t.ok(linkLibraries(native))
  t.same(readdirSync(join(native, 'lib')).sort(), ['a.so', 'a.so.1.2'])
  rmSync(join(native, 'lib', 'a.so.1.2'))
  t.notOk(linkLibraries(native), 'a link to nothing is no library')
})

const isRoot = process.getuid?.() === 0
t.test('what only root may read is copied to where Postgres may', { skip: !isRoot && 'needs root' }, async (t) => {
  const home = join(tmpdir(), 'root-only')
  mkdirSync(home, { mode: 0o700 })
  cpSync(packagedFolder(), join(home, 'native'), { recursive: true, verbatimSymlinks: true })
  const target = join(tmpdir(), 'copy')
  mkdirSync(target)
  const binaries = packagedPostgres(target, unprivilegedAccount(), join(home, 'native'))
  t.equal(binaries.postgres, join(target, 'native', 'bin', 'postgres'))
  t.match(binaries.version, /^\d+\.\d+/)
  t.ok(existsSync(binaries.initdb))
})
