import { setTimeout as sleep } from 'node:timers/promises'
import { bearer, newUsername, PASSWORD, type TokenResponse } from '../harness.js'

/** How often a second, over all replicas together. A sign-up and a login take 11 ms of CPU each, so there are few. */
const RATES = { signUp: 2, logIn: 3, refresh: 5, logOut: 3, me: 4, whoami: 20, probe: 20 }

/** What there is before the load begins. */
const FIRST = { users: 4, sessions: 12, ended: 3 }

/** A request without an answer after this long, in milliseconds, hangs. */
const HANGS_MS = 15_000

/** A refresh may be repeated for ten seconds; a client that still has no answer after this long, in milliseconds, gives up. */
const REFRESHABLE_MS = 8000

/** For this long, in milliseconds, what was begun goes on after the load has been told to stop. */
const PATIENCE_MS = 6000

export type Route =
  'POST /users' | 'POST /auth/login' | 'POST /auth/refresh' | 'POST /auth/logout' | 'GET /me' | 'GET /whoami'

export interface Target {
  name: string
  url: string
}

/** A request, and what came of it. */
export interface Exchange {
  route: Route
  replica: string
  /** As in `200` or `503 HASHING_BUSY`; `ECONNREFUSED` and the like where there was no answer. */
  answer: string
  /** In milliseconds of `performance.now()`. */
  began: number
  ended: number
}

interface Session {
  /** Every access token it ever had, the newest last. */
  access: string[]
  refresh: string
  /** By a refresh or a logout that has not been answered yet. */
  taken: boolean
  /** Since when it may have ended. */
  ending?: number
}

/** What the clients know: everything in it was acknowledged. */
export interface Ledger {
  users: string[]
  live: Session[]
  ended: Session[]
  exchanges: Exchange[]
  /** Each of these must never be. */
  wrongs: string[]
}

export interface Load extends Ledger {
  /** Ends it, once everything that was begun has been answered. */
  stop(): Promise<void>
}

interface Question {
  token?: string
  body?: object
}

interface Reply extends Exchange {
  status: number
  body: TokenResponse & { code?: string }
}

async function ask({ name: replica, url }: Target, route: Route, { token, body }: Question): Promise<Reply> {
  const [method = '', path] = route.split(' ')
  const began = performance.now()
  let status = 0
  let content = {} as Reply['body']
  let answer: string
  try {
    const response = await fetch(`${url}${path}`, {
      method,
      headers: { ...(token && bearer(token)), ...(body && { 'content-type': 'application/json' }) },
      ...(body && { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(HANGS_MS)
    })
    content = (await response.json()) as Reply['body']
    status = response.status
    answer = content.code === undefined ? `${status}` : `${status} ${content.code}`
    if (status === 503 && response.headers.get('retry-after') !== '1') answer += ' without Retry-After'
  } catch (error) {
    const { name, cause } = error as Error & { cause?: { code?: string } }
    answer = cause?.code ?? name
  }
  return { route, replica, answer, began, ended: performance.now(), status, body: content }
}

const pick = <T>(all: readonly T[]): T | undefined => all[Math.floor(Math.random() * all.length)]

/**
 * Clients of all kinds at a modest rate, which does not fall when answers are slow. Whoever gets a 503, or no answer, to a write
 * repeats it as he was told to, at any replica, until it is acknowledged.
 *
 * @param replicas may be exchanged for others meanwhile
 */
export async function startLoad(replicas: readonly Target[]): Promise<Load> {
  const ledger: Ledger = { users: [], live: [], ended: [], exchanges: [], wrongs: [] }
  const { users, live, ended, exchanges, wrongs } = ledger
  let gaveUp = false

  async function once(route: Route, question: Question): Promise<Reply> {
    const reply = await ask(pick(replicas)!, route, question)
    const { replica, answer, began, ended } = reply
    exchanges.push({ route, replica, answer, began, ended })
    return reply
  }

  /** Undefined where the client gave up. */
  async function insist(route: Route, question: Question, forMs = Infinity): Promise<Reply | undefined> {
    const began = performance.now()
    for (;;) {
      const reply = await once(route, question)
      if (reply.status !== 503 && reply.status !== 0) return reply
      if (performance.now() - began > forMs) return undefined
      if (gaveUp) {
        wrongs.push(`${route} was never carried out: ${reply.answer}`)
        return undefined
      }
      await sleep(reply.status === 503 ? 1000 : 100)
    }
  }

  async function use(route: Route): Promise<void> {
    const session = pick(live)
    if (!session) return
    const { status, answer, replica, ended } = await once(route, { token: pick(session.access)! })
    if (status !== 401 || (session.ending !== undefined && session.ending < ended)) return
    wrongs.push(`a live token was refused by ${replica}: ${route}: ${answer}`)
  }

  /** The next one that nobody else is about to change. */
  function take(): Session | undefined {
    const session = pick(live.filter(({ taken }) => !taken))
    if (session) session.taken = true
    return session
  }

  const clients: Record<keyof typeof RATES, () => Promise<void>> = {
    async signUp() {
      const username = newUsername()
      const reply = await insist('POST /users', { body: { username, password: PASSWORD } })
      // 409: an attempt that was not answered had been carried out.
      if (reply?.status === 201 || reply?.status === 409) users.push(username)
    },
    async logIn() {
      const username = pick(users)
      if (username === undefined) return
      const reply = await insist('POST /auth/login', { body: { username, password: PASSWORD } })
      if (reply?.status !== 200) return
      live.push({ access: [reply.body.access_token], refresh: reply.body.refresh_token, taken: false })
    },
    async refresh() {
      const session = take()
      if (!session) return
      const reply = await insist('POST /auth/refresh', { body: { refresh_token: session.refresh } }, REFRESHABLE_MS)
      if (reply?.status !== 200) return
      session.access.push(reply.body.access_token)
      session.refresh = reply.body.refresh_token
      session.taken = false
    },
    async logOut() {
      const session = take()
      if (!session) return
      session.ending = performance.now()
      const reply = await insist('POST /auth/logout', { token: session.access.at(-1)! })
      if (reply?.status !== 200) return
      live.splice(live.indexOf(session), 1)
      ended.push(session)
    },
    me: () => use('GET /me'),
    whoami: () => use('GET /whoami'),
    async probe() {
      const session = pick(ended)
      if (!session) return
      const { status, replica } = await once('GET /whoami', { token: pick(session.access)! })
      if (status === 200) wrongs.push(`a token was accepted by ${replica} after its logout had been acknowledged`)
    }
  }

  const times = (count: number, client: () => Promise<void>): Promise<unknown> =>
    Promise.all(Array.from({ length: count }, client))
  await times(FIRST.users, clients.signUp)
  await times(FIRST.sessions, clients.logIn)
  await times(FIRST.ended, clients.logOut)

  const underWay = new Set<Promise<void>>()
  const timers = (Object.keys(RATES) as (keyof typeof RATES)[]).map((name) =>
    setInterval(() => {
      const client = clients[name]().finally(() => underWay.delete(client))
      underWay.add(client)
    }, 1000 / RATES[name])
  )
  return {
    ...ledger,
    async stop() {
      timers.forEach(clearInterval)
      const patience = setTimeout(() => (gaveUp = true), PATIENCE_MS)
      await Promise.all(underWay)
      clearTimeout(patience)
    }
  }
}

/** What was asked, and what of it does not hold any more. */
export interface Audit {
  lost: string[]
  users: number
  live: number
  ended: number
  /** Of sessions that live or have ended; each was presented to every replica. */
  tokens: number
}

/** Asks every replica whether everything that was acknowledged still holds. */
export async function audit({ users, live, ended }: Ledger, replicas: readonly Target[]): Promise<Audit> {
  const lost: string[] = []
  const expect = (what: string, expected: string) => {
    return async (replica: Target, route: Route, question: Question): Promise<Reply> => {
      let reply = await ask(replica, route, question)
      // Not now, which is no answer to what is asked here: on a busy machine a look-up may be given up.
      for (let i = 0; i < 5 && reply.status === 503; i++) {
        await sleep(200)
        reply = await ask(replica, route, question)
      }
      if (reply.answer !== expected) lost.push(`${what}: ${reply.answer} by ${replica.name}`)
      return reply
    }
  }
  for (const username of users) {
    await expect('a user', '200')(pick(replicas)!, 'POST /auth/login', { body: { username, password: PASSWORD } })
  }
  const present = async (what: string, expected: string, { access }: Session): Promise<void> => {
    for (const token of access) {
      for (const replica of replicas) await expect(what, expected)(replica, 'GET /whoami', { token })
    }
  }
  const exchange = (what: string, expected: string, { refresh }: Session): Promise<Reply> =>
    expect(what, expected)(pick(replicas)!, 'POST /auth/refresh', { body: { refresh_token: refresh } })

  for (const session of ended) {
    await present('a token of a session that has ended', '401 TOKEN_REVOKED', session)
    await exchange('the refresh token of a session that has ended', '401 REFRESH_TOKEN_INVALID', session)
  }
  for (const session of live) {
    await present('a token of a session that lives', '200', session)
    // Where a client gave up, nobody knows which one is the live one.
    if (session.taken) continue
    const { body } = await exchange('the refresh token of a session that lives', '200', session)
    session.refresh = body.refresh_token
  }
  const tokens = [...live, ...ended].reduce((sum, { access }) => sum + access.length, 0)
  return { lost, users: users.length, live: live.length, ended: ended.length, tokens }
}
