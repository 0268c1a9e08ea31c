import { spawn, type ChildProcess } from 'node:child_process'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { LocalError, messageOf } from './errors.js'
import type { ExitHook } from './exit-hook.js'

/** How many of a child's last lines are kept, to be shown where it fails. */
const KEPT_LINES = 20

export interface ChildOptions {
  /** How the child is called in messages. */
  name: string
  exitHook: ExitHook
  env?: NodeJS.ProcessEnv
  cwd?: string
  uid?: number
  gid?: number
  /** Written to its standard input, which is then closed: the way to hand over what must not stand on a command line. */
  input?: string
  /** An IPC channel tells a Node child that this process is gone, however it went. */
  ipc?: boolean
  /** What is sent if this process ends without `stop()`. Default SIGKILL, to the whole group. */
  lastSignal?: NodeJS.Signals
  /** Where its standard output goes, if not to `onLine`: nowhere, or to an open file. */
  stdout?: 'ignore' | number
  onLine?: (line: string) => void
  /** It has ended, and nobody had told it to: why. */
  onEnd?: ((why: string) => void) | undefined
}

export interface Child {
  readonly name: string
  readonly pid: number
  /** Why it ended, or undefined while it runs. */
  readonly ended: string | undefined
  /** Resolves, never rejects, with why it ended. */
  readonly exited: Promise<string>
  /** Its exit code, or null if a signal ended it or it still runs. */
  readonly exitCode: number | null
  /** Its last lines on stdout and stderr. */
  lastLines(): string[]
  /**
   * Sends `signal`, waits `boundMs`, then kills its whole process group. Resolves when it is gone. A second call sends
   * nothing, but may wait less.
   */
  stop(signal: NodeJS.Signals, boundMs: number): Promise<void>
}

/**
 * Starts a process in a group of its own, so that a Ctrl-C in the terminal reaches only the launcher, which then stops
 * its children in order.
 * @throws {LocalError} it cannot be started at all (absent, not executable)
 */
export async function startChild(command: string, args: readonly string[], options: ChildOptions): Promise<Child> {
  const { name, exitHook, onLine, lastSignal = 'SIGKILL' } = options
  const child: ChildProcess = spawn(command, args, {
    detached: true,
    stdio: [
      options.input === undefined ? 'ignore' : 'pipe',
      options.stdout ?? 'pipe',
      'pipe',
      ...(options.ipc ? (['ipc'] as const) : [])
    ],
    ...(options.env && { env: options.env }),
    ...(options.cwd !== undefined && { cwd: options.cwd }),
    ...(options.uid !== undefined && { uid: options.uid }),
    ...(options.gid !== undefined && { gid: options.gid })
  })

  let stopping = false
  const lines: string[] = []
  const readers = [child.stdout, child.stderr].flatMap((stream) => {
    if (!stream) return []
    const reader = createInterface({ input: stream, crlfDelay: Infinity })
    reader.on('line', (line) => {
      lines.push(line)
      if (lines.length > KEPT_LINES) lines.shift()
      onLine?.(line)
    })
    return [new Promise((resolve) => reader.once('close', resolve))]
  })

  let ended: string | undefined
  const failed = new Promise<never>((_resolve, reject) => child.once('error', reject))
  failed.catch(() => undefined)
  const exited = new Promise<string>((resolve) => {
    child.once('exit', (code, signal) => {
      ended = signal ? `was ended by ${signal}` : `exited with code ${String(code)}`
      if (!stopping) options.onEnd?.(ended)
      forget()
      // Its last words may still be in the pipe; a grandchild that keeps the pipe open must not hold us up.
      const why = ended
      void Promise.race([Promise.all(readers), sleep(200)]).then(() => resolve(why))
    })
  })

  const kill = (signal: NodeJS.Signals): void => {
    if (child.pid === undefined || ended !== undefined) return
    try {
      process.kill(signal === 'SIGKILL' ? -child.pid : child.pid, signal)
    } catch {
      // Gone between the question and the signal.
    }
  }
  const forget = exitHook.add(() => {
    kill(lastSignal)
    // A stopped process takes no signal but SIGKILL before it is continued.
    kill('SIGCONT')
  })

  if (child.stdin) {
    child.stdin.on('error', () => undefined)
    child.stdin.end(options.input)
  }

  const { pid } = child
  if (pid === undefined) {
    forget()
    const error = await failed.catch((reason: unknown) => reason)
    throw new LocalError(`${name} cannot be started: ${messageOf(error)}`, { cause: error })
  }

  return {
    name,
    pid,
    exited,
    get ended() {
      return ended
    },
    get exitCode() {
      return child.exitCode
    },
    lastLines: () => [...lines],
    async stop(signal, boundMs) {
      if (!stopping) {
        stopping = true
        kill(signal)
        kill('SIGCONT')
      }
      const timer = setTimeout(() => kill('SIGKILL'), boundMs)
      await exited
      clearTimeout(timer)
    }
  }
}

/**
 * Runs a command to its end.
 * @returns everything it printed
 * @throws {LocalError} it failed; what it said last is in the message
 */
export async function runChild(
  command: string,
  args: readonly string[],
  options: ChildOptions & { signal?: AbortSignal | undefined; timeoutMs?: number }
): Promise<string[]> {
  const output: string[] = []
  const child = await startChild(command, args, {
    ...options,
    onLine(line) {
      output.push(line)
      options.onLine?.(line)
    }
  })
  const signals = [AbortSignal.timeout(options.timeoutMs ?? 30_000), ...(options.signal ? [options.signal] : [])]
  const stop = AbortSignal.any(signals)
  const onAbort = (): void => void child.stop('SIGKILL', 0)
  stop.addEventListener('abort', onAbort, { once: true })
  if (stop.aborted) onAbort()
  const why = await child.exited
  stop.removeEventListener('abort', onAbort)
  options.signal?.throwIfAborted()
  if (child.exitCode !== 0) throw new LocalError([`${options.name} ${why}`, ...child.lastLines()].join('\n  '))
  return output
}

/**
 * Asks `probe` again and again until it does not throw.
 * @throws {LocalError} after `timeoutMs`, or as soon as the child it asks has ended, with what was seen last
 */
export async function waitUntilReady(
  name: string,
  probe: () => Promise<void>,
  options: { timeoutMs: number; child?: Child; signal?: AbortSignal | undefined; everyMs?: number }
): Promise<void> {
  const deadline = performance.now() + options.timeoutMs
  for (;;) {
    options.signal?.throwIfAborted()
    if (options.child?.ended !== undefined) {
      const why = await options.child.exited
      throw new LocalError([`${name} ${why} before it was ready`, ...options.child.lastLines()].join('\n  '))
    }
    try {
      await probe()
      return
    } catch (error) {
      if (performance.now() > deadline) {
        throw new LocalError(`${name} is not ready after ${options.timeoutMs / 1000} s: ${messageOf(error)}`, {
          cause: error
        })
      }
    }
    // Woken early by the signal, whose reason is thrown above.
    await sleep(options.everyMs ?? 20, undefined, options.signal && { signal: options.signal }).catch(() => undefined)
  }
}
