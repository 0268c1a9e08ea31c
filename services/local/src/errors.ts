/** Something the person at the terminal can put right: shown as one line, without a stack trace. */
export class LocalError extends Error {
  /** Exit code of the launcher: 2 where the command line was wrong, else 1. */
  readonly exitCode: number

  constructor(message: string, options: { exitCode?: number; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'LocalError'
    this.exitCode = options.exitCode ?? 1
  }
}

/** The message of whatever was thrown. */
export function messageOf(error: unknown): string {
  // Node's AggregateError (a refused connection tried over IPv6 and IPv4) has an empty message of its own.
  if (error instanceof AggregateError && error.message === '') return error.errors.map(messageOf).join(', ')
  return error instanceof Error ? error.message : String(error)
}
