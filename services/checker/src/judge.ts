import type { Commands, Exchange, History, Mark, Memory, Revocation } from './history.js'

export type Invariant =
  /** No 2xx for a token on a request that began after the acknowledgement of its revocation. */
  | 'R1'
  /** No 401 TOKEN_REVOKED for a token that nobody revoked. */
  | 'R2'
  /** While the lease holds: not one command at Redis or Postgres on the path of a request. */
  | 'R3'
  /** What has expired is held by nobody. */
  | 'R4'
  /** No other answer than those that a probe and a revocation can have. */
  | 'answers'
  /** Nothing fails but what a fault makes fail, and that not for longer than it says. */
  | 'availability'

export interface Violation {
  invariant: Invariant
  fault: string
  text: string
  /** Entries of the history. */
  evidence: number[]
}

export interface Row {
  fault: string
  acknowledged: number
  /** Attempted, and never acknowledged. */
  refused: number
  probes: { accepted: number; denied: number; unknown: number; failed: number }
  /** The longest time from the sending of a revocation that was acknowledged to the beginning of a request which was accepted still. */
  worstPropagationMs: number
  logoutP50Ms: number
  logoutWorstMs: number
  violations: number
}

export interface Verdict {
  rows: Row[]
  violations: Violation[]
  probes: number
}

/** So many revocations in a row of the table cannot all have failed by chance. */
const LEAST_REFUSED = 5

/** So many in a hundred probes may fail outside of a fault, for the machine may be busy with something else. */
const UNEXCUSED_PERCENT = 1
/** So much later than it says a cluster may recover, for the same reason, in milliseconds. */
const RECOVERY_SLACK_MS = 3000
/**
 * The cluster, with the checker, keeps so many processes for each processor wanting to run. Where there are more of others, time tells less:
 * what is said of it above is stretched by as much, and the share of failures by its square. Nothing else is.
 */
const OWN_LOAD = 3

/** Commands of the checker's own, and of connections that are kept alive. */
const NOT_OF_REQUESTS = new Set(['info', 'ping', 'auth', 'hello', 'client', 'command', 'select'])

/** Without an answer of the API's: or a connection on which nothing had come for a while was ended in the moment in which it was used. */
const isFailed = ({ status }: Exchange): boolean => status === 0 || status === 408

interface Period {
  fault: string
  begin: Extract<Mark, { event: 'begin' }>
  strikeAt: number
  healAt: number
  recoveredAt: number
  /** By how much the time must be stretched. */
  stretch: number
}

const isAccepted = ({ status }: Exchange): boolean => status >= 200 && status < 300
const isDenied = ({ status, code }: Exchange): boolean => status === 401 && code === 'TOKEN_REVOKED'
/** The answers after which a client may rely on it. An old refresh token is refused once its session has ended everywhere. */
const isAcknowledgement = (one: Exchange): boolean =>
  one.purpose === 'revoke' && (isAccepted(one) || one.code === 'REFRESH_TOKEN_REUSED')

/** Reads a history, and says what in it must never be. Knows nothing of how it came about. */
export function judge(history: History): Verdict {
  const violations: Violation[] = []
  const periods = periodsOf(history)
  const periodAt = (at: number): Period | undefined => periods.findLast(({ begin }) => begin.at <= at)
  const blame = (invariant: Invariant, at: number, text: string, ...evidence: number[]): void =>
    void violations.push({ invariant, fault: periodAt(at)?.fault ?? 'outside of any fault', text, evidence })

  // What is known of each token: since when somebody has tried to revoke it, and since when that has been acknowledged.
  const revocations = new Map<number, Revocation>()
  const attempted = new Map<number, number>()
  const acknowledged = new Map<number, { began: number; ended: number; index: number }>()
  for (const entry of history) if (entry.type === 'revocation') revocations.set(entry.id, entry)
  for (const [index, entry] of history.entries()) {
    if (entry.type !== 'exchange' || entry.purpose !== 'revoke') continue
    for (const token of revocations.get(entry.revocation!)?.tokens ?? []) {
      attempted.set(token, Math.min(entry.began, attempted.get(token) ?? Infinity))
      if (isAcknowledgement(entry) && entry.ended < (acknowledged.get(token)?.ended ?? Infinity)) {
        acknowledged.set(token, { began: entry.began, ended: entry.ended, index })
      }
    }
  }

  // A revocation counts where it was first attempted.
  const attempts = new Map<number, { began: number; time?: number }>()
  for (const entry of history) {
    if (entry.type !== 'exchange' || entry.purpose !== 'revoke') continue
    const one = attempts.get(entry.revocation!) ?? { began: entry.began }
    one.began = Math.min(one.began, entry.began)
    if (isAcknowledgement(entry)) one.time ??= entry.ended - entry.began
    attempts.set(entry.revocation!, one)
  }

  const rows = new Map<Period, { row: Row; times: number[]; unexcused: Map<string, number[]> }>()
  for (const period of periods) {
    const row: Row = {
      fault: period.fault,
      acknowledged: 0,
      refused: 0,
      probes: { accepted: 0, denied: 0, unknown: 0, failed: 0 },
      worstPropagationMs: 0,
      logoutP50Ms: 0,
      logoutWorstMs: 0,
      violations: 0
    }
    rows.set(period, { row, times: [], unexcused: new Map() })
  }

  // A logout takes a token that is revoked, so that it can be repeated until it is acknowledged: it is not let in by it.
  const isLogout = ({ purpose, revocation }: Exchange): boolean =>
    purpose === 'revoke' && /^logout/.test(revocations.get(revocation!)?.kind ?? '')

  for (const [index, entry] of history.entries()) {
    if (entry.type === 'commands') judgeCommands(entry, (text) => blame('R3', startOf(history, index), text, index))
    if (entry.type === 'memory') judgeMemory(entry, (text) => blame('R4', startOf(history, index), text, index))
    if (entry.type !== 'exchange') continue
    const { token, began, ended, status, code, replica } = entry
    const period = periodAt(began)
    const { row, unexcused } = (period && rows.get(period)) ?? {}

    if (token !== undefined && isAccepted(entry) && !isLogout(entry)) {
      const known = acknowledged.get(token)
      if (known !== undefined && began > known.ended) {
        const late = (began - known.ended).toFixed(1)
        blame(
          'R1',
          began,
          `${replica} accepted token ${token} on a request that began ${late} ms after ${describe(history, known.index)}`,
          known.index,
          index
        )
      } else if (row && known !== undefined && began > known.began) {
        row.worstPropagationMs = Math.max(row.worstPropagationMs, began - known.began)
      }
    }
    if (token !== undefined && isDenied(entry) && !((attempted.get(token) ?? Infinity) <= ended)) {
      blame('R2', began, `${replica} says that token ${token} has been revoked, which nobody did`, index)
    }

    if (!row || !unexcused || !period) continue
    if (entry.purpose === 'probe') {
      if (isAccepted(entry)) row.probes.accepted++
      else if (isFailed(entry)) row.probes.failed++
      else if (status === 503) row.probes.unknown++
      else row.probes.denied++
      const allowed = status === 401 && period.begin.allowed.includes(code ?? '') && isStruck(period, replica)
      if (!isAccepted(entry) && !isDenied(entry) && !isFailed(entry) && status !== 503 && !allowed) {
        blame('answers', began, `${replica} answered a probe with ${status} ${code}`, index)
      }
      if ((isFailed(entry) || status === 503) && !isExcused(period, entry)) {
        const what = `${isFailed(entry) ? 'no answer' : 'a 503'} (${code})`
        unexcused.set(what, [...(unexcused.get(what) ?? []), index])
      }
    } else {
      const allowed = status === 401 && period.begin.allowed.includes(code ?? '') && isStruck(period, replica)
      const good = isAcknowledgement(entry) || isDenied(entry) || isFailed(entry) || status === 503 || allowed
      // A theft was noticed, or a password changed, by an attempt that was not answered, or not acknowledged.
      const repeated = began > (attempts.get(entry.revocation!)?.began ?? began)
      const done = repeated && (code === 'REFRESH_TOKEN_INVALID' || code === 'CREDENTIALS_INVALID')
      if (!good && !done) {
        blame('answers', began, `${replica} answered a ${kindOf(revocations, entry)} with ${status} ${code}`, index)
      }
    }
  }

  for (const { began, time } of attempts.values()) {
    const period = periodAt(began)
    const known = period && rows.get(period)
    if (!known) continue
    if (time === undefined) known.row.refused++
    else {
      known.row.acknowledged++
      known.times.push(time)
    }
  }

  for (const entry of history) {
    if (entry.type === 'mark' && entry.event === 'not-recovered') blame('availability', entry.at, entry.why)
  }
  for (const [period, { row, times, unexcused }] of rows) {
    const { begin, healAt, recoveredAt, stretch } = period
    const tookMs = recoveredAt - healAt
    if (tookMs > (begin.recoversWithinMs + RECOVERY_SLACK_MS) * stretch) {
      const took = `it took ${Math.round(tookMs)} ms until every replica was ready, not ${begin.recoversWithinMs}`
      blame('availability', begin.at, took)
    }
    // Where nothing is acknowledged no promise can be broken.
    if (row.acknowledged === 0 && row.refused >= LEAST_REFUSED) {
      blame('availability', begin.at, `none of ${row.refused} revocations was acknowledged`)
    }
    const failures = [...unexcused.values()].flat()
    const all = probesOf(row)
    if (failures.length > Math.max(10, (all * UNEXCUSED_PERCENT * stretch ** 2) / 100)) {
      const what = [...unexcused].map(([name, { length }]) => `${length} × ${name}`).join(', ')
      blame('availability', begin.at, `${what}, of ${all} probes, where nothing should fail`, ...failures)
    }
    times.sort((a, b) => a - b)
    row.logoutP50Ms = times[Math.floor(times.length / 2)] ?? 0
    row.logoutWorstMs = times.at(-1) ?? 0
  }
  const all = [...rows.values()].map(({ row }) => row)
  for (const { fault } of violations) {
    const row = all.find((one) => one.fault === fault)
    if (row) row.violations++
  }
  return { rows: all, violations, probes: all.reduce((sum, row) => sum + probesOf(row), 0) }
}

const probesOf = ({ probes: { accepted, denied, unknown, failed } }: Row): number =>
  accepted + denied + unknown + failed

function periodsOf(history: History): Period[] {
  const periods: Period[] = []
  for (const entry of history) {
    if (entry.type !== 'mark') continue
    if (entry.event === 'begin') {
      const never = { strikeAt: Infinity, healAt: Infinity, recoveredAt: Infinity, stretch: 1 }
      periods.push({ fault: entry.fault, begin: entry, ...never })
    }
    const last = periods.at(-1)
    if (!last) continue
    // A fault may strike several times: it lasts from the first time to the last recovery.
    if (entry.event === 'strike') last.strikeAt = Math.min(last.strikeAt, entry.at)
    if (entry.event === 'heal') last.healAt = entry.at
    if (entry.event === 'recovered') last.recoveredAt = entry.at
    if (entry.event === 'end') last.stretch = Math.max(1, entry.load / OWN_LOAD)
  }
  return periods
}

const isStruck = ({ begin }: Period, replica: string): boolean =>
  begin.fails === 'everybody' || begin.struck.includes(replica)

/** Whether a request that failed met the fault. */
function isExcused(period: Period, { began, ended, replica, code }: Exchange): boolean {
  if (ended <= period.strikeAt || began >= period.recoveredAt) return false
  if (period.begin.crowded && code === 'OVERLOADED') return true
  return period.begin.fails !== 'nobody' && isStruck(period, replica)
}

function judgeCommands(commands: Commands, blame: (text: string) => void): void {
  const { probes, checks, redis, idleMs, probedMs, replicas, postgres } = commands
  if (checks.local < probes / 4) {
    blame(`of ${probes} probes only ${checks.local} were answered from the copy`)
  }
  const { idle, probed } = redis
  const idleRounds = idle['xread'] ?? 0
  const rounds = probed['xread'] ?? 0
  if (idleRounds === 0 || rounds === 0) return blame('no replica follows the log')
  if (rounds / probedMs > (1.5 * idleRounds) / idleMs + replicas / probedMs) {
    blame(
      `${rounds} reads of the log in ${Math.round(probedMs)} ms of probes, ${idleRounds} in ${Math.round(idleMs)} ms without`
    )
  }
  // A look-up of a replica without a lease is what it should do. Each is one MGET.
  const direct = checks.direct + checks.refused + checks.stale
  for (const [command, count] of Object.entries(probed)) {
    if (NOT_OF_REQUESTS.has(command)) continue
    const ofRounds = ((idle[command] ?? 0) / idleRounds) * rounds
    const ofLookUps = command === 'mget' ? direct : 0
    // A round may have been under way at each end of each time.
    const extra = count - ofRounds - ofLookUps
    if (extra > 4 * replicas + 0.02 * ofRounds) {
      blame(
        `${Math.round(extra)} × ${command.toUpperCase()} at Redis for ${probes} probes, beside what the replicas do without any`
      )
    }
  }
  if (postgres > 0) blame(`something was asked over ${postgres} connections to Postgres while there were only probes`)
}

function judgeMemory({ replica, added, before, peak, after }: Memory, blame: (text: string) => void): void {
  if (peak < before + added)
    blame(`${replica} held ${peak} revocations, not the ${before} and ${added} that there were`)
  if (after > before) blame(`${replica} still holds ${after} revocations, ${after - before} of which have expired`)
}

/** When the fault began in which a measurement was made: it has no time of its own. */
function startOf(history: History, index: number): number {
  const begin = history.findLast((entry, i) => i < index && entry.type === 'mark' && entry.event === 'begin')
  return begin?.type === 'mark' ? begin.at : 0
}

const kindOf = (revocations: Map<number, Revocation>, { revocation }: Exchange): string =>
  revocations.get(revocation!)?.kind ?? 'revocation'

/** As in `its logout was acknowledged by api-1 (revocation 12, sent at 1034.5, answered at 1290.1)`. */
function describe(history: History, index: number): string {
  const entry = history[index]
  if (entry?.type !== 'exchange') return 'it was acknowledged'
  const found = history.find((one) => one.type === 'revocation' && one.id === entry.revocation)
  const kind = found?.type === 'revocation' ? found.kind : 'revocation'
  const at = `revocation ${entry.revocation}, sent at ${entry.began.toFixed(1)}, answered at ${entry.ended.toFixed(1)}`
  return `its ${kind} was acknowledged by ${entry.replica} (${at})`
}
