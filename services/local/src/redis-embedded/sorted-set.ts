export type Scored = readonly [member: string, score: number]

/** Scores by member, and in order of score, then of bytes. Sorted when it is first asked for after a change. */
export class SortedSet {
  readonly type = 'zset'
  readonly #scores = new Map<string, number>()
  #sorted: Scored[] | undefined

  get size(): number {
    return this.#scores.size
  }

  score(member: string): number | undefined {
    return this.#scores.get(member)
  }

  set(member: string, score: number): void {
    this.#scores.set(member, score)
    this.#sorted = undefined
  }

  delete(member: string): boolean {
    this.#sorted = undefined
    return this.#scores.delete(member)
  }

  sorted(): readonly Scored[] {
    this.#sorted ??= [...this.#scores].sort(([a, x], [b, y]) => (x === y ? (a < b ? -1 : a > b ? 1 : 0) : x - y))
    return this.#sorted
  }
}
