import { spawn, spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { dirname, join } from 'node:path'
import process from 'node:process'
import { fileURLToPath, URL } from 'node:url'

const here = dirname(fileURLToPath(import.meta.url))
const DEFAULT_URL = 'http://localhost:8080'
const CONNECT_TIMEOUT_MS = 3_000
/** As a shell says it of a program that it does not find. */
const NOT_FOUND = 127

/** The scripts beside this file, each with its first line, which is the question it answers. */
const scripts = new Map(
  readdirSync(here)
    .filter((file) => file.endsWith('.ts'))
    .sort()
    .map((file) => [file.slice(0, -'.ts'.length), firstLine(file).replace(/^\/\/ */, '')])
)

/** @param {string} file */
function firstLine(file) {
  return readFileSync(join(here, file), 'utf8').split(/\r?\n/, 1)[0] ?? ''
}

function help() {
  const width = Math.max(...[...scripts.keys()].map((name) => name.length))
  return `npm run loadtest -- <script> [--replicas <n>] [--url <balancer>] [k6's own arguments…]

${[...scripts].map(([name, question]) => `  ${name.padEnd(width)}  ${question}`).join('\n')}

  --replicas <n>     how many replicas there are (3); the same as -e REPLICAS=<n>
  --url <balancer>   where the balancer is (${DEFAULT_URL}); the same as -e BASE_URL=<balancer>

Everything else is handed to k6 run, for example -e DURATION=1m -e VUS=50. It ends with k6's exit code: 0 if every
threshold held, 99 if one did not. What they mean: loadtest/README.md.
`
}

const noK6 = `k6 is not on the PATH. How to install it (https://grafana.com/docs/k6/latest/set-up/install-k6/):

  macOS            brew install k6
  Windows          winget install k6 --source winget      (or: choco install k6)
  Debian, Ubuntu   curl -fsSL https://dl.k6.io/key.gpg \\
                     | sudo gpg --dearmor -o /usr/share/keyrings/k6-archive-keyring.gpg
                   echo "deb [signed-by=/usr/share/keyrings/k6-archive-keyring.gpg] https://dl.k6.io/deb stable main" \\
                     | sudo tee /etc/apt/sources.list.d/k6.list
                   sudo apt-get update && sudo apt-get install k6

Or without installing it, against the cluster of docker compose:

  docker compose --profile loadtest run --rm k6 `

/**
 * @param {string} message
 * @param {number} exitCode
 * @returns {never}
 */
function fail(message, exitCode) {
  process.stderr.write(`${message}\n`)
  process.exit(exitCode)
}

/**
 * Takes our own options out of the arguments.
 * @param {string[]} args
 */
function parse(args) {
  /** @type {string[]} */
  const rest = []
  /** @type {{ '--replicas'?: string, '--url'?: string }} */
  const own = {}
  for (let index = 0; index < args.length; index++) {
    const [, option, inline] = /^(--replicas|--url)(?:=(.*))?$/s.exec(args[index]) ?? []
    if (option === undefined) {
      rest.push(args[index])
      continue
    }
    const value = inline ?? args[++index]
    if (!value) fail(`${option} needs a value (--help says more)`, 2)
    own[option] = value
  }
  if (own['--replicas'] !== undefined) rest.push('-e', `REPLICAS=${own['--replicas']}`)
  if (own['--url'] !== undefined) rest.push('-e', `BASE_URL=${own['--url']}`)
  return rest
}

/**
 * What k6 is going to take for a setting: the last `-e NAME=value`, or the environment's.
 * @param {string[]} args
 * @param {string} name
 */
function setting(args, name) {
  const values = args.flatMap((arg, index) => {
    const pair = /^(?:-e=?|--env=)(.+)$/s.exec(arg)?.[1] ?? (/^(?:-e|--env)$/.test(arg) ? args[index + 1] : undefined)
    return pair?.startsWith(`${name}=`) ? [pair.slice(name.length + 1)] : []
  })
  return values.at(-1) ?? process.env[name]
}

/**
 * Whether somebody accepts connections there.
 * @param {URL} url
 * @returns {Promise<boolean>}
 */
function listens({ hostname, port, protocol }) {
  return new Promise((resolve) => {
    const socket = connect({
      host: hostname.replace(/^\[|\]$/g, ''),
      port: Number(port) || (protocol === 'https:' ? 443 : 80),
      timeout: CONNECT_TIMEOUT_MS
    })
    /** @param {boolean} answer */
    const say = (answer) => {
      socket.destroy()
      resolve(answer)
    }
    socket.on('connect', () => say(true))
    socket.on('error', () => say(false))
    socket.on('timeout', () => say(false))
  })
}

const [wanted, ...k6Arguments] = parse(process.argv.slice(2))
if (wanted === undefined || [wanted, ...k6Arguments].some((argument) => argument === '--help' || argument === '-h')) {
  process.stdout.write(help())
  process.exit(0)
}

const name = wanted.replace(/\.ts$/, '')
if (wanted.startsWith('-')) fail(`The name of the script comes first, before ${wanted} (--help lists them)`, 2)
if (!scripts.has(name)) fail(`There is no script '${wanted}'. There are: ${[...scripts.keys()].join(', ')}`, 2)
if (k6Arguments[0] !== undefined && !k6Arguments[0].startsWith('-')) {
  fail(`What is '${k6Arguments[0]}'? Options go after --, as in npm run loadtest -- ${name} --replicas 4`, 2)
}

if (spawnSync('k6', ['version'], { stdio: 'ignore' }).error) fail(`${noK6}${name}.ts`, NOT_FOUND)

const base = setting(k6Arguments, 'BASE_URL') || DEFAULT_URL
if (!/^https?:\/\//.test(base) || !URL.canParse(base)) fail(`${base} is not a URL such as ${DEFAULT_URL}`, 2)
if (!(await listens(new URL(base)))) {
  fail(`Nothing listens at ${base}. Start the cluster first: npm start, or docker compose up --build`, 1)
}

// The report is kept, unless somebody has said what is to be drawn and where. Without a port: it would be one more that may be
// taken, and k6 would stay for as long as a browser looks.
const dashboard =
  process.env.K6_WEB_DASHBOARD === undefined
    ? {
        K6_WEB_DASHBOARD: 'true',
        K6_WEB_DASHBOARD_PORT: '-1',
        K6_WEB_DASHBOARD_PERIOD: '1s',
        K6_WEB_DASHBOARD_EXPORT: join(here, 'reports', `${name}.html`)
      }
    : {}
// k6 does not make the folder of its report.
const report = dashboard.K6_WEB_DASHBOARD_EXPORT ?? process.env.K6_WEB_DASHBOARD_EXPORT
if (report) mkdirSync(dirname(report), { recursive: true })

const k6 = spawn('k6', ['run', ...k6Arguments, join(here, `${name}.ts`)], {
  stdio: 'inherit',
  env: { ...process.env, ...dashboard, BASE_URL: base, K6_NO_USAGE_REPORT: 'true' }
})
// Ctrl-C reaches k6 too, which then still writes its summary: wait for that.
process.on('SIGINT', () => undefined)
process.on('SIGTERM', () => k6.kill('SIGTERM'))
k6.on('error', ({ message }) => fail(`k6 cannot be started: ${message}`, 1))
k6.on('exit', (code) => process.exit(code ?? 1))
