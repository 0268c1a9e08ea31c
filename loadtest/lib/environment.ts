/** What `-e NAME=value` or the environment sets. Read when k6 loads the script, so that options and thresholds can use it. */

/** @throws {Error} it is not a whole number from 1 up */
export function count(name: string, fallback: number): number {
  const text = __ENV[name] || String(fallback)
  if (!/^[1-9]\d*$/.test(text)) throw new Error(`${name} must be a whole number from 1 up, not '${text}'`)
  return Number(text)
}

/** Where the balancer is, without a slash at the end. */
export const baseUrl = (__ENV.BASE_URL || 'http://localhost:8080').replace(/\/+$/, '')

/** How many replicas there are said to be: every script proves that it has seen as many, and no other. */
export const replicaCount = count('REPLICAS', 3)

export const vus = (fallback: number): number => count('VUS', fallback)

/** With a unit, as k6 takes it: `20s`, `1m30s`. */
export const duration = (fallback: string): string => __ENV.DURATION || fallback
