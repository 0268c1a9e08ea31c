import { Options, parseCount, parseInteger } from './arguments.js'
import { arg, type Command, type Keyspace } from './keyspace.js'
import { CommandError, NIL_ARRAY, OK, SYNTAX_ERROR, type Reply } from './replies.js'
import { entryReply, formatId, parseBound, parseId, parseTrim, Stream, type StreamId } from './streams.js'

function xadd(keyspace: Keyspace, args: string[]): Reply {
  const key = arg(args, 0)
  const options = new Options(args, 1)
  let create = !options.take('NOMKSTREAM')
  const trim = parseTrim(options)
  if (options.take('NOMKSTREAM')) create = false
  const spec = options.next("ERR wrong number of arguments for 'xadd' command")
  const fields = options.rest()
  // The id is judged before the fields are counted.
  if (spec !== '*' && !spec.endsWith('-*')) {
    if (parseId(spec, 0n) === 0n) throw new CommandError('ERR The ID specified in XADD must be greater than 0-0')
  }
  if (fields.length === 0 || fields.length % 2 === 1) {
    throw new CommandError("ERR wrong number of arguments for 'xadd' command")
  }

  const existing = keyspace.stream(key)
  if (!existing && !create) return null
  const stream = existing ?? new Stream()
  const id = stream.nextId(spec, keyspace.now)
  stream.append(id, fields)
  if (trim) stream.trim(trim)
  keyspace.update(key, stream)
  keyspace.appended.add(key)
  return formatId(id)
}

const range = (reverse: boolean): Command => ({
  arity: -4,
  run(keyspace, args) {
    const [first, second] = [arg(args, 1), arg(args, 2)]
    const start = parseBound(reverse ? second : first, 'start')
    const end = parseBound(reverse ? first : second, 'end')
    const options = new Options(args, 3)
    let count: number | undefined
    while (!options.done) {
      if (!options.take('COUNT', 1)) throw new CommandError(SYNTAX_ERROR)
      count = Math.max(0, parseCount(options.next()))
    }
    const stream = keyspace.stream(arg(args, 0))
    if (!stream) return []
    if (count === 0) return NIL_ARRAY
    return stream.range(start, end, { reverse, ...(count !== undefined && { count }) }).map(entryReply)
  }
})

/** A parsed XREAD, with `$` resolved: it can be asked again when something was appended. */
export interface StreamRead {
  /** Milliseconds, 0 for ever, undefined for not at all. */
  blockMs: number | undefined
  keys: readonly string[]
  /** What has come since, or undefined for nothing. */
  read(keyspace: Keyspace): Reply | undefined
}

/** Reads the arguments of XREAD against the streams as they are now. */
export function parseRead(keyspace: Keyspace, args: string[]): StreamRead {
  const options = new Options(args, 0)
  let count = 0
  let blockMs: number | undefined
  while (!options.take('STREAMS')) {
    if (options.take('COUNT', 1)) count = Math.max(0, parseCount(options.next()))
    else if (options.take('BLOCK', 1)) {
      blockMs = parseCount(options.next(), 'ERR timeout is not an integer or out of range')
      if (blockMs < 0) throw new CommandError('ERR timeout is negative')
    } else throw new CommandError(SYNTAX_ERROR)
  }
  const names = options.rest()
  if (names.length === 0) throw new CommandError(SYNTAX_ERROR)
  if (names.length % 2 === 1) {
    throw new CommandError("ERR Unbalanced XREAD list of streams: for each stream key an ID or '$' must be specified.")
  }
  const keys = names.slice(0, names.length / 2)
  const after = keys.map((key, index): StreamId => {
    const stream = keyspace.stream(key)
    const text = arg(names, keys.length + index)
    return text === '$' ? (stream?.lastId ?? 0n) : parseId(text, 0n)
  })
  return {
    blockMs,
    keys,
    read(current) {
      const found = keys.flatMap((key, index): Reply[] => {
        const entries = current.stream(key)?.after(after[index] ?? 0n, count) ?? []
        return entries.length === 0 ? [] : [[key, entries.map(entryReply)]]
      })
      return found.length === 0 ? undefined : found
    }
  }
}

function info(keyspace: Keyspace, args: string[]): Reply {
  const subcommand = arg(args, 0).toLowerCase()
  if (subcommand !== 'stream') {
    throw new CommandError(`ERR unknown subcommand '${arg(args, 0)}'. Try XINFO HELP.`)
  }
  const stream = keyspace.stream(arg(args, 1))
  if (!stream) throw new CommandError('ERR no such key')
  const { first, last } = stream
  return [
    ...['length', stream.length, 'radix-tree-keys', stream.length > 0 ? 1 : 0, 'radix-tree-nodes', 2],
    ...['last-generated-id', formatId(stream.lastId), 'max-deleted-entry-id', formatId(stream.maxDeletedId)],
    ...['entries-added', stream.added, 'recorded-first-entry-id', formatId(first?.id ?? 0n), 'groups', 0],
    'first-entry',
    first ? entryReply(first) : null,
    'last-entry',
    last ? entryReply(last) : null
  ]
}

/** Commands on streams. XREAD is here as it is inside a transaction or a script, where it never waits. */
export const streamCommands: Record<string, Command> = {
  xadd: { arity: -5, run: xadd },
  xlen: { arity: 2, run: (keyspace, args) => keyspace.stream(arg(args, 0))?.length ?? 0 },
  xrange: range(false),
  xrevrange: range(true),
  xread: { arity: -4, run: (keyspace, args) => parseRead(keyspace, args).read(keyspace) ?? NIL_ARRAY },
  xtrim: {
    arity: -4,
    run(keyspace, args) {
      const options = new Options(args, 1)
      const trim = parseTrim(options)
      if (!trim || !options.done) throw new CommandError(SYNTAX_ERROR)
      const stream = keyspace.stream(arg(args, 0))
      if (!stream) return 0
      const removed = stream.trim(trim)
      if (removed > 0) keyspace.update(arg(args, 0), stream)
      return removed
    }
  },
  xdel: {
    arity: -3,
    run(keyspace, args) {
      const stream = keyspace.stream(arg(args, 0))
      const ids = args.slice(1).map((text) => parseId(text, 0n))
      if (!stream) return 0
      const removed = ids.filter((id) => stream.delete(id)).length
      if (removed > 0) keyspace.update(arg(args, 0), stream)
      return removed
    }
  },
  xsetid: {
    arity: -3,
    run(keyspace, args) {
      const id = parseId(arg(args, 1), 0n)
      const stream = keyspace.stream(arg(args, 0))
      if (!stream) throw new CommandError('ERR no such key')
      if (stream.last && id < stream.last.id) {
        throw new CommandError('ERR The ID specified in XSETID is smaller than the target stream top item')
      }
      if (args.length > 2) {
        const options = new Options(args, 2)
        while (!options.done) {
          if (options.take('ENTRIESADDED', 1)) stream.added = Number(parseInteger(options.next()))
          else if (options.take('MAXDELETEDID', 1)) stream.maxDeletedId = parseId(options.next(), 0n)
          else throw new CommandError(SYNTAX_ERROR)
        }
      }
      stream.lastId = id
      keyspace.update(arg(args, 0), stream)
      return OK
    }
  },
  xinfo: { arity: -2, run: info }
}
