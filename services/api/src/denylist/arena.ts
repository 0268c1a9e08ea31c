import { giveBackWords, takeWords, type Words } from './words.js'

/** How many records a chunk has, as a power of two: 320 kB each, so that what is half empty is no great loss. */
const CHUNK_BITS = 14
const CHUNK_RECORDS = 1 << CHUNK_BITS

/** The words of a record: those of a UUID, and which record is next in the list that it is in. */
export const NEXT = 4
const RECORD_WORDS = 5

/** No record: where a list ends. */
export const NONE = 0

interface Chunk {
  words: Words
  /** The first of those that were given back; each names the next. */
  free: number
  /** How many have ever been taken; those behind them are free too. */
  taken: number
  /** How many are taken at the moment. */
  live: number
}

/**
 * Records of five words, in chunks: it grows by a chunk, so nothing that is there is ever copied, and a chunk of which
 * nothing is left is given back to the system. A record is named by a number from 1 on, its handle.
 */
export class Arena {
  readonly #chunks: (Chunk | undefined)[] = []
  /** No chunk before this one has room: those in front are filled first, so that the last ones become empty. */
  #roomFrom = 0

  /** The words that a record is in, and from where on: two calls instead of an object for the two. */
  wordsOf(handle: number): Words {
    return this.#chunks[(handle - 1) >>> CHUNK_BITS]!.words
  }

  offsetOf(handle: number): number {
    return ((handle - 1) & (CHUNK_RECORDS - 1)) * RECORD_WORDS
  }

  take(): number {
    let number = this.#roomFrom
    let chunk = this.#chunks[number]
    while (chunk?.live === CHUNK_RECORDS) chunk = this.#chunks[++number]
    this.#roomFrom = number
    chunk ??= this.#chunks[number] = {
      words: takeWords(CHUNK_RECORDS * RECORD_WORDS),
      free: NONE,
      taken: 0,
      live: 0
    }
    chunk.live++
    if (chunk.free === NONE) return (number << CHUNK_BITS) + ++chunk.taken
    const handle = chunk.free
    chunk.free = chunk.words[this.offsetOf(handle) + NEXT]!
    return handle
  }

  giveBack(handle: number): void {
    const number = (handle - 1) >>> CHUNK_BITS
    const chunk = this.#chunks[number]!
    chunk.words[this.offsetOf(handle) + NEXT] = chunk.free
    chunk.free = handle
    if (--chunk.live === 0) {
      this.#chunks[number] = undefined
      giveBackWords(chunk.words)
    }
    if (number < this.#roomFrom) this.#roomFrom = number
  }
}
