import { check, sleep } from 'k6'
import { Counter, Rate } from 'k6/metrics'
import {
  loggedIn,
  newUser,
  refresh,
  signedUpUser,
  signUpOrBeRefused,
  tokensOf,
  untilHashed,
  whoami,
  type Response,
  type Tokens
} from './api.ts'
import { count, duration } from './environment.ts'

const served = new Rate('served')
const reads = new Counter('reads')
const writes = new Counter('writes')

/** Requests a second: of somebody who is logged in, and of those that change something. */
const READS = count('READS', 60)
const WRITES = count('WRITES', 5)

const steady = (rate: number, name: string, length: string) => ({
  executor: 'constant-arrival-rate' as const,
  exec: name,
  rate,
  duration: length,
  preAllocatedVUs: 20,
  maxVUs: 200
})

/** What a cluster is asked while something is done to it: at a fixed rate, whether or not it is answered. */
export const steadyLoad = (fallback: string) => ({
  reading: steady(READS, 'read', duration(fallback)),
  writing: steady(WRITES, 'write', duration(fallback)),
  // There is one live refresh token, so one VU alone takes it from successor to successor.
  refreshing: { executor: 'constant-vus' as const, exec: 'goOn', vus: 1, duration: duration(fallback) }
})

/** That nobody notices anything. */
export const nobodyNotices = {
  served: ['rate==1'],
  http_req_failed: ['rate==0'],
  checks: ['rate==1'],
  // k6 lets the others pass where nothing was ever added.
  reads: ['count>0'],
  writes: ['count>0']
}

export const logInOnce = (): Tokens => loggedIn(signedUpUser())

export function read({ accessToken }: Tokens): Response {
  const response = whoami(accessToken)
  served.add(response.status === 200)
  reads.add(1)
  return response
}

/** Signs somebody up whom nobody has signed up before: were it done twice, the answer would be 409. */
export function write(): void {
  const user = newUser()
  const response = untilHashed(() => signUpOrBeRefused(user))
  served.add(response.status === 201)
  writes.add(1)
  check(response, { 'it is done once': ({ status }) => status !== 409 })
}

/** The VU's own. */
let successor: Tokens | undefined

/** Stays logged in. */
export function goOn(first: Tokens): void {
  const next = tokensOf(refresh((successor ?? first).refreshToken))
  served.add(next !== undefined)
  successor = next ?? successor
  sleep(0.5)
}
