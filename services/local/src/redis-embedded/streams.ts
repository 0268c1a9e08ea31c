import { parseCount, parseInteger, type Options } from './arguments.js'
import { CommandError, type Reply } from './replies.js'

/** A stream id `<ms>-<seq>`, both 64 bits unsigned, as one number: comparing and stepping are then plain arithmetic. */
export type StreamId = bigint

const BITS = 64n
const MAX_PART = 2n ** BITS - 1n
const MAX_ID: StreamId = (MAX_PART << BITS) | MAX_PART
const INVALID_ID = 'ERR Invalid stream ID specified as stream command argument'

/** A real stream's node: `~` trims whole nodes only. */
const NODE_ENTRIES = 100

export interface Entry {
  id: StreamId
  /** Field, value, field, value… */
  fields: string[]
}

export const formatId = (id: StreamId): string => `${id >> BITS}-${id & MAX_PART}`

function parsePart(text: string): bigint {
  if (!/^\d{1,20}$/.test(text)) throw new CommandError(INVALID_ID)
  const value = BigInt(text)
  if (value > MAX_PART) throw new CommandError(INVALID_ID)
  return value
}

/** `<ms>-<seq>`, or `<ms>` alone with `missingSeq` for the rest. */
export function parseId(text: string, missingSeq: bigint): StreamId {
  const dash = text.indexOf('-')
  if (dash === -1) return (parsePart(text) << BITS) | missingSeq
  return (parsePart(text.slice(0, dash)) << BITS) | parsePart(text.slice(dash + 1))
}

/** A bound of XRANGE: also `-`, `+`, and `(` for exclusive. */
export function parseBound(text: string, end: 'start' | 'end'): StreamId {
  const exclusive = text.startsWith('(') && text.length > 1
  const bound = exclusive ? text.slice(1) : text
  if (bound === '-' || bound === '+') {
    if (exclusive) throw new CommandError(INVALID_ID)
    return bound === '-' ? 0n : MAX_ID
  }
  const id = parseId(bound, end === 'start' ? 0n : MAX_PART)
  if (!exclusive) return id
  if (end === 'start') {
    if (id === MAX_ID) throw new CommandError('ERR invalid start ID for the interval')
    return id + 1n
  }
  if (id === 0n) throw new CommandError('ERR invalid end ID for the interval')
  return id - 1n
}

export interface Trim {
  by: 'maxlen' | 'minid'
  threshold: bigint
  approximate: boolean
  /** At most so many entries, 0 for no limit. */
  limit: number
}

/** What a Redis stream does, without the keyspace around it. Entries are sorted by id. */
export class Stream {
  readonly type = 'stream'
  #entries: Entry[] = []
  lastId: StreamId = 0n
  maxDeletedId: StreamId = 0n
  added = 0

  get length(): number {
    return this.#entries.length
  }

  get first(): Entry | undefined {
    return this.#entries[0]
  }

  get last(): Entry | undefined {
    return this.#entries.at(-1)
  }

  /**
   * Resolves `*`, `<ms>-*` or an explicit id against the last one.
   * @param nowMs wall clock; an id is never smaller than its predecessor, even where the clock was set back
   */
  nextId(spec: string, nowMs: number): StreamId {
    if (this.lastId === MAX_ID) {
      throw new CommandError('ERR The stream has exhausted the last possible ID, unable to add more items')
    }
    if (spec === '*') {
      const now = BigInt(nowMs) << BITS
      return now > this.lastId ? now : this.lastId + 1n
    }
    const equalOrSmaller = 'ERR The ID specified in XADD is equal or smaller than the target stream top item'
    if (spec.endsWith('-*')) {
      const ms = parsePart(spec.slice(0, -2))
      const lastMs = this.lastId >> BITS
      if (ms < lastMs || (ms === lastMs && (this.lastId & MAX_PART) === MAX_PART))
        throw new CommandError(equalOrSmaller)
      return ms === lastMs ? this.lastId + 1n : ms << BITS
    }
    const id = parseId(spec, 0n)
    if (id === 0n) throw new CommandError('ERR The ID specified in XADD must be greater than 0-0')
    if (id <= this.lastId) throw new CommandError(equalOrSmaller)
    return id
  }

  append(id: StreamId, fields: string[]): void {
    this.#entries.push({ id, fields })
    this.lastId = id
    this.added++
  }

  /** Index of the first entry that is not before `id`. */
  #indexOf(id: StreamId): number {
    let low = 0
    let high = this.#entries.length
    while (low < high) {
      const middle = (low + high) >>> 1
      const entry = this.#entries[middle]
      if (entry && entry.id < id) low = middle + 1
      else high = middle
    }
    return low
  }

  /** Entries from `start` to `end`, both included; at most `count` if that is positive. */
  range(start: StreamId, end: StreamId, options: { count?: number; reverse?: boolean } = {}): Entry[] {
    const { count = 0, reverse = false } = options
    const from = this.#indexOf(start)
    const to = end === MAX_ID ? this.#entries.length : this.#indexOf(end + 1n)
    if (from >= to) return []
    if (reverse) return this.#entries.slice(count > 0 ? Math.max(from, to - count) : from, to).reverse()
    return this.#entries.slice(from, count > 0 ? Math.min(to, from + count) : to)
  }

  /** Entries after `id`. */
  after(id: StreamId, count = 0): Entry[] {
    return id === MAX_ID ? [] : this.range(id + 1n, MAX_ID, { count })
  }

  /** @returns how many entries went */
  trim({ by, threshold, approximate, limit }: Trim): number {
    let excess = by === 'maxlen' ? Number(BigInt(this.length) - threshold) : this.#indexOf(threshold)
    if (approximate) {
      if (limit > 0) excess = Math.min(excess, limit)
      // The last node goes as a whole only if all of it is too much.
      if (excess < this.length) excess -= excess % NODE_ENTRIES
    }
    if (excess <= 0) return 0
    const gone = this.#entries.splice(0, excess)
    this.maxDeletedId = gone.at(-1)?.id ?? this.maxDeletedId
    return gone.length
  }

  /** @returns whether it was there */
  delete(id: StreamId): boolean {
    const index = this.#indexOf(id)
    if (this.#entries[index]?.id !== id) return false
    this.#entries.splice(index, 1)
    if (id > this.maxDeletedId) this.maxDeletedId = id
    return true
  }
}

export const entryReply = ({ id, fields }: Entry): Reply => [formatId(id), [...fields]]

/** MAXLEN or MINID with `=`, `~` and LIMIT, of XADD and XTRIM. */
export function parseTrim(options: Options): Trim | undefined {
  let trim: Trim | undefined
  let limit: number | undefined
  for (;;) {
    const by = options.take('MAXLEN', 1) ? 'maxlen' : options.take('MINID', 1) ? 'minid' : undefined
    if (by) {
      if (trim && trim.by !== by) {
        throw new CommandError('ERR syntax error, MAXLEN and MINID options at the same time are not compatible')
      }
      const approximate = options.take('~', 1)
      if (!approximate) options.take('=', 1)
      const value = options.next()
      const threshold = by === 'maxlen' ? parseInteger(value) : parseId(value, 0n)
      if (by === 'maxlen' && threshold < 0n) throw new CommandError('ERR The MAXLEN argument must be >= 0.')
      trim = { by, threshold, approximate, limit: 0 }
    } else if (options.take('LIMIT', 1)) {
      limit = parseCount(options.next())
      if (limit < 0) throw new CommandError('ERR The LIMIT argument must be >= 0.')
    } else break
  }
  if (limit !== undefined) {
    if (!trim) {
      throw new CommandError('ERR syntax error, LIMIT cannot be used without specifying a trimming strategy')
    }
    if (!trim.approximate) {
      throw new CommandError('ERR syntax error, LIMIT cannot be used without the special ~ option')
    }
  }
  if (trim?.approximate) trim.limit = limit ?? 100 * NODE_ENTRIES
  return trim
}
