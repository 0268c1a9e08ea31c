import { globToRegExp, Options, parseCount, parseInteger } from './arguments.js'
import { arg, typeOf, type Command, type Keyspace } from './keyspace.js'
import { CommandError, OK, Status, SYNTAX_ERROR, type Reply } from './replies.js'

const EXPIRE_CONDITIONS = ['NX', 'XX', 'GT', 'LT'] as const

function expire(
  keyspace: Keyspace,
  args: string[],
  unit: { name: string; seconds: boolean; absolute: boolean }
): Reply {
  const key = arg(args, 0)
  const at = Number(parseInteger(args[1])) * (unit.seconds ? 1000 : 1) + (unit.absolute ? 0 : keyspace.now)
  if (Math.abs(at) > Number.MAX_SAFE_INTEGER)
    throw new CommandError(`ERR invalid expire time in '${unit.name}' command`)
  const conditions = args.slice(2).map((word) => {
    const condition = EXPIRE_CONDITIONS.find((name) => name === word.toUpperCase())
    if (!condition) throw new CommandError(`ERR Unsupported option ${word}`)
    return condition
  })
  if (conditions.includes('NX') && conditions.length > 1) {
    throw new CommandError('ERR NX and XX, GT or LT options at the same time are not compatible')
  }
  if (conditions.includes('GT') && conditions.includes('LT')) {
    throw new CommandError('ERR GT and LT options at the same time are not compatible')
  }

  const value = keyspace.get(key)
  if (value === undefined) return 0
  const current = keyspace.expiresAt(key)
  const refused = conditions.some((condition) => {
    if (condition === 'NX') return current !== undefined
    if (condition === 'XX') return current === undefined
    // No lifetime counts as the longest.
    return condition === 'GT' ? at <= (current ?? Infinity) : at >= (current ?? Infinity)
  })
  if (refused) return 0
  keyspace.set(key, value, at)
  return 1
}

/** -2 without a key, -1 without a lifetime. */
function lifetime(keyspace: Keyspace, key: string, read: (at: number) => number): Reply {
  if (!keyspace.has(key)) return -2
  const at = keyspace.expiresAt(key)
  return at === undefined ? -1 : read(at)
}

function rename(keyspace: Keyspace, args: string[]): void {
  const [from, to] = [arg(args, 0), arg(args, 1)]
  const value = keyspace.get(from)
  if (value === undefined) throw new CommandError('ERR no such key')
  const expiresAt = keyspace.expiresAt(from)
  keyspace.delete(from)
  keyspace.set(to, value, expiresAt)
}

/** Reads MATCH, COUNT and, for SCAN itself, TYPE. COUNT is a hint, and everything fits into one reply here. */
export function parseScan(
  args: string[],
  start: number
): { matches: (name: string) => boolean; type: string | undefined } {
  parseCount(args[start - 1], 'ERR invalid cursor')
  const options = new Options(args, start)
  let pattern: RegExp | undefined
  let type: string | undefined
  while (!options.done) {
    if (options.take('MATCH', 1)) pattern = globToRegExp(options.next())
    else if (options.take('COUNT', 1)) {
      if (parseCount(options.next()) < 1) throw new CommandError(SYNTAX_ERROR)
    } else if (options.take('TYPE', 1)) type = options.next().toLowerCase()
    else throw new CommandError(SYNTAX_ERROR)
  }
  return { matches: (name) => pattern?.test(name) ?? true, type }
}

function scan(keyspace: Keyspace, args: string[]): Reply {
  const { matches, type } = parseScan(args, 1)
  const found = keyspace.keys().filter((key) => {
    const value = keyspace.get(key)
    return matches(key) && value !== undefined && (type === undefined || typeOf(value) === type)
  })
  return ['0', found]
}

const count = (keys: string[], test: (key: string) => boolean): number => keys.filter((key) => test(key)).length

const remove: Command = { arity: -2, run: (keyspace, keys) => count(keys, (key) => keyspace.delete(key)) }
const present: Command = { arity: -2, run: (keyspace, keys) => count(keys, (key) => keyspace.has(key)) }

function flush(keyspace: Keyspace, args: string[]): Reply {
  if (args.length > 1 || (args[0] !== undefined && !/^(?:a?sync)$/i.test(args[0]))) throw new CommandError(SYNTAX_ERROR)
  keyspace.clear()
  return OK
}

const expiry = (name: string, seconds: boolean, absolute: boolean): Command => ({
  arity: -3,
  run: (keyspace, args) => expire(keyspace, args, { name, seconds, absolute })
})

const remaining = (read: (keyspace: Keyspace, at: number) => number): Command => ({
  arity: 2,
  run: (keyspace, args) => lifetime(keyspace, arg(args, 0), (at) => read(keyspace, at))
})

/** Commands on keys of any type. */
export const keyCommands: Record<string, Command> = {
  del: remove,
  unlink: remove,
  exists: present,
  touch: present,
  type: {
    arity: 2,
    run(keyspace, args) {
      const value = keyspace.get(arg(args, 0))
      return new Status(value === undefined ? 'none' : typeOf(value))
    }
  },
  keys: {
    arity: 2,
    run(keyspace, args) {
      const pattern = globToRegExp(arg(args, 0))
      return keyspace.keys().filter((key) => pattern.test(key))
    }
  },
  scan: { arity: -2, run: scan },
  randomkey: {
    arity: 1,
    run(keyspace) {
      const keys = keyspace.keys()
      return keys[Math.floor(Math.random() * keys.length)] ?? null
    }
  },
  rename: {
    arity: 3,
    run(keyspace, args) {
      rename(keyspace, args)
      return OK
    }
  },
  renamenx: {
    arity: 3,
    run(keyspace, args) {
      if (keyspace.has(arg(args, 0)) && keyspace.has(arg(args, 1))) return 0
      rename(keyspace, args)
      return 1
    }
  },
  expire: expiry('expire', true, false),
  pexpire: expiry('pexpire', false, false),
  expireat: expiry('expireat', true, true),
  pexpireat: expiry('pexpireat', false, true),
  ttl: remaining((keyspace, at) => Math.floor((at - keyspace.now + 500) / 1000)),
  pttl: remaining((keyspace, at) => at - keyspace.now),
  expiretime: remaining((_keyspace, at) => Math.floor((at + 500) / 1000)),
  pexpiretime: remaining((_keyspace, at) => at),
  persist: {
    arity: 2,
    run(keyspace, args) {
      const value = keyspace.get(arg(args, 0))
      if (value === undefined || keyspace.expiresAt(arg(args, 0)) === undefined) return 0
      keyspace.set(arg(args, 0), value)
      return 1
    }
  },
  dbsize: { arity: 1, run: (keyspace) => keyspace.size },
  flushall: { arity: -1, run: flush },
  flushdb: { arity: -1, run: flush },
  time: {
    arity: 1,
    run() {
      const microseconds = Math.floor((performance.timeOrigin + performance.now()) * 1000)
      return [String(Math.floor(microseconds / 1e6)), String(microseconds % 1e6)]
    }
  }
}
