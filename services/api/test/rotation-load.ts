import { setTimeout as sleep } from 'node:timers/promises'
import { bearer, newUsername, PASSWORD, type TokenResponse } from './harness.js'

/** How often a second, over all replicas together. A login takes 11 ms of CPU. */
const RATES = { whoami: 60, refresh: 8, logIn: 3 }

/** Sessions there are before anything changes. Every second one is not refreshed until it is told to be. */
const FIRST_SESSIONS = 16

export interface Session {
  /** Every access token it ever had, the newest last. */
  access: string[]
  refresh: string
  /** By a refresh under way. */
  taken: boolean
  idle: boolean
}

export interface Target {
  url: string
}

/** Of an access token or a refresh token: the key that signed it. */
export function kidOf(token: string): string {
  const [first, second] = token.split('.') as [string, string]
  if (first === 'rt') return second
  return (JSON.parse(Buffer.from(first, 'base64url').toString()) as { kid: string }).kid
}

export const post = (url: string, body: object): Promise<Response> =>
  fetch(url, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) })

export const whoami = async ({ url }: Target, token: string): Promise<number> => {
  const response = await fetch(`${url}/whoami`, { headers: bearer(token) })
  await response.arrayBuffer()
  return response.status
}

const pick = <T>(all: readonly T[]): T | undefined => all[Math.floor(Math.random() * all.length)]

/** Too much to do for this machine: no word about the token. */
export const BUSY = 503

/**
 * Clients that present tokens of every age to every replica, refresh and log in, at a steady rate. Each token is to be
 * accepted, until the key that signed it is said to go; and refused from when it is said to have gone.
 *
 * @param targets may be exchanged for others meanwhile
 */
export async function startLoad(targets: readonly Target[]) {
  const sessions: Session[] = []
  const wrongs: string[] = []
  const counts = { whoami: 0, refresh: 0, logIn: 0 }
  /** When it began to go, and when it had gone. */
  const going = new Map<string, { gone?: number }>()

  function judge(what: string, status: number, kid: string, began: number): void {
    const drop = going.get(kid)
    const mayBe = drop === undefined ? [200] : drop.gone === undefined || drop.gone > began ? [200, 401] : [401]
    if (status !== BUSY && !mayBe.includes(status))
      wrongs.push(`${what} with ${kid}: ${status}, not ${mayBe.join(' or ')}`)
  }

  const username = newUsername()
  await post(`${targets[0]!.url}/users`, { username, password: PASSWORD })

  /** Each says whether it was served. */
  const clients = {
    async whoami(): Promise<boolean> {
      const token = pick(sessions.flatMap(({ access }) => access))
      if (token === undefined) return false
      const began = performance.now()
      const status = await whoami(pick(targets)!, token)
      judge('whoami', status, kidOf(token), began)
      return status !== BUSY
    },
    async logIn(): Promise<boolean> {
      const response = await post(`${pick(targets)!.url}/auth/login`, { username, password: PASSWORD })
      if (response.status !== 200) {
        if (response.status !== BUSY) wrongs.push(`login: ${response.status}`)
        return false
      }
      const { access_token, refresh_token } = (await response.json()) as TokenResponse
      const idle = sessions.length % 2 === 0 && sessions.length < FIRST_SESSIONS
      sessions.push({ access: [access_token], refresh: refresh_token, taken: false, idle })
      return true
    },
    async refresh(session = pick(sessions.filter(({ taken, idle }) => !taken && !idle))): Promise<boolean> {
      if (!session) return false
      session.taken = true
      const began = performance.now()
      const kid = kidOf(session.refresh)
      let response
      do {
        response = await post(`${pick(targets)!.url}/auth/refresh`, { refresh_token: session.refresh })
      } while (response.status === BUSY)
      judge('refresh', response.status, kid, began)
      if (response.status !== 200) return true
      const { access_token, refresh_token } = (await response.json()) as TokenResponse
      session.access.push(access_token)
      session.refresh = refresh_token
      session.taken = false
      return true
    }
  }

  while (sessions.length < FIRST_SESSIONS) await clients.logIn()
  const underWay = new Set<Promise<void>>()
  const timers = (Object.keys(RATES) as (keyof typeof RATES)[]).map((name) =>
    setInterval(() => {
      const client = clients[name]()
        .then((served) => void (counts[name] += served ? 1 : 0))
        .catch((error: unknown) => void wrongs.push(`${name}: ${String((error as Error).cause ?? error)}`))
        .finally(() => underWay.delete(client))
      underWay.add(client)
    }, 1000 / RATES[name])
  )
  const settle = (): Promise<unknown> => Promise.all(underWay)
  return {
    sessions,
    /** Exchanges the refresh token of each of these, unless it is just being exchanged, and waits until all are. */
    refreshAll: async (some: Session[]): Promise<void> => {
      for (const session of some) {
        session.idle = false
        if (!session.taken) await clients.refresh(session)
      }
      await settle()
    },
    /** From now on tokens signed with it may be refused. */
    goes(kid: string): void {
      for (const session of sessions) if (kidOf(session.refresh) === kid) session.idle = true
      going.set(kid, {})
    },
    /** From now on tokens signed with it must be refused. */
    gone(kid: string): void {
      going.get(kid)!.gone = performance.now()
    },
    /** Lets the load run on for a moment; returns what went wrong, and how much was done, since the last time. */
    async report(forMs = 2500): Promise<{ wrongs: string[]; done: typeof counts }> {
      await sleep(forMs)
      const report = { wrongs: wrongs.splice(0), done: { ...counts } }
      for (const name of Object.keys(counts) as (keyof typeof counts)[]) counts[name] = 0
      return report
    },
    async stop(): Promise<void> {
      timers.forEach(clearInterval)
      await settle()
    }
  }
}
