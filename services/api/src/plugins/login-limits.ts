import { createHash } from 'node:crypto'
import rateLimit from '@fastify/rate-limit'
import type { FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import { LoginLimitUnknown, TooManyLogins } from '../errors.js'
import { within } from '../within.js'

export interface LoginLimits {
  /**
   * Counts an attempt to log in, for its address and for its account, on all replicas together. To be asked before
   * anything is hashed. What the limit of the address refuses does not count for the account.
   *
   * @param account whatever names it; the same for every spelling of a name
   * @throws TooManyLogins (429), LoginLimitUnknown (503)
   */
  check(request: FastifyRequest, account: string): Promise<void>
}

declare module 'fastify' {
  interface FastifyInstance {
    loginLimits: LoginLimits
  }
  interface FastifyRequest {
    /** What the limit that is being asked counts by. */
    countedBy: string
  }
}

interface LimitOptions {
  /** Attempts a minute; 0: no limit. */
  perAccount: number
  perAddress: number
}

/** How long Redis may take to count, in milliseconds. */
const COUNT_MS = 200

const WINDOW_MS = 60_000

/** Redis counts, so that N replicas do not give N times the limit. Where it cannot, nobody logs in: guessing would be free. */
export const loginLimits = fp<LimitOptions>(
  async (app, { perAccount, perAddress }) => {
    await app.register(rateLimit, {
      global: false,
      redis: app.redis,
      nameSpace: 'login-limit:',
      timeWindow: WINDOW_MS,
      keyGenerator: ({ countedBy }) => countedBy,
      max: (_request, key) => (key.startsWith('account:') ? perAccount : perAddress)
    })
    app.decorateRequest('countedBy', '')
    const count = app.createRateLimit()

    async function requireBelow(max: number, request: FastifyRequest, key: string): Promise<void> {
      if (max === 0) return
      request.countedBy = key
      let answer
      try {
        answer = await within(COUNT_MS, count(request))
      } catch (cause) {
        throw Object.assign(new LoginLimitUnknown(), { cause })
      }
      if (!answer.isAllowed && answer.isExceeded) {
        throw Object.assign(new TooManyLogins(), { retryAfter: Math.max(1, answer.ttlInSeconds) })
      }
    }

    app.decorate('loginLimits', {
      async check(request: FastifyRequest, account: string) {
        await requireBelow(perAddress, request, `address:${request.ip}`)
        await requireBelow(perAccount, request, `account:${digest(account)}`)
      }
    })
  },
  { name: 'login-limits', dependencies: ['@fastify/redis'] }
)

/** Of one length whatever was sent, and no name that Redis would keep. */
const digest = (text: string): string => createHash('sha256').update(text).digest('base64url')
