// Does anybody notice that replicas come and go?
// To be done meanwhile: docker compose up -d --scale api=8, and back
import { Counter } from 'k6/metrics'
import type { Options } from 'k6/options'
import { servedBy, type Tokens } from './lib/api.ts'
import { whoAnswers } from './lib/replicas.ts'
import { logInOnce, nobodyNotices, read as ask, steadyLoad } from './lib/steady.ts'

const cameOrWent = new Counter('replicas_came_or_went')

export const options: Options = {
  scenarios: steadyLoad('60s'),
  // Where nobody came and nobody went there was nothing to notice.
  thresholds: { ...nobodyNotices, replicas_came_or_went: ['count>0'] }
}

interface Begun extends Tokens {
  /** Who was there at the beginning. */
  replicas: string[]
}

export function setup(): Begun {
  const tokens = logInOnce()
  return { ...tokens, replicas: whoAnswers(tokens.accessToken) }
}

/** The VU's own: whom it has met, and has counted. */
const newcomers = new Set<string>()

export function read(begun: Begun): void {
  const name = servedBy(ask(begun))
  if (name === undefined || begun.replicas.includes(name) || newcomers.has(name)) return
  newcomers.add(name)
  cameOrWent.add(1)
}

export function teardown({ accessToken, replicas }: Begun): void {
  const left = whoAnswers(accessToken)
  cameOrWent.add(replicas.filter((name) => !left.includes(name)).length)
  console.log(`at the beginning ${replicas.join(', ')}; at the end ${left.join(', ')}`)
}

export { goOn, write } from './lib/steady.ts'
