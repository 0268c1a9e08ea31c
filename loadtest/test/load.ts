import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'

/** What clients did, and what they were told. */
export interface Ledger {
  requests: number
  /** How often somebody was told that there is no time for it, and came again: not a failure, for nothing was done. */
  cameAgain: number
  /** Every answer that was not the one expected, and every request without one. */
  failures: string[]
  /** Asks Postgres for a line for each user of the load: name|sessions|refreshes. */
  sql: string
  /** The lines there must be, were every request carried out that was acknowledged, once, and no other. */
  acknowledged: string[]
}

export interface Load {
  /** Waits for the requests that are under way. */
  stop(): Promise<Ledger>
}

/**
 * What a replica says where the machine has no time for it, as while six others start on the same two cores; and what nginx
 * says where one has said so, and the next does not listen yet. Its 502, that nobody is there, is none of these.
 */
export const COME_AGAIN = /"code":"(?:OVERLOADED|HASHING_BUSY|REPLICAS_UNAVAILABLE)"/
/** How often somebody comes again. */
const ATTEMPTS = 10

const READERS = 3
const WRITERS = 4
const REFRESHES = 40
const password = 'correct horse battery staple'

/**
 * Clients that read, sign up, log in and refresh, until they are stopped. A sign-up that is carried out twice is a 409, a
 * login a second session; a refresh needs the one before.
 */
export function startLoad(url: string): Load {
  const load = `load-${randomBytes(6).toString('hex')}`
  const failures: string[] = []
  const acknowledged: string[] = []
  let [requests, cameAgain, running, users] = [0, 0, true, 0]

  /** Undefined if it failed. */
  async function ask<T>(
    method: string,
    path: string,
    expected: number,
    options: RequestInit,
    attempt = 1
  ): Promise<T | undefined> {
    requests++
    try {
      const response = await fetch(`${url}${path}`, { method, ...options })
      const body = await response.text()
      if (response.status === expected) return JSON.parse(body) as T
      const seconds = Number(response.headers.get('retry-after'))
      if (response.status === 503 && seconds > 0 && COME_AGAIN.test(body) && attempt < ATTEMPTS) {
        cameAgain++
        await sleep(seconds * 1000)
        return await ask(method, path, expected, options, attempt + 1)
      }
      failures.push(`${method} ${path}: ${response.status} ${response.headers.get('x-served-by')} ${body}`)
    } catch (error) {
      failures.push(`${method} ${path}: ${String((error as Error).cause ?? error)}`)
    }
    return undefined
  }
  const post = <T>(path: string, expected: number, body: object): Promise<T | undefined> =>
    ask('POST', path, expected, {
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body)
    })

  interface Tokens {
    access_token: string
    refresh_token: string
  }

  async function write(): Promise<void> {
    while (running) {
      const username = `${load}-${users++}`
      if (!(await post('/users', 201, { username, password }))) continue
      let tokens = await post<Tokens>('/auth/login', 200, { username, password })
      let refreshes = 0
      while (tokens && refreshes < REFRESHES) {
        const next = await post<Tokens>('/auth/refresh', 200, { refresh_token: tokens.refresh_token })
        if (!next) break
        refreshes++
        tokens = next
      }
      acknowledged.push(`${username}|${tokens ? 1 : 0}|${refreshes}`)
    }
  }

  async function read(): Promise<void> {
    const username = `${load}-reader-${users++}`
    await post('/users', 201, { username, password })
    const tokens = await post<Tokens>('/auth/login', 200, { username, password })
    acknowledged.push(`${username}|1|0`)
    const headers = { authorization: `Bearer ${tokens?.access_token}` }
    while (running) {
      await ask('GET', '/whoami', 200, { headers })
      await sleep(20)
    }
  }

  const clients = [...Array.from({ length: READERS }, read), ...Array.from({ length: WRITERS }, write)]
  return {
    async stop() {
      running = false
      await Promise.all(clients)
      const sql = `SELECT username || '|' || count(s.id) || '|' || coalesce(sum(s.generation), 0) AS line
        FROM users u LEFT JOIN sessions s ON s.user_id = u.id WHERE username LIKE '${load}-%' GROUP BY username`
      return { requests, cameAgain, failures, sql, acknowledged: acknowledged.sort() }
    }
  }
}
