import { createWriteStream, mkdirSync, writeFileSync } from 'node:fs'
import { once } from 'node:events'
import { join } from 'node:path'

// Every time is in milliseconds of one clock: `performance.now()` of the checker. A request begins before its first byte is
// written, and has ended when its answer has been read: so what this clock calls later is later.

export type RevocationKind =
  'logout' | 'logout-twice' | 'logout-left' | 'end-one' | 'end-all' | 'change-password' | 'theft'

/** Something that is to be taken back, and every token which that concerns. */
export interface Revocation {
  type: 'revocation'
  id: number
  kind: RevocationKind
  tokens: number[]
}

export interface Exchange {
  type: 'exchange'
  /** A question whether a token is accepted; or a revocation, which asks that too. */
  purpose: 'probe' | 'revoke'
  revocation?: number
  /** The access token that it carried. */
  token?: number
  replica: string
  began: number
  ended: number
  /** 0: there was no answer. */
  status: number
  /** The API's code where it is no success; the failure of the connection where there was no answer. */
  code?: string
}

/** What happens to the cluster, and when. */
export type Mark = { type: 'mark'; at: number } & (
  | {
      event: 'begin'
      fault: string
      /** Who may answer 503, or not at all, from the strike until it has recovered. */
      fails: 'nobody' | 'struck' | 'everybody'
      struck: string[]
      /** Codes of 401 by a struck replica that are no mistake, as where its clock is wrong. */
      allowed: string[]
      /** Whether any replica may say meanwhile that it has no time (OVERLOADED). */
      crowded: boolean
      /** From the heal until every replica is ready, in milliseconds. */
      recoversWithinMs: number
    }
  | { event: 'strike' | 'heal' | 'recovered' }
  /** With how many processes wanted to run in the last minute, for each processor: above 1 everybody waits. */
  | { event: 'end'; load: number }
  | { event: 'not-recovered'; why: string }
)

/** R3: what the servers were asked while tokens were probed and nothing else was done. */
export interface Commands {
  type: 'commands'
  probes: number
  /** How the replicas say that they checked, all together. */
  checks: { local: number; direct: number; stale: number; refused: number }
  /** Calls at Redis, by command: in a time without probes, and in the time of the probes. */
  redis: { idle: Record<string, number>; probed: Record<string, number> }
  idleMs: number
  probedMs: number
  replicas: number
  /** Connections of replicas to Postgres over which anything was asked meanwhile. */
  postgres: number
}

/** R4: how many revocations a replica held: before, with more of a short life, and when those had expired. */
export interface Memory {
  type: 'memory'
  replica: string
  added: number
  before: number
  peak: number
  after: number
}

export type Entry = Revocation | Exchange | Mark | Commands | Memory
export type History = Entry[]

/** Writes a history as JSON lines, with what the replicas printed, and returns the folder. */
export async function keepHistory(folder: string, history: History, lines: readonly string[]): Promise<string> {
  mkdirSync(folder, { recursive: true })
  const file = createWriteStream(join(folder, 'history.jsonl'))
  for (const entry of history) {
    if (!file.write(`${JSON.stringify(entry)}\n`)) await once(file, 'drain')
  }
  file.end()
  await once(file, 'finish')
  writeFileSync(join(folder, 'replicas.log'), lines.map((line) => `${line}\n`).join(''))
  return folder
}
