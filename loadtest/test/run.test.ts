import { once } from 'node:events'
import { existsSync, chmodSync, readdirSync, readFileSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { inLoadtest, run, type Ended } from './cluster.js'

const scripts = readdirSync(inLoadtest('.')).filter((file) => file.endsWith('.ts'))

// In place of k6: writes down how it was called, and ends as k6 does when a threshold did not hold.
const dir = t.testdir({
  empty: {},
  bin: {
    k6: `#!/bin/sh
[ "$1" = version ] && exit 0
echo "$@" > "\${0%/*}/../called"
echo "BASE_URL=$BASE_URL K6_NO_USAGE_REPORT=$K6_NO_USAGE_REPORT report=$K6_WEB_DASHBOARD_EXPORT" >> "\${0%/*}/../called"
exit 99
`
  }
})
chmodSync(join(dir, 'bin/k6'), 0o755)
const called = (): string | undefined => {
  const file = join(dir, 'called')
  return existsSync(file) ? readFileSync(file, 'utf8') : undefined
}

const loadtest = (args: string[], env: Record<string, string> = {}): Promise<Ended> =>
  run(process.execPath, [inLoadtest('run.mjs'), ...args], {
    BASE_URL: undefined,
    K6_WEB_DASHBOARD: undefined,
    PATH: join(dir, 'bin'),
    ...env
  })

const server = createServer((socket) => socket.end()).listen(0, '127.0.0.1')
await once(server, 'listening')
t.teardown(() => server.close())
const listening = `http://127.0.0.1:${(server.address() as AddressInfo).port}`

t.test('without a script it lists every one with its question', async (t) => {
  for (const args of [[], ['--help'], ['-h'], ['revocation', '--help']]) {
    const { code, stdout } = await loadtest(args)
    t.equal(code, 0)
    for (const script of scripts) {
      const [question] = readFileSync(inLoadtest(script), 'utf8').split('\n')
      t.match(question, /^\/\/ .+\?$/, 'the first line of a script is its question')
      t.match(stdout.replace(/ +/g, ' '), `${script.replace('.ts', '')} ${question!.replace('// ', '')}\n`)
    }
  }
})

t.test('a script that is not there is an error that names those that are', async (t) => {
  for (const name of ['nope', '../loadtest/revocation', 'lib/api', '']) {
    const { code, stderr } = await loadtest([name, '--url', listening])
    t.equal(code, 2)
    const names = scripts.map((script) => script.replace('.ts', '')).sort()
    t.match(stderr, `There is no script '${name}'. There are: ${names.join(', ')}\n`)
  }
})

t.test('arguments that cannot be understood are an error', async (t) => {
  for (const [args, complaint] of [
    [['--quiet', 'revocation'], 'The name of the script comes first, before --quiet'],
    [['revocation', '--replicas'], '--replicas needs a value'],
    [['revocation', '--url='], '--url needs a value'],
    [['revocation', '--url', 'localhost:8080'], 'localhost:8080 is not a URL such as http://localhost:8080']
  ] as const) {
    const { code, stderr } = await loadtest([...args])
    t.equal(code, 2)
    t.match(stderr, complaint)
  }
})

t.test('where k6 is missing it says how to install it, and how to do without', async (t) => {
  const { code, stderr } = await loadtest(['revocation', '--url', listening], { PATH: join(dir, 'empty') })
  t.equal(code, 127)
  t.match(stderr, 'https://grafana.com/docs/k6/')
  for (const system of ['Debian', 'macOS', 'Windows']) t.match(stderr, system)
  t.match(stderr, 'docker compose --profile loadtest run --rm k6 revocation.ts\n')
})

t.test('where nothing listens it says how to start the cluster, and does not start k6', async (t) => {
  const dead = 'http://127.0.0.1:1'
  for (const [args, env] of [
    [['--url', dead], {}],
    [['-e', `BASE_URL=${dead}`], { BASE_URL: listening }],
    [[`--env=BASE_URL=${dead}`], {}],
    [[], { BASE_URL: dead }]
  ] as const) {
    const { code, stderr } = await loadtest(['revocation', ...args], env)
    t.equal(code, 1)
    t.match(stderr, `Nothing listens at ${dead}. Start the cluster first: npm start, or docker compose up`)
    t.equal(called(), undefined)
  }
})

t.test('it calls k6 with what it was given, and ends as k6 ends', async (t) => {
  const { code } = await loadtest([
    'cross-replica.ts',
    '--replicas',
    '5',
    `--url=${listening}`,
    '--quiet',
    '-e',
    'VUS=2'
  ])
  t.equal(code, 99)
  const script = inLoadtest('cross-replica.ts')
  t.equal(
    called(),
    `run --quiet -e VUS=2 -e REPLICAS=5 -e BASE_URL=${listening} ${script}\n` +
      `BASE_URL=${listening} K6_NO_USAGE_REPORT=true report=${inLoadtest('reports/cross-replica.html')}\n`
  )
  await loadtest(['cross-replica.ts', `--url=${listening}`], { K6_WEB_DASHBOARD: 'false' })
  t.match(called(), /report=\n$/, 'none where the dashboard is somebody else’s')
})
