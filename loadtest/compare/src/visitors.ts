import { randomUUID } from 'node:crypto'
import { hashSync } from '@node-rs/argon2'
import type { LaneName } from '@one-secret/local'
import { Pool } from 'undici'
import type { Cluster } from './cluster.js'

/** A request without an answer after this long, in milliseconds, has failed. */
const GIVES_UP_MS = 5000

const PASSWORD = 'correct horse battery staple'

/**
 * A password hash that costs next to nothing: what a login costs beside its hash is what differs between the lanes, and a
 * hundred thousand of them are made. The servers verify it as they do any other, by the parameters that it names.
 */
const CHEAP = { memoryCost: 8, timeCost: 1, parallelism: 1 }

export interface Answer {
  /** 0: none. */
  status: number
  /** From the sending to the end of the answer, in milliseconds. */
  ms: number
  /** Who answered; undefined where the balancer did. */
  servedBy: string | undefined
}

/** What a browser keeps of a login: cookies, or a token. */
export type Credentials = Record<string, string>

/** Users of the cluster, and the connections over which they come. */
export interface Visitors {
  /** Makes so many users. @returns their names */
  signUp(count: number): Promise<string[]>
  logIn(lane: LaneName, username: string): Promise<Answer & { credentials: Credentials }>
  whoAmI(lane: LaneName, credentials: Credentials): Promise<Answer>
  close(): Promise<void>
}

/** @param signal aborts what is under way; whoever asks after that is answered with nothing, at once */
export function createVisitors(cluster: Cluster, signal: AbortSignal): Visitors {
  const pool = new Pool(cluster.url, {
    connections: 128,
    headersTimeout: GIVES_UP_MS,
    bodyTimeout: GIVES_UP_MS,
    // Less than the balancer keeps a connection.
    keepAliveTimeout: 30_000,
    keepAliveMaxTimeout: 30_000
  })

  async function ask(
    path: string,
    headers: Credentials,
    body?: object
  ): Promise<Answer & { text: string; cookies: string[] }> {
    const began = performance.now()
    try {
      const response = await pool.request({
        path,
        signal,
        method: body ? 'POST' : 'GET',
        headers: { ...headers, ...(body && { 'content-type': 'application/json' }) },
        ...(body && { body: JSON.stringify(body) })
      })
      const text = await response.body.text()
      const servedBy = response.headers['x-served-by']
      return {
        status: response.statusCode,
        ms: performance.now() - began,
        servedBy: typeof servedBy === 'string' ? servedBy : undefined,
        text,
        cookies: [response.headers['set-cookie'] ?? []].flat()
      }
    } catch {
      return { status: 0, ms: performance.now() - began, servedBy: undefined, text: '', cookies: [] }
    }
  }

  return {
    async signUp(count) {
      const hash = hashSync(PASSWORD, CHEAP)
      const names = Array.from({ length: count }, () => `visitor-${randomUUID()}`)
      const BATCH = 10_000
      for (let i = 0; i < count; i += BATCH) {
        const batch = names.slice(i, i + BATCH)
        await cluster.sql(
          `INSERT INTO users (username, password_hash) SELECT name, '${hash}' FROM unnest(string_to_array('${batch.join()}', ',')) name`
        )
      }
      return names
    },
    async logIn(lane, username) {
      const answer = await ask(`/lanes/${lane}/auth/login`, {}, { username, password: PASSWORD })
      if (answer.status !== 200) return { ...answer, credentials: {} }
      const cookie = answer.cookies.map((one) => one.split(';', 1)[0]).join('; ')
      const { access_token: token } = JSON.parse(answer.text) as { access_token?: string }
      return { ...answer, credentials: token === undefined ? { cookie } : { authorization: `Bearer ${token}` } }
    },
    whoAmI: (lane, credentials) => ask(`/lanes/${lane}/whoami`, credentials),
    close: () => pool.close()
  }
}
