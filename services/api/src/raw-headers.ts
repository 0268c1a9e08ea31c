import type { IncomingMessage } from 'node:http'

/**
 * How often a header was sent. Of two, Node keeps the first or joins them; a proxy may have kept, or looked at, the other.
 *
 * @param name in lower case
 */
export function countHeader({ rawHeaders }: IncomingMessage, name: string): number {
  let count = 0
  // Names and values in turn. The length first: at each request, a lower-case copy of every name is what this costs.
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const sent = rawHeaders[i]!
    if (sent.length === name.length && sent.toLowerCase() === name) count++
  }
  return count
}
