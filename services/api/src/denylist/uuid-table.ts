import { randomBytes } from 'node:crypto'
import { Arena, NEXT, NONE } from './arena.js'
import { giveBackWords, PAGE_WORDS, takeWords, type Words } from './words.js'
import { newUuidWords, parseUuid, spellUuid, type UuidWords } from './uuid-words.js'

/** The index is so many tables, each of which grows by itself: a large one is never copied at once. */
const SHARDS = 128

/** Above this a lookup of what is not there passes too many neighbours; with room for half as many more it is a quarter of them. */
const MAX_LOAD = 0.8
const GROWTH = 1.4
/** Shrunk below this, so that what expires does not leave its room behind; far enough from MAX_LOAD not to go to and fro. */
const MIN_LOAD = 0.35
const MIN_CAPACITY = PAGE_WORDS

/** A place of the index: the handle of a record and, above it, bits of its hash, so that nearly no other one is looked at. */
const HANDLE_BITS = 26
const HANDLE = 2 ** HANDLE_BITS - 1
const FINGERPRINT = ~HANDLE >>> 0

/**
 * How long a call of sweep takes at the most, in milliseconds, and as long as it takes to make one shard smaller. The clock is
 * looked at after each: all shards come to that at about the same time.
 */
const SWEEP_MS = 2

/** Those that expire in the same second. */
interface Chain {
  second: number
  /** The one that was added last; each names the one before it. */
  head: number
  /** What has been swept may be another's by now. */
  isSwept: boolean
}

/** Mixes all bits of four words into 32. The seed keeps it from being the same in any two processes. */
export type Hash = (a: number, b: number, c: number, d: number) => number

export function seededHash(seed = randomBytes(4).readUInt32LE()): Hash {
  return (a, b, c, d) => {
    let hash = Math.imul(seed ^ a, 0x85ebca6b)
    hash = Math.imul(hash ^ (hash >>> 15) ^ b, 0xc2b2ae35)
    hash = Math.imul(hash ^ (hash >>> 13) ^ c, 0x27d4eb2f)
    hash = Math.imul(hash ^ (hash >>> 15) ^ d, 0x165667b1)
    hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
    return (hash ^ (hash >>> 16)) >>> 0
  }
}

/**
 * UUIDs, each until a second, in some 27 bytes: its 16 in a record, with the next one that expires in the same second; and
 * 5 to 7 in an index by open addressing, which has nothing but numbers. All 128 bits are compared: a set that confused
 * two would refuse a token that nobody revoked. A Map of strings takes five times as much.
 *
 * No call takes longer the more there are: an addition copies a shard of the index at the most, and sweep drops so
 * many at a time. There is room for 67,000,000.
 */
export class UuidTable {
  readonly #hash: Hash
  readonly #arena = new Arena()
  readonly #shards = Array.from({ length: SHARDS }, () => takeWords(MIN_CAPACITY))
  readonly #sizes = new Uint32Array(SHARDS)
  readonly #chains = new Map<number, Chain>()
  /** Those that have expired and are not dropped yet. */
  readonly #expired: Chain[] = []
  #size = 0
  /** The capacity that a shard is expected to need, until something is dropped. */
  #reserved = 0
  /** What was parsed last: an array for each look-up would be garbage. */
  readonly #parsed = newUuidWords()

  /** @param hash a poor one makes it slow, never wrong */
  constructor(hash = seededHash()) {
    this.#hash = hash
  }

  get size(): number {
    return this.#size
  }

  /**
   * So many are to come, in all: each shard makes room for its share when it grows next, and not bit by bit, by which each
   * is moved several times.
   */
  reserve(count: number): void {
    // No shard has exactly its share.
    const share = count / SHARDS
    this.#reserved = Math.ceil((share + 4 * Math.sqrt(share)) / MAX_LOAD)
  }

  /** What is no UUID is not there. */
  has(id: string): boolean {
    return parseUuid(id, this.#parsed) && this.#find(this.#parsed) !== NONE
  }

  /**
   * What is no UUID is left out, for no token can have it.
   *
   * @param second since 1970, from when on nobody needs it
   * @returns whether it is new; what is there keeps its second
   */
  add(id: string, second: number): boolean {
    return parseUuid(id, this.#parsed) && this.addWords(this.#parsed, second)
  }

  addWords(words: UuidWords, second: number): boolean {
    const hash = this.#hashOf(words, 0)
    if (this.#find(words, hash) !== NONE) return false
    const handle = this.#arena.take()
    if (handle > HANDLE) throw new RangeError('no room for another UUID')

    let chain = this.#chains.get(second)
    if (chain === undefined) this.#chains.set(second, (chain = { second, head: NONE, isSwept: false }))
    const record = this.#arena.wordsOf(handle)
    const offset = this.#arena.offsetOf(handle)
    record.set(words, offset)
    record[offset + NEXT] = chain.head
    chain.head = handle

    const number = shardOf(hash)
    const size = ++this.#sizes[number]!
    let shard = this.#shards[number]!
    if (size > shard.length * MAX_LOAD) {
      shard = this.#resize(number, Math.max(Math.ceil(shard.length * GROWTH), this.#reserved))
    }
    insert(shard, hash, handle)
    this.#size++
    return true
  }

  /**
   * Drops what has expired, for a few milliseconds: how many that is differs by a factor of ten, for the code is slow at
   * first.
   *
   * @param now in milliseconds since 1970
   * @returns whether that was all
   */
  sweep(now: number): boolean {
    for (const [second, chain] of this.#chains) {
      if (second * 1000 > now) continue
      this.#chains.delete(second)
      chain.isSwept = true
      this.#expired.push(chain)
    }
    const until = performance.now() + SWEEP_MS
    for (let chain; (chain = this.#expired.at(-1)) !== undefined; this.#expired.pop()) {
      while (chain.head !== NONE) {
        chain.head = this.#drop(chain.head)
        if (performance.now() > until) return false
      }
    }
    return true
  }

  /**
   * Each UUID and its second. Whoever walks may pause for as long as he likes: what is added meanwhile may be missing, and
   * what has expired is left out.
   */
  *[Symbol.iterator](): Generator<[id: string, second: number]> {
    const words = newUuidWords()
    for (const chain of [...this.#chains.values()]) {
      for (let handle = chain.head; handle !== NONE && !chain.isSwept;) {
        const record = this.#arena.wordsOf(handle)
        const offset = this.#arena.offsetOf(handle)
        for (let i = 0; i < words.length; i++) words[i] = record[offset + i]!
        handle = record[offset + NEXT]!
        yield [spellUuid(words), chain.second]
      }
    }
  }

  #hashOf(words: Uint32Array, offset: number): number {
    return this.#hash(words[offset]!, words[offset + 1]!, words[offset + 2]!, words[offset + 3]!)
  }

  /** @returns a handle, or NONE */
  #find(words: UuidWords, hash = this.#hashOf(words, 0)): number {
    const shard = this.#shards[shardOf(hash)]!
    const capacity = shard.length
    const fingerprint = fingerprintOf(hash)
    for (let i = homeOf(hash, capacity), place; (place = shard[i]!) !== NONE; i = i + 1 === capacity ? 0 : i + 1) {
      if ((place & FINGERPRINT) >>> 0 !== fingerprint) continue
      const handle = place & HANDLE
      const record = this.#arena.wordsOf(handle)
      const offset = this.#arena.offsetOf(handle)
      if (
        record[offset] === words[0] &&
        record[offset + 1] === words[1] &&
        record[offset + 2] === words[2] &&
        record[offset + 3] === words[3]
      ) {
        return handle
      }
    }
    return NONE
  }

  #hashOfHandle(handle: number): number {
    return this.#hashOf(this.#arena.wordsOf(handle), this.#arena.offsetOf(handle))
  }

  /** @returns the next one in its chain */
  #drop(handle: number): number {
    const hash = this.#hashOfHandle(handle)
    const number = shardOf(hash)
    const shard = this.#shards[number]!
    const capacity = shard.length
    let hole = homeOf(hash, capacity)
    while ((shard[hole]! & HANDLE) !== handle) {
      if (shard[hole] === NONE) throw new Error('the index has lost an entry')
      hole = hole + 1 === capacity ? 0 : hole + 1
    }
    // Whoever stands behind the hole, and would be looked for in front of it, moves into it: so nothing marks what was dropped.
    for (let i = hole + 1 === capacity ? 0 : hole + 1; shard[i] !== NONE; i = i + 1 === capacity ? 0 : i + 1) {
      const home = homeOf(this.#hashOfHandle(shard[i]! & HANDLE), capacity)
      if (distance(home, i, capacity) < distance(hole, i, capacity)) continue
      shard[hole] = shard[i]!
      hole = i
    }
    shard[hole] = NONE

    const next = this.#arena.wordsOf(handle)[this.#arena.offsetOf(handle) + NEXT]!
    this.#arena.giveBack(handle)
    this.#size--
    this.#reserved = 0
    const size = --this.#sizes[number]!
    if (capacity > MIN_CAPACITY && size < capacity * MIN_LOAD) {
      this.#resize(number, Math.max(MIN_CAPACITY, Math.ceil((size / MAX_LOAD) * GROWTH)))
    }
    return next
  }

  #resize(number: number, capacity: number): Words {
    const before = this.#shards[number]!
    const after = takeWords(capacity)
    for (const place of before) {
      if (place === NONE) continue
      const handle = place & HANDLE
      insert(after, this.#hashOfHandle(handle), handle)
    }
    giveBackWords(before)
    return (this.#shards[number] = after)
  }
}

/** The highest bits of a hash say in which shard it is, the others where it is looked for first, the lowest six are kept. */
const shardOf = (hash: number): number => hash >>> 25
const homeOf = (hash: number, capacity: number): number => Math.floor(((hash & 0xffffff) * capacity) / 0x1000000)
const fingerprintOf = (hash: number): number => (hash << HANDLE_BITS) >>> 0

/** How many places from one to the other, which lies behind it, round the end. */
const distance = (from: number, to: number, capacity: number): number => (to >= from ? to - from : to - from + capacity)

function insert(shard: Words, hash: number, handle: number): void {
  let i = homeOf(hash, shard.length)
  while (shard[i] !== NONE) i = i + 1 === shard.length ? 0 : i + 1
  shard[i] = fingerprintOf(hash) | handle
}
