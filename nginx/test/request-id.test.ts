import { setTimeout as sleep } from 'node:timers/promises'
import { findBinary, startNginx, startProxy } from '@one-secret/local'
import t from 'tap'
import { newUsername, PASSWORD, spawnReplica, startBackends } from '../../services/api/test/harness.js'

/** The lines that are JSON; a replica writes nothing else, nginx its access log. */
const parse = (lines: string[]): Record<string, unknown>[] =>
  lines.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line) as Record<string, unknown>)

async function until<T>(find: () => T | undefined | Promise<T | undefined>): Promise<T> {
  for (let i = 0; i < 150; i++) {
    const found = await find()
    if (found !== undefined) return found
    await sleep(20)
  }
  throw new Error('not within 3 s')
}

for (const kind of ['nginx', 'embedded'] as const) {
  const skip = kind === 'nginx' && findBinary('nginx') === undefined ? 'nginx is not on the PATH' : false

  t.test(`balancer ${kind}: a request that failed is found in every log by its id`, { skip }, async (t) => {
    const { env, redis } = await startBackends(t)
    const replicas = await Promise.all(
      ['one', 'two'].map((name) => spawnReplica(t, { ...env, REPLICA_NAME: name, TRUST_PROXY: '127.0.0.1' }))
    )
    const lines: string[] = []
    const start = kind === 'nginx' ? startNginx : startProxy
    const balancer = await start({ replicas, onLine: (line) => lines.push(line) })
    t.teardown(() => balancer.stop())

    const credentials = JSON.stringify({ username: newUsername(), password: PASSWORD })
    const post = (path: string): Promise<Response> =>
      fetch(`${balancer.url}${path}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: credentials
      })
    await post('/users')
    const { access_token: token } = (await (await post('/auth/login')).json()) as { access_token: string }
    await redis.stop()
    const headers = { authorization: `Bearer ${token}`, 'x-request-id': 'chosen-by-the-client' }
    // For as long as a lease holds, nothing is amiss.
    const response = await until(async () => {
      const answer = await fetch(`${balancer.url}/whoami`, { headers })
      return answer.status === 503 ? answer : undefined
    })
    t.match(await response.json(), { code: 'REVOCATION_UNKNOWN' })
    const id = response.headers.get('x-request-id')!
    t.match(id, /^[\w-]{16,}$/)
    t.not(id, 'chosen-by-the-client')

    for (const [i, { output }] of replicas.entries()) {
      const line = await until(() => parse(output().split('\n').slice(0, -1)).find(({ reqId }) => reqId === id))
      t.match(
        line,
        { level: 40, replica: ['one', 'two'][i], reqId: id, err: { code: 'REVOCATION_UNKNOWN' } },
        'each replica that was asked'
      )
    }
    // The embedded one, for a machine without nginx, keeps no log.
    if (kind === 'embedded') return
    const line = await until(() => parse(lines).find(({ request_id }) => request_id === id))
    t.match(line, { method: 'GET', path: '/whoami', status: 503, upstream_status: '503, 503', served_by: String })
  })
}
