import type { Rate } from 'k6/metrics'
import { giveUp, servedBy, whoami, type Response } from './api.ts'
import { baseUrl, replicaCount } from './environment.ts'

/** So many requests even if all replicas have been seen: there may be more of them than REPLICAS says. */
const AT_LEAST = 10 + 2 * replicaCount
/** Round robin needs one round. Whoever else uses the balancer meanwhile takes turns away, hence more. */
const AT_MOST = AT_LEAST + 20 * replicaCount

/**
 * The names of all replicas, sorted: a replica's place in it is its slot. Thresholds are written before anything has
 * been asked, so they know slots (0 to REPLICAS − 1) and not names.
 * Gives up if they are not as many as REPLICAS says.
 */
export function discoverReplicas(accessToken: string): string[] {
  const seen = new Set<string>()
  let asked = 0
  while (asked < AT_LEAST || (seen.size < replicaCount && asked < AT_MOST)) {
    const name = servedBy(whoami(accessToken))
    asked++
    if (name !== undefined) seen.add(name)
  }
  const names = [...seen].sort()
  if (names.length !== replicaCount) {
    giveUp(
      `${asked} requests to ${baseUrl} were answered by ${names.length} replicas (${names.join(', ') || 'none'}), ` +
        `and REPLICAS is ${replicaCount}. If ${names.length} is right, say so: -e REPLICAS=${names.length}`
    )
  }
  console.log(names.map((name, slot) => `replica:${slot} is ${name}`).join(', '))
  return names
}

/** The names of those who answer, sorted, however many they are: as far as so many requests find them. */
export function whoAnswers(accessToken: string, requests = 40): string[] {
  const names = Array.from({ length: requests }, () => servedBy(whoami(accessToken)))
  return [...new Set(names)].filter((name) => name !== undefined).sort()
}

/** For each slot one threshold `metric{replica:slot}`. */
export function forEachReplica(metric: string, threshold: string): Record<string, string[]> {
  const slots = Array.from({ length: replicaCount }, (_, slot) => slot)
  return Object.fromEntries(slots.map((slot) => [`${metric}{replica:${slot}}`, [threshold]]))
}

/** Notes for every replica whether it is among those that answered. */
export function addShares(metric: Rate, replicas: string[], ...responses: Response[]): void {
  const answered = new Set(responses.map(servedBy))
  replicas.forEach((name, slot) => metric.add(answered.has(name), { replica: String(slot) }))
}
