import type { Kind } from '@one-secret/local'

/** A server of a kind, by the name that it signs its answers with (`X-Served-By`). */
export interface Server {
  name: string
}

/** The cluster with its lanes, and what the comparison does to it. What is done has been done when a promise resolves. */
export interface Cluster {
  /** One line: of what it is made. */
  readonly description: string
  /** The balancer. */
  readonly url: string
  /** How many servers of each kind there were at the start. */
  readonly replicas: number

  /** SIGKILL of one server; nobody starts it again. */
  kill(kind: Kind): Promise<void>
  /** One more server. Resolves when it is sent requests. */
  add(kind: Kind): Promise<Server>
  /** Redis is there and says nothing. */
  pauseRedis(): Promise<void>
  resumeRedis(): Promise<void>

  /** One command. @returns what redis-cli would print */
  redis(...command: string[]): Promise<string>
  /** @returns nothing: what is asked is to be done */
  sql(text: string): Promise<void>
  /** What the servers of a kind hold in their heaps, in bytes, all together. */
  heap(kind: Kind): Promise<number>

  /** Ends all of it. */
  close(): Promise<void>
}

/** What every server is told, in either form of the cluster. */
export const ENVIRONMENT = {
  // Nobody guesses passwords here.
  LOGIN_LIMIT_PER_ACCOUNT: '0',
  LOGIN_LIMIT_PER_ADDRESS: '0',
  // The lane `single` refuses, which is the default: both answers to a Redis that says nothing are to be seen.
  REVOCATION_OUTAGE: 'serve-stale',
  REVOCATION_MAX_STALENESS_MS: '30000',
  LOG_LEVEL: 'warn'
}

/**
 * Loaded into every server before its own program: SIGWINCH collects all garbage, so that what is left is what is held. It
 * has no part in anything else.
 */
const COLLECT = `
  import { setFlagsFromString } from 'node:v8'
  import { runInNewContext } from 'node:vm'
  setFlagsFromString('--expose-gc')
  const gc = runInNewContext('gc')
  process.on('SIGWINCH', () => gc())`

export const NODE_OPTIONS = `--import=data:text/javascript,${encodeURIComponent(COLLECT)}`

/** How long a server may take to collect its garbage, in milliseconds. */
export const COLLECTED_WITHIN_MS = 1000

/** From a server's /metrics. */
export function readHeap(metrics: string): number {
  const value = /^nodejs_heap_size_used_bytes\S* ([\d.e+]+)/m.exec(metrics)?.[1]
  if (value === undefined) throw new Error('/metrics has no nodejs_heap_size_used_bytes')
  return Number(value)
}
