import { setTimeout as sleep } from 'node:timers/promises'
import type { Replica } from '@one-secret/local'
import type { Backends } from './backends.js'
import { countPostgres, countRedis, measureIdle, type IdleCalls } from './commands.js'
import { makeCredentials } from './credentials.js'
import type { Form } from './forms.js'
import { processorTimeMs } from './processor-time.js'
import { askSteadily } from './steady.js'
import type { Signer } from './tokens.js'

/** What a request costs at a fixed rate. */
export interface Steady {
  /** Requests a second. */
  rate: number
  /** Of the processes of all servers, without what they use while nobody asks. */
  cpuMicroseconds: number
  redisPerRequest: number
  postgresPerRequest: number
}

/** What every measurement is told. */
export interface RoundsOptions {
  rounds: number
  seconds: number
  /** Requests a second of the steady part. */
  rate: number
  signer: Signer
  signal: AbortSignal
  onProgress: (text: string) => void
}

export interface SteadyCostOptions {
  form: Form
  /** Who is asked, in turn; their names begin with this one's. */
  servers: readonly Replica[]
  name: string
  /** Where they are asked, if not directly. */
  url?: string
  rate: number
  seconds: number
  /** Begins what goes on while it is counted. @returns what ends it */
  meanwhile?: () => () => Promise<void>
  signer: Signer
  signal: AbortSignal
}

/** At the fixed rate, before anything is counted: connections are open, and what is kept of repeated tokens is there. */
const LEAD_IN_SECONDS = 0.5

export const cpuOf = (servers: readonly Replica[]): number =>
  servers.reduce((sum, { pid }) => sum + processorTimeMs(pid), 0)

/** What Redis is asked, and how much processor time each group of servers uses, while nobody is asked anything. */
export interface Idle {
  calls: IdleCalls
  cpuMsPerSecond: readonly number[]
}

export async function beIdle(
  { redis }: Backends,
  groups: readonly (readonly Replica[])[],
  seconds: number
): Promise<Idle> {
  const from = groups.map(cpuOf)
  const calls = await measureIdle(redis, () => sleep(seconds * 1000))
  return { calls, cpuMsPerSecond: groups.map((servers, i) => (cpuOf(servers) - from[i]!) / seconds) }
}

/**
 * Asks at a fixed rate, and looks what that took.
 *
 * @param idleCpuMsPerSecond of these servers
 */
export async function measureSteadyCost(
  { pool, redis }: Backends,
  calls: IdleCalls,
  idleCpuMsPerSecond: number,
  { form, servers, name, url, rate, seconds, meanwhile, signer, signal }: SteadyCostOptions
): Promise<Steady> {
  const leadIn = Math.ceil(LEAD_IN_SECONDS * rate)
  const headers = await makeCredentials(form, servers[0]!.url, signer, leadIn + Math.ceil(rate * seconds))
  const unseen = form.brings === 'first-seen' ? headers.slice(leadIn) : headers
  const asked = { urls: url === undefined ? servers.map((one) => one.url) : [url], rate, signal }
  await askSteadily({ ...asked, headers, seconds: LEAD_IN_SECONDS })

  const ask = async (): Promise<number> => {
    const end = meanwhile?.()
    try {
      return await askSteadily({ ...asked, headers: unseen, seconds })
    } finally {
      await end?.()
    }
  }
  const cpuFrom = cpuOf(servers)
  const began = performance.now()
  const [[requests, redisCommands], postgresCommands] = await countPostgres(pool, `${name}%`, () =>
    countRedis(redis, calls, ask)
  )
  const elapsedSeconds = (performance.now() - began) / 1000
  const cpuMs = cpuOf(servers) - cpuFrom - idleCpuMsPerSecond * elapsedSeconds
  return {
    rate,
    cpuMicroseconds: (cpuMs * 1000) / requests,
    redisPerRequest: redisCommands / requests,
    postgresPerRequest: postgresCommands / requests
  }
}
