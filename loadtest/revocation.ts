// After logout has answered 200, does any replica still accept the token?
import { check, sleep } from 'k6'
import exec from 'k6/execution'
import { Counter, Rate } from 'k6/metrics'
import type { Options } from 'k6/options'
import {
  field,
  loggedIn,
  logIn,
  logout,
  servedBy,
  signedUpUser,
  tokensOf,
  whoami,
  whoamiAtOnce,
  type User
} from './lib/api.ts'
import { duration, replicaCount, vus } from './lib/environment.ts'
import { addShares, discoverReplicas, forEachReplica } from './lib/replicas.ts'

const acceptedAfterLogout = new Counter('accepted_after_logout')
const logoutsProbed = new Counter('logouts_probed')
const replicasProbed = new Rate('replicas_probed')

/** `-e SKIP_LOGOUT=1` leaves the logout out: the run must fail then, which proves that it can. */
const skipLogout = __ENV.SKIP_LOGOUT === '1'

const PROBES = 4 * replicaCount
/** Seconds until the second round: whatever a replica may remember for a moment has run out by then. */
const LATER = 0.5

// A login costs 11 ms of CPU and there is a limit on them, per account and per address: few VUs, and several users.
const VUS = vus(2)
const USERS = Math.max(10, 5 * VUS)
/** All VUs together stay below the limit of an address, 100 a minute where nobody changed it: seconds for each iteration. */
const PACE = (60 / 75) * VUS

export const options: Options = {
  vus: VUS,
  duration: duration('10s'),
  batch: PROBES,
  batchPerHost: PROBES,
  thresholds: {
    accepted_after_logout: ['count==0'],
    // k6 lets all the others pass where nothing was ever added: with this one a run that asked nothing fails.
    logouts_probed: ['count>0'],
    checks: ['rate==1'],
    http_req_failed: ['rate==0'],
    // Of all logouts, how many were followed by a question to this replica. The balancer chooses whom a probe asks.
    ...forEachReplica('replicas_probed', 'rate>=0.95')
  }
}

interface Shared {
  users: User[]
  replicas: string[]
}

export function setup(): Shared {
  const users = Array.from({ length: USERS }, signedUpUser)
  const { accessToken } = loggedIn(users[0]!)
  const replicas = discoverReplicas(accessToken)
  logout(accessToken)
  return { users, replicas }
}

export default function (shared: Shared): void {
  const started = Date.now()
  probeOneLogout(shared)
  sleep(Math.max(0, PACE - (Date.now() - started) / 1000))
}

function probeOneLogout({ users, replicas }: Shared): void {
  const login = logIn(users[exec.scenario.iterationInTest % users.length]!)
  const accessToken = tokensOf(login)?.accessToken
  check(login, { 'login gives a token': () => accessToken !== undefined })
  if (accessToken === undefined) return

  check(whoami(accessToken), { 'it is accepted before logout': ({ status }) => status === 200 })

  if (!skipLogout) {
    const receipt = logout(accessToken)
    // What is not acknowledged promises nothing: there is nothing to probe.
    if (!check(receipt, { 'logout answers 200': ({ status }) => status === 200 })) return
  }

  const atOnce = whoamiAtOnce(accessToken, PROBES, 401)
  sleep(LATER)
  const later = whoamiAtOnce(accessToken, PROBES, 401)

  for (const probe of [...atOnce, ...later]) {
    if (probe.status >= 200 && probe.status < 300) acceptedAfterLogout.add(1)
    check(probe, {
      [`${servedBy(probe) ?? 'whoever is no replica'} refuses it after logout`]: () =>
        probe.status === 401 && field(probe, 'code') === 'TOKEN_REVOKED'
    })
  }
  logoutsProbed.add(1)
  addShares(replicasProbed, replicas, ...atOnce, ...later)
}
