import type { Revocation } from './denylist.js'

/** Entries that expire within the same so many milliseconds are dropped together. */
const BUCKET_MS = 1000

type Kind = Revocation['kind']

/** What has been revoked and has not expired, in memory. */
export class Entries {
  readonly #expiry: Record<Kind, Map<string, number>> = { jti: new Map(), sid: new Map() }
  /** Which entries expire when, so that the expired are found without looking at the others. */
  readonly #buckets = new Map<number, [Kind, string][]>()

  get size(): number {
    return this.#expiry.jti.size + this.#expiry.sid.size
  }

  has(kind: Kind, id: string): boolean {
    return this.#expiry[kind].has(id)
  }

  /** @returns whether it is new */
  add({ kind, id, expiresAt }: Revocation): boolean {
    if (this.#expiry[kind].has(id)) return false
    const expires = expiresAt.getTime()
    this.#expiry[kind].set(id, expires)
    const bucket = Math.ceil(expires / BUCKET_MS)
    const entries = this.#buckets.get(bucket)
    if (entries === undefined) this.#buckets.set(bucket, [[kind, id]])
    else entries.push([kind, id])
    return true
  }

  /** Drops what has expired, by the clock that says what time it is now, in milliseconds since 1970. */
  sweep(now: number): void {
    for (const [bucket, entries] of this.#buckets) {
      if (bucket * BUCKET_MS > now) continue
      for (const [kind, id] of entries) this.#expiry[kind].delete(id)
      this.#buckets.delete(bucket)
    }
  }

  *[Symbol.iterator](): Generator<Revocation> {
    for (const kind of ['jti', 'sid'] as const) {
      for (const [id, expires] of this.#expiry[kind]) yield { kind, id, expiresAt: new Date(expires) }
    }
  }
}
