import { formOf, type FormName } from '../dist/forms.js'
import type { Measurement } from '../dist/measure.js'

/** A round in which a request takes so much processor time, and so many are answered a second. */
export function measurement(
  form: FormName,
  cpuMicroseconds: number,
  perSecond: number,
  other: Partial<Measurement> = {}
): Measurement {
  return {
    round: 1,
    form,
    rate: 500,
    cpuMicroseconds,
    redisPerRequest: formOf(form).asksRedis ? 1 : 0,
    postgresPerRequest: 0,
    perSecond,
    p50Ms: 1,
    p99Ms: 2,
    saturatedCpuMicroseconds: cpuMicroseconds,
    serverShare: 1,
    ...other
  }
}

/** One round in which every aim is reached. */
export const ideal: readonly Measurement[] = [
  measurement('bare', 100, 10_000),
  measurement('verify-only', 108, 9000),
  measurement('lease', 110, 8500),
  measurement('lease-first-seen', 140, 6000),
  measurement('direct', 250, 3000),
  measurement('fastify-jwt', 300, 2500),
  measurement('hono-jwt', 300, 2500),
  measurement('session-redis', 350, 1600),
  measurement('express-key-object', 800, 800),
  measurement('express-string', 3000, 250)
]
