import { setTimeout as sleep } from 'node:timers/promises'
import t from 'tap'
import { buildReplica, logIn, readMetrics, refresh, signUp, spawnReplica, startBackends } from './harness.js'

const { env } = await startBackends(t)
const a = await buildReplica(t, { ...env, PURGE_EVERY_SECONDS: '0' })
const { id: userId, username } = await signUp(a)

/** More than two batches of each table that expired so long ago. */
async function fill(expired: string): Promise<void> {
  await a.pg.query(
    `INSERT INTO sessions (user_id, expires_at) SELECT $1, now() - $2::interval FROM generate_series(1, 2100)`,
    [userId, expired]
  )
  await a.pg.query(
    `INSERT INTO revocations (kind, id, expires_at)
     SELECT 'jti', gen_random_uuid(), now() - $1::interval FROM generate_series(1, 2100)`,
    [expired]
  )
}

async function counts(): Promise<{ sessions: number; revocations: number }> {
  const { rows } = await a.pg.query<{ sessions: number; revocations: number }>(
    'SELECT (SELECT count(*)::int FROM sessions) AS sessions, (SELECT count(*)::int FROM revocations) AS revocations'
  )
  return rows[0]!
}

async function until(condition: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 15_000
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`not within 15 s: ${JSON.stringify(await counts())}`)
    await sleep(50)
  }
}

t.test('what expired more than a day ago is deleted, by several replicas at once, and nothing else', async (t) => {
  const alive = await logIn(a, username)
  await fill('23 hours')
  const kept = await counts()
  await fill('25 hours')
  const own = { ...env, PURGE_EVERY_SECONDS: '1' }
  const replicas = await Promise.all(['b', 'c'].map((name) => buildReplica(t, { ...own, REPLICA_NAME: name })))
  await until(async () => (await counts()).revocations === kept.revocations)
  t.strictSame(await counts(), kept)
  const purged = { sessions: 0, revocations: 0 }
  for (const replica of replicas) {
    const metrics = readMetrics((await replica.inject('/metrics')).body)
    for (const table of ['sessions', 'revocations'] as const) {
      purged[table] += metrics.get(`purged_rows_total{table="${table}"}`)!
    }
  }
  t.strictSame(purged, { sessions: 2100, revocations: 2100 })
  t.equal((await refresh(a, alive.refresh_token)).statusCode, 200)
})

t.test('a row that somebody is changing is left to the next time, and nobody waits for him', async (t) => {
  await fill('2 days')
  const client = await a.pg.pool.connect()
  t.teardown(() => client.release(true))
  await client.query('BEGIN')
  const { rows } = await client.query<{ id: string }>(
    "SELECT id FROM sessions WHERE expires_at < now() - interval '1 day' ORDER BY expires_at LIMIT 1 FOR UPDATE"
  )
  await buildReplica(t, { ...env, PURGE_EVERY_SECONDS: '1' })
  const left = async (): Promise<string[]> => {
    const { rows } = await a.pg.query<{ id: string }>(
      "SELECT id FROM sessions WHERE expires_at < now() - interval '1 day'"
    )
    return rows.map(({ id }) => id)
  }
  await until(async () => (await left()).length === 1)
  t.strictSame(await left(), [rows[0]!.id])
  await client.query('ROLLBACK')
  await until(async () => (await left()).length === 0)
})

t.test('Postgres that refuses: it is said, and tried again', async (t) => {
  await a.pg.query('ALTER TABLE sessions RENAME TO elsewhere')
  const replica = await spawnReplica(t, { ...env, PURGE_EVERY_SECONDS: '1' })
  await until(async () => replica.output().includes('could not be purged'))
  await a.pg.query('ALTER TABLE elsewhere RENAME TO sessions')
  await fill('2 days')
  const old = "SELECT FROM sessions WHERE expires_at < now() - interval '1 day'"
  await until(async () => (await a.pg.query(old)).rowCount === 0)
})
