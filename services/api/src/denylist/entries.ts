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

  /** Makes room for so many, in all, where it is known: to grow on the way is most of the work. */
  reserve(count: Record<Kind, number>): void {
    for (const kind of ['jti', 'sid'] as const) this.#tables[kind].reserve(count[kind])
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

/** So many at a time: whoever has to wait for something, or to let others have their turn, does so in between. */
export function* pagesOf<T>(items: Iterable<T>, length: number): Generator<T[]> {
  let page: T[] = []
  for (const item of items) {
    if (page.push(item) < length) continue
    yield page
    page = []
  }
  if (page.length > 0) yield page
}
