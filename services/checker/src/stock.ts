import { createHmac, randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Client } from './client.js'
import type { Cluster } from './cluster.js'
import type { RevocationKind } from './history.js'

export interface Token {
  id: number
  text: string
  /** By the checker's monotonic clock, in milliseconds. */
  signedAt: number
}

export interface Session {
  id: string
  tokens: Token[]
}

/** What a revocation of some kind needs: whose token asks for it, what it ends, and what it leaves alone. */
export interface Prepared {
  kind: RevocationKind
  /** Of the one who asks. */
  asks: Token
  ends: Session[]
  stays: Session[]
  /** What a thief presents: long since exchanged. */
  oldRefreshToken?: string
}

export interface Stock {
  /** One for each kind asked for, in that order. */
  prepare(kinds: readonly RevocationKind[]): Promise<Prepared[]>
  /**
   * Logouts of sessions that had ended as long ago as a token can live, but for so many seconds: after those everything that is
   * revoked has expired, and all that is known of it may be forgotten.
   */
  expiring(count: number, seconds: number): Promise<Prepared[]>
  /** Sessions that nobody will ever end. */
  live(count: number): Promise<Session[]>
}

const PASSWORD = 'correct horse battery staple'
export const NEW_PASSWORD = 'a battery for the new horse'
export { PASSWORD }

/** How long a login that prepares something may take in all, in milliseconds. */
const PREPARED_WITHIN_MS = 30_000

/** The longest life of an access token that can be configured, in seconds. */
const LIFE_SECONDS = 900

/** How many access tokens each session gets. */
const TOKENS = 2

/**
 * Signed two minutes ago, as far as the claims say, so that a replica whose clock is a minute behind takes them too. They
 * live for what is left of fifteen.
 */
const ISSUED_AGO_SECONDS = 120

/**
 * Users and sessions in any number, without the price of the API's password hash: their rows are written into Postgres, and their
 * tokens signed with the ring's key, after the pattern of one that the API issued. What is under test goes through the API: revocations and probes.
 */
export async function openStock(cluster: Cluster, client: Client): Promise<Stock> {
  const { secret } = cluster
  const replica = cluster.replicas[0]!
  const username = `checker-${randomUUID().slice(0, 8)}`
  const credentials = { username, password: PASSWORD }
  /** Asked again for as long as it is a 503: nothing is tested here, and a machine that is busy may take long to hash. */
  async function post(path: string, body: object): ReturnType<Client['ask']> {
    const deadline = performance.now() + PREPARED_WITHIN_MS
    for (;;) {
      const answer = await client.ask(replica, { method: 'POST', path, body })
      if (answer.status !== 503 || performance.now() > deadline) return answer
      await sleep(300)
    }
  }
  const signUp = await post('/users', credentials)
  if (signUp.status !== 201) throw new Error(`the first sign-up was answered with ${signUp.status} ${signUp.code}`)
  const login = await post('/auth/login', credentials)
  const model = login.body?.['access_token']
  if (typeof model !== 'string') throw new Error(`the first login was answered with ${login.status} ${login.code}`)
  const [header, payload] = model.split('.') as [string, string]
  const claims = JSON.parse(Buffer.from(payload, 'base64url').toString()) as Record<string, unknown>
  let tokens = 0

  function sign(sub: string, sid: string, agoSeconds: number): Token {
    const iat = Math.floor(Date.now() / 1000) - agoSeconds
    // In the order of the model, which is part of what the API verifies.
    const body = { ...claims, sub, sid, jti: randomUUID(), iat, exp: iat + LIFE_SECONDS }
    const signed = `${header}.${Buffer.from(JSON.stringify(body)).toString('base64url')}`
    return {
      id: tokens++,
      signedAt: performance.now(),
      text: `${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`
    }
  }

  const quote = (values: readonly string[]): string => `ARRAY[${values.map((value) => `'${value}'`).join()}]::uuid[]`

  /** A user for each number, with as many sessions; all with the password of the first user. */
  async function insert(
    numbers: readonly number[],
    agoSeconds = ISSUED_AGO_SECONDS
  ): Promise<{ userId: string; sessions: Session[] }[]> {
    if (numbers.length === 0) return []
    const users = numbers.map((count) => {
      const userId = randomUUID()
      const sessions = Array.from({ length: count }, (): Session => {
        const id = randomUUID()
        return { id, tokens: Array.from({ length: TOKENS }, () => sign(userId, id, agoSeconds)) }
      })
      return { userId, sessions }
    })
    const ids = users.map(({ userId }) => userId)
    const sids = users.flatMap(({ sessions }) => sessions.map(({ id }) => id))
    const owners = users.flatMap(({ userId, sessions }) => sessions.map(() => userId))
    await cluster.sql(
      `INSERT INTO users (id, username, password_hash)
       SELECT id, id::text, (SELECT password_hash FROM users WHERE username = '${username}') FROM unnest(${quote(ids)}) id`
    )
    await cluster.sql(
      `INSERT INTO sessions (id, user_id, expires_at)
       SELECT sid, owner, now() + interval '1 day' FROM unnest(${quote(sids)}, ${quote(owners)}) AS pairs (sid, owner)`
    )
    return users
  }

  /** Two exchanges after the login: the first refresh token is older than the one that may come back. */
  async function prepareTheft({ userId }: { userId: string }): Promise<Prepared> {
    const answers = [await post('/auth/login', { username: userId, password: PASSWORD })]
    for (let i = 0; i < 2; i++) {
      answers.push(await post('/auth/refresh', { refresh_token: answers.at(-1)!.body?.['refresh_token'] }))
    }
    const texts = answers.map(({ body }) => body?.['access_token'])
    if (!texts.every((text) => typeof text === 'string')) {
      const said = answers.map(({ status, code }) => `${status} ${code ?? ''}`.trim()).join(', ')
      throw new Error(`no tokens for a theft could be had: ${said}`)
    }
    const session: Session = {
      id: '',
      tokens: texts.map((text) => ({ id: tokens++, signedAt: performance.now(), text }))
    }
    const oldRefreshToken = answers[0]!.body?.['refresh_token'] as string
    return { kind: 'theft', asks: session.tokens[0]!, ends: [session], stays: [], oldRefreshToken }
  }

  const SESSIONS: Record<RevocationKind, number> = {
    logout: 1,
    'logout-twice': 1,
    'logout-left': 1,
    'end-one': 2,
    'end-all': 3,
    'change-password': 3,
    theft: 0
  }

  return {
    async prepare(kinds) {
      const users = await insert(kinds.map((kind) => SESSIONS[kind]))
      return Promise.all(
        kinds.map(async (kind, i): Promise<Prepared> => {
          const user = users[i]!
          if (kind === 'theft') return prepareTheft(user)
          const [first, ...others] = user.sessions as [Session, ...Session[]]
          const asks = first.tokens[0]!
          if (kind === 'end-one' || kind === 'change-password') return { kind, asks, ends: others, stays: [first] }
          return { kind, asks, ends: user.sessions, stays: [] }
        })
      )
    },
    async expiring(count, seconds) {
      const ago = LIFE_SECONDS - seconds
      const users = await insert(
        Array.from({ length: count }, () => 1),
        ago
      )
      const sids = users.flatMap(({ sessions }) => sessions.map(({ id }) => id))
      await cluster.sql(`UPDATE sessions SET ended_at = now() - interval '${ago} s' WHERE id = ANY (${quote(sids)})`)
      return users.map(({ sessions }) => {
        // Whoever looks for tokens to go on with must not take these.
        for (const token of sessions.flatMap(({ tokens }) => tokens)) token.signedAt = -Infinity
        return { kind: 'logout', asks: sessions[0]!.tokens[0]!, ends: sessions, stays: [] }
      })
    },
    async live(count) {
      const users = await insert(Array.from({ length: count }, () => 1))
      return users.flatMap(({ sessions }) => sessions)
    }
  }
}
