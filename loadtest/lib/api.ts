import { sleep } from 'k6'
import exec from 'k6/execution'
import http, { type Params, type RefinedResponse } from 'k6/http'
import { baseUrl } from './environment.ts'

export type Response = RefinedResponse<'text'>

export interface User {
  username: string
  password: string
}

export interface Tokens {
  accessToken: string
  refreshToken: string
}

const json = { 'content-type': 'application/json' }

const bearer = (accessToken: string) => ({ authorization: `Bearer ${accessToken}` })

/** A user of this run: nobody else's, and no earlier run's. */
export const newUser = (): User => ({
  username: `load-${Math.random().toString(36).slice(2, 12)}`,
  password: 'correct horse battery staple'
})

const post = (path: string, body: object): Response =>
  http.post(`${baseUrl}${path}`, JSON.stringify(body), { headers: json, responseType: 'text' })

export const logIn = (user: User): Response => post('/auth/login', user)

/** A sign-up that may be refused for there is no time to hash: then that is no failed request. */
export const signUpOrBeRefused = (user: User): Response =>
  http.post(`${baseUrl}/users`, JSON.stringify(user), {
    headers: json,
    responseType: 'text',
    responseCallback: http.expectedStatuses(201, 503)
  })

/** A login whose token lives for so many seconds. */
export const logInFor = (user: User, seconds: number): Response => post('/auth/login', { ...user, expires_in: seconds })

/** A login that may be refused for there are too many: then that is no failed request. */
export const logInOrBeRefused = (user: User): Response =>
  http.post(`${baseUrl}/auth/login`, JSON.stringify(user), {
    headers: json,
    responseType: 'text',
    responseCallback: http.expectedStatuses(200, 429, 503)
  })

export const refresh = (refreshToken: string): Response => post('/auth/refresh', { refresh_token: refreshToken })

export const logout = (accessToken: string): Response =>
  http.post(`${baseUrl}/auth/logout`, null, { headers: bearer(accessToken), responseType: 'text' })

export const whoami = (accessToken: string): Response =>
  http.get(`${baseUrl}/whoami`, { headers: bearer(accessToken), responseType: 'text' })

/**
 * Asks /whoami several times at once. Without `batchPerHost` in the script's options k6 asks six at a time.
 * @param expected statuses that are not a failed request here; without them k6 takes 200 to 399
 */
export function whoamiAtOnce(accessToken: string, times: number, ...expected: number[]): Response[] {
  const params: Params = { headers: bearer(accessToken), responseType: 'text' }
  if (expected.length > 0) params.responseCallback = http.expectedStatuses(...expected)
  const request = { method: 'GET', url: `${baseUrl}/whoami`, params }
  return http.batch(Array.from({ length: times }, () => request))
}

/** Exchanges one refresh token several times at once. Without `batchPerHost` k6 asks six at a time. */
export function refreshAtOnce(refreshToken: string, times: number): Response[] {
  const request = {
    method: 'POST',
    url: `${baseUrl}/auth/refresh`,
    body: JSON.stringify({ refresh_token: refreshToken }),
    params: { headers: json, responseType: 'text' as const }
  }
  return http.batch(Array.from({ length: times }, () => request))
}

/**
 * A text in a JSON answer, undefined where there is none. It never throws: k6 passes a run whose iterations end in
 * an exception, so what is wrong must reach a check.
 */
export function field(response: Response, name: string): string | undefined {
  try {
    const value = (JSON.parse(response.body) as Record<string, unknown> | null)?.[name]
    return typeof value === 'string' ? value : undefined
  } catch {
    return undefined
  }
}

/** Of a login or a refresh; undefined if it was refused. */
export function tokensOf(response: Response): Tokens | undefined {
  const accessToken = field(response, 'access_token')
  const refreshToken = field(response, 'refresh_token')
  return response.status === 200 && accessToken && refreshToken ? { accessToken, refreshToken } : undefined
}

/** Which replica answered; undefined if none did. */
export const servedBy = (response: Response): string | undefined => response.headers['X-Served-By']

/** Ends the run in setup (k6 exits with 108), without the stack trace that an exception would bring along. */
export function giveUp(why: string): never {
  exec.test.abort(why)
  throw new Error(why)
}

/** For setup: nothing can be found out without this. */
export function must<T>(result: T | undefined, what: string, { status, error, body }: Response): T {
  // The limit is the address's, and a script before this one may have used it up.
  const hint = status === 429 ? ': wait a minute, or start the cluster with LOGIN_LIMIT_PER_ADDRESS=0' : ''
  return result ?? giveUp(`${what} failed at ${baseUrl}: ${status || error} ${body ?? ''}`.trim() + hint)
}

/**
 * Asks again, as whoever is told to come again does: passwords are hashed in the time that is left, which is little while
 * servers start, or after a storm.
 */
export function untilHashed(ask: () => Response): Response {
  for (let attempt = 1; ; attempt++) {
    const response = ask()
    if (field(response, 'code') !== 'HASHING_BUSY' || attempt === 10) return response
    sleep(1)
  }
}

/** For setup: a user who has just signed up. */
export function signedUpUser(): User {
  const user = newUser()
  const response = untilHashed(() => signUpOrBeRefused(user))
  must(response.status === 201 || undefined, 'signing up', response)
  return user
}

/** For setup: the tokens of somebody who has just logged in. */
export function loggedIn(user: User): Tokens {
  const response = untilHashed(() => logInOrBeRefused(user))
  return must(tokensOf(response), 'logging in', response)
}
