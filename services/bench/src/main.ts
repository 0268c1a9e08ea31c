import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { LocalError, untilInterrupted } from '@one-secret/local'
import { startBackends } from './backends.js'
import { measureBehindNginx } from './behind-nginx.js'
import { costChart } from './charts.js'
import { measureGrowth } from './growth.js'
import { judge, judgeBehindNginx, judgeGrowth, type Verdict } from './judge.js'
import { measureForms } from './measure.js'
import { HELP, parseOptions, type Options } from './options.js'
import { formatForms, formatGrowth, formatNginx } from './report.js'
import { chooseClient } from './saturate.js'
import { createSigner } from './tokens.js'

const began = performance.now()
const say = (text: string): void => {
  const seconds = Math.round((performance.now() - began) / 1000)
  process.stderr.write(`${String(seconds).padStart(4)} s  ${text}\n`)
}

/** What is to be written, by the ending of its name, and what it comes to. */
interface Report {
  name: string
  files: Record<string, string>
  verdicts: readonly Verdict[]
}

async function bench(options: Options, signal: AbortSignal): Promise<Report> {
  const { mode, forms, rounds, seconds, rate, quick } = options
  const signer = await createSigner()
  say('starting Redis and Postgres')
  const backends = await startBackends(signer, signal)
  try {
    const { description } = backends
    say(description)
    const common = { rounds, seconds, rate, quick, signer, signal, onProgress: say }
    const date = new Date().toISOString().slice(0, 10)
    const conditions = { date, description, quick, rounds, seconds, rate }
    const toFiles = (md: string, results: object): Record<string, string> => ({
      md: `${md}\n`,
      json: `${JSON.stringify(results)}\n`
    })
    if (mode === 'growth') {
      const results = { ...conditions, rows: await measureGrowth(backends, common) }
      const verdicts = judgeGrowth(results.rows, options)
      return { name: 'bench-growth', files: toFiles(formatGrowth(results), results), verdicts }
    }
    if (mode === 'nginx') {
      const results = { ...conditions, nginx: await measureBehindNginx(backends, common) }
      const verdicts = judgeBehindNginx(results.nginx, options)
      return { name: 'bench-nginx', files: toFiles(formatNginx(results), results), verdicts }
    }
    const { name: client, saturate } = chooseClient()
    const measurements = await measureForms(backends, { ...common, forms, saturate })
    const results = { ...conditions, client, forms, measurements }
    const chart = forms.includes('bare') ? { svg: costChart(results) } : {}
    const verdicts = judge(measurements, options)
    return { name: 'bench', files: { ...toFiles(formatForms(results), results), ...chart }, verdicts }
  } finally {
    say('stopping it all')
    await backends.close()
  }
}

try {
  const options = parseOptions(process.argv.slice(2))
  if (options.help) {
    console.log(HELP)
    process.exit(0)
  }
  const { output } = options
  // Now, and not when all has been measured.
  mkdirSync(output, { recursive: true })
  const interrupted = untilInterrupted(say)
  const { name, files, verdicts } = await bench(options, interrupted)
  interrupted.throwIfAborted()

  for (const [ending, text] of Object.entries(files)) writeFileSync(join(output, `${name}.${ending}`), text)
  console.log(files['md'])
  const missed = verdicts.filter(({ holds }) => !holds)
  for (const { claim, measured, must } of missed) say(`does not hold: ${claim}: ${measured}, must be ${must}`)
  process.exitCode = missed.length === 0 ? 0 : 1
} catch (error) {
  if (error instanceof LocalError) process.stderr.write(`bench: ${error.message}\n`)
  else console.error(error)
  process.exitCode = 2
}
