import { setTimeout as sleep } from 'node:timers/promises'
import { CONNECTIONS, type Answer, type Client, type Question } from './client.js'
import type { Cluster, Target } from './cluster.js'
import type { Entry, History } from './history.js'
import { pick, seeded, type Planned } from './schedule.js'
import { NEW_PASSWORD, PASSWORD, type Prepared, type Session, type Token } from './stock.js'

/** How often the probes that are due are sent, in milliseconds. */
const TICK_MS = 4

/** Of the probes, while something has been revoked in this fault: this share asks for that. */
const RECENT_SHARE = 0.7
/** So many tokens count as recent: those revoked last, and those whose revocation is under way. */
const RECENT = 60

/** How long a client waits that was told to come back, in milliseconds. Shorter than it was told: it shall be in the way. */
const COMES_BACK_MS = 250

/** Tokens older than this, in milliseconds, are not asked for any more: they will expire. */
const OLDEST_MS = 9 * 60_000

export interface Load {
  /** Makes the revocations that are planned, one after the other, until they are used up or it is paused. */
  revokeSteadily(): void
  /** Makes no more of them by itself. */
  rest(): void
  /** The next so many of the plan, within so many milliseconds; resolves when they have been sent. */
  burst(count: number, withinMs: number): Promise<void>
  /** These are the next. */
  put(prepared: readonly Prepared[]): void
  /** Whoever was refused goes on to ask, for so long, in milliseconds; resolves when nobody does. */
  repeat(patienceMs: number): Promise<void>
  /** Resolves when every request has been answered. To be called where none is made: with a rate of 0, at rest. */
  settle(): Promise<void>
  /** A new fault: with revocations of its own, and sessions that nobody ends. */
  turnTo(planned: readonly Planned[], prepared: readonly Prepared[], live: readonly Session[]): void
  readonly probes: number
  /** Probes a second at each of the replicas that there were at first. */
  rate: number
  stop(): Promise<void>
}

/**
 * Probes every replica at a rate, whether or not it answers, with tokens of all kinds; and revokes when it is told to. Everything
 * is written into the history.
 */
export function startLoad(
  cluster: Cluster,
  client: Client,
  history: History,
  { seed, rate }: { seed: number; rate: number }
): Load {
  const random = seeded(seed, 'probes')
  const record = (entry: Entry): void => void history.push(entry)
  /** Tokens that nobody revokes. */
  let good: Token[] = []
  /** Tokens that somebody has begun to revoke: in this fault, and before it. */
  let recent: Token[] = []
  let old: Token[] = []
  const underWay = new Map<string, number>()
  const running = new Set<Promise<unknown>>()
  let probes = 0
  let revocations = 0
  let gaveUp = false
  let resting = true
  let queue: { planned: Planned; prepared: Prepared }[] = []

  const track = (promise: Promise<unknown>): void => {
    running.add(promise)
    void promise.finally(() => running.delete(promise))
  }

  async function probe(replica: Target, token: Token): Promise<void> {
    const { name } = replica
    underWay.set(name, (underWay.get(name) ?? 0) + 1)
    probes++
    const { began, ended, status, code } = await client.ask(replica, { path: '/whoami', token: token.text })
    underWay.set(name, underWay.get(name)! - 1)
    const answer = { began, ended, status, ...(code !== undefined && { code }) }
    record({ type: 'exchange', purpose: 'probe', token: token.id, replica: name, ...answer })
  }

  function choose(): Token | undefined {
    if (recent.length > 0 && random() < RECENT_SHARE) return pick(random, recent.slice(-RECENT))
    return pick(random, random() < 0.5 && old.length > 0 ? old : good)
  }

  // Replicas that are added share the probes: they shall add room, and not more to do.
  const replicasAtFirst = cluster.replicas.length
  let last = performance.now()
  let due = 0
  const load = {
    rate,
    get probes() {
      return probes
    }
  }
  const ticker = setInterval(() => {
    const now = performance.now()
    // Where the checker itself was held up, it does not make up for all of it at once.
    due += (Math.min(now - last, 50) / 1000) * load.rate * (replicasAtFirst / cluster.replicas.length)
    last = now
    for (; due >= 1; due--) {
      for (const replica of cluster.replicas) {
        const waiting = underWay.get(replica.name) ?? 0
        // Where a replica does not answer some places are kept for what is asked later.
        if (waiting >= CONNECTIONS - 16 || (waiting > CONNECTIONS / 2 && random() > 0.1)) continue
        const token = choose()
        if (token) track(probe(replica, token))
      }
    }
  }, TICK_MS)

  function questionOf({ kind, asks, ends, oldRefreshToken }: Prepared): Question {
    const token = asks.text
    if (kind === 'theft') return { method: 'POST', path: '/auth/refresh', body: { refresh_token: oldRefreshToken } }
    if (kind === 'end-one') return { method: 'DELETE', path: `/me/sessions/${ends[0]!.id}`, token }
    if (kind === 'end-all') return { method: 'DELETE', path: '/me/sessions', token }
    if (kind !== 'change-password') return { method: 'POST', path: '/auth/logout', token }
    return { method: 'PUT', path: '/me/password', token, body: { old_password: PASSWORD, new_password: NEW_PASSWORD } }
  }

  async function revoke({ planned, prepared }: { planned: Planned; prepared: Prepared }): Promise<void> {
    const { kind, asks, ends, stays } = prepared
    const id = revocations++
    const revoked = ends.flatMap(({ tokens }) => tokens)
    good.push(...stays.flatMap(({ tokens }) => tokens))
    record({ type: 'revocation', id, kind, tokens: revoked.map((token) => token.id) })
    recent.push(...revoked)
    const question = questionOf(prepared)

    async function attempt(replica: Target, signal?: AbortSignal): Promise<Answer> {
      const answer = await client.ask(replica, { ...question, ...(signal && { signal }) })
      const { began, ended, status, code } = answer
      record({
        type: 'exchange',
        purpose: 'revoke',
        revocation: id,
        ...(kind !== 'theft' && { token: asks.id }),
        replica: replica.name,
        began,
        ended,
        status,
        ...(code !== undefined && { code })
      })
      // Acknowledged: at this very moment no replica may accept it any more.
      if (status === 200 || code === 'REFRESH_TOKEN_REUSED') {
        for (const one of cluster.replicas) for (const token of revoked.slice(0, 2)) track(probe(one, token))
      }
      return answer
    }

    const first = Math.floor(planned.replica * cluster.replicas.length)
    const nth = (n: number): Target => cluster.replicas[(first + n) % cluster.replicas.length]!
    if (kind === 'logout-left') {
      await attempt(nth(0), AbortSignal.timeout(Math.ceil(planned.leavesAfterMs)))
      if (!planned.comesBack) return
      await sleep(COMES_BACK_MS)
    }
    if (kind === 'logout-twice') track(attempt(nth(1)))
    for (let i = 0; ; i++) {
      const { status } = await attempt(nth(i))
      if ((status !== 503 && status !== 0) || gaveUp) return
      await sleep(COMES_BACK_MS)
    }
  }

  const revoking = new Set<Promise<void>>()
  const next = (): void => {
    const one = queue.shift()
    if (!one) return
    const revocation = revoke(one)
    revoking.add(revocation)
    void revocation.finally(() => revoking.delete(revocation))
    track(revocation)
  }

  let steady = 0
  async function revokeSteadily(): Promise<void> {
    const mine = ++steady
    resting = false
    while (queue[0] && !resting && mine === steady) {
      await sleep(queue[0].planned.afterMs)
      if (!resting && mine === steady) next()
    }
  }

  return Object.assign(load, {
    revokeSteadily: () => void revokeSteadily(),
    rest: () => void (resting = true),
    async burst(count: number, withinMs: number) {
      for (let i = 0; i < count; i++) {
        next()
        if (withinMs > 0) await sleep(withinMs / count)
      }
    },
    put(prepared: readonly Prepared[]) {
      const at = { afterMs: 0, leavesAfterMs: 0, comesBack: false }
      const next = prepared.map((one, i) => ({
        prepared: one,
        planned: { ...at, kind: one.kind, replica: i / prepared.length }
      }))
      queue.unshift(...next)
    },
    async repeat(patienceMs: number) {
      const patience = setTimeout(() => (gaveUp = true), patienceMs)
      while (revoking.size > 0) await Promise.all(revoking)
      clearTimeout(patience)
    },
    async settle() {
      while (running.size > 0) await Promise.all(running)
    },
    turnTo(planned: readonly Planned[], prepared: readonly Prepared[], live: readonly Session[]) {
      const oldest = performance.now() - OLDEST_MS
      old = [...old, ...recent].filter(({ signedAt }) => signedAt > oldest)
      recent = []
      good = live.flatMap(({ tokens }) => tokens)
      gaveUp = false
      queue = planned.map((one, i) => ({ planned: one, prepared: prepared[i]! }))
    },
    async stop() {
      clearInterval(ticker)
      gaveUp = true
      queue = []
      while (running.size > 0) await Promise.all(running)
    }
  })
}
