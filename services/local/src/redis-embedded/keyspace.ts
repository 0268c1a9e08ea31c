import { CommandError, WRONG_TYPE, type Reply } from './replies.js'
import { SortedSet } from './sorted-set.js'
import { Stream } from './streams.js'

/** A string, a hash, a set, a sorted set, a stream. */
export type Value = string | Map<string, string> | Set<string> | SortedSet | Stream

interface Slot {
  value: Value
  /** Unix milliseconds. */
  expiresAt: number | undefined
}

/** A transaction's view of the keys it watches. */
export interface Watch {
  changed: boolean
}

export function typeOf(value: Value): string {
  if (typeof value === 'string') return 'string'
  if (value instanceof Map) return 'hash'
  if (value instanceof Set) return 'set'
  return value.type
}

const isEmpty = (value: Value): boolean =>
  (value instanceof Map || value instanceof Set || value instanceof SortedSet) && value.size === 0

/** Every key with its value and its lifetime: one, for streams as for all else, so that DEL and EXPIRE see them alike. */
export class Keyspace {
  readonly #slots = new Map<string, Slot>()
  readonly #watches = new Map<string, Set<Watch>>()
  /** Streams appended to since whoever waits for them was last told. */
  readonly appended = new Set<string>()
  /** Unix milliseconds, standing still for the length of a command, a script or a transaction, as in Redis. */
  now = Date.now()

  #slot(key: string): Slot | undefined {
    const slot = this.#slots.get(key)
    if (slot?.expiresAt === undefined || slot.expiresAt > this.now) return slot
    this.#slots.delete(key)
    this.#touch(key)
    return undefined
  }

  #touch(key: string): void {
    for (const watch of this.#watches.get(key) ?? []) watch.changed = true
  }

  get(key: string): Value | undefined {
    return this.#slot(key)?.value
  }

  has(key: string): boolean {
    return this.#slot(key) !== undefined
  }

  string(key: string): string | undefined {
    const value = this.get(key)
    if (value !== undefined && typeof value !== 'string') throw new CommandError(WRONG_TYPE)
    return value
  }

  #instance<T extends Exclude<Value, string>>(key: string, type: new () => T): T | undefined {
    const value = this.get(key)
    if (value !== undefined && !(value instanceof type)) throw new CommandError(WRONG_TYPE)
    return value
  }

  hash(key: string): Map<string, string> | undefined {
    return this.#instance(key, Map<string, string>)
  }

  members(key: string): Set<string> | undefined {
    return this.#instance(key, Set<string>)
  }

  sorted(key: string): SortedSet | undefined {
    return this.#instance(key, SortedSet)
  }

  stream(key: string): Stream | undefined {
    return this.#instance(key, Stream)
  }

  /** Stores a value under a key, with a new lifetime (Unix milliseconds; none if absent). One in the past deletes it. */
  set(key: string, value: Value, expiresAt?: number): void {
    if (expiresAt !== undefined && expiresAt <= this.now) this.delete(key)
    else {
      this.#slots.set(key, { value, expiresAt })
      this.#touch(key)
    }
  }

  /** Stores a changed value: the lifetime stays, and what has become empty goes (but for streams). */
  update(key: string, value: Value): void {
    if (isEmpty(value)) this.delete(key)
    else this.set(key, value, this.#slot(key)?.expiresAt)
  }

  delete(key: string): boolean {
    const existed = this.has(key)
    if (existed) {
      this.#slots.delete(key)
      this.#touch(key)
    }
    return existed
  }

  clear(): void {
    for (const key of this.#slots.keys()) this.#touch(key)
    this.#slots.clear()
  }

  /** Unix milliseconds, `undefined` for no lifetime. */
  expiresAt(key: string): number | undefined {
    return this.#slot(key)?.expiresAt
  }

  keys(): string[] {
    return [...this.#slots.keys()].filter((key) => this.has(key))
  }

  /** Including what has expired and was not looked at since, as DBSIZE counts. */
  get size(): number {
    return this.#slots.size
  }

  get volatileSize(): number {
    let count = 0
    for (const slot of this.#slots.values()) if (slot.expiresAt !== undefined) count++
    return count
  }

  /** Frees what has expired, which would otherwise stay until it is asked for. */
  sweep(): void {
    this.now = Date.now()
    for (const key of this.#slots.keys()) this.#slot(key)
  }

  watch(key: string, watch: Watch): void {
    const watches = this.#watches.get(key) ?? new Set()
    this.#watches.set(key, watches.add(watch))
  }

  unwatch(watch: Watch): void {
    for (const [key, watches] of this.#watches) {
      if (watches.delete(watch) && watches.size === 0) this.#watches.delete(key)
    }
  }
}

export interface Command {
  /** As Redis counts: with the command's name, negative for "at least". */
  arity: number
  /** Arguments without the command's name. */
  run(keyspace: Keyspace, args: string[]): Reply
}

/** The n-th argument of a command whose arity was checked. */
export function arg(args: readonly string[], index: number): string {
  const value = args[index]
  if (value === undefined) throw new CommandError('ERR syntax error')
  return value
}
