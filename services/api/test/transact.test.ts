import { once } from 'node:events'
import { connect } from 'node:net'
import { freePort } from '@one-secret/local'
import pg from 'pg'
import t from 'tap'
import { CredentialsInvalid } from '../src/errors.js'
import { isPostgresUnavailable } from '../src/plugins/postgres.js'
import { transact } from '../src/transact.js'
import { buildReplica, startBackends } from './harness.js'

const { env } = await startBackends(t)

/** One connection, which is given up when it says nothing for 700 ms. */
const pool = new pg.Pool({ connectionString: env['DATABASE_URL'], max: 1, query_timeout: 700 })
pool.on('error', () => undefined)
t.teardown(() => pool.end())
const db = { connect: () => pool.connect() } as Parameters<typeof transact>[0]

await pool.query(`
  CREATE TABLE slow (id int);
  CREATE FUNCTION slow() RETURNS trigger AS $$ BEGIN PERFORM pg_sleep(2); RETURN NULL; END $$ LANGUAGE plpgsql;
  CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON slow DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION slow()`)

const pid = async (): Promise<number> => {
  const { rows } = await pool.query<{ pid: number }>('SELECT pg_backend_pid() AS pid')
  return rows[0]!.pid
}

t.test('nobody listens at any address of a name: it is as much down as where there is one', async (t) => {
  const port = await freePort()
  const addresses = ['127.0.0.1', '127.0.0.2'].map((address) => ({ address, family: 4 }))
  const socket = connect({
    host: 'two',
    port,
    autoSelectFamily: true,
    lookup: (_name, _options, found) => found(null, addresses)
  })
  const [error] = (await once(socket, 'error').catch((error: unknown) => [error])) as [Error]
  t.type(error, AggregateError)
  t.equal(isPostgresUnavailable(error), true)
  t.equal(isPostgresUnavailable(new AggregateError([new Error('a bug')])), false)
})

t.test('what the work returns is returned, and committed', async (t) => {
  t.equal(await transact(db, async (client) => (await client.query<{ n: number }>('SELECT 1 AS n')).rows[0]?.n), 1)
})

for (const [what, work] of [
  ['COMMIT', 'INSERT INTO slow VALUES (1)'],
  ['a statement', 'SELECT pg_sleep(2)']
] as const) {
  t.test(`no answer to ${what}: the connection is closed, and the next one serves at once`, async (t) => {
    const before = await pid()
    await t.rejects(
      transact(db, (client) => client.query(work)),
      /Query read timeout/
    )
    const after = await pid()
    t.not(after, before)
  })
}

t.test('an error of the work or of Postgres is rolled back, and the connection is kept', async (t) => {
  const before = await pid()
  await t.rejects(
    transact(db, async (client) => {
      await client.query('CREATE TABLE gone ()')
      throw new CredentialsInvalid()
    }),
    { code: 'CREDENTIALS_INVALID' }
  )
  await t.rejects(
    transact(db, (client) => client.query('SELECT 1 / 0')),
    { code: '22012' }
  )
  t.equal(await pid(), before)
  t.strictSame((await pool.query(`SELECT to_regclass('gone') AS gone`)).rows, [{ gone: null }])
})

t.test('a replica bounds a statement and a lock in Postgres itself', async (t) => {
  const app = await buildReplica(t, env)
  await t.rejects(app.pg.query('SELECT pg_sleep(2.3)'), { code: '57014' }, 'the statement')
  const holder = await pool.connect()
  await holder.query('BEGIN; LOCK TABLE users')
  const started = performance.now()
  await t.rejects(app.pg.query('SELECT FROM users'), { code: '55P03' }, 'the lock')
  t.ok(performance.now() - started < 1900, 'before the bound of the statement')
  await holder.query('ROLLBACK')
  holder.release()
})
