import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { startSession } from '../src/sessions.js'
import { findPasswordHash } from '../src/users.js'
import {
  acceptedBy,
  bearer,
  buildReplica,
  logIn,
  logOut,
  PASSWORD,
  post,
  present,
  refusedBy,
  signUp,
  startBackends,
  type TokenResponse
} from './harness.js'

const { env } = await startBackends(t)
const build = (settings: Record<string, string> = {}): Promise<FastifyInstance[]> =>
  Promise.all(['a', 'b', 'c'].map((REPLICA_NAME) => buildReplica(t, { ...env, ...settings, REPLICA_NAME })))
const replicas = await build()
const three = await build({ MAX_SESSIONS_PER_USER: '3' })
const one = await build({ MAX_SESSIONS_PER_USER: '1' })
const [a, b, c] = replicas as [FastifyInstance, FastifyInstance, FastifyInstance]

const tryLogIn = (app: FastifyInstance, username: string, password = PASSWORD) =>
  post(app, '/auth/login', { username, password })

async function countSessions(token: string): Promise<number> {
  const response = await a.inject({ url: '/me/sessions', headers: bearer(token) })
  return response.json<{ sessions: unknown[] }>().sessions.length
}

t.test('evict-oldest: the newest stay, also of fifty logins at once', async (t) => {
  const { username } = await signUp(a)
  const first = await logIn(three[0]!, username)
  const logins = await Promise.all(Array.from({ length: 50 }, (_, i) => logIn(three[i % 3]!, username)))
  await refusedBy(t, replicas, first, 'the first')
  const alive = []
  for (const tokens of logins) {
    const answers = await Promise.all(replicas.map((app) => present(app, tokens.access_token)))
    t.equal(new Set(answers.map(({ status }) => status)).size, 1, 'all replicas say the same')
    if (answers[0]!.status === 200) alive.push(tokens)
  }
  t.equal(alive.length, 3)
  t.equal(await countSessions(alive[0]!.access_token), 3)
  const last = await logIn(three[0]!, username)
  t.match(await present(b, last.access_token), { status: 200 })
  t.equal(await countSessions(last.access_token), 3)
})

t.test('one session: the next login ends the one before it, everywhere, before it answers', async (t) => {
  const { username } = await signUp(a)
  let before = await logIn(one[0]!, username)
  for (let i = 1; i < 6; i++) {
    const next = await logIn(one[i % 3]!, username)
    await refusedBy(t, replicas, before, 'the one before')
    await acceptedBy(t, replicas, next, 'the new one')
    before = next
  }
})

t.test('an eviction fails to be published: 503, and the next login ends what that left', async (t) => {
  const { username } = await signUp(a)
  const before = await logIn(one[0]!, username)
  await a.redis.rename('denylist:log', 'denylist:kept')
  await a.redis.set('denylist:log', 'full')
  t.match((await tryLogIn(one[1]!, username)).json(), { statusCode: 503, code: 'REVOCATION_PENDING' })
  await a.redis.rename('denylist:kept', 'denylist:log')
  const next = await logIn(one[2]!, username)
  await refusedBy(t, replicas, before, 'the one before')
  await acceptedBy(t, replicas, next, 'the new one')
})

t.test('evictions fail to be published: however often it is repeated, one session makes room', async (t) => {
  const { username } = await signUp(a)
  const devices = []
  for (let i = 0; i < 3; i++) devices.push(await logIn(three[i]!, username))
  await a.redis.rename('denylist:log', 'denylist:kept')
  await a.redis.set('denylist:log', 'full')
  for (let i = 0; i < 3; i++) {
    t.match((await tryLogIn(three[i]!, username)).json(), { statusCode: 503, code: 'REVOCATION_PENDING' })
  }
  await a.redis.rename('denylist:kept', 'denylist:log')
  const next = await logIn(three[1]!, username)
  await refusedBy(t, replicas, devices[0]!, 'the oldest')
  for (const tokens of [devices[1]!, devices[2]!, next]) await acceptedBy(t, replicas, tokens, 'the others')
  t.equal(await countSessions(next.access_token), 3)
})

t.test('refuse: exactly so many of fifty logins at once, and another after one has ended', async (t) => {
  const limited = await build({ MAX_SESSIONS_PER_USER: '3', SESSION_OVERFLOW: 'refuse' })
  const { username } = await signUp(a)
  const answers = await Promise.all(Array.from({ length: 50 }, (_, i) => tryLogIn(limited[i % 3]!, username)))
  const good = answers.filter(({ statusCode }) => statusCode === 200)
  t.equal(
    good.length,
    3,
    [...new Set(answers.map(({ body, statusCode }) => (statusCode === 200 ? '200' : body)))].join()
  )
  const refused = answers.filter(({ statusCode }) => statusCode === 409)
  t.equal(refused.length, 47)
  t.match(refused[0]!.json(), { code: 'SESSION_LIMIT_REACHED' })
  t.equal((await tryLogIn(limited[0]!, username, 'a wrong horse battery')).statusCode, 401, 'not told to strangers')
  for (const answer of good) await acceptedBy(t, replicas, answer.json(), 'those that were let in')
  await logOut(limited[0]!, good[0]!.json<TokenResponse>().access_token)
  t.equal((await tryLogIn(limited[1]!, username)).statusCode, 200)
  t.equal((await tryLogIn(limited[1]!, username)).statusCode, 409)
})

// Logins are hashed one after the other, so that they seldom meet; here they do.
for (const overflow of ['evict-oldest', 'refuse'] as const) {
  t.test(`${overflow}: exactly so many where fifty reach Postgres at once`, async (t) => {
    const { id } = await signUp(a)
    const user = { id, passwordHash: (await findPasswordHash(a.pg, id))! }
    const starts = await Promise.allSettled(
      Array.from({ length: 50 }, (_, i) =>
        startSession(replicas[i % 3]!.pg, user, { ttlSeconds: 60, userAgent: undefined }, { max: 3, overflow })
      )
    )
    const { rows } = await a.pg.query<{ alive: number }>(
      'SELECT count(*)::int AS alive FROM sessions WHERE user_id = $1 AND ended_at IS NULL',
      [id]
    )
    t.equal(rows[0]?.alive, 3)
    const started = starts.filter(({ status }) => status === 'fulfilled')
    t.equal(started.length, overflow === 'refuse' ? 3 : 50)
    for (const start of starts) {
      if (start.status === 'rejected') t.match(start.reason, { code: 'SESSION_LIMIT_REACHED', statusCode: 409 })
    }
  })
}

t.test('a session that has expired is not counted', async (t) => {
  const limited = await build({ MAX_SESSIONS_PER_USER: '1', SESSION_OVERFLOW: 'refuse' })
  const { id, username } = await signUp(a)
  await logIn(limited[0]!, username)
  await a.pg.query("UPDATE sessions SET expires_at = now() - interval '1 second' WHERE user_id = $1", [id])
  t.equal((await tryLogIn(limited[1]!, username)).statusCode, 200)
})

t.test('no limit where none is set', async (t) => {
  const { username } = await signUp(a)
  const logins = await Promise.all(Array.from({ length: 12 }, () => logIn(a, username)))
  t.equal(await countSessions(logins[0]!.access_token), 12)
})

t.test('without a limit, forty thousand sessions of one user are ended, and the one that asks lives on', async (t) => {
  const { id, username } = await signUp(a)
  const [mine, other] = [await logIn(a, username), await logIn(b, username)]
  await a.pg.query(
    `INSERT INTO sessions (user_id, expires_at, created_at) SELECT $1, now() + interval '9 days', now() - interval '1 day'
     FROM generate_series(1, 40000)`,
    [id]
  )
  const receipt = await c.inject({
    method: 'PUT',
    url: '/me/password',
    headers: bearer(mine.access_token),
    payload: { old_password: PASSWORD, new_password: 'a new horse and battery' }
  })
  t.equal(receipt.statusCode, 200)
  t.equal(receipt.json<{ revoked: object[] }>().revoked.length, 40_001)
  await refusedBy(t, replicas, other, 'the other device')
  await acceptedBy(t, replicas, mine, 'this device')
})
