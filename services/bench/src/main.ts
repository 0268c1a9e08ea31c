import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { LocalError } from '@one-secret/local'
import { startBackends } from './backends.js'
import { costChart } from './charts.js'
import { judge } from './judge.js'
import { measureForms } from './measure.js'
import { HELP, parseOptions, type Options } from './options.js'
import { formatMarkdown } from './report.js'
import type { Results } from './results.js'
import { chooseClient } from './saturate.js'
import { createSigner } from './tokens.js'

const began = performance.now()
const say = (text: string): void => {
  const seconds = Math.round((performance.now() - began) / 1000)
  process.stderr.write(`${String(seconds).padStart(4)} s  ${text}\n`)
}

async function bench(options: Options, signal: AbortSignal): Promise<Results> {
  const { forms, rounds, seconds, rate, quick } = options
  const signer = await createSigner()
  say('starting Redis and Postgres')
  const backends = await startBackends(signer, signal)
  try {
    const { description } = backends
    const { name: client, saturate } = chooseClient()
    say(`${description}; requests by ${client}`)
    const common = { signer, saturate, signal, onProgress: say }
    const measurements = await measureForms(backends, { ...common, forms, rounds, seconds, rate })
    const date = new Date().toISOString().slice(0, 10)
    return { date, description, client, quick, forms, rounds, seconds, rate, measurements }
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
  const interrupted = new AbortController()
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(name, () => interrupted.abort(new LocalError('interrupted', { exitCode: 2 })))
  }
  const results = await bench(options, interrupted.signal)
  interrupted.signal.throwIfAborted()

  const { output } = options
  mkdirSync(output, { recursive: true })
  const markdown = formatMarkdown(results)
  writeFileSync(join(output, 'bench.md'), `${markdown}\n`)
  writeFileSync(join(output, 'bench.svg'), costChart(results))
  writeFileSync(join(output, 'bench.json'), `${JSON.stringify(results)}\n`)
  console.log(markdown)
  const missed = judge(results.measurements, results).filter(({ holds }) => !holds)
  for (const { claim, measured, must } of missed) say(`does not hold: ${claim}: ${measured}, must be ${must}`)
  process.exitCode = missed.length === 0 ? 0 : 1
} catch (error) {
  if (error instanceof LocalError) process.stderr.write(`bench: ${error.message}\n`)
  else console.error(error)
  process.exitCode = 2
}
