import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { globToRegExp, parseCount } from './arguments.js'
import { Channels } from './channels.js'
import { hashCommands, setCommands, sortedSetCommands } from './collections.js'
import { keyCommands } from './keys.js'
import { Connection } from './connection.js'
import { arg, Keyspace, type Command } from './keyspace.js'
import { CommandError, OK, Status, type Reply } from './replies.js'
import { Scripts } from './scripts.js'
import { streamCommands } from './stream-commands.js'
import { stringCommands } from './strings.js'

/** The version whose behaviour is copied. */
export const REDIS_VERSION = '7.0.15'

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
    ...{ info: -1, multi: 1, ping: -1, publish: 3, quit: -1, script: -2, select: 2, subscribe: -2 },
    ...{ unsubscribe: -1, unwatch: 1, wait: 3, watch: -2 }
  })
)

/** What CONFIG GET says. It is in memory, and says so. */
const CONFIG = {
  ...{ appendfsync: 'no', appendonly: 'no', databases: '1', maxmemory: '0', 'maxmemory-policy': 'noeviction' },
  ...{ 'min-replicas-to-write': '0', 'min-replicas-max-lag': '10', 'notify-keyspace-events': '', save: '' }
}

const hasArity = (arity: number, given: number): boolean => (arity < 0 ? given >= -arity : given === arity)

/** The keyspace with everybody who uses it. */
export class Server {
  readonly keyspace = new Keyspace()
  readonly connections = new Set<Connection>()
  readonly channels = new Channels()
  readonly #waiting = new Map<string, Set<Connection>>()
  readonly #scripts = new Scripts((args) => this.#callFromScript(args))
  readonly #calls = new Map<string, { calls: number; microseconds: number }>()
  readonly #startedAt = performance.now()
  readonly #runId = randomBytes(20).toString('hex')
  readonly #replicationId = randomBytes(20).toString('hex')
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
      case 'publish':
        return this.channels.publish(arg(args, 0), arg(args, 1))
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
    if (!found && !['ping', 'echo', 'publish', 'info'].includes(command)) {
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
        `run_id:${this.#runId}`,
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
      Replication: ['role:master', 'connected_slaves:0', `master_replid:${this.#replicationId}`],
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
 * A Redis of RESP2 in this process, for a machine that has none: strings, hashes, sets, sorted sets, streams, scripts,
 * transactions and channels, answering as Redis 7.0 does. **In memory: what it holds is gone when it stops.** No lists, no
 * patterns of channels, one database, one user.
 */
export async function startEmbeddedRedis(
  options: EmbeddedRedisOptions = {}
): Promise<{ url: string; pause(): Promise<void>; resume(): Promise<void>; stop(): Promise<void> }> {
  const password = options.password ?? randomBytes(18).toString('base64url')
  const listener = createServer((socket) => {
    server.accept(socket)
    if (paused) socket.pause()
  })
  const server = new Server(password, () => (listener.address() as AddressInfo).port)
  let paused = false
  listener.listen({ port: options.port ?? 0, host: '127.0.0.1' })
  await once(listener, 'listening')
  const sweep = setInterval(() => server.keyspace.sweep(), SWEEP_EVERY_MS)
  sweep.unref()
  return {
    url: `redis://:${encodeURIComponent(password)}@127.0.0.1:${server.port()}`,
    // What is sent waits in the sockets, as it does for a process that has been stopped.
    async pause() {
      paused = true
      for (const { socket } of server.connections) socket.pause()
    },
    async resume() {
      paused = false
      for (const { socket } of server.connections) socket.resume()
    },
    async stop() {
      clearInterval(sweep)
      const closed = new Promise((resolve) => listener.close(resolve))
      for (const { socket } of server.connections) socket.destroy()
      await closed
    }
  }
}
