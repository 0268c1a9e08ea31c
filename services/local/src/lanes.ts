import { apiServer, sessionsServer } from './paths.js'
import type { Replica } from './replicas.js'

/** Servers of one kind, by which they are named: the api, or one of those it is compared with. */
export type Kind = 'api' | 'sessions-memory' | 'sessions-redis' | 'api-single'

/** What each runs, and what it is told beside what all are told. */
export const KINDS: Record<Kind, { script: string; env: NodeJS.ProcessEnv }> = {
  api: { script: apiServer, env: {} },
  'sessions-memory': { script: sessionsServer, env: { SESSION_STORE: 'memory' } },
  'sessions-redis': { script: sessionsServer, env: { SESSION_STORE: 'redis' } },
  // And the default where Redis cannot be asked, whatever the others are told: that is a part of what is compared.
  'api-single': { script: apiServer, env: { MAX_SESSIONS_PER_USER: '1', REVOCATION_OUTAGE: 'refuse' } }
}

/** Those that only a comparison needs. */
export const COMPARED = ['sessions-memory', 'sessions-redis', 'api-single'] as const satisfies Kind[]

/**
 * The ways to stay logged in, each under `/lanes/<name>`, and who serves it: sessions in memory behind round robin, the same
 * servers behind a sticky cookie, sessions in Redis, the api, and the api with one login a user.
 */
export const LANES = {
  memory: 'sessions-memory',
  sticky: 'sessions-memory',
  cluster: 'sessions-redis',
  jwt: 'api',
  single: 'api-single'
} as const satisfies Record<string, Kind>

export type LaneName = keyof typeof LANES

/** The lane that keeps each client at its server, by a cookie. */
export const STICKY: LaneName = 'sticky'
export const STICKY_COOKIE = 'lane_sticky'

/** The servers of each kind, in rotations: whoever is added here is sent requests. */
export type Pools = Record<Kind, Replica[]>
