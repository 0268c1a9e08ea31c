import type { FastifyReply, FastifyRequest } from 'fastify'
import { CookieMalformed, CrossSiteRefused } from './errors.js'

/** Bound to this host and to TLS by its prefix, which also demands `Path=/` (RFC 6265bis §4.1.3.2). */
export const ACCESS_COOKIE = '__Host-access_token'

/** Sent to /auth alone, which the prefix `__Host-` would not allow. */
export const REFRESH_COOKIE = '__Secure-refresh_token'

const attributes = { httpOnly: true, secure: true, sameSite: 'strict' } as const
const access = { ...attributes, path: '/' }
const refresh = { ...attributes, path: '/auth' }

/** A token and how long its cookie is kept, in seconds. */
interface Token {
  value: string
  maxAge: number
}

export function setTokenCookies(reply: FastifyReply, tokens: { access: Token; refresh: Token }): void {
  reply.setCookie(ACCESS_COOKIE, tokens.access.value, { ...access, maxAge: tokens.access.maxAge })
  reply.setCookie(REFRESH_COOKIE, tokens.refresh.value, { ...refresh, maxAge: tokens.refresh.maxAge })
}

export function clearTokenCookies(reply: FastifyReply): void {
  reply.clearCookie(ACCESS_COOKIE, access)
  reply.clearCookie(REFRESH_COOKIE, refresh)
}

/**
 * @returns undefined where there is none
 * @throws CookieMalformed (400) where there are two: a proxy may have looked at the other
 */
export function readCookie({ headers, server }: FastifyRequest, name: string): string | undefined {
  const { cookie } = headers
  if (cookie === undefined || !cookie.includes(name)) return undefined
  if (cookie.split(';').filter((pair) => pair.split('=', 1)[0]?.trim() === name).length > 1)
    throw new CookieMalformed(name)
  return server.parseCookie(cookie)[name]
}

/**
 * Whether a browser says that a page of this very origin made the request: by `Sec-Fetch-Site` (Fetch Metadata) and by
 * `Origin` (RFC 6454 §7). The host is compared, not the scheme, for TLS may end before the balancer.
 *
 * @returns undefined where it says nothing
 */
function isSameOrigin({ headers, host }: FastifyRequest): boolean | undefined {
  const { origin, 'sec-fetch-site': site } = headers
  if (origin === undefined && site === undefined) return undefined
  if (site !== undefined && site !== 'same-origin') return false
  if (origin === undefined) return true
  // Of no other scheme: theirs have no host, and would be those of a request without one.
  return /^https?:/i.test(origin) && URL.canParse(origin) && new URL(origin).host === host.toLowerCase()
}

/**
 * For a request that a cookie gives its power: a browser adds it whoever made the request, so it must be told that
 * it was us. `SameSite` alone leaves out old browsers, and whatever else is served from this site.
 *
 * @throws CrossSiteRefused (403)
 */
export function requireSameOrigin(request: FastifyRequest): void {
  if (isSameOrigin(request) !== true) throw new CrossSiteRefused()
}

/**
 * For a request that is about to get cookies: where it comes from somewhere else, a stranger would log a browser in.
 * One that says nothing is no browser's.
 *
 * @throws CrossSiteRefused (403)
 */
export function refuseCrossSite(request: FastifyRequest): void {
  if (isSameOrigin(request) === false) throw new CrossSiteRefused()
}
