import { setTimeout as sleep } from 'node:timers/promises'
import type { Cluster, Target } from './cluster.js'
import type { Commands, Memory } from './history.js'
import type { Load } from './load.js'

/** Revocations of a short life, for one replica to remember and to forget. */
const SHORT_LIVED = 5000

async function metrics({ url }: Target): Promise<string> {
  const response = await fetch(`${url}/metrics`)
  return response.text()
}

function valueOf(text: string, name: string, label = ''): number {
  const line = text.split('\n').find((one) => one.startsWith(`${name}{`) && one.includes(label))
  if (line === undefined) throw new Error(`a replica's /metrics has no ${name}${label && `{${label}}`}`)
  return Number(line.slice(line.lastIndexOf(' ') + 1))
}

async function checksOf(cluster: Cluster): Promise<Commands['checks']> {
  const sum = { local: 0, direct: 0, stale: 0, refused: 0 }
  for (const text of await Promise.all(cluster.replicas.map(metrics))) {
    for (const by of Object.keys(sum) as (keyof typeof sum)[]) {
      sum[by] += valueOf(text, 'denylist_checks_total', `by="${by}"`)
    }
  }
  return sum
}

async function callsOf(cluster: Cluster): Promise<Record<string, number>> {
  const info = String(await cluster.redis('INFO', 'commandstats'))
  const calls: Record<string, number> = {}
  for (const [, command, count] of info.matchAll(/^cmdstat_(\S+?):calls=(\d+)/gm)) calls[command!] = Number(count)
  return calls
}

/**
 * R3, at the servers: what Redis is asked in a time in which nobody asks anything of the replicas, and in a time in which tokens are
 * probed and nothing else is done; and whether Postgres is asked anything in the second.
 */
export async function measureCommands(cluster: Cluster, load: Load, forMs: number): Promise<Commands> {
  const { rate } = load
  load.rate = 0
  await load.settle()
  await sleep(200)
  const counted = async (during: () => Promise<void>): Promise<[Record<string, number>, number]> => {
    const before = await callsOf(cluster)
    const began = performance.now()
    await during()
    const ms = performance.now() - began
    const after = await callsOf(cluster)
    return [Object.fromEntries(Object.entries(after).map(([name, n]) => [name, n - (before[name] ?? 0)])), ms]
  }

  const [idle, idleMs] = await counted(() => sleep(forMs / 2))
  const checked = await checksOf(cluster)
  // By Postgres' clock; each connection says when it was asked last, or was told what it is waiting for.
  const [[from]] = (await cluster.sql(`SELECT clock_timestamp()::text`)) as [[string]]
  const probesBefore = load.probes
  const [probed, probedMs] = await counted(async () => {
    load.rate = rate
    await sleep(forMs)
    load.rate = 0
    await load.settle()
  })
  const probes = load.probes - probesBefore
  const [[postgres]] = (await cluster.sql(
    `SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND datname = current_database()
     AND application_name <> 'checker' AND greatest(backend_start, query_start, state_change) > '${from}'::timestamptz`
  )) as [[string]]
  const checks = await checksOf(cluster)
  for (const by of Object.keys(checks) as (keyof typeof checks)[]) checks[by] -= checked[by]
  load.rate = rate
  const replicas = cluster.replicas.length
  return {
    type: 'commands',
    probes,
    checks,
    redis: { idle, probed },
    idleMs,
    probedMs,
    replicas,
    postgres: Number(postgres)
  }
}

/**
 * R4, at the replicas: thousands of revocations that expire in some seconds, of which they learn when they load; and how many they hold then.
 * They are put on record in Postgres, for the API gives none a life below some minutes.
 */
export async function measureMemory(cluster: Cluster, reload: () => Promise<void>): Promise<Memory[]> {
  const held = async (): Promise<number[]> =>
    (await Promise.all(cluster.replicas.map(metrics))).map((text) => valueOf(text, 'denylist_entries'))
  const before = await held()
  const lifeSeconds = 8
  const expired = performance.now() + lifeSeconds * 1000
  await cluster.sql(
    `INSERT INTO revocations (kind, id, expires_at)
     SELECT 'sid', gen_random_uuid(), clock_timestamp() + interval '${lifeSeconds} s' FROM generate_series(1, ${SHORT_LIVED})`
  )
  await reload()
  const peak = await held()
  // What has expired is dropped once a second; and a second for clocks and a busy machine.
  await sleep(expired - performance.now() + 3000)
  const after = await held()
  return cluster.replicas.map(({ name }, i) => {
    const numbers = { before: before[i]!, peak: peak[i]!, after: after[i]! }
    return { type: 'memory', replica: name, added: SHORT_LIVED, ...numbers }
  })
}
