import { randomUUID } from 'node:crypto'
import type { FastifyInstance } from 'fastify'
import pg from 'pg'
import t from 'tap'
import { startSession } from '../src/sessions.js'
import { findPasswordHash } from '../src/users.js'
import {
  acceptedBy,
  bearer,
  buildReplica,
  claimsOf,
  logIn,
  logOut,
  PASSWORD,
  post,
  refresh,
  refusedBy,
  signUp,
  startBackends,
  type TokenResponse
} from './harness.js'

const { env } = await startBackends(t)
const replicas = await Promise.all(['a', 'b', 'c'].map((REPLICA_NAME) => buildReplica(t, { ...env, REPLICA_NAME })))
const [a, b, c] = replicas as [FastifyInstance, FastifyInstance, FastifyInstance]

interface Session {
  id: string
  createdAt: string
  refreshedAt: string
  userAgent: string | null
  current: boolean
}

const list = async (app: FastifyInstance, token: string): Promise<Session[]> =>
  (await app.inject({ url: '/me/sessions', headers: bearer(token) })).json<{ sessions: Session[] }>().sessions

const end = (app: FastifyInstance, token: string, id?: string) =>
  app.inject({ method: 'DELETE', url: `/me/sessions${id === undefined ? '' : `/${id}`}`, headers: bearer(token) })

const changePassword = (app: FastifyInstance, token: string, from: string, to: string) =>
  app.inject({
    method: 'PUT',
    url: '/me/password',
    headers: bearer(token),
    payload: { old_password: from, new_password: to }
  })

const tryLogIn = (app: FastifyInstance, username: string, password = PASSWORD) =>
  post(app, '/auth/login', { username, password })

const sidOf = ({ access_token }: TokenResponse): string => claimsOf(access_token).sid

t.test('a user sees the devices that are logged in, and which one asks', async (t) => {
  const { username } = await signUp(a)
  const phone = await a.inject({
    method: 'POST',
    url: '/auth/login',
    headers: { 'user-agent': `Phone ${'x'.repeat(1000)}` },
    payload: { username, password: PASSWORD }
  })
  const laptop = await logIn(b, username)
  const gone = await logIn(b, username)
  await logOut(a, gone.access_token)
  await logIn(a)

  const before = Date.now()
  await refresh(c, phone.json<TokenResponse>().refresh_token)
  const sessions = await list(c, laptop.access_token)
  t.match(sessions, [
    { id: sidOf(phone.json()), userAgent: /^Phone x{250}$/, current: false },
    { id: sidOf(laptop), userAgent: 'lightMyRequest', current: true }
  ])
  t.equal(sessions.length, 2, 'neither the one that has ended, nor anybody else’s')
  t.ok(Date.parse(sessions[0]!.refreshedAt) > Date.parse(sessions[0]!.createdAt))
  t.ok(Math.abs(Date.parse(sessions[0]!.refreshedAt) - before) < 5000)
})

t.test('a device without a name is listed too', async (t) => {
  const { username } = await signUp(a)
  const response = await a.inject({
    method: 'POST',
    url: '/auth/login',
    headers: { 'user-agent': '' },
    payload: { username, password: PASSWORD }
  })
  t.match(await list(a, response.json<TokenResponse>().access_token), [{ current: true }])
})

t.test('one device logs another out: final on every replica, and nothing else ends', async (t) => {
  const { username } = await signUp(a)
  const [mine, other, third] = [await logIn(a, username), await logIn(b, username), await logIn(c, username)]
  const response = await end(b, mine.access_token, sidOf(other))
  t.equal(response.statusCode, 200)
  t.match(response.json(), { revoked: [{ kind: 'sid', id: sidOf(other) }], boundMs: Number })
  await refusedBy(t, replicas, other, 'the one that was ended')
  await acceptedBy(t, replicas, mine, 'the one that asked')
  await acceptedBy(t, replicas, third, 'the third')

  t.equal((await end(c, mine.access_token, sidOf(other))).statusCode, 200, 'again: the same')
  t.equal((await end(c, mine.access_token, sidOf(mine))).statusCode, 200, 'and itself')
  await refusedBy(t, replicas, mine, 'itself')
})

t.test('nobody ends the session of somebody else', async (t) => {
  const [mine, stranger] = [await logIn(a), await logIn(a)]
  for (const id of [sidOf(stranger), randomUUID()]) {
    t.match((await end(a, mine.access_token, id)).json(), { statusCode: 404, code: 'SESSION_NOT_FOUND' })
  }
  t.match((await end(a, mine.access_token, 'not-an-id')).json(), { statusCode: 400, code: 'VALIDATION_FAILED' })
  await acceptedBy(t, replicas, stranger, 'the stranger')
})

t.test('all devices at once: every access and refresh token of the user, and of nobody else', async (t) => {
  const { username } = await signUp(a)
  const all = await Promise.all(Array.from({ length: 9 }, (_, i) => logIn(replicas[i % 3]!, username)))
  const rotated = (await refresh(b, all[0]!.refresh_token)).json<TokenResponse>()
  const stranger = await logIn(a)
  const response = await end(c, all[4]!.access_token)
  t.equal(response.statusCode, 200)
  t.strictSame(
    response
      .json<{ revoked: { id: string }[] }>()
      .revoked.map(({ id }) => id)
      .sort(),
    all.map(sidOf).sort()
  )
  for (const tokens of [...all, rotated]) await refusedBy(t, replicas, tokens, 'ended')
  await acceptedBy(t, replicas, stranger, 'the stranger')
})

t.test('ending all fails to be published: 503, and the repeated call names the same sessions', async (t) => {
  const { username } = await signUp(a)
  const [first, second] = [await logIn(a, username), await logIn(b, username)]
  await a.redis.rename('denylist:log', 'denylist:kept')
  await a.redis.set('denylist:log', 'full')
  t.match((await end(a, first.access_token)).json(), { statusCode: 503, code: 'REVOCATION_PENDING' })
  await a.redis.rename('denylist:kept', 'denylist:log')
  const again = await end(b, first.access_token)
  t.strictSame(
    again
      .json<{ revoked: { id: string }[] }>()
      .revoked.map(({ id }) => id)
      .sort(),
    [first, second].map(sidOf).sort()
  )
  for (const tokens of [first, second]) await refusedBy(t, replicas, tokens, 'ended')
})

t.test('a new password: the old one is worth nothing, and every other device is logged out', async (t) => {
  const { username } = await signUp(a)
  const [mine, other] = [await logIn(a, username), await logIn(b, username)]
  const renewed = 'a new horse and battery'
  t.match((await changePassword(a, mine.access_token, 'a wrong horse battery', renewed)).json(), {
    statusCode: 401,
    code: 'CREDENTIALS_INVALID'
  })
  t.match((await changePassword(a, mine.access_token, PASSWORD, 'too short')).json(), { code: 'VALIDATION_FAILED' })
  await acceptedBy(t, replicas, other, 'nothing has happened yet')

  const receipt = await changePassword(b, mine.access_token, PASSWORD, renewed)
  t.equal(receipt.statusCode, 200)
  t.match(receipt.json(), { revoked: [{ kind: 'sid', id: sidOf(other) }] })
  await refusedBy(t, replicas, other, 'the other device')
  await acceptedBy(t, replicas, mine, 'this device')
  t.equal((await refresh(a, mine.refresh_token)).statusCode, 200)
  t.equal((await tryLogIn(c, username)).statusCode, 401, 'the old password')
  t.equal((await tryLogIn(c, username, renewed)).statusCode, 200)
})

t.test('a password change fails to be published: 503, and the same call ends it', async (t) => {
  const { username } = await signUp(a)
  const [mine, other] = [await logIn(a, username), await logIn(b, username)]
  const renewed = 'a new horse and battery'
  await a.redis.rename('denylist:log', 'denylist:kept')
  await a.redis.set('denylist:log', 'full')
  t.match((await changePassword(a, mine.access_token, PASSWORD, renewed)).json(), { code: 'REVOCATION_PENDING' })
  await a.redis.rename('denylist:kept', 'denylist:log')
  const again = await changePassword(a, mine.access_token, PASSWORD, renewed)
  t.equal(again.statusCode, 200)
  t.match(again.json(), { revoked: [{ id: sidOf(other) }] })
  await refusedBy(t, replicas, other, 'the other device')
  t.equal((await tryLogIn(c, username, renewed)).statusCode, 200)
})

t.test('somebody holds the row of a user and does not let go: 503, and nothing waits for it any longer', async (t) => {
  const { id, username } = await signUp(a)
  const mine = await logIn(a, username)
  const holder = new pg.Client(env['DATABASE_URL'])
  await holder.connect()
  t.teardown(() => holder.end())
  await holder.query('BEGIN')
  await holder.query('SELECT FROM users WHERE id = $1 FOR UPDATE', [id])
  const answers = await Promise.all([
    changePassword(a, mine.access_token, PASSWORD, 'a new horse and battery'),
    tryLogIn(b, username),
    end(c, mine.access_token)
  ])
  for (const answer of answers) {
    t.match(answer.json(), { statusCode: 503, code: 'DATABASE_UNAVAILABLE' })
    t.match(answer.headers, { 'retry-after': /^\d+$/ })
  }
  // What the client has given up, the server must give up too: each that waited on would keep a connection.
  const { rows } = await holder.query("SELECT query FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
  t.strictSame(rows, [])
  await holder.query('ROLLBACK')
  await acceptedBy(t, replicas, mine, 'nothing has happened')
  t.equal((await changePassword(a, mine.access_token, PASSWORD, 'a new horse and battery')).statusCode, 200)
})

t.test(
  'a replica goes silent in the middle of a transaction: within five seconds Postgres takes the row from it',
  async (t) => {
    const mine = await logIn(a)
    const silent = await b.pg.connect()
    t.teardown(() => silent.release(true))
    await silent.query('BEGIN')
    await silent.query('SELECT FROM sessions WHERE id = $1 FOR UPDATE', [sidOf(mine)])
    const began = performance.now()
    t.match((await logOut(c, mine.access_token)).json(), { code: 'DATABASE_UNAVAILABLE' })
    let answer = await logOut(c, mine.access_token)
    while (answer.statusCode === 503 && performance.now() - began < 9000) answer = await logOut(c, mine.access_token)
    t.equal(answer.statusCode, 200)
    await refusedBy(t, replicas, mine, 'who has logged out at last')
    await t.rejects(silent.query('COMMIT'), 'what it had begun is not done')
  }
)

t.test('what ended so long ago that one clock alone still takes its tokens is named again', async (t) => {
  const { id, username } = await signUp(a)
  const mine = await logIn(a, username)
  await a.pg.query(
    `INSERT INTO sessions (user_id, expires_at, ended_at)
     SELECT $1, now() + interval '9 days', now() - make_interval(mins => ago) FROM unnest(ARRAY[18, 20]) AS ago`,
    [id]
  )
  const { revoked } = (await end(a, mine.access_token)).json<{ revoked: object[] }>()
  t.equal(revoked.length, 2, 'this one, and that of 18 minutes ago')
  t.match(revoked.at(-1), { id: sidOf(mine) }, 'its own last: until then the call can be repeated')
})

t.test('logins race a password change: none of the old password survives it', async (t) => {
  for (let round = 0; round < 3; round++) {
    const { username } = await signUp(a)
    const mine = await logIn(a, username)
    const logins = Array.from({ length: 8 }, (_, i) => tryLogIn(replicas[i % 3]!, username))
    const changed = await changePassword(b, mine.access_token, PASSWORD, `renewed in round ${round}`)
    t.equal(changed.statusCode, 200)
    for (const login of await Promise.all(logins)) {
      if (login.statusCode === 401) continue
      t.equal(login.statusCode, 200)
      await refusedBy(t, replicas, login.json(), 'a login with the old password')
    }
    t.equal((await list(a, mine.access_token)).length, 1)
  }
})

t.test('a login whose password was changed after it had been compared gets no session', async (t) => {
  const { id, username } = await signUp(a)
  const mine = await logIn(a, username)
  const compared = { id, passwordHash: (await findPasswordHash(a.pg, id))! }
  t.equal((await changePassword(a, mine.access_token, PASSWORD, 'a new horse and battery')).statusCode, 200)
  for (const max of [0, 1]) {
    const login = startSession(
      a.pg,
      compared,
      { ttlSeconds: 60, userAgent: undefined },
      { max, overflow: 'evict-oldest' }
    )
    await t.rejects(login, { code: 'CREDENTIALS_INVALID', statusCode: 401 })
  }
  await acceptedBy(t, replicas, mine, 'and nobody had to make room for it')
})

t.test('refreshes race the end of all sessions: no token that they got is alive afterwards', async (t) => {
  for (let round = 0; round < 3; round++) {
    const { username } = await signUp(a)
    const all = await Promise.all(Array.from({ length: 6 }, (_, i) => logIn(replicas[i % 3]!, username)))
    const refreshes = all.map(({ refresh_token }, i) => refresh(replicas[i % 3]!, refresh_token))
    t.equal((await end(b, all[0]!.access_token)).statusCode, 200)
    for (const answer of await Promise.all(refreshes)) {
      if (answer.statusCode === 200) await refusedBy(t, replicas, answer.json(), 'refreshed in the race')
      else t.equal(answer.statusCode, 401)
    }
  }
})
