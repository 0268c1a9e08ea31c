import closeWithGrace from 'close-with-grace'
import type { FastifyInstance, FastifyServerOptions } from 'fastify'
import { pino } from 'pino'
import { ConfigError, readConfig, type Config } from './config.js'
import { IDLE_CONNECTIONS_MS } from './plugins/drain.js'

/**
 * Runs one replica, from its environment to its end: an error that the operator can mend is one line, and SIGTERM lets it finish
 * what it has.
 *
 * @param onHangup what SIGHUP does, once it runs; until then, and without it, nothing
 */
export async function serve<App extends FastifyInstance>(
  build: (config: Config, logger: FastifyServerOptions['logger']) => Promise<App>,
  onHangup: (app: App) => unknown = () => undefined
): Promise<void> {
  // From the first moment on: without somebody who listens for it, SIGHUP would end the process.
  let hangup = (): void => undefined
  process.on('SIGHUP', () => hangup())

  const config = configOrExit()

  // Buffered: writing a line to a pipe at once costs as much as verifying a token.
  const destination = pino.destination({ dest: 1, sync: false })
  const app = await build(config, {
    level: config.logLevel,
    base: { replica: config.replicaName },
    redact: [
      'req.headers.authorization',
      'req.headers.cookie',
      'err.command',
      'err.cause.command',
      'err.client',
      'err.cause.client'
    ],
    stream: destination
  }).catch((error: unknown) => {
    console.error(`one-secret cannot start: ${(error as Error).message}`)
    process.exit(1)
  })

  hangup = () => void onHangup(app)

  const leastGraceMs = config.shutdownDrainMs + IDLE_CONNECTIONS_MS
  if (config.shutdownGraceMs <= leastGraceMs) {
    app.log.warn(
      `SHUTDOWN_GRACE_MS is not above ${leastGraceMs}, SHUTDOWN_DRAIN_MS and the time that connections are given to end: ` +
        'what is under way after it will be cut off'
    )
  }
  const grace = closeWithGrace(
    { delay: config.shutdownGraceMs, logger: app.log, skip: ['SIGHUP'] },
    async ({ err, signal }) => {
      if (err) app.log.fatal({ err }, 'unexpected error, closing')
      else app.log.info({ signal }, 'closing')
      await app.close()
      destination.flushSync()
    }
  )
  // A supervisor that holds an IPC channel to this process and dies must not leave it behind.
  process.once('disconnect', () => void grace.close())

  await app.listen({ host: config.host, port: config.port }).catch((error: unknown) => {
    console.error(`one-secret cannot listen: ${(error as Error).message}`)
    process.exit(1)
  })
}

function configOrExit(): Config {
  try {
    return readConfig(process.env)
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error
    console.error(`one-secret cannot start: ${error.message}`)
    process.exit(1)
  }
}
