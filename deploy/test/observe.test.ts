import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { findBinary, freePort, startNginx, startProxy } from '@one-secret/local'
import t, { type Test } from 'tap'
import {
  newUsername,
  PASSWORD,
  readMetrics,
  spawnReplica,
  startBackends,
  type Replica,
  type TokenResponse
} from '../../services/api/test/harness.js'

const inDeploy = (file: string): string => fileURLToPath(new URL(`../${file}`, import.meta.url))
const read = (file: string): string => readFileSync(inDeploy(file), 'utf8')

const prometheus = findBinary('prometheus')
const promtool = findBinary('promtool')
const skip = prometheus === undefined || promtool === undefined ? 'prometheus and promtool are not on the PATH' : false

interface Panel {
  title: string
  type: string
  targets?: { expr: string }[]
}
const dashboard = JSON.parse(read('grafana/dashboards/one-secret.json')) as { panels: Panel[] }
const panels = dashboard.panels.filter(({ type }) => type !== 'row')

/** Runs promtool on a file of this folder, or on a text. */
async function check(args: string[], input = ''): Promise<{ code: number; output: string }> {
  return new Promise((resolve) => {
    const child = execFile(promtool!, args, { cwd: inDeploy('prometheus') }, (error, stdout, stderr) =>
      resolve({ code: error ? Number(error.code) : 0, output: stdout + stderr })
    )
    child.stdin!.end(input)
  })
}

/** The names of metrics that an expression of PromQL has. */
function metricsIn(expr: string): string[] {
  const bare = expr
    .replace(/"[^"]*"/g, '')
    .replace(/\{[^}]*\}|\[[^\]]*\]/g, '')
    .replace(/\b(by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)/g, '')
  const names = [...bare.matchAll(/[a-zA-Z_][\w:]*(?!\w*\s*\()/g)].map(([name]) => name)
  return names.filter((name) => !['or', 'and', 'unless', 'bool', 'offset'].includes(name))
}

t.test('promtool accepts the configuration, the rules and their tests', { skip }, async (t) => {
  for (const args of [
    ['check', 'config', 'prometheus.yml'],
    ['check', 'rules', 'alerts.yml'],
    ['test', 'rules', 'alerts.test.yml']
  ]) {
    const { code, output } = await check(args)
    t.equal(code, 0, `${args.join(' ')}\n${output}`)
  }
})

t.test('each alert has a test in which it fires and one in which it does not', async (t) => {
  const alerts = [...read('prometheus/alerts.yml').matchAll(/^ *- alert: (\w+)$/gm)].map(([, name]) => name!)
  t.ok(alerts.length >= 12)
  const checks = read('prometheus/alerts.test.yml').split(/^ *- expr: /m)
  for (const name of alerts) {
    const own = checks.filter((text) => text.startsWith(`'ALERTS{alertname="${name}",alertstate="firing"}'`))
    t.ok(
      own.some((text) => text.includes(`labels: 'ALERTS{alertname="${name}"`)),
      `${name} fires`
    )
    t.ok(
      own.some((text) => text.includes('exp_samples: []')),
      `${name} does not fire`
    )
  }
})

t.test('each panel asks a question, says how to read the answer, and has its own place', async (t) => {
  t.ok(panels.length >= 15)
  for (const panel of panels as (Panel & { description: string })[]) {
    t.match(panel.title, /\?$/)
    t.ok(panel.description, panel.title)
  }
  const areas = (dashboard.panels as unknown as { gridPos: Record<'x' | 'y' | 'w' | 'h', number> }[]).flatMap(
    ({ gridPos: { x, y, w, h } }) => Array.from({ length: w * h }, (_, i) => `${x + (i % w)},${y + Math.floor(i / w)}`)
  )
  t.equal(new Set(areas).size, areas.length, 'none lies on another')
})

interface Api {
  get<T>(path: string, query?: Record<string, string>): Promise<T>
}
interface Vector {
  result: { metric: Record<string, string>; value: [number, string] }[]
}
interface Rule {
  name: string
  query: string
  state: 'inactive' | 'pending' | 'firing'
  health: string
  lastError?: string
  evaluationTime: number
  alerts: { annotations: Record<string, string>; labels: Record<string, string> }[]
}

/** Prometheus with the configuration and the rules of compose, but for where the replicas are, and faster. */
async function startPrometheus(t: Test, replicas: Replica[]): Promise<Api> {
  const targets = replicas.map(({ url }) => new URL(url).host)
  const config = read('prometheus/prometheus.yml')
    .replace('[alerts.yml]', JSON.stringify([inDeploy('prometheus/alerts.yml')]))
    .replace(/_interval: \d+s/g, '_interval: 1s')
    .replace('scrape_timeout: 4s', 'scrape_timeout: 1s')
    .replace(/ dns_sd_configs:\n[^]*$/, ` static_configs: [{ targets: ${JSON.stringify(targets)} }]\n`)
  const directory = t.testdir({ 'prometheus.yml': config })
  const port = await freePort()
  const child = spawn(
    prometheus!,
    [
      `--config.file=${directory}/prometheus.yml`,
      `--storage.tsdb.path=${directory}/data`,
      `--web.listen-address=127.0.0.1:${port}`,
      '--log.level=warn'
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] }
  )
  let complaints = ''
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (complaints += chunk))
  const exited = once(child, 'exit')
  t.teardown(async () => {
    child.kill('SIGTERM')
    await exited
  })
  const url = `http://127.0.0.1:${port}`
  for (let i = 0; ; i++) {
    const answer = await fetch(`${url}/-/ready`).catch(() => undefined)
    if (answer?.status === 200) break
    if (child.exitCode !== null || i > 200) throw new Error(`Prometheus does not start: ${complaints}`)
    await sleep(50)
  }
  return {
    async get<T>(path: string, query: Record<string, string> = {}) {
      const response = await fetch(`${url}/api/v1/${path}?${new URLSearchParams(query).toString()}`)
      const { status, data, error } = (await response.json()) as { status: string; data: T; error?: string }
      if (status !== 'success') throw new Error(`${JSON.stringify(query)}: ${error}`)
      return data
    }
  }
}

const rulesOf = async (api: Api): Promise<Rule[]> =>
  (await api.get<{ groups: { rules: Rule[] }[] }>('rules')).groups.flatMap(({ rules }) => rules)

async function until(what: string, isSo: () => Promise<boolean>): Promise<void> {
  for (let i = 0; i < 300; i++) {
    if (await isSo()) return
    await sleep(100)
  }
  throw new Error(`not within 30 s: ${what}`)
}

/** Some of everything that a client can bring about. */
async function traffic(url: string): Promise<void> {
  const post = (path: string, body: object, headers: Record<string, string> = {}): Promise<Response> =>
    fetch(`${url}${path}`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...headers },
      body: JSON.stringify(body)
    })
  const bearer = (token: string): Record<string, string> => ({ authorization: `Bearer ${token}` })
  const ask = (path: string, headers: Record<string, string> = {}): Promise<Response> =>
    fetch(`${url}${path}`, { headers })
  const credentials = { username: newUsername(), password: PASSWORD }
  await post('/users', credentials)
  await post('/users', credentials)
  await post('/auth/login', { ...credentials, password: 'wrong' })
  await post('/auth/login', {})
  const { access_token, refresh_token } = (await (await post('/auth/login', credentials)).json()) as TokenResponse
  await post('/auth/refresh', { refresh_token: 'rt.nonsense' })
  const next = (await (await post('/auth/refresh', { refresh_token })).json()) as TokenResponse
  for (let i = 0; i < 5; i++) await ask('/whoami', bearer(access_token))
  await ask('/me', bearer(access_token))
  await ask('/whoami')
  await ask('/whoami', { authorization: 'Bearer a b' })
  await ask('/whoami', bearer('nonsense'))
  await ask('/health/ready')
  await ask('/nothing')
  await post('/auth/logout', {}, bearer(next.access_token))
  await ask('/whoami', bearer(access_token))
}

t.test('a running cluster, watched by Prometheus', { skip }, async (t) => {
  const { env } = await startBackends(t)
  const replicas = await Promise.all(
    ['one', 'two'].map((name) => spawnReplica(t, { ...env, REPLICA_NAME: name, TRUST_PROXY: '127.0.0.1' }))
  )
  const api = await startPrometheus(t, replicas)
  const query = (expr: string): Promise<Vector> =>
    api.get('query', { query: expr.replaceAll('$__rate_interval', '30s') })
  const exposed = await (await fetch(`${replicas[0]!.url}/metrics`)).text()
  const names = [...exposed.matchAll(/^# TYPE (\w+) /gm)].map(([, name]) => name!)
  const own = names.filter((name) => !/^(nodejs|process)_/.test(name))

  t.test('/metrics is answered by a replica, and by no balancer', async (t) => {
    const response = await fetch(`${replicas[0]!.url}/metrics`)
    t.equal(response.status, 200)
    t.match(response.headers.get('content-type'), 'text/plain; version=0.0.4')
    for (const start of [startNginx, startProxy]) {
      if (start === startNginx && findBinary('nginx') === undefined) {
        t.pass('nginx', { skip: 'nginx is not on the PATH' })
        continue
      }
      const balancer = await start({ replicas })
      const { status } = await fetch(`${balancer.url}/metrics`)
      t.equal(status, 404, balancer.kind)
      await balancer.stop()
    }
  })

  t.test('promtool has nothing to say about our metrics', async (t) => {
    const { output } = await check(['check', 'metrics'], exposed)
    t.strictSame(
      output.split('\n').filter((line) => line !== '' && !line.startsWith('nodejs_')),
      []
    )
  })

  t.test('deploy/README.md lists all of our metrics, and no others', async (t) => {
    const listed = [...read('README.md').matchAll(/^\| `(\w+)/gm)].map(([, name]) => name!)
    t.strictSame(listed.sort(), own.sort())
  })

  t.test('both are scraped, with what they say of themselves', async (t) => {
    await until('both are up', async () => (await query('up{job="api"} == 1')).result.length === 2)
    const { result } = await query('logins_total{outcome="success"}')
    t.strictSame(result.map(({ metric }) => metric['replica']).sort(), ['one', 'two'])
    t.strictSame([...new Set(result.map(({ value }) => value[1]))], ['0'], 'before anybody has logged in')
  })

  t.test('every panel of the dashboard has data', async (t) => {
    // A series of requests begins with its first answer, and has a rate from its second scrape on.
    const seen = async (): Promise<boolean> =>
      (await query('rate(http_request_duration_seconds_count{route="/auth/logout"}[30s]) > 0')).result.length === 2
    await until('traffic is seen', async () => {
      for (const { url } of replicas) await traffic(url)
      return seen()
    })
    for (const { title, targets = [] } of panels) {
      t.ok(targets.length > 0, title)
      for (const { expr } of targets) {
        for (const name of metricsIn(expr)) {
          const known = ['up', 'ALERTS', ...names].includes(name.replace(/_(bucket|sum|count)$/, ''))
          t.ok(known, `${name} is there`)
        }
        const { result } = await query(expr)
        // Nothing is to be acted on.
        t.ok(result.length > 0 || title === 'What must be acted on?', `${title} ${expr}`)
        t.notOk(
          result.some(({ value }) => value[1] === 'NaN' && !title.startsWith('Which routes')),
          `${title}: numbers`
        )
      }
    }
  })

  t.test('every outcome is seen that a client can bring about', async (t) => {
    const outcomes = async (name: string): Promise<string[]> =>
      (await query(`sum by (outcome) (${name}) > 0`)).result.map(({ metric }) => metric['outcome']!).sort()
    t.strictSame(await outcomes('token_verifications_total'), ['invalid', 'malformed', 'missing', 'valid'])
    t.strictSame(await outcomes('denylist_lookups_total'), ['clear', 'revoked'])
    t.strictSame(await outcomes('logins_total'), ['credentials_invalid', 'refused', 'success'])
    t.strictSame(await outcomes('refreshes_total'), ['invalid', 'success'])
    t.strictSame(await outcomes('revocations_published_total'), ['acknowledged'])
  })

  t.test('every alert is evaluated on what there is, and none is raised', async (t) => {
    for (const { name, query: expr, state, health, lastError } of await rulesOf(api)) {
      t.equal(health, 'ok', `${name} ${lastError ?? ''}`)
      t.equal(state, 'inactive', name)
      for (const metric of metricsIn(expr)) {
        const known = ['up', ...names].includes(metric.replace(/_(bucket|sum|count)$/, ''))
        t.ok(known, `${name}: ${metric} is there`)
      }
      await query(expr)
    }
  })

  t.test('a replica that is killed raises the alerts that are about it, and they say so', async (t) => {
    await replicas[1]!.kill('SIGKILL')
    const raised = async (): Promise<Rule[]> => (await rulesOf(api)).filter(({ state }) => state !== 'inactive')
    await until('two alerts', async () => (await raised()).length === 2)
    const rules = await raised()
    t.strictSame(rules.map(({ name }) => name).sort(), ['ReplicaDown', 'TooFewReplicas'])
    const { alerts } = rules.find(({ name }) => name === 'ReplicaDown')!
    t.match(alerts[0]!.annotations['summary'], new URL(replicas[1]!.url).host)
    t.equal(alerts[0]!.labels['severity'], 'warning')
  })

  t.test('the metrics of one that was asked are those that Prometheus has', async (t) => {
    const said = readMetrics(await (await fetch(`${replicas[0]!.url}/metrics`)).text())
    await until('the same number', async () => {
      const { result } = await query('logins_total{replica="one",outcome="success"}')
      return Number(result[0]?.value[1]) === said.get('logins_total{outcome="success"}')
    })
    t.ok(said.get('logins_total{outcome="success"}')! > 0)
  })
})
