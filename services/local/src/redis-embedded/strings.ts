import { addIntegers, Options, parseFloatStrictly, parseInteger } from './arguments.js'
import { arg, type Command, type Keyspace } from './keyspace.js'
import { CommandError, OK, SYNTAX_ERROR, type Reply } from './replies.js'

/** Reads EX, PX, EXAT or PXAT with its number. @returns Unix milliseconds, or undefined where the next word is another */
function takeExpiry(options: Options, now: number, command: string): number | undefined {
  const unit = options.word
  if (!['EX', 'PX', 'EXAT', 'PXAT'].includes(unit) || !options.take(unit, 1)) return undefined
  return expiryOf(options.next(), { seconds: unit.startsWith('EX'), from: unit.endsWith('AT') ? 0 : now, command })
}

function expiryOf(
  text: string,
  { seconds, from, command }: { seconds: boolean; from: number; command: string }
): number {
  const value = parseInteger(text)
  const at = Number(value) * (seconds ? 1000 : 1) + from
  if (value <= 0n || at > Number.MAX_SAFE_INTEGER)
    throw new CommandError(`ERR invalid expire time in '${command}' command`)
  return at
}

function set(keyspace: Keyspace, args: string[]): Reply {
  const [key, value] = [arg(args, 0), arg(args, 1)]
  const options = new Options(args, 2)
  let condition: 'NX' | 'XX' | undefined
  let expiresAt: number | undefined
  let keepTtl = false
  let get = false
  while (!options.done) {
    const word = options.word
    if ((word === 'NX' || word === 'XX') && (condition === undefined || condition === word)) {
      options.next()
      condition = word
    } else if (options.take('GET')) get = true
    else if (expiresAt === undefined && options.take('KEEPTTL')) keepTtl = true
    else {
      const taken: number | undefined =
        keepTtl || expiresAt !== undefined ? undefined : takeExpiry(options, keyspace.now, 'set')
      if (taken === undefined) throw new CommandError(SYNTAX_ERROR)
      expiresAt = taken
    }
  }

  const previous = get ? (keyspace.string(key) ?? null) : null
  if (condition !== undefined && keyspace.has(key) !== (condition === 'XX')) return previous
  keyspace.set(key, value, keepTtl ? keyspace.expiresAt(key) : expiresAt)
  return get ? previous : OK
}

function getex(keyspace: Keyspace, args: string[]): Reply {
  const key = arg(args, 0)
  const options = new Options(args, 1)
  const persist = options.take('PERSIST')
  const expiresAt = persist ? undefined : takeExpiry(options, keyspace.now, 'getex')
  if (!options.done) throw new CommandError(SYNTAX_ERROR)
  const value = keyspace.string(key)
  if (value === undefined) return null
  if (persist || expiresAt !== undefined) keyspace.set(key, value, expiresAt)
  return value
}

function increment(keyspace: Keyspace, key: string, by: bigint): Reply {
  const sum = addIntegers(parseInteger(keyspace.string(key) ?? '0'), by)
  keyspace.update(key, String(sum))
  return sum
}

function incrementFloat(keyspace: Keyspace, args: string[]): Reply {
  const key = arg(args, 0)
  const sum = parseFloatStrictly(keyspace.string(key) ?? '0') + parseFloatStrictly(args[1])
  if (!Number.isFinite(sum)) throw new CommandError('ERR increment would produce NaN or Infinity')
  // Redis adds in 80 bits; 15 digits hide what 64 bits lose.
  const text = String(Number(sum.toPrecision(15)))
  keyspace.update(key, text)
  return text
}

function setAll(keyspace: Keyspace, args: string[], name: string): void {
  if (args.length % 2 === 1) throw new CommandError(`ERR wrong number of arguments for '${name}' command`)
  for (let i = 0; i < args.length; i += 2) keyspace.set(arg(args, i), arg(args, i + 1))
}

/** The part of a value from one index to another, both included, negative ones from the end. */
function slice(value: string, start: number, end: number): string {
  const from = Math.max(0, start < 0 ? value.length + start : start)
  const to = end < 0 ? value.length + end : end
  return to < from ? '' : value.slice(from, to + 1)
}

function setRange(keyspace: Keyspace, args: string[]): Reply {
  const [key, patch] = [arg(args, 0), arg(args, 2)]
  const offset = Number(parseInteger(args[1]))
  const value = keyspace.string(key) ?? ''
  if (offset < 0) throw new CommandError('ERR offset is out of range')
  if (patch === '') return value.length
  const result = value.padEnd(offset, '\0').slice(0, offset) + patch + value.slice(offset + patch.length)
  keyspace.update(key, result)
  return result.length
}

/** Commands on strings. */
export const stringCommands: Record<string, Command> = {
  get: { arity: 2, run: (keyspace, args) => keyspace.string(arg(args, 0)) ?? null },
  set: { arity: -3, run: set },
  setnx: {
    arity: 3,
    run(keyspace, args) {
      if (keyspace.has(arg(args, 0))) return 0
      keyspace.set(arg(args, 0), arg(args, 1))
      return 1
    }
  },
  setex: {
    arity: 4,
    run(keyspace, args) {
      const at = expiryOf(arg(args, 1), { seconds: true, from: keyspace.now, command: 'setex' })
      keyspace.set(arg(args, 0), arg(args, 2), at)
      return OK
    }
  },
  psetex: {
    arity: 4,
    run(keyspace, args) {
      const at = expiryOf(arg(args, 1), { seconds: false, from: keyspace.now, command: 'psetex' })
      keyspace.set(arg(args, 0), arg(args, 2), at)
      return OK
    }
  },
  getset: {
    arity: 3,
    run(keyspace, args) {
      const previous = keyspace.string(arg(args, 0)) ?? null
      keyspace.set(arg(args, 0), arg(args, 1))
      return previous
    }
  },
  getdel: {
    arity: 2,
    run(keyspace, args) {
      const value = keyspace.string(arg(args, 0)) ?? null
      keyspace.delete(arg(args, 0))
      return value
    }
  },
  getex: { arity: -2, run: getex },
  mget: {
    arity: -2,
    run: (keyspace, args) =>
      args.map((key) => {
        const value = keyspace.get(key)
        return typeof value === 'string' ? value : null
      })
  },
  mset: {
    arity: -3,
    run(keyspace, args) {
      setAll(keyspace, args, 'mset')
      return OK
    }
  },
  msetnx: {
    arity: -3,
    run(keyspace, args) {
      if (args.some((key, index) => index % 2 === 0 && keyspace.has(key))) return 0
      setAll(keyspace, args, 'msetnx')
      return 1
    }
  },
  append: {
    arity: 3,
    run(keyspace, args) {
      const value = (keyspace.string(arg(args, 0)) ?? '') + arg(args, 1)
      keyspace.update(arg(args, 0), value)
      return value.length
    }
  },
  strlen: { arity: 2, run: (keyspace, args) => (keyspace.string(arg(args, 0)) ?? '').length },
  getrange: {
    arity: 4,
    run: (keyspace, args) =>
      slice(keyspace.string(arg(args, 0)) ?? '', Number(parseInteger(args[1])), Number(parseInteger(args[2])))
  },
  setrange: { arity: 4, run: setRange },
  incr: { arity: 2, run: (keyspace, args) => increment(keyspace, arg(args, 0), 1n) },
  decr: { arity: 2, run: (keyspace, args) => increment(keyspace, arg(args, 0), -1n) },
  incrby: { arity: 3, run: (keyspace, args) => increment(keyspace, arg(args, 0), parseInteger(args[1])) },
  decrby: { arity: 3, run: (keyspace, args) => increment(keyspace, arg(args, 0), -parseInteger(args[1])) },
  incrbyfloat: { arity: 3, run: incrementFloat }
}
