// How long does a stolen token work: until it expires, or until it is revoked?
import { check, sleep } from 'k6'
import exec from 'k6/execution'
import { Counter, Trend } from 'k6/metrics'
import type { Options } from 'k6/options'
import { field, logInFor, logout, must, signedUpUser, tokensOf, whoami, type Response, type User } from './lib/api.ts'
import { count, duration } from './lib/environment.ts'

const workedFor = new Trend('stolen_worked_for', true)
const acceptedTooLong = new Counter('accepted_too_long')
const thefts = new Counter('thefts')

/** How long a token lives, in seconds; and after which of them its owner logs out, having noticed. */
const TTL = count('TTL', 3)
const NOTICED = count('NOTICED', 1)
if (NOTICED > TTL - 2) throw new Error(`NOTICED must be at least two seconds below TTL, not ${NOTICED} of ${TTL}`)

/** Between two requests of the thief, in seconds. */
const EVERY = 0.05

/** `exp` is in whole seconds: a token lives up to a second less than it is said to, and never more. And it took a while to arrive. */
const SLACK_MS = 1500

const thief = (name: string) => ({ executor: 'constant-vus' as const, exec: name, vus: 1, duration: duration('10s') })

export const options: Options = {
  scenarios: { unnoticed: thief('unnoticed'), noticed: thief('noticed') },
  thresholds: {
    // Requests that were sent after it had expired, or after the answer to the logout.
    accepted_too_long: ['count==0'],
    'stolen_worked_for{until:expired}': [`max<=${TTL * 1000}`, `min>${TTL * 1000 - SLACK_MS}`],
    'stolen_worked_for{until:revoked}': [`max<${TTL * 1000 - 1000}`],
    checks: ['rate==1'],
    // k6 lets the others pass where nothing was ever added.
    thefts: ['count>1']
  }
}

/** Of each only ten logins a minute are let in. */
const USERS = 12

export const setup = (): User[] => Array.from({ length: USERS }, signedUpUser)

/**
 * Uses it until it is refused, or for twice as long as it may live: one that is good for ever must end the iteration all the same.
 *
 * @param endsAt when it must not be accepted any more, as soon as that is known
 * @returns when the last request was sent that was accepted, and the last answer
 */
function useUp(accessToken: string, endsAt: () => number | undefined): { lastAt: number; last: Response } {
  const began = Date.now()
  let lastAt = began
  for (;;) {
    const end = endsAt()
    const at = Date.now()
    const last = whoami(accessToken)
    if (last.status !== 200) return { lastAt, last }
    lastAt = at
    if (end !== undefined && at > end) acceptedTooLong.add(1)
    if (at - began > 2 * TTL * 1000) return { lastAt, last }
    sleep(EVERY)
  }
}

/** @returns a token, and a moment at which it had been issued */
function steal(users: User[]): { accessToken: string; at: number } {
  const login = logInFor(users[exec.scenario.iterationInTest % users.length]!, TTL)
  return { accessToken: must(tokensOf(login), 'logging in', login).accessToken, at: Date.now() }
}

export function unnoticed(users: User[]): void {
  const { accessToken, at } = steal(users)
  const expiresAt = at + TTL * 1000
  const { lastAt, last } = useUp(accessToken, () => expiresAt)
  thefts.add(1)
  workedFor.add(lastAt - at, { until: 'expired' })
  check(last, { 'it is refused because it has expired': () => field(last, 'code') === 'TOKEN_EXPIRED' })
}

export function noticed(users: User[]): void {
  const { accessToken, at } = steal(users)
  let endedAt: number | undefined
  const { lastAt, last } = useUp(accessToken, () => {
    if (endedAt === undefined && Date.now() - at > NOTICED * 1000) {
      const receipt = logout(accessToken)
      check(receipt, { 'logout answers 200': ({ status }) => status === 200 })
      endedAt = Date.now()
    }
    return endedAt
  })
  thefts.add(1)
  workedFor.add(lastAt - at, { until: 'revoked' })
  check(last, { 'it is refused because it was revoked': () => field(last, 'code') === 'TOKEN_REVOKED' })
}
