import closeWithGrace from 'close-with-grace'
import { formatExamples, formatJson, formatTable } from './banner.js'
import { startCluster, type Cluster } from './cluster.js'
import { LocalError, messageOf } from './errors.js'
import { HELP, parseOptions, readVersion, type Options } from './options.js'

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/** Replaces every replica. Not SIGHUP, which says that the terminal has gone, nor SIGUSR1, which opens node's debugger. */
const ROLL_SIGNAL = 'SIGUSR2'

/** A second Ctrl-C within this time is the first one again, forwarded by npm. In milliseconds. */
const SAME_SIGNAL_MS = 1_000

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
    ...(options.verbose && { onServerLine: (name, line) => say(`[${name}] ${line}`) })
  })

  // Signals are ours: on a second one close-with-grace would exit at once, and under npm there always is a second one.
  const grace = closeWithGrace({ delay: 10_000, skip: [...SIGNALS, ROLL_SIGNAL] }, async ({ err }) => {
    if (err) console.error(err)
    interrupted.abort(new LocalError('interrupted'))
    const cluster = await starting.catch(() => undefined)
    await cluster?.stop()
    if (!options.json) say('stopped')
  })

  let firstAt: number | undefined
  const onSignal = (signal: NodeJS.Signals): void => {
    if (firstAt === undefined) {
      firstAt = performance.now()
      if (!options.json) say(`\n${signal}: stopping`)
      grace.close()
    } else if (performance.now() - firstAt > SAME_SIGNAL_MS) {
      say(`second ${signal}: killing what is left`)
      // The exit hooks of what still runs kill it and remove its files.
      process.exit(1)
    }
  }
  for (const signal of SIGNALS) process.on(signal, onSignal)
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
