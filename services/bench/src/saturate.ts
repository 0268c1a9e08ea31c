import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { createExitHook, createTempDir, findBinary, LocalError, runChild } from '@one-secret/local'
import autocannon from 'autocannon'
import type { Header } from './steady.js'

export interface SaturateOptions {
  url: string
  /** A header for each request, in turn. */
  headers: readonly Header[]
  seconds: number
  signal: AbortSignal
}

export interface Saturated {
  requests: number
  /** Requests that were sent: with more than there were headers some were sent twice. */
  sent: number
  seconds: number
  p50Ms: number
  p99Ms: number
}

/** Asks `GET /whoami` over so many connections at once, each again as soon as it is answered. */
export interface Saturate {
  (options: SaturateOptions): Promise<Saturated>
}

const CONNECTIONS = 32

const SCRIPT = fileURLToPath(new URL('../src/saturate.lua', import.meta.url))

const wrk =
  (command: string): Saturate =>
  async ({ url, headers, seconds, signal }) => {
    const exitHook = createExitHook()
    const temp = createTempDir(exitHook)
    try {
      const file = join(temp.path, 'headers')
      writeFileSync(file, headers.map(([name, value]) => `${name}: ${value}\n`).join(''))
      const args = ['-t1', `-c${CONNECTIONS}`, `-d${seconds}s`, '-s', SCRIPT, `${url}/whoami`, '--', file]
      const lines = await runChild(command, args, { name: 'wrk', exitHook, signal, timeoutMs: seconds * 1000 + 30_000 })
      const line = lines.find((one) => one.startsWith('{'))
      if (line === undefined) throw new LocalError(['wrk said nothing that can be read:', ...lines].join('\n  '))
      const { refused, broken, ...result } = JSON.parse(line) as Saturated & { refused: number; broken: number }
      if (refused + broken > 0) {
        throw new LocalError(`at saturation ${refused} requests were refused and ${broken} broken, of ${result.sent}`)
      }
      return result
    } finally {
      await temp.remove()
    }
  }

const withAutocannon: Saturate = async ({ url, headers, seconds, signal }) => {
  const share = Math.ceil(headers.length / CONNECTIONS)
  let connection = 0
  const running = autocannon({
    url: `${url}/whoami`,
    connections: CONNECTIONS,
    duration: seconds,
    // Each connection sends its own part of the headers: built beforehand, for all of them they would take gigabytes.
    setupClient(client) {
      const own = headers.slice(connection * share, (connection + 1) * share)
      connection = (connection + 1) % CONNECTIONS
      client.setRequests(
        (own.length > 0 ? own : headers).map(([name, value]) => ({ path: '/whoami', headers: { [name]: value } }))
      )
    }
  })
  const stop = (): void => (running as unknown as { stop(): void }).stop()
  signal.addEventListener('abort', stop, { once: true })
  const { '2xx': requests, non2xx, errors, timeouts, duration, latency, requests: counts } = await running
  signal.removeEventListener('abort', stop)
  signal.throwIfAborted()
  const broken = errors + timeouts
  if (non2xx + broken > 0) {
    throw new LocalError(`at saturation ${non2xx} requests were refused and ${broken} broken, of ${counts.sent}`)
  }
  return { requests, sent: counts.sent, seconds: duration, p50Ms: latency.p50, p99Ms: latency.p99 }
}

/**
 * wrk where it is on the PATH: it takes a fraction of the processor that autocannon takes, and of two cores the client
 * must not need one to itself.
 */
export function chooseClient(): { name: string; saturate: Saturate } {
  const command = findBinary('wrk')
  return command === undefined
    ? { name: 'autocannon', saturate: withAutocannon }
    : { name: 'wrk', saturate: wrk(command) }
}
