/** `npm run profile`: what the processor does while tokens are checked, as a flame graph. */
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import type { Profiler } from 'node:inspector'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { LocalError, untilInterrupted, usageOf, wholeNumber } from '@one-secret/local'
import { startBackends } from './backends.js'
import { makeCredentials } from './credentials.js'
import { flameGraph } from './flame-graph.js'
import { FORMS } from './forms.js'
import { chooseClient } from './saturate.js'
import { createSigner } from './tokens.js'

const HELP = `Asks one replica for GET /whoami as fast as it goes, and writes what its processor did.

  npm run profile -- [options]

  --first-seen       each token for the first time, in place of the same hundred again and again
  --seconds <n>      how long, 1 to 60 (8)
  --output <folder>  where hot-path.svg and hot-path.cpuprofile go (loadtest/reports)
  -h, --help

hot-path.svg is a flame graph for a browser; hot-path.cpuprofile opens in Chrome's developer tools (Performance),
in VS Code and in speedscope.app. CONTRIBUTING.md says how to read them.`

/** The module a file: in the bundle all functions come from one. */
const SERVER = fileURLToPath(new URL('../../api/dist/server.js', import.meta.url))
const PROFILER = new URL('profiler.js', import.meta.url).href
const REPORTS = fileURLToPath(new URL('../../../loadtest/reports', import.meta.url))

/** How long a replica may take to write its profile, in milliseconds. */
const WRITTEN_WITHIN_MS = 20_000

/** More than any replica answers in a second, for each a token of its own. */
const MOST_A_SECOND = 20_000

const say = (text: string): void => void process.stderr.write(`${text}\n`)

async function profile(seconds: number, firstSeen: boolean, output: string): Promise<void> {
  const signal = untilInterrupted(say)
  mkdirSync(output, { recursive: true })
  const file = join(output, 'hot-path.cpuprofile')
  rmSync(file, { force: true })

  const signer = await createSigner()
  say('starting Redis, Postgres and a replica')
  const backends = await startBackends(signer, signal)
  try {
    const env = { NODE_OPTIONS: `--import=${PROFILER}`, PROFILE: file }
    const replica = await backends.start({ name: 'api', script: SERVER, env })
    const { name, saturate } = chooseClient()
    const form = firstSeen ? FORMS['lease-first-seen'] : FORMS.lease
    const ask = async (seconds: number): Promise<number> => {
      const headers = await makeCredentials(form, replica.url, signer, MOST_A_SECOND * seconds)
      const { requests } = await saturate({ url: replica.url, headers, seconds, signal })
      return requests
    }
    say(`warming up, with ${name}`)
    await ask(3)
    say(`profiling for ${seconds} s`)
    process.kill(replica.pid, 'SIGWINCH')
    const requests = await ask(seconds)
    process.kill(replica.pid, 'SIGWINCH')
    for (let waitedMs = 0; !existsSync(file); waitedMs += 50) {
      if (waitedMs > WRITTEN_WITHIN_MS) throw new LocalError('the replica wrote no profile')
      await sleep(50)
    }
    const tokens = firstSeen ? 'each token for the first time' : 'the same tokens again'
    const title = `GET /whoami, ${tokens}: ${requests.toLocaleString('en')} requests in ${seconds} s`
    const svg = join(output, 'hot-path.svg')
    writeFileSync(svg, flameGraph(JSON.parse(readFileSync(file, 'utf8')) as Profiler.Profile, title))
    say(`${title}\n${svg}\n${file}`)
  } finally {
    await backends.close()
  }
}

function parse() {
  try {
    const { values } = parseArgs({
      options: {
        'first-seen': { type: 'boolean', default: false },
        seconds: { type: 'string', default: '8' },
        output: { type: 'string', default: REPORTS },
        help: { type: 'boolean', short: 'h', default: false }
      }
    })
    return { ...values, seconds: wholeNumber('seconds', values.seconds, 1, 60) }
  } catch (error) {
    throw error instanceof LocalError ? error : usageOf(error)
  }
}

try {
  const { help, seconds, 'first-seen': firstSeen, output } = parse()
  if (help) console.log(HELP)
  else await profile(seconds, firstSeen, output)
} catch (error) {
  if (error instanceof LocalError) say(`profile: ${error.message}`)
  else console.error(error)
  process.exitCode = 2
}
