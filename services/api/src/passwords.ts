import { fileURLToPath } from 'node:url'
import { Piscina } from 'piscina'
import { HashingBusy } from './errors.js'
import type { HashTask } from './hash-worker.js'
import { NoReply, within } from './within.js'

/** How many may wait. A hash takes 11 ms of CPU, so the last waits for less than a second of it. */
const MAX_QUEUE = 64

/** Neither NUL nor half of a surrogate pair: they have no bytes of their own, so two passwords would be one. */
export const PASSWORD_PATTERN = '^[^\\u0000\\ud800-\\udfff]*$'

/**
 * How many may wait when somebody signs up: half, for nothing counts sign-ups, and whoever has an account must be able to
 * log in whatever strangers do.
 */
const MAX_QUEUE_TO_SIGN_UP = MAX_QUEUE / 2

/** How long a request may wait for all its hashes, in milliseconds, where there is little CPU to be had. */
const MAX_WAIT_MS = 4000

/** When a request that begins now gives up waiting for its hashes, in milliseconds since 1970. */
export const hashingDeadline = (): number => Date.now() + MAX_WAIT_MS

/**
 * Hashes passwords in one thread of low priority, with a short queue. Hashing is meant to be slow: in the thread pool of
 * Node it would hold up everything else that a replica does, and a queue without an end is an outage.
 */
export interface Passwords {
  /**
   * Hashes a new password; the result names its own algorithm, parameters and salt (PHC string format).
   *
   * @param deadline of the request, where it hashes more than once
   * @throws HashingBusy (503)
   */
  hash(password: string, deadline?: number): Promise<string>
  /**
   * Whether the password is the one that was hashed. For an unknown user pass `undefined`: as much work is done, so
   * that the time of the answer does not tell which names exist.
   *
   * @param deadline of the request, where it hashes more than once
   * @throws HashingBusy (503)
   */
  verify(hashed: string | undefined, password: string, deadline?: number): Promise<boolean>
  /**
   * For the start of a request that will hash, before it costs anything else.
   *
   * @throws HashingBusy (503)
   */
  requireRoom(): void
  /**
   * The same for a stranger, for whom there is less.
   *
   * @throws HashingBusy (503)
   */
  requireRoomToSignUp(): void
  /** How many wait. */
  queueLength(): number
  close(): Promise<void>
}

/** @param onTask is called for each password that is handed to argon2 */
export function createPasswords(onTask: () => void = () => undefined): Passwords {
  const pool = new Piscina<HashTask, unknown>({
    // By the package's own map, for the tests run from the sources and the thread needs what has been compiled.
    filename: fileURLToPath(import.meta.resolve('#hash-worker')),
    minThreads: 1,
    maxThreads: 1,
    maxQueue: MAX_QUEUE
  })

  let isClosed = false

  async function run(name: 'hash' | 'verify', task: HashTask): Promise<unknown> {
    requireRoom()
    onTask()
    const result = await within(task.deadline - Date.now(), pool.run(task, { name })).catch((cause: unknown) => {
      // Any other failure is no matter of how many wait.
      throw cause instanceof NoReply || isClosed ? Object.assign(new HashingBusy(), { cause }) : cause
    })
    if (result === undefined) throw new HashingBusy()
    return result
  }

  function requireRoom(places = MAX_QUEUE): void {
    if (pool.queueSize >= places) throw new HashingBusy()
  }

  return {
    hash: async (password, deadline = hashingDeadline()) =>
      (await run('hash', { password: normalize(password), deadline })) as string,
    verify: async (hashed, password, deadline = hashingDeadline()) =>
      (await run('verify', {
        password: normalize(password),
        deadline,
        ...(hashed !== undefined && { hashed })
      })) as boolean,
    requireRoom: () => requireRoom(),
    requireRoomToSignUp: () => requireRoom(MAX_QUEUE_TO_SIGN_UP),
    queueLength: () => pool.queueSize,
    close() {
      isClosed = true
      return pool.destroy()
    }
  }
}

/** The same characters typed on two keyboards can be two sequences of code points (NIST SP 800-63B-4 §3.1.1.2). */
function normalize(password: string): string {
  return password.normalize('NFKC')
}
