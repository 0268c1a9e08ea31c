import { randomUUID } from 'node:crypto'
import { findBinary, startRedis, type Redis as RunningRedis } from '@one-secret/local'
import type { FastifyInstance } from 'fastify'
import { Redis } from 'ioredis'
import { pino } from 'pino'
import t, { type Test } from 'tap'
import { append, GENERATION, keyOf } from '../src/denylist/append.js'
import { revocationOfSession, type Revocation } from '../src/denylist/denylist.js'
import { isWhole } from '../src/denylist/protocol.js'
import { createRestore } from '../src/denylist/restore.js'
import { askStanding, makeWhole, WHOLE } from '../src/denylist/whole.js'
import { endSession } from '../src/sessions.js'
import { becomeStandby } from './faults/standby.js'
import { buildReplica, claimsOf, logIn, logOut, present, signUp, startBackends, type TokenResponse } from './harness.js'

const { env, postgres } = await startBackends(t)
const replicas = await Promise.all(
  ['a', 'b', 'c'].map((REPLICA_NAME) => buildReplica(t, { ...env, REPLICA_NAME, REVOCATION_MODE: 'direct' }))
)
const [a, b, c] = replicas as [FastifyInstance, FastifyInstance, FastifyInstance]
const { redis, pg } = a

const sessions = (count: number): Revocation[] =>
  Array.from({ length: count }, () => revocationOfSession(randomUUID(), new Date()))

/** As sessions that ended have left it. */
const record = (revocations: Revocation[]) =>
  pg.query(
    'INSERT INTO revocations (kind, id, expires_at) SELECT * FROM unnest($1::text[], $2::uuid[], $3::timestamptz[])',
    [
      revocations.map(({ kind }) => kind),
      revocations.map(({ id }) => id),
      revocations.map(({ expiresAt }) => expiresAt)
    ]
  )

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
  // At once, for each waits until whoever may have been registered in what was lost has no lease any more.
  await Promise.all(
    tokens.map(async ({ access_token }, i) => {
      let status: number
      do {
        status = (await logOut(replicas[i % 3]!, access_token)).statusCode
        answers.push(status)
      } while (status === 503)
    })
  )
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
  await record([...live, ...expired])
  await redis.flushall()
  await createRestore(pg.pool, redis, pino({ level: 'silent' }))()
  t.equal(await redis.exists(GENERATION), 1)
  t.equal(await missing(live), 0)
  t.equal(await missing(expired), 5)
})

t.test('a wipe in the middle of a restore begins it anew', async (t) => {
  const live = sessions(1500)
  await record(live)
  await redis.flushall()
  let pages = 0
  const pool = {
    query: async (...args: Parameters<typeof pg.pool.query>) => {
      // Asked first whether this is a standby; and the first page has been appended by now.
      if (++pages === 3) await redis.flushall()
      return pg.pool.query(...args)
    }
  } as unknown as typeof pg.pool
  await createRestore(pool, redis, pino({ level: 'silent' }))()
  t.ok(pages > 6, `${pages} queries, two of them no pages`)
  t.equal(await missing(live), 0)
})

t.test('a wipe after the last page, before the restore is complete, begins it anew', async (t) => {
  const live = sessions(3)
  await record(live)
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

t.test('Redis is given what it lacks of the record once, whoever asks; and again once it is another', async (t) => {
  const lacking = sessions(1234)
  await record(lacking)
  const silent = pino({ level: 'silent' })
  const noRestore = (): Promise<never> => Promise.reject(new Error('it has a generation'))
  let readings = 0
  const pool = {
    query: (...args: Parameters<typeof pg.pool.query>) => {
      readings++
      return pg.pool.query(...args)
    }
  } as unknown as typeof pg.pool
  const makesWhole = async (): Promise<boolean> => {
    readings = 0
    await makeWhole(redis, pool, await askStanding(redis, noRestore), silent)
    t.ok(isWhole(await askStanding(redis, noRestore)))
    return readings > 0
  }

  await redis.del(WHOLE)
  t.notOk(isWhole(await askStanding(redis, noRestore)))
  t.ok(await makesWhole())
  t.equal(await missing(lacking), 0)
  t.notOk(await makesWhole(), 'it is known to be')

  // Another process that has read this one's file, and the same one in another term.
  const { server } = await askStanding(redis, noRestore)
  const [process, term] = server.split(':')
  for (const other of [`another:${term}`, `${process}:another`, `${process}:`]) {
    await redis.set(WHOLE, other)
    await redis.del(keyOf(lacking[777]!))
    t.ok(await makesWhole(), other)
    t.equal(await missing(lacking), 0)
  }

  await redis.del(WHOLE)
  const before = await askStanding(redis, noRestore)
  const generation = await redis.getset(GENERATION, 'another')
  await t.rejects(makeWhole(redis, pg.pool, before, silent), /lost the denylist again/)
  t.equal(await redis.exists(WHOLE), 0)
  await redis.set(GENERATION, generation!)
})

t.test('a revocation that finds Redis wiped fills it first, and is then final', async (t) => {
  const [earlier, now] = sessions(2) as [Revocation, Revocation]
  await record([earlier])
  await redis.flushall()
  t.match(await a.denylist.publish([now]), { revoked: [{ kind: 'sid', id: now.id }] })
  t.equal(await missing([earlier, now]), 0)
})

t.test('recorded twice, a revocation lasts as long as the longer of the two', async (t) => {
  const { username } = await signUp(a)
  const { access_token } = await logIn(a, username)
  const { sub, sid, jti, exp } = claimsOf(access_token)
  for (const later of [200, 140]) {
    const revoked = { kind: 'jti' as const, id: jti, expiresAt: new Date((exp + later) * 1000) }
    const recorded = await endSession(pg, sub, sid, [revoked])
    t.equal(recorded?.find(({ kind }) => kind === 'jti')?.expiresAt.getTime(), (exp + 200) * 1000)
  }
  t.equal(await endSession(pg, randomUUID(), sid), undefined, 'another one has no such session')
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

const withoutBinary = findBinary('redis-server') === undefined && 'redis-server is not on the PATH'

/** How a Redis can be another one under the same address, whose data may be older. */
const returns: Record<string, (t: Test, redis: RunningRedis, dir: string) => Promise<void>> = {
  'another process of Redis': async (t, before, dir) => {
    await before.stop()
    const again = await startRedis({ kind: 'binary', dir, port: Number(new URL(before.url).port) })
    t.teardown(() => again.stop())
  },
  // As Sentinel does where the primary of once becomes the primary again.
  'the same process of Redis in another term': async (_t, { url }) => {
    const client = new Redis(url, { protocol: 2 })
    await client.replicaof('127.0.0.1', 1)
    await client.replicaof('NO', 'ONE')
    await client.call('CLIENT', 'KILL', 'TYPE', 'normal')
    client.disconnect()
  }
}

for (const [name, comeBack] of Object.entries(returns)) {
  t.test(
    `${name} comes back without what was acknowledged: it counts once it has been given it again`,
    { skip: withoutBinary },
    async (t) => {
      const dir = t.testdir()
      const first = await startRedis({ kind: 'binary', dir })
      t.teardown(() => first.stop())
      const d = await buildReplica(t, { ...env, REDIS_URL: first.url, REPLICA_NAME: 'd', REVOCATION_MODE: 'direct' })
      const { username } = await signUp(d)
      const [live, revoked]: TokenResponse[] = [await logIn(d, username), await logIn(d, username)]
      t.equal((await logOut(d, revoked!.access_token)).statusCode, 200)
      const generation = await d.redis.get(GENERATION)
      await d.redis.del([...(await d.redis.keys('denylist:jti:*')), ...(await d.redis.keys('denylist:sid:*'))])
      await comeBack(t, first, dir)

      const answers = new Set<string>()
      let ready = false
      // The embedded Postgres runs in this process too, and does nothing while it only asks.
      for (; !ready; await new Promise((resolve) => setTimeout(resolve, 2))) {
        const { status, code } = await present(d, revoked!.access_token)
        answers.add(`${status} ${code}`)
        ready = (await present(d, live!.access_token)).status === 200
      }
      t.strictSame(
        [...answers].filter((answer) => answer !== '503 REVOCATION_UNKNOWN'),
        ['401 TOKEN_REVOKED']
      )
      t.equal(await d.redis.get(GENERATION), generation, 'it says that it has everything, as before')
    }
  )
}

t.test('a standby, which may lack the latest, fills no Redis: nobody knows until it is promoted', async (t) => {
  const { username } = await signUp(a)
  const [live, revoked]: TokenResponse[] = [await logIn(a, username), await logIn(b, username)]
  t.equal((await logOut(b, revoked!.access_token)).statusCode, 200)
  const follower = await buildReplica(t, { ...env, REPLICA_NAME: 'follower' })
  const promote = await becomeStandby(postgres)
  await redis.flushall()
  // Until then the follower has a lease.
  await new Promise((resolve) => setTimeout(resolve, 300))
  for (const until = Date.now() + 1500; Date.now() < until; await new Promise((resolve) => setTimeout(resolve, 50))) {
    for (const replica of [a, follower]) {
      t.match(await present(replica, live!.access_token), { status: 503, code: 'REVOCATION_UNKNOWN' })
    }
  }
  await promote()
  for (const replica of [a, follower]) {
    for (let i = 0; i < 100 && (await replica.inject('/health/ready')).statusCode !== 200; i++) {
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
    t.match(await present(replica, live!.access_token), { status: 200 })
    t.match(await present(replica, revoked!.access_token), { status: 401, code: 'TOKEN_REVOKED' })
  }
})
