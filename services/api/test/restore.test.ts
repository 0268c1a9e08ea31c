import { randomUUID } from 'node:crypto'
import type { FastifyInstance } from 'fastify'
import { pino } from 'pino'
import t from 'tap'
import { append, GENERATION, keyOf } from '../src/denylist/append.js'
import { revocationOfSession, type Revocation } from '../src/denylist/denylist.js'
import { createDirectDenylist } from '../src/denylist/direct.js'
import { recordRevocations } from '../src/denylist/records.js'
import { createRestore } from '../src/denylist/restore.js'
import { buildReplica, logIn, logOut, present, signUp, startBackends, type TokenResponse } from './harness.js'

const { env } = await startBackends(t)
const replicas = await Promise.all(
  ['a', 'b', 'c'].map((REPLICA_NAME) => buildReplica(t, { ...env, REPLICA_NAME, REVOCATION_MODE: 'direct' }))
)
const [a, b, c] = replicas as [FastifyInstance, FastifyInstance, FastifyInstance]
const { redis, pg } = a

const sessions = (count: number): Revocation[] =>
  Array.from({ length: count }, () => revocationOfSession(randomUUID(), new Date()))

const missing = async (revocations: Revocation[]): Promise<number> =>
  revocations.length - (await redis.exists(revocations.map(keyOf)))

t.test('Redis is wiped: 503 until it is filled again, and what was revoked stays revoked', async (t) => {
  const { username } = await signUp(a)
  const [live, revoked]: TokenResponse[] = [await logIn(a, username), await logIn(b, username)]
  await logOut(b, revoked!.access_token)

  for (let round = 0; round < 10; round++) {
    await redis.flushall()
    const seen = new Set<string>()
    for (let i = 0; i < 300; i++) {
      const { status, code } = await present(replicas[i % 3]!, revoked!.access_token)
      seen.add(`${status} ${code}`)
    }
    t.strictSame([...seen], ['503 REVOCATION_UNKNOWN', '401 TOKEN_REVOKED'])
    t.match(await present(c, live!.access_token), { status: 200 })
  }
})

t.test('Redis is wiped and nobody asks: the readiness probe finds out', async (t) => {
  await redis.flushall()
  t.match((await b.inject('/health/ready')).json(), { status: 'not-ready', redis: 'up', denylist: 'down' })
  for (let i = 0; i < 100 && (await b.inject('/health/ready')).statusCode !== 200; i++) {
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  t.match((await b.inject('/health/ready')).json(), { status: 'ready', denylist: 'up' })
})

t.test('logouts while Redis is wiped again and again: each that is acknowledged holds', async (t) => {
  const { username } = await signUp(a)
  const tokens = await Promise.all(Array.from({ length: 60 }, () => logIn(a, username)))
  let done = false
  const wipe = async (): Promise<void> => {
    while (!done) {
      await redis.flushall()
      await new Promise((resolve) => setTimeout(resolve, 15))
    }
  }
  const wiping = wipe()
  const answers: number[] = []
  for (const [i, { access_token }] of tokens.entries()) {
    let status: number
    do {
      status = (await logOut(replicas[i % 3]!, access_token)).statusCode
      answers.push(status)
    } while (status === 503)
  }
  done = true
  await wiping
  t.ok(
    answers.every((status) => [200, 401, 503].includes(status)),
    `${new Set(answers).size} kinds of answer`
  )
  for (const { access_token } of tokens) {
    let answer
    do answer = await present(b, access_token)
    while (answer.status === 503)
    t.strictSame(answer, { status: 401, code: 'TOKEN_REVOKED' })
  }
})

t.test('every page of the record is restored, and what has expired is not', async (t) => {
  const live = sessions(1234)
  const expired = sessions(5).map((one) => ({ ...one, expiresAt: new Date(Date.now() - 1000) }))
  await recordRevocations(pg.pool, [...live, ...expired])
  await redis.flushall()
  await createRestore(pg.pool, redis, pino({ level: 'silent' }))()
  t.equal(await redis.exists(GENERATION), 1)
  t.equal(await missing(live), 0)
  t.equal(await missing(expired), 5)
})

t.test('a wipe in the middle of a restore begins it anew', async (t) => {
  const live = sessions(1500)
  await recordRevocations(pg.pool, live)
  await redis.flushall()
  let pages = 0
  const pool = {
    query: async (...args: Parameters<typeof pg.pool.query>) => {
      // The first page has been appended by now.
      if (++pages === 2) await redis.flushall()
      return pg.pool.query(...args)
    }
  } as unknown as typeof pg.pool
  await createRestore(pool, redis, pino({ level: 'silent' }))()
  t.ok(pages > 4, `${pages} pages were read`)
  t.equal(await missing(live), 0)
})

t.test('a wipe after the last page, before the restore is complete, begins it anew', async (t) => {
  const live = sessions(3)
  await recordRevocations(pg.pool, live)
  await redis.flushall()
  let completions = 0
  const wipedAtTheEnd = new Proxy(redis, {
    get: (target, name) =>
      name === 'eval'
        ? async (script: string, keys: number, ...args: string[]) => {
            // Only the script that completes has two keys.
            if (keys === 2 && ++completions === 1) await redis.flushall()
            return redis.eval(script, keys, ...args)
          }
        : (Reflect.get(target, name, target) as unknown)
  })
  await createRestore(pg.pool, wipedAtTheEnd, pino({ level: 'silent' }))()
  t.equal(completions, 2)
  t.equal(await missing(live), 0)
})

t.test('a revocation that finds Redis wiped fills it first, and is then final', async (t) => {
  const [earlier, now] = sessions(2) as [Revocation, Revocation]
  await recordRevocations(pg.pool, [earlier])
  await redis.flushall()
  const denylist = createDirectDenylist(redis, createRestore(pg.pool, redis, pino({ level: 'silent' })))
  t.match(await denylist.publish([now]), { revoked: [{ kind: 'sid', id: now.id }] })
  t.equal(await missing([earlier, now]), 0)
})

t.test('recorded twice, a revocation lasts as long as the longer of the two', async (t) => {
  const [one] = sessions(1) as [Revocation]
  const sooner = new Date(one.expiresAt.getTime() - 60_000)
  await recordRevocations(pg.pool, [one])
  await recordRevocations(pg.pool, [{ ...one, expiresAt: sooner }])
  const { rows } = await pg.query<{ at: Date }>('SELECT expires_at AS at FROM revocations WHERE id = $1', [one.id])
  t.equal(rows[0]?.at.getTime(), one.expiresAt.getTime())
})

t.test('Postgres is down: the restore fails, says so, and nothing is taken for complete', async (t) => {
  await redis.flushall()
  const lines: string[] = []
  const broken = { query: () => Promise.reject(new Error('no database')) } as unknown as typeof pg.pool
  const log = pino({}, { write: (line) => lines.push(line) })
  await t.rejects(createRestore(broken, redis, log)(), { message: 'no database' })
  t.match(lines.join(), /cannot fill the denylist.*no database|no database.*cannot fill the denylist/)
  t.equal(await redis.exists(GENERATION), 0)
  t.equal(await append(redis, GENERATION, sessions(1)), undefined)
})
