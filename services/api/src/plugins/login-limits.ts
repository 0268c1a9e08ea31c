import { createHash } from 'node:crypto'
import rateLimit from '@fastify/rate-limit'
import type { FastifyRequest } from 'fastify'
import fp from 'fastify-plugin'
import ipaddr from 'ipaddr.js'
import { LoginLimitUnknown, TooManyLogins } from '../errors.js'
import { within } from '../within.js'

export interface LoginLimits {
  /**
   * Counts an attempt to log in, for its address and for its account, on all replicas together. To be asked before
   * anything is hashed. What the limit of the address refuses does not count for the account.
   *
   * @param account by the name that was sent, whatever its spelling; or by the id of a user who is known
   * @throws TooManyLogins (429), LoginLimitUnknown (503)
   */
  check(request: FastifyRequest, account: { name: string } | { id: string }): Promise<void>
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
      async check(request: FastifyRequest, account: { name: string } | { id: string }) {
        await requireBelow(perAddress, request, `address:${networkOf(request.ip)}`)
        await requireBelow(perAccount, request, `account:${digest(JSON.stringify(account))}`)
      }
    })
  },
  { name: 'login-limits', dependencies: ['@fastify/redis'] }
)

/**
 * Who counts as one: an address of IPv4; of IPv6 the first 64 bits, for whoever has one address there has the rest of them
 * too (RFC 6177). And all together those of whom no address is known: whose connection is gone, or whom a balancer calls
 * otherwise (`unknown`, RFC 7239 §6.2). Some balancers write the port behind the address.
 */
export function networkOf(ip: string | undefined): string {
  const [, v4, v6] = /^(?:([\d.]+):\d+|\[(.*)\](?::\d+)?)$/.exec(ip ?? '') ?? []
  const host = v4 ?? v6 ?? ip ?? ''
  if (!ipaddr.isValid(host)) return 'unknown'
  const address = ipaddr.process(host)
  return address instanceof ipaddr.IPv6
    ? `${address.parts
        .slice(0, 4)
        .map((part) => part.toString(16))
        .join(':')}::/64`
    : address.toString()
}

/** Of one length whatever was sent, and no name that Redis would keep. */
const digest = (text: string): string => createHash('sha256').update(text).digest('base64url')
