// Does a token from one replica work on all of them?
import { check } from 'k6'
import exec from 'k6/execution'
import { Counter, Rate } from 'k6/metrics'
import type { Options } from 'k6/options'
import {
  field,
  loggedIn,
  logout,
  must,
  refresh,
  servedBy,
  signedUpUser,
  tokensOf,
  whoami,
  type Tokens
} from './lib/api.ts'
import { duration, replicaCount, vus } from './lib/environment.ts'
import { addShares, discoverReplicas, forEachReplica } from './lib/replicas.ts'

const tokensAccepted = new Counter('tokens_accepted')
const shareOfRequests = new Rate('share_of_requests')

/** Half of what each would get if all got the same. */
const leastShare = (0.5 / replicaCount).toFixed(4)

export const options: Options = {
  vus: vus(10),
  duration: duration('10s'),
  thresholds: {
    checks: ['rate==1'],
    // k6 passes the threshold of a rate that nothing was added to: with this one a run that asked nothing fails.
    tokens_accepted: ['count>0'],
    http_req_failed: ['rate==0'],
    ...forEachReplica('share_of_requests', `rate>=${leastShare}`)
  }
}

interface Shared {
  /** The id of the user, as the issuing replica knows it. */
  sub: string
  tokens: Tokens
  replicas: string[]
}

/** One sign-up and one login: every request of the run is made with what they gave. */
export function setup(): Shared {
  const tokens = loggedIn(signedUpUser())
  const first = whoami(tokens.accessToken)
  const sub = must(first.status === 200 ? field(first, 'sub') : undefined, 'using the token', first)
  return { sub, tokens, replicas: discoverReplicas(tokens.accessToken) }
}

/** A VU's own: there is one live refresh token, so one VU alone takes it from successor to successor. */
let successor: Tokens | undefined
const REFRESH_EVERY = 50

export default function ({ sub, tokens, replicas }: Shared): void {
  verify(sub, tokens.accessToken, replicas, 'the token')

  if (exec.vu.idInTest !== 1 || exec.vu.iterationInInstance % REFRESH_EVERY !== 0) return
  const response = refresh((successor ?? tokens).refreshToken)
  const next = tokensOf(response)
  check(response, { 'a refresh token works on any replica': () => next !== undefined })
  if (next === undefined) return
  successor = next
  for (let asked = 0; asked < replicaCount; asked++) verify(sub, next.accessToken, replicas, 'a refreshed token')
}

export function teardown({ tokens }: Shared): void {
  logout(tokens.accessToken)
}

/** Asks whichever replica the balancer chooses. Each has a check of its own, so the summary says which one refused. */
function verify(sub: string, accessToken: string, replicas: string[], what: string): void {
  const response = whoami(accessToken)
  const name = servedBy(response)
  const accepted = response.status === 200 && field(response, 'sub') === sub
  check(response, {
    [`${name ?? 'whoever is no replica'} accepts ${what}`]: () => accepted,
    'it is one of the replicas seen at the start': () => name !== undefined && replicas.includes(name)
  })
  tokensAccepted.add(accepted ? 1 : 0)
  addShares(shareOfRequests, replicas, response)
}
