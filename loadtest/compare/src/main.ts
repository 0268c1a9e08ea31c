import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { LocalError, untilInterrupted, usage, usageOf, wholeNumber } from '@one-secret/local'
import { timelineChart } from './charts.js'
import { startCompose } from './compose.js'
import { measureCosts, measureMemory } from './costs.js'
import { judge, type Results } from './judge.js'
import { startProcesses } from './processes.js'
import { formatHtml, formatMarkdown } from './report.js'
import { runTimeline } from './timeline.js'
import { createVisitors } from './visitors.js'

const HELP = `Four ways to stay logged in, under the same load and the same kills: sessions in memory behind round robin, behind a sticky
cookie, sessions in Redis, signed tokens; and signed tokens with one login a user. Starts a cluster of its own, takes some
minutes, and writes a report.

  npm run compare -- [options]

  --compose          with the containers of docker-compose.yml, not with processes of this machine
  --quick            1,000 people for the memory, and not up to 100,000; saturation for a short time
  --replicas <n>     servers of each kind, 2 to 8 (3)
  --output <folder>  where the report goes: compare.md, compare.html, compare.svg, compare.json (loadtest/reports)
  -h, --help

Exit codes: 0 all that is claimed holds, 1 something does not, 2 it could not be run.`

const REPORTS = fileURLToPath(new URL('../../reports', import.meta.url))

function parse(args: string[]) {
  try {
    const { values } = parseArgs({
      args,
      options: {
        compose: { type: 'boolean', default: false },
        quick: { type: 'boolean', default: false },
        replicas: { type: 'string', default: '3' },
        output: { type: 'string', default: REPORTS },
        help: { type: 'boolean', short: 'h', default: false }
      }
    })
    const replicas = wholeNumber('replicas', values.replicas, 2, 8)
    if (values.output === '') throw usage('--output must name a folder')
    return { ...values, replicas }
  } catch (error) {
    if (error instanceof LocalError) throw error
    throw usageOf(error)
  }
}

const began = performance.now()
const say = (text: string): void => {
  const seconds = Math.round((performance.now() - began) / 1000)
  process.stderr.write(`${String(seconds).padStart(4)} s  ${text}\n`)
}

async function compare(options: ReturnType<typeof parse>, signal: AbortSignal): Promise<Results> {
  const { quick, replicas } = options
  say('starting the servers of every lane')
  const cluster = await (options.compose ? startCompose : startProcesses)(replicas, signal)
  const visitors = createVisitors(cluster, signal)
  try {
    say(cluster.description)
    const costs = await measureCosts(cluster, visitors, {
      rounds: quick ? 1 : 3,
      roundSeconds: quick ? 2 : 4,
      onProgress: say
    })
    signal.throwIfAborted()
    const memory = await measureMemory(cluster, visitors, {
      steps: quick ? [1_000] : [1_000, 10_000, 100_000],
      onProgress: say
    })
    signal.throwIfAborted()
    const timeline = await runTimeline(cluster, visitors, { visitors: 20, rate: 40, signal, onProgress: say })
    const date = new Date().toISOString().slice(0, 10)
    return { description: cluster.description, date, replicas, timeline, costs, memory }
  } catch (error) {
    // What fails once it has been interrupted, fails because of that.
    signal.throwIfAborted()
    throw error
  } finally {
    await visitors.close()
    say('stopping it all')
    await cluster.close()
  }
}

try {
  const options = parse(process.argv.slice(2))
  if (options.help) {
    console.log(HELP)
    process.exit(0)
  }
  const { output } = options
  // Now, and not when all has been measured.
  mkdirSync(output, { recursive: true })
  const interrupted = untilInterrupted(say)
  const results = await compare(options, interrupted)
  interrupted.throwIfAborted()

  const markdown = formatMarkdown(results)
  writeFileSync(join(output, 'compare.md'), `${markdown}\n`)
  writeFileSync(join(output, 'compare.html'), formatHtml(results))
  writeFileSync(join(output, 'compare.svg'), timelineChart(results))
  writeFileSync(join(output, 'compare.json'), `${JSON.stringify(results)}\n`)
  console.log(markdown)
  say(`the report is ${join(output, 'compare.html')}`)
  process.exitCode = judge(results).every(({ holds }) => holds) ? 0 : 1
} catch (error) {
  if (error instanceof LocalError) process.stderr.write(`compare: ${error.message}\n`)
  else console.error(error)
  process.exitCode = 2
}
