import type { Revocation } from './denylist.js'
import { UuidTable } from './uuid-table.js'
import type { UuidWords } from './uuid-words.js'

type Kind = Revocation['kind']

/** What has been revoked and has not expired, in memory; to the second in which it expires. */
export class Entries {
  readonly #tables: Record<Kind, UuidTable> = { jti: new UuidTable(), sid: new UuidTable() }

  get size(): number {
    return this.#tables.jti.size + this.#tables.sid.size
  }

  has(kind: Kind, id: string): boolean {
    return this.#tables[kind].has(id)
  }

  /** @returns whether it is new; what is no UUID never is, and no token can have it */
  add({ kind, id, expiresAt }: Revocation): boolean {
    return this.#tables[kind].add(id, Math.ceil(expiresAt.getTime() / 1000))
  }

  /** The same of what was never text. */
  addWords(kind: Kind, words: UuidWords, expiresAt: number): boolean {
    return this.#tables[kind].addWords(words, Math.ceil(expiresAt / 1000))
  }

  /**
   * Drops what has expired, but no more at a time than the event loop can wait for.
   *
   * @param now in milliseconds since 1970
   * @returns whether that was all
   */
  sweep(now: number): boolean {
    const isAll = this.#tables.jti.sweep(now)
    return this.#tables.sid.sweep(now) && isAll
  }

  *[Symbol.iterator](): Generator<Revocation> {
    for (const kind of ['jti', 'sid'] as const) {
      for (const [id, second] of this.#tables[kind]) yield { kind, id, expiresAt: new Date(second * 1000) }
    }
  }
}
