import { availableParallelism, loadavg } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { LocalError } from '@one-secret/local'
import { createClient, type Client } from './client.js'
import type { Cluster, Target } from './cluster.js'
import { faults, type Fault, type Scene } from './faults.js'
import type { History, Mark } from './history.js'
import { startLoad, type Load } from './load.js'
import { measureCommands, measureMemory } from './measure.js'
import { MEMORY, type Options } from './options.js'
import type { Skip } from './report.js'
import { pick, plan, seeded } from './schedule.js'
import { openStock, type Stock } from './stock.js'

/** Before a fault, and after it. */
const CALM_MS = 400

/** Between two revocations of those that are made all the time, on average. */
const REVOKE_EVERY_MS = 120

/** How many revocations are prepared for a fault: more than can be made in it. */
const PREPARED = { quick: 90, full: 220 }

/** Sessions that nobody ends, for each fault. */
const LIVE = 25

/** Clients repeat what was refused for so long after everything is well again, in milliseconds. */
const PATIENCE_MS = 4000

/** Longer than any fault may take to recover. */
const NEVER_MS = 25_000

/** Runs faults against a cluster, one after the other. @returns the record, and what could not be done */
export async function run(
  cluster: Cluster,
  options: Options,
  say: (line: string) => void,
  signal: AbortSignal
): Promise<{ history: History; skips: Skip[] }> {
  const history: History = []
  const skips: Skip[] = []
  const client = createClient()
  const stock = await openStock(cluster, client)
  const load = startLoad(cluster, client, history, options)
  const parts: Parts = { cluster, client, stock, load, history, options }
  try {
    for (const name of options.faults) {
      signal.throwIfAborted()
      const fault = faults.find((one) => one.name === name)
      const reason = fault?.needs?.map((need) => cluster.missing[need]).find((why) => why !== undefined)
      if (fault && reason !== undefined) {
        skips.push({ fault: name, reason })
        say(`${name}: skipped, ${reason}`)
        continue
      }
      const began = performance.now()
      if (fault) await inject(fault, parts)
      else await remember(parts)
      say(`${name}: ${((performance.now() - began) / 1000).toFixed(1)} s, ${load.probes} probes so far`)
    }
    const none = faults[0]!
    while (load.probes < options.probes) {
      signal.throwIfAborted()
      await inject({ ...none, name: 'none, until there are enough' }, parts)
    }
  } finally {
    await load.stop()
    await client.close()
  }
  return { history, skips }
}

interface Parts {
  cluster: Cluster
  client: Client
  stock: Stock
  load: Load
  history: History
  options: Options
}

async function inject(fault: Fault, { cluster, client, stock, load, history, options }: Parts): Promise<void> {
  const { seed, quick } = options
  const leaseMs = Math.max(options.leaseMs, options.lastLeaseMs)
  const random = seeded(seed, fault.name)
  // Not the one behind the line, which has faults of its own.
  const victim = pick(random, cluster.replicas.slice(0, -1)) ?? cluster.lined
  const mark = (event: 'strike' | 'heal' | 'recovered'): void =>
    void history.push({ type: 'mark', at: performance.now(), event })

  const planned = plan(random, quick ? PREPARED.quick : PREPARED.full, REVOKE_EVERY_MS)
  const [prepared, live] = await Promise.all([stock.prepare(planned.map(({ kind }) => kind)), stock.live(LIVE)])
  load.turnTo(planned, prepared, live)
  await Promise.all(cluster.replicas.map((replica) => client.warm(replica)))

  const { name, fails, allowed = [], crowded = false, recoversWithinMs } = fault
  const struck = (fault.struck?.({ cluster, victim }) ?? []).map((one) => one.name)
  history.push({
    type: 'mark',
    at: performance.now(),
    event: 'begin',
    fault: name,
    fails,
    struck,
    allowed,
    crowded,
    recoversWithinMs
  })
  if (name === 'none') history.push(await measureCommands(cluster, load, quick ? 1500 : 4000))
  load.revokeSteadily()
  await sleep(CALM_MS)

  const scene: Scene = {
    cluster,
    load,
    stock,
    leaseMs,
    victim,
    times: quick ? 1 : 3,
    strike: () => mark('strike'),
    heal: () => mark('heal'),
    wait: (ms) => sleep(ms),
    async recovered() {
      const late = await untilReady(cluster, client)
      if (late === undefined) return mark('recovered')
      history.push({ type: 'mark', at: performance.now(), event: 'not-recovered', why: late })
    }
  }
  await fault.run(scene)
  await scene.recovered()
  await sleep(CALM_MS)
  load.rest()
  // What was refused is repeated, and carried out now; then whoever still is refused gives up.
  await load.repeat(PATIENCE_MS)
  history.push(endNow())
}

/** @returns what is wrong where a replica is not ready after a long time */
async function untilReady({ replicas }: Cluster, client: Client): Promise<string | undefined> {
  const began = performance.now()
  const ready = async (replica: Target): Promise<string | undefined> => {
    const { status, code, body } = await client.ask(replica, { path: '/health/ready' })
    return status === 200 ? undefined : `${replica.name} is not ready: ${status} ${code ?? JSON.stringify(body)}`
  }
  for (;;) {
    const waiting = (await Promise.all(replicas.map(ready))).find((why) => why !== undefined)
    if (waiting === undefined) return undefined
    if (performance.now() - began > NEVER_MS) return waiting
    await sleep(50)
  }
}

/** R4. */
async function remember({ cluster, client, load, history }: Parts): Promise<void> {
  load.turnTo([], [], [])
  const begin = {
    fault: MEMORY,
    fails: 'everybody' as const,
    struck: [],
    allowed: [],
    crowded: false,
    recoversWithinMs: 5000
  }
  history.push({ type: 'mark', at: performance.now(), event: 'begin', ...begin })
  const { rate } = load
  load.rate = 0
  await load.settle()
  const mark = (event: 'strike' | 'heal' | 'recovered'): void =>
    void history.push({ type: 'mark', at: performance.now(), event })
  const reload = async (): Promise<void> => {
    mark('strike')
    await cluster.redis('FLUSHALL')
    mark('heal')
    // Each finds out within a lease.
    await sleep(1000)
    const late = await untilReady(cluster, client)
    if (late !== undefined) throw new LocalError(late, { exitCode: 2 })
    mark('recovered')
  }
  await reload()
  history.push(...(await measureMemory(cluster, reload)))
  load.rate = rate
  history.push(endNow())
}

const endNow = (): Mark => ({
  type: 'mark',
  at: performance.now(),
  event: 'end',
  load: loadavg()[0]! / availableParallelism()
})
