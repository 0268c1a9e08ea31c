/** The bound has passed. */
export class NoReply extends Error {
  constructor(ms: number) {
    super(`no reply within ${ms} ms`)
  }
}

/**
 * Rejects with NoReply when the bound, in milliseconds, has passed. Where it was this process that had no time, the reply may have
 * arrived: the event loop looks at its timers before it reads, so what is there is read first.
 */
export function within<T>(ms: number, reply: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => setImmediate(() => reject(new NoReply(ms))), ms)
    reply.then(resolve, reject).finally(() => clearTimeout(timer))
  })
}
