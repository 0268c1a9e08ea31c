import { CommandError, NOT_AN_INTEGER, SYNTAX_ERROR } from './replies.js'

const MIN_INTEGER = -(2n ** 63n)
const MAX_INTEGER = 2n ** 63n - 1n

/** A 64-bit integer in the one spelling Redis takes: no plus, no leading zero, no space. */
export function parseInteger(text: string | undefined, message = NOT_AN_INTEGER): bigint {
  if (text === undefined || !/^(?:0|-?[1-9]\d{0,18})$/.test(text)) throw new CommandError(message)
  const value = BigInt(text)
  if (value < MIN_INTEGER || value > MAX_INTEGER) throw new CommandError(message)
  return value
}

/** The same as a number; what exceeds 2^53 is rounded, and stands for "all" wherever it is used. */
export const parseCount = (text: string | undefined, message?: string): number => Number(parseInteger(text, message))

/** The sum, if it is still a 64-bit integer. */
export function addIntegers(a: bigint, b: bigint): bigint {
  const sum = a + b
  if (sum < MIN_INTEGER || sum > MAX_INTEGER) throw new CommandError('ERR increment or decrement would overflow')
  return sum
}

export function parseFloatStrictly(text: string | undefined, message = 'ERR value is not a valid float'): number {
  if (text === undefined) throw new CommandError(message)
  const infinite = /^([+-]?)inf(?:inity)?$/i.exec(text)
  if (infinite) return infinite[1] === '-' ? -Infinity : Infinity
  if (!/^[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?$/i.test(text)) throw new CommandError(message)
  return Number(text)
}

/** As Redis prints a double. */
export function formatFloat(value: number): string {
  if (value === Infinity) return 'inf'
  if (value === -Infinity) return '-inf'
  if (Object.is(value, -0)) return '-0'
  return Math.abs(value) < 1e17 ? String(value) : value.toExponential()
}

/** Walks through a command's options. Names are read in any case. */
export class Options {
  #position: number

  constructor(
    readonly args: readonly string[],
    start: number
  ) {
    this.#position = start
  }

  get done(): boolean {
    return this.#position >= this.args.length
  }

  /** How many arguments are left. */
  get left(): number {
    return this.args.length - this.#position
  }

  /** The next word, in upper case, without taking it. */
  get word(): string {
    return (this.args[this.#position] ?? '').toUpperCase()
  }

  /** Takes the next word if it is `name` and `values` more follow. */
  take(name: string, values = 0): boolean {
    if (this.word !== name || this.left <= values) return false
    this.#position++
    return true
  }

  next(message = SYNTAX_ERROR): string {
    const value = this.args[this.#position++]
    if (value === undefined) throw new CommandError(message)
    return value
  }

  rest(): string[] {
    return this.args.slice(this.#position)
  }
}

/** Redis' glob: `*`, `?`, `[a-z]`, `[^a]` and backslash. */
export function globToRegExp(pattern: string): RegExp {
  let source = ''
  for (let i = 0; i < pattern.length; i++) {
    const char = pattern.charAt(i)
    const close = char === '[' ? pattern.indexOf(']', i + 1) : -1
    if (char === '*') source += '.*'
    else if (char === '?') source += '.'
    else if (close > i) {
      source += `[${pattern.slice(i + 1, close).replace(/[\\\]]/g, '\\$&')}]`
      i = close
    } else
      source += (char === '\\' && i + 1 < pattern.length ? pattern.charAt(++i) : char).replace(
        /[\\^$.*+?()[\]{}|/-]/g,
        '\\$&'
      )
  }
  return new RegExp(`^${source}$`, 's')
}
