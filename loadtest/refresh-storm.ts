// Do many tabs that refresh at once all get the same successor?
import { check } from 'k6'
import { Counter, Rate } from 'k6/metrics'
import type { Options } from 'k6/options'
import { loggedIn, refresh, refreshAtOnce, signedUpUser, tokensOf, whoami, type Tokens } from './lib/api.ts'
import { count, duration, vus } from './lib/environment.ts'

const oneSuccessor = new Rate('one_successor')
const exchanges = new Counter('exchanges')

/** How many tabs a browser has open, each of which finds at the same moment that its token has expired. */
const TABS = count('TABS', 10)
const VUS = vus(4)

export const options: Options = {
  vus: VUS,
  duration: duration('10s'),
  batch: TABS,
  batchPerHost: TABS,
  thresholds: {
    one_successor: ['rate==1'],
    checks: ['rate==1'],
    http_req_failed: ['rate==0'],
    // k6 lets all the others pass where nothing was ever added.
    exchanges: ['count>0']
  }
}

/** A browser for each VU, which stays logged in for as long as the run takes. */
export function setup(): Tokens[] {
  const user = signedUpUser()
  return Array.from({ length: VUS }, () => loggedIn(user))
}

/** A VU's own. */
let current: Tokens | undefined

export default function (browsers: Tokens[]): void {
  current ??= browsers[(__VU - 1) % browsers.length]!
  const answers = refreshAtOnce(current.refreshToken, TABS).map(tokensOf)
  const successors = new Set(answers.map((tokens) => tokens?.refreshToken))
  oneSuccessor.add(successors.size === 1 && !successors.has(undefined))
  exchanges.add(1)
  for (const tokens of answers) {
    if (tokens === undefined) continue
    current = tokens
    check(whoami(tokens.accessToken), { 'each tab’s access token is good': ({ status }) => status === 200 })
  }
  // Nobody could go on where none was given.
  check(answers, { 'every tab is given tokens': () => !successors.has(undefined) })
  if (successors.has(undefined)) current = tokensOf(refresh(current.refreshToken)) ?? current
}
