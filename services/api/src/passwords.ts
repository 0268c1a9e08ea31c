import { fileURLToPath } from 'node:url'
import { Piscina } from 'piscina'
import { HashingBusy } from './errors.js'
import type { HashTask } from './hash-worker.js'
import { within } from './within.js'

/** How many may wait. A hash takes 11 ms of CPU, so the last waits for less than a second of it. */
const MAX_QUEUE = 64

/** Neither NUL nor half of a surrogate pair: they have no bytes of their own, so two passwords would be one. */
export const PASSWORD_PATTERN = '^[^\\u0000\\ud800-\\udfff]*$'

/** How long one may wait, in milliseconds, where there is little CPU to be had. */
const MAX_WAIT_MS = 4000

/**
 * Hashes passwords in one thread of low priority, with a short queue. Hashing is meant to be slow: in the thread pool of
 * Node it would hold up everything else that a replica does, and a queue without an end is an outage.
 */
export interface Passwords {
  /**
   * Hashes a new password; the result names its own algorithm, parameters and salt (PHC string format).
   *
   * @throws HashingBusy (503)
   */
  hash(password: string): Promise<string>
  /**
   * Whether the password is the one that was hashed. For an unknown user pass `undefined`: as much work is done, so
   * that the time of the answer does not tell which names exist.
   *
   * @throws HashingBusy (503)
   */
  verify(hashed: string | undefined, password: string): Promise<boolean>
  /**
   * For the start of a request that will hash, before it costs anything else.
   *
   * @throws HashingBusy (503)
   */
  requireRoom(): void
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

  async function run(name: 'hash' | 'verify', task: object): Promise<unknown> {
    requireRoom()
    onTask()
    const deadline = Date.now() + MAX_WAIT_MS
    let result
    try {
      result = await within(MAX_WAIT_MS, pool.run({ ...task, deadline } as HashTask, { name }))
    } catch (cause) {
      throw Object.assign(new HashingBusy(), { cause })
    }
    if (result === undefined) throw new HashingBusy()
    return result
  }

  function requireRoom(): void {
    if (pool.queueSize >= MAX_QUEUE) throw new HashingBusy()
  }

  return {
    hash: async (password) => (await run('hash', { password: normalize(password) })) as string,
    verify: async (hashed, password) =>
      (await run('verify', { password: normalize(password), ...(hashed !== undefined && { hashed }) })) as boolean,
    requireRoom,
    queueLength: () => pool.queueSize,
    close: () => pool.destroy()
  }
}

/** The same characters typed on two keyboards can be two sequences of code points (NIST SP 800-63B-4 §3.1.1.2). */
function normalize(password: string): string {
  return password.normalize('NFKC')
}
