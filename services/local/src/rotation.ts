import { createHash } from 'node:crypto'
import type { Upstream } from './replicas.js'

/** Round robin over those who are alive. */
export class Rotation {
  #next = 0

  /** @param replicas looked at anew each time: some may be added or taken away */
  constructor(readonly replicas: readonly Upstream[]) {}

  /** The next one that is alive and was not tried, or undefined. */
  take(tried: ReadonlySet<Upstream>): Upstream | undefined {
    for (let step = 0; step < this.replicas.length; step++) {
      const replica = this.replicas[this.#next++ % this.replicas.length]
      if (replica && replica.alive !== false && !tried.has(replica)) return replica
    }
    return undefined
  }
}

/** A name for a replica that a cookie may carry: it tells nobody where the replica is. As nginx' `sticky cookie` does. */
export const stickyName = ({ url }: Upstream): string => createHash('sha256').update(url).digest('hex').slice(0, 32)

/** The one of that name, for as long as it is alive. */
export const findSticky = (replicas: readonly Upstream[], name: string | undefined): Upstream | undefined =>
  name === undefined ? undefined : replicas.find((one) => one.alive !== false && stickyName(one) === name)
