import t from 'tap'
import {
  buildReplica,
  claimsOf,
  logIn,
  logOut,
  newKeyRing,
  present,
  refresh,
  signUp,
  startBackends,
  type TokenResponse
} from './harness.js'

const { env } = await startBackends(t)
const replicas = await Promise.all(['a', 'b', 'c'].map((REPLICA_NAME) => buildReplica(t, { ...env, REPLICA_NAME })))
const [a, b, c] = replicas as [(typeof replicas)[0], (typeof replicas)[0], (typeof replicas)[0]]

const codeOf = (response: { json: <T>() => T }): string => response.json<{ code: string }>().code

/** Lets the last rotation of every session be that long ago. */
const age = (seconds: number) =>
  a.pg.query('UPDATE sessions SET rotated_at = rotated_at - make_interval(secs => $1)', [seconds])

t.test('a refresh token from A is exchanged at B, and the successor at C', async (t) => {
  const first = await logIn(a)
  const second = (await refresh(b, first.refresh_token)).json<TokenResponse>()
  t.not(second.refresh_token, first.refresh_token)
  t.match(await present(c, second.access_token), { status: 200 })
  const third = await refresh(c, second.refresh_token)
  t.equal(third.statusCode, 200)
})

t.test('the token just exchanged gives the same successor for ten seconds', async (t) => {
  const first = await logIn(a)
  const second = (await refresh(a, first.refresh_token)).json<TokenResponse>()
  await age(9)
  t.equal((await refresh(b, first.refresh_token)).json<TokenResponse>().refresh_token, second.refresh_token)
  t.equal((await refresh(b, second.refresh_token)).statusCode, 200, 'and the successor is still good')
})

t.test('the ten seconds run from the exchange, not from the last time that somebody used them', async (t) => {
  const first = await logIn(a)
  await refresh(a, first.refresh_token)
  for (let i = 0; i < 2; i++) {
    await age(4)
    t.equal((await refresh(b, first.refresh_token)).statusCode, 200)
  }
  await age(4)
  t.equal(codeOf(await refresh(b, first.refresh_token)), 'REFRESH_TOKEN_REUSED')
})

t.test('an older one is theft: the session ends with its access tokens, and the other sessions live on', async (t) => {
  const { username } = await signUp(a)
  const [stolen, other] = [await logIn(a, username), await logIn(a, username)]
  const second = (await refresh(a, stolen.refresh_token)).json<TokenResponse>()
  t.equal((await refresh(a, other.refresh_token)).statusCode, 200)
  await age(11)

  const reuse = await refresh(b, stolen.refresh_token)
  t.equal(reuse.statusCode, 401)
  t.equal(codeOf(reuse), 'REFRESH_TOKEN_REUSED')
  t.match(reuse.headers['www-authenticate'], /^Bearer/)
  for (const { access_token } of [stolen, second]) {
    for (const app of replicas) t.strictSame(await present(app, access_token), { status: 401, code: 'TOKEN_REVOKED' })
  }
  t.equal(codeOf(await refresh(c, second.refresh_token)), 'REFRESH_TOKEN_INVALID', 'the successor has ended too')
  t.match(await present(c, other.access_token), { status: 200 })
})

t.test('a logout ends every access token of its session, and a late refresh of it is no theft', async (t) => {
  const first = await logIn(a)
  const second = (await refresh(a, first.refresh_token)).json<TokenResponse>()
  t.equal((await logOut(b, second.access_token)).statusCode, 200)
  for (const { access_token } of [first, second]) {
    t.strictSame(await present(c, access_token), { status: 401, code: 'TOKEN_REVOKED' })
  }
  t.equal(codeOf(await refresh(a, first.refresh_token)), 'REFRESH_TOKEN_INVALID')
})

t.test('a revocation is recorded for longer than any token it concerns', async (t) => {
  const { access_token } = await logIn(a)
  const claims = claimsOf(access_token)
  await logOut(a, access_token)
  const { rows } = await a.pg.query<{ kind: string; seconds: number }>(
    `SELECT kind, extract(epoch FROM expires_at - now())::int AS seconds FROM revocations
     WHERE id = ANY($1) ORDER BY kind`,
    [[claims.jti, claims.sid]]
  )
  // The end of a token is by one other clock, that of a session by two. Each may be 120 s off.
  for (const [kind, longest] of [
    ['jti', 900 + 120],
    ['sid', 900 + 2 * 120]
  ] as const) {
    const seconds = rows.find((row) => row.kind === kind)?.seconds ?? NaN
    t.ok(seconds >= longest - 10 && seconds <= longest, `${kind}: ${seconds} s`)
  }
})

t.test('a stolen token that is presented again and again is published once', async (t) => {
  const first = await logIn(a)
  await refresh(a, first.refresh_token)
  await age(11)
  const before = await a.redis.xlen('denylist:log')
  for (let i = 0; i < 5; i++)
    t.equal(codeOf(await refresh(replicas[i % 3]!, first.refresh_token)), 'REFRESH_TOKEN_REUSED')
  t.equal((await a.redis.xlen('denylist:log')) - before, 1)
})

t.test('the grandparent is theft also within the ten seconds', async (t) => {
  const first = await logIn(a)
  const second = (await refresh(a, first.refresh_token)).json<TokenResponse>()
  t.equal((await refresh(a, second.refresh_token)).statusCode, 200)
  t.equal(codeOf(await refresh(a, first.refresh_token)), 'REFRESH_TOKEN_REUSED')
})

t.test('a session that has expired is not refreshed, and not called stolen', async (t) => {
  const { refresh_token } = await logIn(a)
  const second = (await refresh(a, refresh_token)).json<TokenResponse>()
  await a.pg.query("UPDATE sessions SET expires_at = now() - interval '1 second'")
  t.equal(codeOf(await refresh(a, second.refresh_token)), 'REFRESH_TOKEN_INVALID')
  await age(11)
  t.equal(codeOf(await refresh(a, refresh_token)), 'REFRESH_TOKEN_INVALID')
})

t.test('a refreshed session lives on for its whole time', async (t) => {
  const { refresh_token } = await logIn(a)
  await a.pg.query("UPDATE sessions SET expires_at = now() + interval '1 minute'")
  await refresh(a, refresh_token)
  const { rows } = await a.pg.query<{ days: number }>(
    'SELECT round(extract(epoch FROM max(expires_at) - now()) / 86400)::int AS days FROM sessions'
  )
  t.equal(rows[0]?.days, 30)
})

t.test('what nobody issued is refused without touching anybody’s session', async (t) => {
  const good = (await logIn(a)).refresh_token
  const [mark, kid, grant, mac] = good.split('.') as [string, string, string, string]
  const bytes = Buffer.from(grant, 'base64url')
  bytes.writeUInt32BE(7, 16)
  const forged = {
    'another generation': `${mark}.${kid}.${bytes.toString('base64url')}.${mac}`,
    'another mac': `${mark}.${kid}.${grant}.${'A'.repeat(43)}`,
    'the same mac spelled otherwise':
      good.slice(0, -1) + (good.endsWith('A') ? 'B' : String.fromCharCode(good.charCodeAt(good.length - 1) + 1)),
    'an unknown key': `${mark}.k9.${grant}.${mac}`,
    'no mark': `${kid}.${grant}.${mac}`,
    'a part more': `${good}.x`,
    nothing: '.'
  }
  for (const [name, token] of Object.entries(forged)) {
    const response = await refresh(a, token)
    t.equal(response.statusCode, 401, name)
    t.equal(codeOf(response), 'REFRESH_TOKEN_INVALID', name)
  }
  const stranger = await buildReplica(t, { ...env, JWT_KEYS: newKeyRing() })
  t.equal(codeOf(await refresh(stranger, good)), 'REFRESH_TOKEN_INVALID', 'a replica with another secret')
  t.equal((await refresh(a, good)).statusCode, 200, 'the session is as it was')
})

t.test('nothing at rest can be replayed: no part of a token is in Postgres or in Redis', async (t) => {
  const { refresh_token, access_token } = await logIn(a)
  const next = (await refresh(a, refresh_token)).json<TokenResponse>()
  await logOut(b, next.access_token)
  const { rows: tables } = await a.pg.query<{ name: string }>(
    "SELECT quote_ident(table_name) AS name FROM information_schema.tables WHERE table_schema = 'public'"
  )
  const everything: string[] = []
  for (const { name } of tables) {
    const { rows } = await a.pg.query<{ row: string }>(`SELECT to_json(x)::text AS row FROM ${name} AS x`)
    everything.push(...rows.map(({ row }) => row))
  }
  const contents: Record<string, (key: string) => Promise<unknown>> = {
    string: (key) => a.redis.get(key),
    hash: (key) => a.redis.hgetall(key),
    stream: (key) => a.redis.xrange(key, '-', '+')
  }
  for (const key of await a.redis.keys('*')) {
    const type = await a.redis.type(key)
    const read = contents[type]
    if (read === undefined) throw new Error(`${key} is a ${type}, which this test does not read`)
    everything.push(key, JSON.stringify(await read(key)))
  }
  const text = everything.join('\n')
  t.match(text, claimsOf(access_token).sid, 'the session is there')
  t.match(text, claimsOf(next.access_token).jti, 'and what has been revoked')
  for (const token of [refresh_token, next.refresh_token]) {
    for (const part of token.split('.').slice(2)) t.notMatch(text, part)
  }
  for (const token of [access_token, next.access_token]) {
    for (const part of token.split('.')) t.notMatch(text, part)
  }
})
