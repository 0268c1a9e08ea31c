import { randomInt } from 'node:crypto'
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { LocalError, untilInterrupted } from '@one-secret/local'
import { startCompose } from './compose.js'
import { keepHistory } from './history.js'
import { judge } from './judge.js'
import { HELP, parseOptions, type Options } from './options.js'
import { startProcesses } from './processes.js'
import { formatTable, formatViolations } from './report.js'
import { run } from './run.js'

const say = (text: string): void => void process.stderr.write(`${text}\n`)

/** @returns the exit code */
async function check(options: Options): Promise<number> {
  const signal = untilInterrupted(say)

  const started = performance.now()
  const { replicas, api: script } = options
  const cluster = options.compose
    ? await startCompose({ ...options, signal })
    : await startProcesses({ ...options, script, signal })
  let result
  try {
    say(`${cluster.description}; seed ${options.seed}`)
    result = await run(cluster, options, say, signal)
  } finally {
    await cluster.close()
  }

  const { history, skips } = result
  const verdict = judge(history)
  const seconds = Math.round((performance.now() - started) / 1000)
  console.log(formatTable(verdict, skips, options.markdown))
  console.log(`\n${verdict.probes} probes of ${replicas} replicas in ${seconds} s, seed ${options.seed}`)
  const { violations } = verdict
  if (violations.length > 0) console.log(`\n${formatViolations(verdict)}`)
  if (violations.length > 0 || options.keep) {
    const folder = mkdtempSync(join(tmpdir(), 'one-secret-revocation-'))
    await keepHistory(folder, history, cluster.lines)
    console.log(`\nThe record is kept in ${folder}`)
  }
  if (violations.length > 0) {
    console.log(`\n${violations.length} ${violations.length === 1 ? 'violation' : 'violations'}`)
    return 1
  }
  if (skips.length > 0 && (options.strict || skips.length === options.faults.length)) {
    console.log(
      `\nno violation, but ${skips.length} of ${options.faults.length} faults could not be injected${options.strict ? ' (--strict)' : ''}`
    )
    return 2
  }
  console.log('\nno violation')
  return 0
}

try {
  const options = parseOptions(process.argv.slice(2), randomInt(2 ** 32))
  if (options.help) console.log(HELP)
  else process.exitCode = await check(options)
} catch (error) {
  if (error instanceof LocalError) say(`check:revocation: ${error.message}`)
  else console.error(error)
  process.exitCode = 2
}
