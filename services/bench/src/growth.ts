import { randomUUID } from 'node:crypto'
import { LocalError, type Replica } from '@one-secret/local'
import type { Backends } from './backends.js'
import { countRedis, NO_CALLS } from './commands.js'
import { formOf } from './forms.js'
import { emptyDenylist, fillDenylist, startRevoking } from './revocations.js'
import { spreadOf, type Spread } from './statistics.js'
import {
  beIdle,
  cpuOf,
  measureSteadyCost,
  type Idle,
  type RoundsOptions,
  type Steady,
  type SteadyCostOptions
} from './steady-cost.js'

/** What a request costs under a lease as one thing grows and all else stays. */
export interface GrowthRow {
  /** What grows, and to what. */
  grows: string
  to: number
  /** Undefined where the replica was not ready in time. */
  cost: GrowthCost | undefined
}

export interface GrowthCost {
  /** From the start of the replica's process until it is ready. */
  readyMs: number
  cpuMicroseconds: Spread
  /** By that of the server without authentication, measured just before. */
  cpuRatio: Spread
  /** In the median round: on a machine that is starved a lease can end before it is renewed, and then Redis is asked. */
  redisPerRequest: number
  postgresPerRequest: number
}

export interface GrowthOptions extends RoundsOptions {
  quick: boolean
}

const BARE = formOf('bare')
const LEASE = formOf('lease')

/** How many are revoked where something else grows. */
const FEW = 1000

/** Until all code has been compiled, at every replica. */
const WARM_UP_SECONDS = 5

/** Where replicas are added, each is asked this part of the rate, so that eight can be on one machine. */
const SHARE_OF_EACH = 1 / 4

export async function measureGrowth(backends: Backends, options: GrowthOptions): Promise<GrowthRow[]> {
  const { quick, onProgress } = options
  const bare = await backends.start({ name: 'bare', script: BARE.script })
  const rows: GrowthRow[] = []
  const measure = async (grows: string, to: number, setting: Partial<Setting>): Promise<void> => {
    const say = (text: string): void => onProgress(`${grows}, ${to.toLocaleString('en')}: ${text}`)
    const { rate } = options
    const full = { replicas: 1, rate, revocationsPerSecond: 0, ...setting }
    const cost = await measureRow(backends, bare, full, { ...options, onProgress: say })
    rows.push({ grows, to, cost })
  }

  await emptyDenylist(backends)
  await fillDenylist(backends, FEW)
  // Each is asked as often, however many there are: the less often a process is woken up, the more a request costs.
  for (const count of quick ? [1, 2] : [1, 2, 4, 8]) {
    await measure('replicas', count, { replicas: count, rate: options.rate * SHARE_OF_EACH })
  }
  for (const perSecond of quick ? [0, 100] : [0, 1, 1000]) {
    await measure('revocations a second', perSecond, { revocationsPerSecond: perSecond })
  }

  await emptyDenylist(backends)
  let revoked = 0
  for (const count of quick ? [1000, 10_000] : [1000, 10_000, 100_000, 1_000_000]) {
    onProgress(`revoking ${count.toLocaleString('en')} in all`)
    await fillDenylist(backends, count - revoked)
    revoked = count
    await measure('revoked', count, {})
  }
  return rows
}

interface Setting {
  replicas: number
  /** Requests a second at each of them. */
  rate: number
  revocationsPerSecond: number
}

/** New replicas, which have loaded what there is, and are ended again. */
async function measureRow(
  backends: Backends,
  bare: Replica,
  { replicas: count, rate, revocationsPerSecond }: Setting,
  { rounds, seconds, rate: warmUpRate, signer, signal, onProgress }: GrowthOptions
): Promise<GrowthCost | undefined> {
  const name = `lease-${randomUUID().slice(0, 8)}`
  const servers: Replica[] = []
  try {
    const began = performance.now()
    for (let i = 1; i <= count; i++) servers.push(await backends.start({ name: `${name}-${i}`, script: LEASE.script }))
    const readyMs = (performance.now() - began) / count
    const asked = { seconds, signer, signal }
    const ofBare = { ...asked, form: BARE, servers: [bare], name: bare.name, rate }
    const ofLease = { ...asked, form: LEASE, servers, name, rate: rate * count }
    const warmUp = { rate: warmUpRate, seconds: WARM_UP_SECONDS }
    await measureSteadyCost(backends, NO_CALLS, 0, { ...ofBare, ...warmUp })
    await measureSteadyCost(backends, NO_CALLS, 0, { ...ofLease, ...warmUp, seconds: WARM_UP_SECONDS * count })

    const costs: { steady: Steady; ratio: number }[] = []
    for (let round = 1; round <= rounds; round++) {
      const idle = await beIdle(backends, [[bare], servers], seconds)
      const { cpuMicroseconds } = await measureSteadyCost(backends, idle.calls, idle.cpuMsPerSecond[0]!, ofBare)
      const steady =
        revocationsPerSecond === 0
          ? await measureSteadyCost(backends, idle.calls, idle.cpuMsPerSecond[1]!, ofLease)
          : await measureWhileRevoking(backends, idle, revocationsPerSecond, ofLease)
      onProgress(`${Math.round(steady.cpuMicroseconds)} µs a request, bare ${Math.round(cpuMicroseconds)} µs`)
      costs.push({ steady, ratio: steady.cpuMicroseconds / cpuMicroseconds })
    }
    const steadies = costs.map(({ steady }) => steady)
    return {
      readyMs,
      cpuMicroseconds: spreadOf(steadies.map((one) => one.cpuMicroseconds)),
      cpuRatio: spreadOf(costs.map(({ ratio }) => ratio)),
      redisPerRequest: spreadOf(steadies.map((one) => one.redisPerRequest)).median,
      postgresPerRequest: spreadOf(steadies.map((one) => one.postgresPerRequest)).median
    }
  } catch (error) {
    signal.throwIfAborted()
    // A replica that has much to load may give up: that is a result, and the rest can be measured all the same.
    if (servers.length === count || !(error instanceof LocalError)) throw error
    onProgress(error.message)
    return undefined
  } finally {
    await Promise.all(servers.map((server) => server.stop()))
  }
}

/**
 * While others revoke. What a revocation takes is known from a time in which nobody asks, and is no part of what a request
 * costs.
 */
async function measureWhileRevoking(
  backends: Backends,
  { calls }: Idle,
  perSecond: number,
  asked: SteadyCostOptions
): Promise<Steady> {
  const { servers, seconds } = asked
  const cpuFrom = cpuOf(servers)
  const began = performance.now()
  const [quiet, commands] = await countRedis(backends.redis, calls, () =>
    startRevoking(backends.redis, perSecond).stop({ afterMs: seconds * 1000 })
  )
  const cpuMsPerSecond = (cpuOf(servers) - cpuFrom) / ((performance.now() - began) / 1000)

  let revoked = 0
  const steady = await measureSteadyCost(backends, calls, cpuMsPerSecond, {
    ...asked,
    meanwhile() {
      const revoking = startRevoking(backends.redis, perSecond)
      return async () => void (revoked = await revoking.stop())
    }
  })
  const perRevocation = commands / quiet
  const redisPerRequest = steady.redisPerRequest - (perRevocation * revoked) / (steady.rate * seconds)
  return { ...steady, redisPerRequest: Math.max(0, redisPerRequest) }
}
