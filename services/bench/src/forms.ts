import { fileURLToPath } from 'node:url'
import { apiServer, sessionsServer } from '@one-secret/local'

// From services/bench/src and services/bench/dist alike.
const here = (path: string): string => fileURLToPath(new URL(`../${path}`, import.meta.url))

export interface Form {
  /** As it stands in the report. */
  title: string
  /** The module that its process runs. */
  script: string
  env?: NodeJS.ProcessEnv
  /**
   * What a request brings: nothing, one of a hundred tokens, a token that this server has never seen, or one of a hundred
   * sessions that were logged in at this server.
   */
  brings: 'nothing' | 'repeat' | 'first-seen' | 'session'
  /** Whose tokens it takes: those that the api issues, or such as jsonwebtoken writes. */
  tokens?: 'api' | 'plain'
  /** Whether it looks each request up in Redis: one that should and does not would have been given an easier task. */
  asksRedis: boolean
}

const api = { tokens: 'api', asksRedis: false } as const
const peer = { brings: 'repeat', tokens: 'plain', asksRedis: true } as const

/** Everybody answers the same JSON to the same `GET /whoami`. */
export const FORMS = {
  bare: {
    ...api,
    title: 'no authentication (the api’s Fastify, bare)',
    script: here('dist/servers/bare.js'),
    brings: 'nothing'
  },
  'verify-only': {
    ...api,
    title: 'signature and claims, no denylist',
    script: here('dist/servers/verify-only.js'),
    brings: 'repeat'
  },
  lease: {
    ...api,
    title: 'lease, the same tokens again',
    script: apiServer,
    brings: 'repeat'
  },
  'lease-first-seen': {
    ...api,
    title: 'lease, each token for the first time',
    script: apiServer,
    brings: 'first-seen'
  },
  direct: {
    ...api,
    title: 'REVOCATION_MODE=direct',
    script: apiServer,
    env: { REVOCATION_MODE: 'direct' },
    brings: 'repeat',
    asksRedis: true
  },
  'fastify-jwt': {
    ...peer,
    title: '@fastify/jwt + EXISTS',
    script: here('peers/fastify-jwt.mjs')
  },
  'hono-jwt': {
    ...peer,
    title: 'hono/jwt + EXISTS',
    script: here('peers/hono-jwt.mjs')
  },
  'session-redis': {
    title: '@fastify/session in Redis',
    script: sessionsServer,
    env: { SESSION_STORE: 'redis' },
    brings: 'session',
    asksRedis: true
  },
  'express-key-object': {
    ...peer,
    title: 'Express + jsonwebtoken (KeyObject) + EXISTS',
    script: here('peers/express-jsonwebtoken.mjs'),
    env: { JWT_KEY_AS: 'key-object' }
  },
  'express-string': {
    ...peer,
    title: 'Express + jsonwebtoken (string) + EXISTS',
    script: here('peers/express-jsonwebtoken.mjs'),
    env: { JWT_KEY_AS: 'string' }
  }
} as const satisfies Record<string, Form>

export type FormName = keyof typeof FORMS

export const formNames = Object.keys(FORMS) as FormName[]

export const formOf = (name: FormName): Form => FORMS[name]
