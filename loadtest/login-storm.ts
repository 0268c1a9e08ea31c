// Does a storm of logins leave everybody else alone, and is its excess answered at once?
import { check } from 'k6'
import { Counter, Rate } from 'k6/metrics'
import type { Options } from 'k6/options'
import { field, loggedIn, logInOrBeRefused, signedUpUser, whoami, type User } from './lib/api.ts'
import { count, duration } from './lib/environment.ts'

const loginsAnswered = new Counter('logins_answered')
const loginsRefused = new Counter('logins_refused')
const wellAnswered = new Rate('logins_well_answered')
const othersServed = new Rate('others_served')

/** Logins a second: some four times what two cores can hash. */
const LOGINS = count('LOGINS', 300)
/** Requests of those who are logged in, each second. */
const OTHERS = count('OTHERS', 50)

const steady = (rate: number, exec: string) => ({
  executor: 'constant-arrival-rate' as const,
  exec,
  rate,
  duration: duration('10s'),
  preAllocatedVUs: Math.min(rate, 200),
  maxVUs: 1000
})

export const options: Options = {
  scenarios: { storm: steady(LOGINS, 'storm'), others: steady(OTHERS, 'others') },
  thresholds: {
    // Let in; or 429 of the limits, or 503 of a queue that is full, both with the time after which to come again.
    logins_well_answered: ['rate==1'],
    others_served: ['rate==1'],
    // k6 lets the others pass where nothing was ever added; and where nobody was refused it was no storm.
    logins_answered: ['count>0'],
    logins_refused: ['count>0'],
    // No bounds: shown, each by itself.
    'http_req_duration{scenario:storm}': [],
    'http_req_duration{scenario:others}': []
  }
}

interface Shared {
  user: User
  accessToken: string
}

export function setup(): Shared {
  const user = signedUpUser()
  return { user, accessToken: loggedIn(user).accessToken }
}

export function storm({ user }: Shared): void {
  const response = logInOrBeRefused(user)
  const isRefused = response.status === 429 || response.status === 503
  loginsAnswered.add(1)
  if (isRefused) loginsRefused.add(1)
  const saysWhen = /^[1-9]\d*$/.test(response.headers['Retry-After'] ?? '')
  wellAnswered.add(isRefused ? saysWhen && field(response, 'code') !== undefined : response.status === 200)
}

export function others({ accessToken }: Shared): void {
  const { status } = whoami(accessToken)
  othersServed.add(status === 200)
  check(status, { 'who is logged in is served': () => status === 200 })
}
