/** What some faults need and not every machine, or not every form of the cluster, has. */
export type Need =
  'redis-process' | 'redis-clock' | 'replica-clock' | 'line' | 'slow-line' | 'postgres-process' | 'scale'

export interface Target {
  readonly name: string
  /** As in `http://127.0.0.1:3001`: each replica is asked itself, not through the balancer. */
  readonly url: string
}

/** A running cluster, and what can be done to it. What is done has been done when a promise resolves, if not said otherwise. */
export interface Cluster {
  /** One line: of what it is made. */
  readonly description: string
  /** Those there are at the moment. */
  readonly replicas: readonly Target[]
  /** Whose connections to Redis can be cut. */
  readonly lined: Target
  /** Why something is not to be had. */
  readonly missing: Partial<Record<Need, string>>
  /** Of the key ring's first key, for the checker signs tokens itself. */
  readonly secret: Buffer
  /** What the replicas have printed. */
  readonly lines: string[]

  /** SIGKILL. It is started again by whoever looks after it; does not wait for that. */
  killReplica(name: string): Promise<void>
  /** SIGSTOP: it stands still, and finds out nothing of it. */
  stopReplica(name: string): Promise<void>
  continueReplica(name: string): Promise<void>
  /** Sets its wall clock to be ahead by so many seconds, while it runs. It holds for what is started in its place, too. */
  setClock(name: string, seconds: number): Promise<void>
  /** As soon as its address is known: it is not ready yet. @returns it, and when it is ready */
  addReplica(how?: { mode?: 'lease' | 'direct' }): Promise<{ replica: Target; ready: Promise<void> }>
  removeReplica(name: string): Promise<void>

  /** Nothing passes between `lined` and Redis any more, and nobody is told. */
  cutLine(): Promise<void>
  mendLine(): Promise<void>
  /** Everything between `lined` and Redis takes so much longer each way, in milliseconds. */
  slowLine(ms: number): Promise<void>

  /** SIGKILL. */
  killRedis(): Promise<void>
  /** With what it had, or without; its clock ahead by so many seconds. */
  startRedis(how?: { empty?: boolean; clock?: number; copy?: boolean }): Promise<void>
  stopRedis(): Promise<void>
  continueRedis(): Promise<void>
  /** Keeps a copy of its data, which `startRedis` may start with. */
  copyRedis(): Promise<void>
  /** One command, over a connection of the checker's own. @returns the reply */
  redis(...command: string[]): Promise<unknown>

  killPostgres(): Promise<void>
  startPostgres(): Promise<void>
  /** @returns the rows, each a list of texts */
  sql(text: string): Promise<string[][]>

  /** Ends all of it. */
  close(): Promise<void>
}
