import closeWithGrace from 'close-with-grace'
import { formatExamples, formatJson, formatTable } from './banner.js'
import { startCluster, type Cluster } from './cluster.js'
import { LocalError, messageOf } from './errors.js'
import { HELP, parseOptions, readVersion, type Options } from './options.js'
import { ENDING, onSignals } from './signals.js'

/** Replaces every replica. Not SIGHUP, which says that the terminal has gone, nor SIGUSR1, which opens node's debugger. */
const ROLL_SIGNAL = 'SIGUSR2'

const say = (text: string): void => void process.stderr.write(`${text}\n`)

/** Ends with one line for the person, or the stack trace of what is our own mistake. */
function fail(error: unknown): never {
  if (error instanceof LocalError) say(`one-secret: ${error.message}`)
  else console.error(error)
  process.exit(error instanceof LocalError ? error.exitCode : 1)
}

/** Never rejects: what is wrong is said, and what runs goes on. */
async function roll(starting: Promise<Cluster>, interrupted: AbortSignal): Promise<void> {
  try {
    const cluster = await starting
    await cluster.roll()
    say(`all ${cluster.replicas.length} replicas have been replaced`)
  } catch (error) {
    if (!interrupted.aborted) say(`one-secret: ${messageOf(error)}`)
  }
}

async function run(options: Options): Promise<void> {
  const interrupted = new AbortController()
  const starting = startCluster({
    ...options,
    env: process.env,
    signal: interrupted.signal,
    onStep: (part, afterMs, detail) => say(`${part.padEnd(8)}  ready in ${(afterMs / 1000).toFixed(1)} s  ${detail}`),
    onReplicaLine: (name, line) => say(`[${name}] ${line}`),
    onServerEnd: (name, why) => say(`[${name}] ${why}, and is not started again: stop all of it, and start it anew`),
    ...(options.verbose && { onServerLine: (name, line) => say(`[${name}] ${line}`) })
  })

  // Signals are ours: on a second one close-with-grace would exit at once, and under npm there always is a second one.
  const grace = closeWithGrace({ delay: 10_000, skip: [...ENDING, ROLL_SIGNAL] }, async ({ err }) => {
    if (err) console.error(err)
    interrupted.abort(new LocalError('interrupted'))
    const cluster = await starting.catch(() => undefined)
    await cluster?.stop()
    if (!options.json) say('stopped')
  })

  onSignals(
    (signal) => {
      if (!options.json) say(`\n${signal}: stopping`)
      grace.close()
    },
    (signal) => say(`second ${signal}: killing what is left`)
  )
  process.on(ROLL_SIGNAL, () => void roll(starting, interrupted.signal))

  const cluster = await starting.catch((error: unknown) => {
    // Interrupted: what comes next is close-with-grace's to do.
    if (interrupted.signal.aborted) return undefined
    return fail(error)
  })
  if (!cluster || interrupted.signal.aborted) return
  if (options.json) process.stdout.write(`${formatJson(cluster)}\n`)
  else say(`\n${formatTable(cluster)}\n\n${formatExamples(cluster)}\n`)
}

try {
  const options = parseOptions(process.argv.slice(2))
  if (options.help) console.log(HELP)
  else if (options.version) console.log(readVersion())
  else await run(options)
} catch (error) {
  fail(messageOf(error) === '' ? new LocalError('failed') : error)
}
