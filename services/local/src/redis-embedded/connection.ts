import type { Socket } from 'node:net'
import Parser from 'redis-parser'
import { parseCount } from './arguments.js'
import { arg, type Watch } from './keyspace.js'
import { CommandError, encode, NIL_ARRAY, OK, Status, SYNTAX_ERROR, type Reply } from './replies.js'
import { REDIS_VERSION, type Server } from './server.js'
import { parseRead, type StreamRead } from './stream-commands.js'

/** These run at once inside MULTI; everything else is queued. */
const NOT_QUEUED = new Set(['exec', 'discard', 'multi', 'watch', 'quit'])

/** These need no password. */
const BEFORE_AUTH = new Set(['auth', 'hello', 'quit'])

/** All that a connection may do which has subscribed to a channel (in RESP2). */
const WHILE_SUBSCRIBED = new Set(['subscribe', 'unsubscribe', 'ping', 'quit'])

const WRONG_PASSWORD = 'WRONGPASS invalid username-password pair or user is disabled.'

/** One client: its place in the queue, its transaction, and what it waits for. */
export class Connection {
  readonly #pending: string[][] = []
  #parked: { read: StreamRead; timer: NodeJS.Timeout | undefined } | undefined
  #transaction: { queue: string[][]; refused: boolean } | undefined
  #watch: Watch | undefined
  readonly #channels = new Set<string>()
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
    for (const channel of this.#channels) this.server.channels.remove(channel, this)
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
      if (command === 'subscribe' || command === 'unsubscribe') return this.#subscribe(command, args)
      if (command === 'ping' && this.#channels.size > 0) return ['pong', args[0] ?? '']
      return this.#session(command, args) ?? this.server.run(command, args)
    })
  }

  #notAllowed(command: string): CommandError | undefined {
    if (!this.#authenticated && !BEFORE_AUTH.has(command)) return new CommandError('NOAUTH Authentication required.')
    if (this.#channels.size === 0 || WHILE_SUBSCRIBED.has(command)) return undefined
    return new CommandError(
      `ERR Can't execute '${command}': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context`
    )
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

  /** Each channel has a reply of its own. */
  #subscribe(command: 'subscribe' | 'unsubscribe', args: string[]): undefined {
    const channels: (string | null)[] = args.length > 0 ? args : [...this.#channels]
    if (channels.length === 0) channels.push(null)
    for (const channel of channels) {
      if (channel !== null && command === 'subscribe') {
        this.#channels.add(channel)
        this.server.channels.add(channel, this)
      } else if (channel !== null) {
        this.#channels.delete(channel)
        this.server.channels.remove(channel, this)
      }
      this.#send([command, channel, this.#channels.size])
    }
  }

  /** Something was published on a channel it has subscribed to. */
  push(message: Reply): void {
    this.#send(message)
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
