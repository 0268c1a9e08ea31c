import { startNginx } from '@one-secret/local'
import type { Backends } from './backends.js'
import { NO_CALLS } from './commands.js'
import { formOf } from './forms.js'
import { beIdle, measureSteadyCost, type RoundsOptions } from './steady-cost.js'

/** What a request costs the replica, asked directly and through the balancer, in microseconds. */
export interface BehindNginx {
  version: string
  rounds: { direct: number; behind: number }[]
}

const WARM_UP_SECONDS = 5

/**
 * One replica, and the repository's nginx before it, as `npm start` runs it.
 * @throws {LocalError} there is no nginx on the PATH
 */
export async function measureBehindNginx(
  backends: Backends,
  { rounds, seconds, rate, signer, signal, onProgress }: RoundsOptions
): Promise<BehindNginx> {
  const form = formOf('lease')
  const replica = await backends.start({ name: 'lease', script: form.script })
  const nginx = await startNginx({ replicas: [replica], exitHook: backends.exitHook, signal })
  try {
    const direct = { form, servers: [replica], name: 'lease', rate, seconds, signer, signal }
    const behind = { ...direct, url: nginx.url }
    for (const way of [direct, behind]) {
      await measureSteadyCost(backends, NO_CALLS, 0, { ...way, seconds: WARM_UP_SECONDS })
    }
    const results: BehindNginx['rounds'] = []
    for (let round = 1; round <= rounds; round++) {
      const { calls, cpuMsPerSecond } = await beIdle(backends, [[replica]], seconds)
      const cost = async (way: typeof direct): Promise<number> =>
        (await measureSteadyCost(backends, calls, cpuMsPerSecond[0]!, way)).cpuMicroseconds
      // Now the one first, now the other.
      const isEven = round % 2 === 0
      const first = await cost(isEven ? behind : direct)
      const second = await cost(isEven ? direct : behind)
      const result = isEven ? { direct: second, behind: first } : { direct: first, behind: second }
      onProgress(
        `round ${round} of ${rounds}: ${Math.round(result.direct)} µs directly, ${Math.round(result.behind)} µs behind nginx`
      )
      results.push(result)
    }
    return { version: nginx.version ?? 'unknown', rounds: results }
  } finally {
    await nginx.stop()
  }
}
