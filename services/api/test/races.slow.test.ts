import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { parseKeyRing } from '../src/key-ring.js'
import { createRefreshTokens } from '../src/refresh-tokens.js'
import {
  bearer,
  buildReplica,
  newUsername,
  PASSWORD,
  present,
  refresh,
  startBackends,
  type TokenResponse
} from './harness.js'

const { env } = await startBackends(t)
const replicas = await Promise.all(['a', 'b', 'c'].map((REPLICA_NAME) => buildReplica(t, { ...env, REPLICA_NAME })))
const { pg } = replicas[0]!
const refreshTokens = createRefreshTokens(parseKeyRing(env['JWT_KEYS']!))
const any = (): FastifyInstance => replicas[Math.floor(Math.random() * replicas.length)]!

/**
 * A session without a login, whose hash would be most of the work: its row, and the refresh token that a login would have
 * given for it.
 */
async function newSession(userId: string): Promise<string> {
  const { rows } = await pg.query<{ sid: string }>(
    "INSERT INTO sessions (user_id, expires_at) VALUES ($1, now() + interval '1 hour') RETURNING id AS sid",
    [userId]
  )
  return refreshTokens.seal({ sid: rows[0]!.sid, generation: 0 })
}

async function newUser(): Promise<{ id: string; username: string }> {
  const username = newUsername()
  for (;;) {
    const answer = await any().inject({ method: 'POST', url: '/users', payload: { username, password: PASSWORD } })
    if (answer.statusCode === 201) return answer.json()
    // Too many passwords are waiting to be hashed.
    if (answer.statusCode !== 503) throw new Error(answer.body)
  }
}

const tokensOf = (answers: { statusCode: number; body: string }[]): string[] =>
  answers
    .filter(({ statusCode }) => statusCode === 200)
    .map(({ body }) => (JSON.parse(body) as TokenResponse).access_token)

/** On a machine that has stood still a bound may have passed: nothing was done, or the same is done once more, for it is repeated. */
async function insist<T extends { statusCode: number }>(send: () => Promise<T>): Promise<T> {
  for (let attempt = 0; ; attempt++) {
    const answer = await send()
    if (answer.statusCode !== 503 || attempt === 10) return answer
    await sleep(100)
  }
}

/** The first tokens of a new session. */
async function startSession(userId: string): Promise<TokenResponse> {
  const token = await newSession(userId)
  for (;;) {
    const answer = await refresh(any(), token)
    if (answer.statusCode === 200) return answer.json()
    // A busy machine may have no connection to Postgres within its bound.
    if (answer.statusCode !== 503) throw new Error(answer.body)
  }
}

/** Runs races, so many at once, and counts what came of them. */
async function race(count: number, atOnce: number, once: () => Promise<string[]>): Promise<Record<string, number>> {
  const outcomes: Record<string, number> = {}
  let left = count
  await Promise.all(
    Array.from({ length: atOnce }, async () => {
      while (left-- > 0) for (const outcome of await once()) outcomes[outcome] = (outcomes[outcome] ?? 0) + 1
    })
  )
  return outcomes
}

/** What each replica makes of each of these tokens. */
async function presentEverywhere(tokens: string[]): Promise<string[]> {
  const answers = await Promise.all(
    tokens.flatMap((token) =>
      replicas.map((replica) =>
        insist(async () => {
          const { status, code } = await present(replica, token)
          return { statusCode: status, code }
        })
      )
    )
  )
  return answers.map(({ statusCode, code }) => `${statusCode} ${code}`)
}

async function after<T>(ms: number, send: () => Promise<T>): Promise<T> {
  if (ms > 0) await sleep(ms)
  return send()
}

t.test('a thousand rounds of twenty exchanges at once over three replicas: one successor each', async (t) => {
  const rounds = async (count: number): Promise<void> => {
    const { id } = await newUser()
    let refresh_token = await newSession(id)
    const odd: unknown[] = []
    for (let round = 0; round < count; round++) {
      const answers = await Promise.all(
        Array.from({ length: 20 }, (_, i) => insist(() => refresh(replicas[i % 3]!, refresh_token)))
      )
      const tokens = answers.map((answer) => answer.json<TokenResponse>())
      const successors = new Set(tokens.map((token) => token.refresh_token))
      const access = new Set(tokens.map((token) => token.access_token))
      const good = answers.every(({ statusCode }) => statusCode === 200)
      if (!good || successors.size !== 1 || access.size !== 20)
        odd.push({ round, good, successors, access: access.size })
      const [successor] = successors
      if (successor === refresh_token) odd.push({ round, successor })
      refresh_token = successor!
    }
    t.strictSame(odd, [])
    const { rows } = await pg.query('SELECT generation FROM sessions WHERE user_id = $1', [id])
    t.strictSame(rows, [{ generation: count }], 'each round moved the session on by one')
  }
  await Promise.all(Array.from({ length: 4 }, () => rounds(250)))
})

const ends = {
  logout: { method: 'POST', url: '/auth/logout' },
  'the end of every session': { method: 'DELETE', url: '/me/sessions' }
} as const

for (const [name, request] of Object.entries(ends)) {
  t.test(`2,500 refreshes against ${name}: no token is left`, { timeout: 300_000 }, async (t) => {
    // By how many milliseconds the end is sent before the refreshes, or after them; which comes first is settled in the
    // database. Whoever lost is sent a little earlier the next time, so that they meet on any machine.
    let lead = 0
    const outcomes = await race(2500, 20, async () => {
      const { rows } = await pg.query<{ id: string }>(
        "INSERT INTO users (username, password_hash) VALUES ($1, 'nobody logs in') RETURNING id",
        [newUsername()]
      )
      const { access_token, refresh_token } = await startSession(rows[0]!.id)
      const offset = lead + (Math.random() - 0.5) * 6
      const [end, answers] = await Promise.all([
        after(-offset, () => insist(() => any().inject({ ...request, headers: bearer(access_token) }))),
        after(offset, () => Promise.all([refresh(any(), refresh_token), refresh(any(), refresh_token)]))
      ])
      if (end.statusCode !== 200) return [`end: ${end.statusCode}`]
      // What is refreshed after the end has been acknowledged is not asked: it was refused, or it was issued before.
      const tokens = tokensOf(answers)
      lead += tokens.length > 0 ? 0.1 : -0.1
      return [
        tokens.length > 0 ? 'the refresh came first' : 'the end came first',
        ...(await presentEverywhere([access_token, ...tokens]))
      ]
    })
    t.comment(JSON.stringify(outcomes))
    const { 'the refresh came first': refreshFirst = 0, 'the end came first': endFirst = 0, ...rest } = outcomes
    t.equal(refreshFirst + endFirst, 2500)
    t.ok(refreshFirst > 100 && endFirst > 100, 'both happened')
    t.strictSame(Object.keys(rest), ['401 TOKEN_REVOKED'])
  })
}

t.test(
  '200 logins against a change of the password: no session of the old one is left',
  { timeout: 300_000 },
  async (t) => {
    const outcomes = await race(200, 4, async () => {
      const { id, username } = await newUser()
      const { access_token } = await startSession(id)
      const logins = [1, 2].map(() =>
        any().inject({ method: 'POST', url: '/auth/login', payload: { username, password: PASSWORD } })
      )
      const change = await any().inject({
        method: 'PUT',
        url: '/me/password',
        headers: bearer(access_token),
        payload: { old_password: PASSWORD, new_password: `${PASSWORD}, a new one` }
      })
      const answers = await Promise.all(logins)
      if (change.statusCode !== 200) return [`change: ${change.statusCode}`]
      const tokens = tokensOf(answers)
      return [tokens.length > 0 ? 'a login came first' : 'the change came first', ...(await presentEverywhere(tokens))]
    })
    t.comment(JSON.stringify(outcomes))
    const { 'a login came first': loginFirst = 0, 'the change came first': changeFirst = 0, ...rest } = outcomes
    const { 'change: 503': busy = 0, ...others } = rest
    t.equal(loginFirst + changeFirst + busy, 200)
    t.ok(loginFirst + changeFirst > 100, `${busy} found too many waiting to be hashed`)
    t.strictSame(Object.keys(others), ['401 TOKEN_REVOKED'])
  }
)
