import { once } from 'node:events'
import { Agent, get, type IncomingMessage } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { LocalError } from '@one-secret/local'

export interface SteadyOptions {
  /** Who is asked, in turn. */
  urls: readonly string[]
  /** A header for each request, in turn. */
  headers: readonly Header[]
  /** Requests a second, over all. */
  rate: number
  seconds: number
  signal: AbortSignal
}

export type Header = readonly [name: string, value: string]

const CONNECTIONS = 16

/** How many times as long as it should it may take: on a busy machine a second is lost now and then, and made up for. */
const MAX_TIMES_AS_LONG = 10

/**
 * Asks `GET /whoami` at a fixed rate, each request at its own time: autocannon's `overallRate` sends a second's requests all at
 * once and then waits for the next second, which measures a burst.
 *
 * @returns how many were asked: all of them were answered with 200
 * @throws {LocalError} an answer that is not 200, or a server that cannot keep up
 */
export async function askSteadily({ urls, headers, rate, seconds, signal }: SteadyOptions): Promise<number> {
  const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS })
  const total = Math.round(rate * seconds)
  let [sent, answered] = [0, 0]
  let failure: Error | undefined

  const ask = async (n: number): Promise<void> => {
    const [name, value] = headers[n % headers.length]!
    const request = get(`${urls[n % urls.length]}/whoami`, { agent, headers: { [name]: value } })
    const [response] = (await once(request, 'response')) as [IncomingMessage]
    if (response.statusCode !== 200) {
      const body = Buffer.concat(await response.toArray()).toString()
      throw new LocalError(`a request was answered with ${response.statusCode}: ${body}`)
    }
    response.resume()
    await once(response, 'end')
    answered++
  }

  try {
    const began = performance.now()
    while (answered < total) {
      signal.throwIfAborted()
      if (failure) throw failure
      const due = Math.min(total, Math.ceil(((performance.now() - began) / 1000) * rate))
      for (; sent < due; sent++) void ask(sent).catch((error: Error) => (failure ??= error))
      if (performance.now() - began > seconds * 1000 * MAX_TIMES_AS_LONG) {
        throw new LocalError(`the server cannot keep up with ${rate} requests a second: choose a lower --rate`)
      }
      await sleep(1)
    }
    return answered
  } finally {
    agent.destroy()
  }
}
