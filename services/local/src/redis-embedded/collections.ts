import { addIntegers, formatFloat, Options, parseCount, parseFloatStrictly, parseInteger } from './arguments.js'
import { arg, type Command, type Keyspace } from './keyspace.js'
import { parseScan } from './keys.js'
import { CommandError, OK, SYNTAX_ERROR, type Reply } from './replies.js'
import { SortedSet, type Scored } from './sorted-set.js'

function setFields(keyspace: Keyspace, args: string[], name: string): number {
  if (args.length % 2 === 0) throw new CommandError(`ERR wrong number of arguments for '${name}' command`)
  const key = arg(args, 0)
  const hash = keyspace.hash(key) ?? new Map<string, string>()
  const before = hash.size
  for (let i = 1; i < args.length; i += 2) hash.set(arg(args, i), arg(args, i + 1))
  keyspace.update(key, hash)
  return hash.size - before
}

/** Removes the named ones. @returns how many were there */
function removeNamed(keyspace: Keyspace, args: string[], from: { delete(name: string): boolean } | undefined): number {
  if (!from) return 0
  const removed = args.slice(1).filter((name) => from.delete(name)).length
  if (removed > 0 && (from instanceof Map || from instanceof Set || from instanceof SortedSet)) {
    keyspace.update(arg(args, 0), from)
  }
  return removed
}

/** Commands on hashes. */
export const hashCommands: Record<string, Command> = {
  hset: { arity: -4, run: (keyspace, args) => setFields(keyspace, args, 'hset') },
  hmset: {
    arity: -4,
    run(keyspace, args) {
      setFields(keyspace, args, 'hmset')
      return OK
    }
  },
  hsetnx: {
    arity: 4,
    run: (keyspace, args) => (keyspace.hash(arg(args, 0))?.has(arg(args, 1)) ? 0 : setFields(keyspace, args, 'hsetnx'))
  },
  hget: { arity: 3, run: (keyspace, args) => keyspace.hash(arg(args, 0))?.get(arg(args, 1)) ?? null },
  hmget: {
    arity: -3,
    run(keyspace, args) {
      const hash = keyspace.hash(arg(args, 0))
      return args.slice(1).map((field) => hash?.get(field) ?? null)
    }
  },
  hgetall: { arity: 2, run: (keyspace, args) => [...(keyspace.hash(arg(args, 0)) ?? [])].flat() },
  hkeys: { arity: 2, run: (keyspace, args) => [...(keyspace.hash(arg(args, 0))?.keys() ?? [])] },
  hvals: { arity: 2, run: (keyspace, args) => [...(keyspace.hash(arg(args, 0))?.values() ?? [])] },
  hlen: { arity: 2, run: (keyspace, args) => keyspace.hash(arg(args, 0))?.size ?? 0 },
  hexists: { arity: 3, run: (keyspace, args) => (keyspace.hash(arg(args, 0))?.has(arg(args, 1)) ? 1 : 0) },
  hstrlen: { arity: 3, run: (keyspace, args) => (keyspace.hash(arg(args, 0))?.get(arg(args, 1)) ?? '').length },
  hdel: { arity: -3, run: (keyspace, args) => removeNamed(keyspace, args, keyspace.hash(arg(args, 0))) },
  hincrby: {
    arity: 4,
    run(keyspace, args) {
      const [key, field] = [arg(args, 0), arg(args, 1)]
      const by = parseInteger(args[2])
      const hash = keyspace.hash(key) ?? new Map<string, string>()
      const sum = addIntegers(parseInteger(hash.get(field) ?? '0', 'ERR hash value is not an integer'), by)
      keyspace.update(key, hash.set(field, String(sum)))
      return sum
    }
  },
  hscan: {
    arity: -3,
    run(keyspace, args) {
      const { matches } = parseScan(args, 2)
      return ['0', [...(keyspace.hash(arg(args, 0)) ?? [])].filter(([field]) => matches(field)).flat()]
    }
  }
}

/** A random sample: `count` different ones, or `-count` with repetition where it is negative. */
function sample(members: string[], count: number): string[] {
  const pick = (): number => Math.floor(Math.random() * members.length)
  if (count < 0) return members.length === 0 ? [] : Array.from({ length: -count }, () => arg(members, pick()))
  const pool = [...members]
  return Array.from({ length: Math.min(count, pool.length) }, () => {
    const [member = ''] = pool.splice(Math.floor(Math.random() * pool.length), 1)
    return member
  })
}

const combine = (fold: (a: Set<string>, b: Set<string>) => string[]): Command => ({
  arity: -2,
  run(keyspace, keys) {
    const [first = new Set<string>(), ...others] = keys.map((key) => keyspace.members(key) ?? new Set<string>())
    return [...others.reduce((a, b) => new Set(fold(a, b)), first)]
  }
})

/** Commands on sets. */
export const setCommands: Record<string, Command> = {
  sadd: {
    arity: -3,
    run(keyspace, args) {
      const key = arg(args, 0)
      const members = keyspace.members(key) ?? new Set<string>()
      const before = members.size
      for (const member of args.slice(1)) members.add(member)
      keyspace.update(key, members)
      return members.size - before
    }
  },
  srem: { arity: -3, run: (keyspace, args) => removeNamed(keyspace, args, keyspace.members(arg(args, 0))) },
  smembers: { arity: 2, run: (keyspace, args) => [...(keyspace.members(arg(args, 0)) ?? [])] },
  scard: { arity: 2, run: (keyspace, args) => keyspace.members(arg(args, 0))?.size ?? 0 },
  sismember: { arity: 3, run: (keyspace, args) => (keyspace.members(arg(args, 0))?.has(arg(args, 1)) ? 1 : 0) },
  smismember: {
    arity: -3,
    run(keyspace, args) {
      const members = keyspace.members(arg(args, 0))
      return args.slice(1).map((member) => (members?.has(member) ? 1 : 0))
    }
  },
  sinter: combine((a, b) => [...a].filter((member) => b.has(member))),
  sunion: combine((a, b) => [...a, ...b]),
  sdiff: combine((a, b) => [...a].filter((member) => !b.has(member))),
  srandmember: {
    arity: -2,
    run(keyspace, args) {
      const members = [...(keyspace.members(arg(args, 0)) ?? [])]
      return args[1] === undefined ? (sample(members, 1)[0] ?? null) : sample(members, parseCount(args[1]))
    }
  },
  spop: {
    arity: -2,
    run(keyspace, args) {
      const count = args[1] === undefined ? 1 : parseCount(args[1], 'ERR value is out of range, must be positive')
      if (count < 0) throw new CommandError('ERR value is out of range, must be positive')
      const members = keyspace.members(arg(args, 0))
      const picked = sample([...(members ?? [])], count)
      removeNamed(keyspace, [arg(args, 0), ...picked], members)
      return args[1] === undefined ? (picked[0] ?? null) : picked
    }
  },
  sscan: {
    arity: -3,
    run(keyspace, args) {
      const { matches } = parseScan(args, 2)
      return ['0', [...(keyspace.members(arg(args, 0)) ?? [])].filter(matches)]
    }
  }
}

const scoreReply = (score: number | undefined): Reply => (score === undefined ? null : formatFloat(score))

function zadd(keyspace: Keyspace, args: string[]): Reply {
  const key = arg(args, 0)
  const options = new Options(args, 1)
  const flags = new Set<string>()
  while (['NX', 'XX', 'GT', 'LT', 'CH', 'INCR'].includes(options.word)) flags.add(options.next().toUpperCase())
  const pairs = options.rest()
  if (pairs.length === 0 || pairs.length % 2 === 1) throw new CommandError(SYNTAX_ERROR)
  if (flags.has('NX') && flags.has('XX')) {
    throw new CommandError('ERR XX and NX options at the same time are not compatible')
  }
  if (['GT', 'LT', 'NX'].filter((flag) => flags.has(flag)).length > 1) {
    throw new CommandError('ERR GT, LT, and/or NX options at the same time are not compatible')
  }
  if (flags.has('INCR') && pairs.length > 2) {
    throw new CommandError('ERR INCR option supports a single increment-element pair')
  }
  const scores = pairs.filter((_, index) => index % 2 === 0).map((text) => parseFloatStrictly(text))

  const set = keyspace.sorted(key) ?? new SortedSet()
  let added = 0
  let changed = 0
  let result: number | undefined
  scores.forEach((given, index) => {
    const member = arg(pairs, index * 2 + 1)
    const current = set.score(member)
    if (current === undefined ? flags.has('XX') : flags.has('NX')) return
    const score = flags.has('INCR') ? given + (current ?? 0) : given
    if (Number.isNaN(score)) throw new CommandError('ERR resulting score is not a number (NaN)')
    if (current !== undefined && ((flags.has('GT') && score <= current) || (flags.has('LT') && score >= current)))
      return
    result = score
    if (current === undefined) added++
    else if (current !== score) changed++
    set.set(member, score)
  })
  if (set.size > 0) keyspace.update(key, set)
  if (flags.has('INCR')) return scoreReply(result)
  return flags.has('CH') ? added + changed : added
}

/** A bound of a range by score, `(` for exclusive. */
function scoreBound(text: string): { value: number; exclusive: boolean } {
  const exclusive = text.startsWith('(')
  return { value: parseFloatStrictly(exclusive ? text.slice(1) : text, 'ERR min or max is not a float'), exclusive }
}

function withinScores(min: string, max: string): (scored: Scored) => boolean {
  const [low, high] = [scoreBound(min), scoreBound(max)]
  return ([, score]) =>
    (low.exclusive ? score > low.value : score >= low.value) &&
    (high.exclusive ? score < high.value : score <= high.value)
}

function withinLex(min: string, max: string): (scored: Scored) => boolean {
  for (const text of [min, max]) {
    if (!/^(?:[-+]$|[[(])/.test(text)) throw new CommandError('ERR min or max not valid string range item')
  }
  return ([member]) => {
    const aboveMin =
      min === '-' || (min !== '+' && (min.startsWith('(') ? member > min.slice(1) : member >= min.slice(1)))
    const belowMax =
      max === '+' || (max !== '-' && (max.startsWith('(') ? member < max.slice(1) : member <= max.slice(1)))
    return aboveMin && belowMax
  }
}

/** Elements from one rank to another, both included, negative ones from the end. */
function byRank<T>(items: readonly T[], start: number, end: number): T[] {
  const from = Math.max(0, start < 0 ? items.length + start : start)
  const to = end < 0 ? items.length + end : end
  return items.slice(from, Math.max(from, to + 1))
}

interface RangeForm {
  by?: 'score' | 'lex'
  reverse?: boolean
  /** ZRANGE itself takes BYSCORE, BYLEX and REV as words. */
  words?: boolean
}

const range = (form: RangeForm): Command => ({
  arity: -4,
  run(keyspace, args) {
    const options = new Options(args, 3)
    let { by, reverse = false } = form
    let withScores = false
    let limit: { offset: number; count: number } | undefined
    while (!options.done) {
      if (options.take('WITHSCORES')) withScores = true
      else if (options.take('LIMIT', 2))
        limit = { offset: parseCount(options.next()), count: parseCount(options.next()) }
      else if (form.words && options.take('BYSCORE')) by = 'score'
      else if (form.words && options.take('BYLEX')) by = 'lex'
      else if (form.words && options.take('REV')) reverse = true
      else throw new CommandError(SYNTAX_ERROR)
    }
    if (limit && by === undefined) {
      throw new CommandError('ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX')
    }
    if (withScores && by === 'lex') {
      throw new CommandError('ERR syntax error, WITHSCORES not supported in combination with BYLEX')
    }

    const [first, second] = [arg(args, 1), arg(args, 2)]
    const [min, max] = reverse ? [second, first] : [first, second]
    const within = by === 'score' ? withinScores(min, max) : by === 'lex' ? withinLex(min, max) : undefined
    const ranks: [number, number] = within ? [0, -1] : [parseCount(first), parseCount(second)]
    const sorted = keyspace.sorted(arg(args, 0))?.sorted() ?? []
    let found = reverse ? [...sorted].reverse() : [...sorted]
    found = within ? found.filter(within) : byRank(found, ...ranks)
    if (limit) {
      const { offset, count } = limit
      found = offset < 0 ? [] : found.slice(offset, count < 0 ? undefined : offset + count)
    }
    return found.flatMap(([member, score]) => (withScores ? [member, formatFloat(score)] : [member]))
  }
})

const rank = (reverse: boolean): Command => ({
  arity: 3,
  run(keyspace, args) {
    const sorted = keyspace.sorted(arg(args, 0))?.sorted() ?? []
    const index = sorted.findIndex(([member]) => member === args[1])
    if (index === -1) return null
    return reverse ? sorted.length - 1 - index : index
  }
})

const pop = (fromEnd: boolean): Command => ({
  arity: -2,
  run(keyspace, args) {
    const key = arg(args, 0)
    const count = args[1] === undefined ? 1 : parseCount(args[1], 'ERR value is out of range, must be positive')
    if (count < 0) throw new CommandError('ERR value is out of range, must be positive')
    const set = keyspace.sorted(key)
    const sorted = [...(set?.sorted() ?? [])]
    const popped = (fromEnd ? sorted.reverse() : sorted).slice(0, count)
    removeNamed(keyspace, [key, ...popped.map(([member]) => member)], set)
    return popped.flatMap(([member, score]) => [member, formatFloat(score)])
  }
})

function removeRange(keyspace: Keyspace, key: string, select: (sorted: readonly Scored[]) => Scored[]): number {
  const set = keyspace.sorted(key)
  return removeNamed(keyspace, [key, ...select(set?.sorted() ?? []).map(([member]) => member)], set)
}

/** Commands on sorted sets. */
export const sortedSetCommands: Record<string, Command> = {
  zadd: { arity: -4, run: zadd },
  zincrby: {
    arity: 4,
    run: (keyspace, args) => zadd(keyspace, [arg(args, 0), 'INCR', arg(args, 1), arg(args, 2)])
  },
  zrem: { arity: -3, run: (keyspace, args) => removeNamed(keyspace, args, keyspace.sorted(arg(args, 0))) },
  zscore: { arity: 3, run: (keyspace, args) => scoreReply(keyspace.sorted(arg(args, 0))?.score(arg(args, 1))) },
  zmscore: {
    arity: -3,
    run(keyspace, args) {
      const set = keyspace.sorted(arg(args, 0))
      return args.slice(1).map((member) => scoreReply(set?.score(member)))
    }
  },
  zcard: { arity: 2, run: (keyspace, args) => keyspace.sorted(arg(args, 0))?.size ?? 0 },
  zcount: {
    arity: 4,
    run(keyspace, args) {
      const within = withinScores(arg(args, 1), arg(args, 2))
      return (keyspace.sorted(arg(args, 0))?.sorted() ?? []).filter(within).length
    }
  },
  zrange: range({ words: true }),
  zrevrange: range({ reverse: true }),
  zrangebyscore: range({ by: 'score' }),
  zrevrangebyscore: range({ by: 'score', reverse: true }),
  zrangebylex: range({ by: 'lex' }),
  zrank: rank(false),
  zrevrank: rank(true),
  zpopmin: pop(false),
  zpopmax: pop(true),
  zremrangebyscore: {
    arity: 4,
    run(keyspace, args) {
      const within = withinScores(arg(args, 1), arg(args, 2))
      return removeRange(keyspace, arg(args, 0), (sorted) => sorted.filter(within))
    }
  },
  zremrangebyrank: {
    arity: 4,
    run(keyspace, args) {
      const [start, end] = [parseCount(args[1]), parseCount(args[2])]
      return removeRange(keyspace, arg(args, 0), (sorted) => byRank(sorted, start, end))
    }
  },
  zscan: {
    arity: -3,
    run(keyspace, args) {
      const { matches } = parseScan(args, 2)
      const found = (keyspace.sorted(arg(args, 0))?.sorted() ?? []).filter(([member]) => matches(member))
      return ['0', found.flatMap(([member, score]) => [member, formatFloat(score)])]
    }
  }
}
