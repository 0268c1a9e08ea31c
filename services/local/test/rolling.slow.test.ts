import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import t from 'tap'
import { startLoad } from '../../../loadtest/test/load.js'
import { findBinary } from '../src/binaries.js'
import { isRunning } from './processes.js'
import { launch, useOwnTempDir } from './launch.js'
import { until } from './waiting.js'

useOwnTempDir(t)

const env = { LOGIN_LIMIT_PER_ACCOUNT: '0', LOGIN_LIMIT_PER_ADDRESS: '0' }

for (const kind of ['embedded', 'nginx']) {
  const skip = kind === 'nginx' && findBinary('nginx') === undefined && 'needs nginx on the PATH'
  t.test(`${kind}: every replica is replaced under load, and nothing is lost or done twice`, { skip }, async (t) => {
    const launcher = launch(t, ['--json', '--port', '0', '--balancer', kind], env)
    const { pid, roll, balancer, replicas, postgres } = await launcher.ready()
    t.equal(roll, `kill -USR2 ${pid}`)

    const inPostgres = async <T extends pg.QueryResultRow>(text: string): Promise<T[]> => {
      const client = new pg.Client(postgres.url)
      await client.connect()
      return (await client.query<T>(text).finally(() => client.end())).rows
    }
    // As where the new build has a migration more.
    await inPostgres("DELETE FROM migrations WHERE name LIKE '0004%'")
    await inPostgres('DROP INDEX sessions_expires_at_idx')
    const load = startLoad(balancer)
    await sleep(500)
    process.kill(pid, 'SIGUSR2')
    await until(() => launcher.stderr().includes('all 3 replicas have been replaced'), 60_000)
    await sleep(500)
    const { requests, failures, sql, acknowledged } = await load.stop()
    t.comment(
      `IN SHORT every replica is replaced behind ${kind}: ${failures.length} of ${requests} requests failed; ` +
        `${acknowledged.length} users with their sessions and refreshes acknowledged`
    )
    t.strictSame(failures, [])
    t.ok(requests > 200, `${requests} requests`)

    const rows = await inPostgres<{ line: string }>(sql)
    t.strictSame(rows.map(({ line }) => line).sort(), acknowledged, 'everything acknowledged was done, once')

    const [found] = await inPostgres<{ index: string | null }>(
      "SELECT to_regclass('sessions_expires_at_idx')::text AS index"
    )
    t.equal(found?.index, 'sessions_expires_at_idx', 'what it needs of the schema came first')

    const said = launcher.stderr()
    for (const { name, pid, url } of replicas) {
      t.match(said, new RegExp(`^\\[${name}\\] is being replaced, pid ${pid}\n\\[${name}\\] is back, pid \\d+$`, 'm'))
      t.notOk(isRunning(pid), `${name}: the old process has ended`)
      t.match(await (await fetch(`${url}/health/ready`)).json(), { status: 'ready', replica: name }, 'where it was')
    }
  })
}
