import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import Parser from 'redis-parser'
import { globToRegExp, parseCount } from './arguments.js'
import { hashCommands, setCommands, sortedSetCommands } from './collections.js'
import { keyCommands } from './keys.js'
import { arg, Keyspace, type Command, type Watch } from './keyspace.js'
import { CommandError, encode, NIL_ARRAY, OK, Status, SYNTAX_ERROR, type Reply } from './replies.js'
import { Scripts } from './scripts.js'
import { parseRead, streamCommands, type StreamRead } from './stream-commands.js'
import { stringCommands } from './strings.js'

/** The version whose behaviour is copied. */
const REDIS_VERSION = '7.0.15'

/** How often what has expired is freed, in milliseconds. */
const SWEEP_EVERY_MS = 1000

const dataCommands = new Map<string, Command>(
  [stringCommands, keyCommands, hashCommands, setCommands, sortedSetCommands, streamCommands].flatMap(Object.entries)
)

/** Commands that concern the connection or the server, with their arity; a script may not call them. */
const SESSION_ARITY = new Map<string, number>(
  Object.entries({
    ...{
      auth: -2,
      client: -2,
      command: -1,
      config: -2,
      discard: 1,
      echo: 2,
      eval: -3,
      evalsha: -3,
      exec: 1,
      hello: -1
    },
    ...{ info: -1, multi: 1, ping: -1, quit: -1, script: -2, select: 2, unwatch: 1, wait: 3, watch: -2 }
  })
)

/** These run at once inside MULTI; everything else is queued. */
const NOT_QUEUED = new Set(['exec', 'discard', 'multi', 'watch', 'quit'])

/** These need no password. */
const BEFORE_AUTH = new Set(['auth', 'hello', 'quit'])

const WRONG_PASSWORD = 'WRONGPASS invalid username-password pair or user is disabled.'

/** What CONFIG GET says. It is in memory, and says so. */
const CONFIG = {
  ...{ appendfsync: 'no', appendonly: 'no', databases: '1', maxmemory: '0', 'maxmemory-policy': 'noeviction' },
  ...{ 'min-replicas-to-write': '0', 'min-replicas-max-lag': '10', 'notify-keyspace-events': '', save: '' }
}

const hasArity = (arity: number, given: number): boolean => (arity < 0 ? given >= -arity : given === arity)

/** One client: its place in the queue, its transaction, and what it waits for. */
class Connection {
  readonly #pending: string[][] = []
  #parked: { read: StreamRead; timer: NodeJS.Timeout | undefined } | undefined
  #transaction: { queue: string[][]; refused: boolean } | undefined
  #watch: Watch | undefined
  #authenticated: boolean
  #name = ''
  #closing = false

  constructor(
    readonly server: Server,
    readonly socket: Socket,
    readonly id: number
  ) {
    this.#authenticated = server.password === undefined
    const parser = new Parser({
      returnBuffers: true,
      returnReply: (request: unknown) => {
        if (!Array.isArray(request) || !request.every((item) => Buffer.isBuffer(item))) {
          this.#refuse('expected an array of bulk strings')
        } else if (request.length > 0) this.#pending.push(request.map((item) => item.toString('latin1')))
      },
      returnError: () => this.#refuse('an error is no request'),
      returnFatalError: () => this.#refuse("expected '*'")
    })
    socket.setNoDelay(true)
    socket.on('data', (chunk) => {
      parser.execute(chunk)
      this.work()
    })
    socket.on('error', () => undefined)
    socket.on('close', () => this.#forget())
  }

  #refuse(why: string): void {
    this.#send(new CommandError(`ERR Protocol error: ${why}`))
    this.#closing = true
  }

  #forget(): void {
    this.#closing = true
    this.#pending.length = 0
    this.#unpark()
    this.#endTransaction()
    this.server.connections.delete(this)
  }

  #send(reply: Reply): void {
    if (this.socket.writable) this.socket.write(encode(reply), 'latin1')
  }

  /**
   * Runs what has come in, in order. JavaScript runs it to the end before anybody else's, so commands are executed one
   * at a time over all connections, as in Redis. Replies leave together.
   */
  work(): void {
    this.socket.cork()
    while (!this.#parked && !this.#closing) {
      const request = this.#pending.shift()
      if (!request) break
      const [name = '', ...args] = request
      this.server.keyspace.now = Date.now()
      const reply = this.#dispatch(name, args)
      if (reply !== undefined) this.#send(reply)
      this.server.wake()
    }
    this.socket.uncork()
    if (this.#closing) this.socket.end()
  }

  /** @returns the reply, or undefined where it comes later */
  #dispatch(name: string, args: string[]): Reply | undefined {
    const command = name.toLowerCase()
    const problem = this.server.check(name, args) ?? this.#notAllowed(command)
    if (problem) {
      if (this.#transaction) this.#transaction.refused = true
      return problem
    }
    if (this.#transaction && !NOT_QUEUED.has(command)) {
      this.#transaction.queue.push([command, ...args])
      return new Status('QUEUED')
    }
    return this.server.count(command, () => {
      if (command === 'xread') return this.#xread(args)
      return this.#session(command, args) ?? this.server.run(command, args)
    })
  }

  #notAllowed(command: string): CommandError | undefined {
    if (this.#authenticated || BEFORE_AUTH.has(command)) return undefined
    return new CommandError('NOAUTH Authentication required.')
  }

  /** XREAD outside a transaction: the one command that may wait. */
  #xread(args: string[]): Reply | undefined {
    const read = parseRead(this.server.keyspace, args)
    const reply = read.read(this.server.keyspace)
    if (reply !== undefined || read.blockMs === undefined) return reply ?? NIL_ARRAY
    const timer = read.blockMs > 0 ? setTimeout(() => this.#resume(NIL_ARRAY), read.blockMs) : undefined
    this.#parked = { read, timer }
    this.server.park(this, read.keys)
    return undefined
  }

  #unpark(): void {
    if (!this.#parked) return
    clearTimeout(this.#parked.timer)
    this.server.unpark(this, this.#parked.read.keys)
    this.#parked = undefined
  }

  #resume(reply: Reply): void {
    this.#unpark()
    this.#send(reply)
    // Not now: whoever appended is in the middle of its own turn.
    if (this.#pending.length > 0) setImmediate(() => this.work())
  }

  /** Something was appended to a stream it waits for. */
  tell(): void {
    if (!this.#parked) return
    try {
      const reply = this.#parked.read.read(this.server.keyspace)
      if (reply !== undefined) this.#resume(reply)
    } catch (error) {
      if (!(error instanceof CommandError)) throw error
      this.#resume(error)
    }
  }

  #endTransaction(): void {
    this.#transaction = undefined
    if (this.#watch) this.server.keyspace.unwatch(this.#watch)
    this.#watch = undefined
  }

  #exec(): Reply {
    const transaction = this.#transaction
    if (!transaction) throw new CommandError('ERR EXEC without MULTI')
    const changed = this.#watch?.changed === true
    this.#endTransaction()
    if (transaction.refused) throw new CommandError('EXECABORT Transaction discarded because of previous errors.')
    if (changed) return NIL_ARRAY
    return transaction.queue.map(([command = '', ...args]) =>
      this.server.count(command, () => this.#session(command, args) ?? this.server.run(command, args))
    )
  }

  /** Commands that concern this connection. @returns undefined for every other */
  #session(command: string, args: string[]): Reply | undefined {
    switch (command) {
      case 'auth':
        return this.#auth(args.length === 1 ? ['default', ...args] : args)
      case 'hello':
        return this.#hello(args)
      case 'client':
        return this.#client(args)
      case 'multi':
        if (this.#transaction) throw new CommandError('ERR MULTI calls can not be nested')
        this.#transaction = { queue: [], refused: false }
        return OK
      case 'exec':
        return this.#exec()
      case 'discard':
        if (!this.#transaction) throw new CommandError('ERR DISCARD without MULTI')
        this.#endTransaction()
        return OK
      case 'watch':
        if (this.#transaction) throw new CommandError('ERR WATCH inside MULTI is not allowed')
        this.#watch ??= { changed: false }
        for (const key of args) this.server.keyspace.watch(key, this.#watch)
        return OK
      case 'unwatch':
        if (this.#watch) this.server.keyspace.unwatch(this.#watch)
        this.#watch = undefined
        return OK
      case 'select':
        if (parseCount(args[0]) === 0) return OK
        throw new CommandError('ERR DB index is out of range')
      case 'quit':
        this.#closing = true
        return OK
      default:
        return undefined
    }
  }

  #auth([user, password, ...rest]: string[]): Reply {
    if (rest.length > 0) throw new CommandError(SYNTAX_ERROR)
    if (this.server.password === undefined) {
      throw new CommandError(
        'ERR AUTH <password> called without any password configured for the default user. ' +
          'Are you sure your configuration is correct?'
      )
    }
    if (user !== 'default' || password !== this.server.password) throw new CommandError(WRONG_PASSWORD)
    this.#authenticated = true
    return OK
  }

  #hello(args: string[]): Reply {
    if (args[0] !== undefined) {
      const version = parseCount(args[0], 'ERR Protocol version is not an integer or out of range')
      if (version !== 2) throw new CommandError('NOPROTO unsupported protocol version')
    }
    for (let i = 1; i < args.length; i++) {
      const word = arg(args, i).toLowerCase()
      if (word === 'auth' && i + 2 < args.length) {
        this.#auth([arg(args, i + 1), arg(args, i + 2)])
        i += 2
      } else if (word === 'setname' && i + 1 < args.length) this.#name = arg(args, ++i)
      else throw new CommandError(`ERR Syntax error in HELLO option '${arg(args, i)}'`)
    }
    if (!this.#authenticated) {
      throw new CommandError(
        'NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> ' +
          '<pass> option can be used to authenticate the client and select the RESP protocol version at the same time'
      )
    }
    return [
      ...['server', 'redis', 'version', REDIS_VERSION, 'proto', 2, 'id', this.id],
      ...['mode', 'standalone', 'role', 'master', 'modules', []]
    ]
  }

  #client(args: string[]): Reply {
    const subcommand = arg(args, 0).toLowerCase()
    switch (subcommand) {
      case 'id':
        return this.id
      case 'getname':
        return this.#name === '' ? null : this.#name
      case 'setname':
        this.#name = arg(args, 1)
        return OK
      case 'setinfo':
      case 'no-evict':
      case 'no-touch':
        return OK
      case 'list':
        return [...this.server.connections].map((connection) => `${connection.describe()}\n`).join('')
      case 'info':
        return `${this.describe()}\n`
      default:
        throw new CommandError(`ERR unknown subcommand '${arg(args, 0)}'. Try CLIENT HELP.`)
    }
  }

  describe(): string {
    const { remoteAddress = '', remotePort = 0 } = this.socket
    return `id=${this.id} addr=${remoteAddress}:${remotePort} name=${this.#name} flags=${this.#parked ? 'b' : 'N'} db=0`
  }
}

/** The keyspace with everybody who uses it. */
class Server {
  readonly keyspace = new Keyspace()
  readonly connections = new Set<Connection>()
  readonly #waiting = new Map<string, Set<Connection>>()
  readonly #scripts = new Scripts((args) => this.#callFromScript(args))
  readonly #calls = new Map<string, { calls: number; microseconds: number }>()
  readonly #startedAt = performance.now()
  #accepted = 0
  #processed = 0

  constructor(
    readonly password: string | undefined,
    readonly port: () => number
  ) {}

  accept(socket: Socket): void {
    this.connections.add(new Connection(this, socket, ++this.#accepted))
  }

  /** Whether a command exists and has enough arguments. */
  check(name: string, args: string[]): CommandError | undefined {
    const command = name.toLowerCase()
    const arity = dataCommands.get(command)?.arity ?? SESSION_ARITY.get(command)
    if (arity === undefined) {
      let shown = ''
      for (const text of args) if (shown.length < 128) shown += `'${text.slice(0, 128 - shown.length)}' `
      return new CommandError(`ERR unknown command '${name.slice(0, 128)}', with args beginning with: ${shown}`)
    }
    if (hasArity(arity, args.length + 1)) return undefined
    return new CommandError(`ERR wrong number of arguments for '${command}' command`)
  }

  /** Runs a command, counted and timed for INFO; its error is its reply. */
  count<T extends Reply | undefined>(command: string, run: () => T): T | CommandError {
    const stats = this.#calls.get(command) ?? { calls: 0, microseconds: 0 }
    this.#calls.set(command, stats)
    const start = performance.now()
    try {
      return run()
    } catch (error) {
      return error instanceof CommandError ? error : new CommandError(`ERR internal error: ${String(error)}`)
    } finally {
      stats.calls++
      stats.microseconds += (performance.now() - start) * 1000
      this.#processed++
    }
  }

  /** Runs a command that needs no connection. */
  run(command: string, args: string[]): Reply {
    switch (command) {
      case 'ping':
        return args[0] ?? new Status('PONG')
      case 'echo':
        return arg(args, 0)
      case 'wait':
        // There are no replicas to wait for.
        parseCount(args[0])
        if (parseCount(args[1], 'ERR timeout is not an integer or out of range') < 0) {
          throw new CommandError('ERR timeout is negative')
        }
        return 0
      case 'command':
        return args[0]?.toLowerCase() === 'count' ? dataCommands.size + SESSION_ARITY.size : []
      case 'info':
        return this.#info(args.map((section) => section.toLowerCase()))
      case 'config':
        return this.#config(args)
      case 'eval':
        return this.#eval(this.#scripts.load(arg(args, 0)), args)
      case 'evalsha':
        return this.#eval(arg(args, 0), args)
      case 'script':
        return this.#script(args)
      default: {
        const found = dataCommands.get(command)
        if (!found) throw new CommandError(`ERR unknown command '${command}', with args beginning with: `)
        return found.run(this.keyspace, args)
      }
    }
  }

  #callFromScript([name = '', ...args]: string[]): Reply {
    const command = name.toLowerCase()
    const found = dataCommands.get(command)
    if (!found && !['ping', 'echo'].includes(command)) {
      const known = SESSION_ARITY.has(command)
      return new CommandError(
        known ? 'ERR This Redis command is not allowed from script' : 'ERR Unknown Redis command called from script'
      )
    }
    if (this.check(name, args)) return new CommandError('ERR Wrong number of args calling Redis command from script')
    if (command === 'xread' && args.slice(0, 4).some((word) => word.toLowerCase() === 'block')) {
      return new CommandError(`ERR ${name} command is not allowed with BLOCK option from scripts`)
    }
    return this.count(command, () => this.run(command, args))
  }

  #eval(sha: string, args: string[]): Reply {
    const keys = parseCount(args[1])
    if (keys > args.length - 2) throw new CommandError("ERR Number of keys can't be greater than number of args")
    if (keys < 0) throw new CommandError("ERR Number of keys can't be negative")
    return this.#scripts.run(sha, args.slice(2, 2 + keys), args.slice(2 + keys))
  }

  #script(args: string[]): Reply {
    const [subcommand = '', ...rest] = args
    switch (subcommand.toLowerCase()) {
      case 'load':
        return this.#scripts.load(arg(rest, 0))
      case 'exists':
        return rest.map((sha) => (this.#scripts.has(sha) ? 1 : 0))
      case 'flush':
        this.#scripts.flush()
        return OK
      default:
        throw new CommandError(`ERR unknown subcommand '${subcommand}'. Try SCRIPT HELP.`)
    }
  }

  #config(args: string[]): Reply {
    const [subcommand = '', ...rest] = args
    switch (subcommand.toLowerCase()) {
      case 'get': {
        const patterns = rest.map((pattern) => globToRegExp(pattern.toLowerCase()))
        return Object.entries(CONFIG)
          .filter(([name]) => patterns.some((pattern) => pattern.test(name)))
          .flat()
      }
      case 'resetstat':
        this.#calls.clear()
        this.#processed = 0
        return OK
      case 'set':
        throw new CommandError(`ERR CONFIG SET failed - the embedded Redis has no settings`)
      default:
        throw new CommandError(`ERR unknown subcommand '${subcommand}'. Try CONFIG HELP.`)
    }
  }

  #info(asked: string[]): string {
    const { keyspace } = this
    const sections: Record<string, string[]> = {
      Server: [
        ...[`redis_version:${REDIS_VERSION}`, 'redis_mode:standalone', `process_id:${process.pid}`],
        ...[`tcp_port:${this.port()}`, `uptime_in_seconds:${Math.floor((performance.now() - this.#startedAt) / 1000)}`],
        'executable:one-secret embedded Redis: in memory, not durable'
      ],
      Clients: [
        `connected_clients:${this.connections.size}`,
        `blocked_clients:${new Set([...this.#waiting.values()].flatMap((set) => [...set])).size}`
      ],
      Memory: ['maxmemory:0', 'maxmemory_policy:noeviction'],
      Persistence: ['loading:0', 'aof_enabled:0', 'rdb_bgsave_in_progress:0'],
      Stats: [`total_connections_received:${this.#accepted}`, `total_commands_processed:${this.#processed}`],
      Replication: ['role:master', 'connected_slaves:0'],
      Commandstats: [...this.#calls].map(([name, { calls, microseconds }]) => {
        const perCall = (microseconds / Math.max(1, calls)).toFixed(2)
        return `cmdstat_${name}:calls=${calls},usec=${Math.round(microseconds)},usec_per_call=${perCall}`
      }),
      Keyspace: keyspace.size === 0 ? [] : [`db0:keys=${keyspace.size},expires=${keyspace.volatileSize},avg_ttl=0`]
    }
    const all = asked.includes('all') || asked.includes('everything')
    const byDefault = asked.length === 0 || asked.includes('default')
    return Object.entries(sections)
      .filter(([name]) => all || asked.includes(name.toLowerCase()) || (byDefault && name !== 'Commandstats'))
      .map(([name, lines]) => `# ${name}\r\n${lines.map((line) => `${line}\r\n`).join('')}`)
      .join('\r\n')
  }

  park(connection: Connection, keys: readonly string[]): void {
    for (const key of keys) this.#waiting.set(key, (this.#waiting.get(key) ?? new Set()).add(connection))
  }

  unpark(connection: Connection, keys: readonly string[]): void {
    for (const key of keys) {
      const waiting = this.#waiting.get(key)
      if (waiting?.delete(connection) && waiting.size === 0) this.#waiting.delete(key)
    }
  }

  /** Tells who waits what was appended, once the command, script or transaction that did it is over. */
  wake(): void {
    const keys = [...this.keyspace.appended]
    this.keyspace.appended.clear()
    for (const key of keys) for (const connection of [...(this.#waiting.get(key) ?? [])]) connection.tell()
  }
}

export interface EmbeddedRedisOptions {
  /** Default: a free one of 127.0.0.1. */
  port?: number | undefined
  /** Default: a random one. */
  password?: string | undefined
}

/**
 * A Redis of RESP2 in this process, for a machine that has none: strings, hashes, sets, sorted sets, streams, scripts and
 * transactions, answering as Redis 7.0 does. **In memory: what it holds is gone when it stops.** No lists, no pub/sub, one
 * database, one user.
 */
export async function startEmbeddedRedis(
  options: EmbeddedRedisOptions = {}
): Promise<{ url: string; stop(): Promise<void> }> {
  const password = options.password ?? randomBytes(18).toString('base64url')
  const listener = createServer((socket) => server.accept(socket))
  const server = new Server(password, () => (listener.address() as AddressInfo).port)
  listener.listen({ port: options.port ?? 0, host: '127.0.0.1' })
  await once(listener, 'listening')
  const sweep = setInterval(() => server.keyspace.sweep(), SWEEP_EVERY_MS)
  sweep.unref()
  return {
    url: `redis://:${encodeURIComponent(password)}@127.0.0.1:${server.port()}`,
    async stop() {
      clearInterval(sweep)
      const closed = new Promise((resolve) => listener.close(resolve))
      for (const { socket } of server.connections) socket.destroy()
      await closed
    }
  }
}
