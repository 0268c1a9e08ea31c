import { Pool } from 'undici'
import type { Target } from './cluster.js'
import type { Exchange } from './history.js'

/** A request without an answer after this long, in milliseconds, is given up. */
const GIVES_UP_MS = 6000

/** So many requests can be under way to one replica: one that has been stopped finds them all when it goes on. */
export const CONNECTIONS = 160

export interface Question {
  method?: 'GET' | 'POST' | 'PUT' | 'DELETE'
  path: string
  token?: string
  body?: object
  /** The client goes away. */
  signal?: AbortSignal
}

export type Answer = Pick<Exchange, 'began' | 'ended' | 'status' | 'code'> & { body?: Record<string, unknown> }

export interface Client {
  ask(replica: Target, question: Question): Promise<Answer>
  /**
   * Opens all the connections that there can be. A replica takes one new connection in each turn of its event loop: a request that waits for
   * that comes later than it should.
   */
  warm(replica: Target): Promise<void>
  close(): Promise<void>
}

/** Asks replicas over connections that it keeps, and tells when. */
export function createClient(): Client {
  const pools = new Map<string, Pool>()

  function poolOf({ url }: Target): Pool {
    let pool = pools.get(url)
    if (!pool) {
      pool = new Pool(url, {
        connections: CONNECTIONS,
        pipelining: 1,
        headersTimeout: GIVES_UP_MS,
        bodyTimeout: GIVES_UP_MS,
        connect: { timeout: GIVES_UP_MS },
        // Less than the replicas keep a connection: it is never used in the moment in which they close it.
        keepAliveTimeout: 30_000,
        keepAliveMaxTimeout: 30_000
      })
      pools.set(url, pool)
    }
    return pool
  }

  const client: Client = {
    async ask(replica, { method = 'GET', path, token, body, signal }) {
      const headers: Record<string, string> = {}
      if (token !== undefined) headers['authorization'] = `Bearer ${token}`
      if (body !== undefined) headers['content-type'] = 'application/json'
      const pool = poolOf(replica)
      const began = performance.now()
      try {
        const response = await pool.request({
          method,
          path,
          headers,
          ...(body && { body: JSON.stringify(body) }),
          ...(signal && { signal })
        })
        const text = await response.body.text()
        const ended = performance.now()
        // What a probe is answered with is not read: there are many of them.
        if (response.statusCode === 200 && method === 'GET') return { began, ended, status: 200 }
        const content = JSON.parse(text) as Record<string, unknown>
        const code = content['code']
        return { began, ended, status: response.statusCode, ...(typeof code === 'string' && { code }), body: content }
      } catch (error) {
        const { code, name, cause } = error as Error & { code?: string; cause?: { code?: string } }
        return { began, ended: performance.now(), status: 0, code: cause?.code ?? code ?? name }
      }
    },
    async warm(replica) {
      await Promise.all(Array.from({ length: CONNECTIONS }, () => client.ask(replica, { path: '/health/live' })))
    },
    async close() {
      await Promise.all([...pools.values()].map((pool) => pool.destroy()))
    }
  }
  return client
}
