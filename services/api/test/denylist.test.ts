import { randomUUID } from 'node:crypto'
import { EventEmitter } from 'node:events'
import { startRedis, findBinary } from '@one-secret/local'
import { Redis } from 'ioredis'
import type { Pool } from 'pg'
import { pino } from 'pino'
import t from 'tap'
import { append, GENERATION, LOG, requireOneTime } from '../src/denylist/append.js'
import { createBarriers } from '../src/denylist/barrier.js'
import { createDirectDenylist } from '../src/denylist/direct.js'
import { MAX_LEASE_MS, withSlack } from '../src/denylist/protocol.js'
import { createPublish } from '../src/denylist/publish.js'
import { newMember, REGISTRY, STRIKE } from '../src/denylist/registry.js'
import { replicated } from '../src/denylist/replicas-of-redis.js'
import { revocationOfSession, revocationOfToken, type Revocation } from '../src/denylist/denylist.js'

const MINUTE = 60_000
const revocation = (kind: 'jti' | 'sid', expiresInMs = MINUTE): Revocation => ({
  kind,
  id: randomUUID(),
  expiresAt: new Date(Date.now() + expiresInMs)
})

t.test('a revocation outlives its tokens by more than clocks differ', async (t) => {
  const exp = Math.floor(Date.now() / 1000) + 60
  const claims = { jti: randomUUID(), sid: randomUUID(), sub: randomUUID(), iat: exp - 60, exp }
  const token = revocationOfToken({ iss: 'i', aud: 'a', scope: 'user', replica: 'a', ...claims })
  t.ok(token.expiresAt.getTime() >= exp * 1000 + 2 * MINUTE)
  // A refresh may have given the last token in the moment before the session ended, for the longest life there is.
  const endedAt = new Date()
  const session = revocationOfSession(claims.sid, endedAt)
  // By a clock that is ahead of that of Postgres; and Redis may forget by one that is ahead of whoever is asked.
  t.ok(session.expiresAt.getTime() >= endedAt.getTime() + 15 * MINUTE + 2 * 2 * MINUTE)
})

t.test('a revocation that is there already counts only once a replica of Redis has it', async (t) => {
  // As Redis 8 does: WAIT is about what its own connection has written, and at once content where that is nothing.
  let written = false
  const redis = Object.assign(new EventEmitter(), {
    set: () => Promise.resolve((written = true)),
    wait: () => Promise.resolve(written ? 0 : 1)
  })
  const nothing = () => Promise.resolve('left alone')
  await t.rejects(replicated(redis as unknown as Redis, nothing), /no replica of Redis has it/)
})

// The same suite against the real server and against the one that stands in for it where there is none.
for (const kind of ['binary', 'embedded'] as const) {
  const skip = kind === 'binary' && findBinary('redis-server') === undefined ? 'redis-server is not on the PATH' : false
  t.test(`on Redis ${kind}`, { skip }, async (t) => {
    const server = await startRedis({ kind })
    t.teardown(() => server.stop())
    const redis = new Redis(server.url, {
      protocol: 2,
      enableOfflineQueue: true,
      maxRetriesPerRequest: 1,
      // Longer than a busy machine stands still: what comes at 200 ms is tested elsewhere.
      commandTimeout: 1500
    })
    t.teardown(() => redis.disconnect())
    const subscriber = redis.duplicate()
    t.teardown(() => subscriber.disconnect())
    const member = newMember('a')
    const barriers = createBarriers(redis, subscriber, member)
    t.teardown(() => barriers.close())
    const restore = () => Promise.reject(new Error('there is nothing to restore from'))
    const denylist = createDirectDenylist({
      redis,
      // Nothing is on record.
      pg: { query: () => Promise.resolve({ rows: [] }) } as unknown as Pool,
      publish: createPublish({
        redis,
        barriers,
        member,
        restore,
        hasReplicas: false,
        onPassed: () => undefined
      }),
      restore,
      hasReplicas: false,
      onMet: barriers.look,
      log: pino({ level: 'silent' })
    })
    await redis.set(GENERATION, 'of this test')
    await denylist.load()
    // Until nobody can hold a lease from before: else each barrier takes as long.
    await new Promise((resolve) => setTimeout(resolve, withSlack(MAX_LEASE_MS) + 10))
    const nobody = { jti: randomUUID(), sid: randomUUID() }

    t.test('a token nobody revoked is not revoked', async (t) => {
      t.equal(await denylist.isRevoked(nobody), false)
    })

    t.test('a revoked jti and a revoked sid are each enough', async (t) => {
      const [token, session] = [revocation('jti'), revocation('sid')]
      const receipt = await denylist.publish([token, session])
      t.strictSame(receipt.revoked, [
        { kind: 'jti', id: token.id },
        { kind: 'sid', id: session.id }
      ])
      t.equal(await denylist.isRevoked({ ...nobody, jti: token.id }), true)
      t.equal(await denylist.isRevoked({ ...nobody, sid: session.id }), true)
      t.equal(await denylist.isRevoked({ jti: session.id, sid: token.id }), false, 'a jti is not a sid')
    })

    t.test('the key lives as long as the revocation and the log has it in order', async (t) => {
      const [first, second] = [revocation('jti', 5 * MINUTE), revocation('sid', 7 * MINUTE)]
      await redis.del(LOG)
      await denylist.publish([first, second])
      const ttl = await redis.pttl(`denylist:jti:${first.id}`)
      t.ok(ttl > 4.9 * MINUTE && ttl <= 5 * MINUTE, `${ttl} ms`)
      const entries = await redis.xrange(LOG, '-', '+')
      t.strictSame(
        entries.map(([, fields]) => fields),
        [first, second].map(({ kind, id, expiresAt }) => [
          'kind',
          kind,
          'id',
          id,
          'expires',
          String(expiresAt.getTime()),
          'by',
          member
        ])
      )
    })

    t.test('publishing again costs nothing', async (t) => {
      const token = revocation('jti')
      await denylist.publish([token])
      const length = await redis.xlen(LOG)
      t.match(await denylist.publish([token]), { revoked: [{ kind: 'jti', id: token.id }] })
      t.equal(await redis.xlen(LOG), length)
      t.equal(await denylist.isRevoked({ ...nobody, jti: token.id }), true)
    })

    t.test('who appends is told who is registered, and by which of its registrations', async (t) => {
      await redis.hset(REGISTRY, 'a#1', '250 0 s g 0-0', 'b#2', '10 77 s h 7-1', 'c#3', 'nonsense')
      const appended = await append(redis, GENERATION, [revocation('sid')])
      t.match(
        appended?.registered.sort((x, y) => x.member.localeCompare(y.member)),
        [
          { member: 'a#1', leaseMs: 250, spelled: '250 0 s g 0-0', server: 's', generation: 'g', cursor: '0-0' },
          { member: 'b#2', leaseMs: 10, spelled: '10 77 s h 7-1', server: 's', generation: 'h', cursor: '7-1' },
          { member: 'c#3', leaseMs: MAX_LEASE_MS, spelled: 'nonsense' }
        ]
      )
      t.equal(appended?.lastId, (await redis.xrevrange(LOG, '+', '-', 'COUNT', 1))[0]?.[0])
      t.ok(Math.abs(appended!.at - Date.now()) < 1000, 'by the clock of Redis')
      await redis.del(REGISTRY)
    })

    t.test('whoever has registered again is not struck off', async (t) => {
      await redis.hset(REGISTRY, 'a#1', '250 8 s g 0-0')
      t.equal(await redis.eval(STRIKE, 1, REGISTRY, 'a#1', '250 7 s g 0-0'), 0)
      t.equal(await redis.eval(STRIKE, 1, REGISTRY, 'b#2', '250 8 s g 0-0'), 0)
      t.equal(await redis.hlen(REGISTRY), 1)
      t.equal(await redis.eval(STRIKE, 1, REGISTRY, 'a#1', '250 8 s g 0-0'), 1)
      t.equal(await redis.hlen(REGISTRY), 0)
    })

    t.test('what only the clock of Redis takes for expired is not acknowledged', async (t) => {
      const appended = (await append(redis, GENERATION, []))!
      const ahead = { ...appended, at: Date.now() + 2 * MINUTE }
      // Of a token that lives for another minute.
      const alive = revocation('jti', 3 * MINUTE)
      t.throws(() => requireOneTime({ ...ahead, at: Date.now() + 4 * MINUTE }, [alive]), /Redis is 240 s ahead/)
      t.doesNotThrow(() => requireOneTime(ahead, [alive, revocation('sid', -MINUTE)]))
      t.doesNotThrow(() => requireOneTime(ahead, [revocation('sid', MINUTE)]), 'its tokens have expired here')
      t.doesNotThrow(() => requireOneTime(appended, [revocation('jti', 1000)]))
    })

    t.test('what has expired already is not appended', async (t) => {
      const length = await redis.xlen(LOG)
      await denylist.publish([revocation('jti', -2000)])
      t.equal(await redis.xlen(LOG), length)
    })

    t.test('without a generation nobody knows, and nothing is appended', async (t) => {
      const token = revocation('jti')
      await redis.del(GENERATION)
      await t.rejects(async () => denylist.isRevoked(nobody), { code: 'REVOCATION_UNKNOWN', statusCode: 503 })
      await t.rejects(denylist.publish([token]), { code: 'REVOCATION_PENDING', statusCode: 503 })
      t.equal(await denylist.isReady(), false)
      t.equal(await append(redis, GENERATION, [token]), undefined)
      await redis.set(GENERATION, 'of this test')
      t.equal(await denylist.isReady(), true)
      t.equal(await denylist.isRevoked({ ...nobody, jti: token.id }), false)
    })

    t.test('a revocation is forgotten when it expires', async (t) => {
      const token = revocation('jti', 600)
      await denylist.publish([token])
      t.equal(await denylist.isRevoked({ ...nobody, jti: token.id }), true)
      await new Promise((resolve) => setTimeout(resolve, 650))
      t.equal(await denylist.isRevoked({ ...nobody, jti: token.id }), false)
    })

    t.test('the log loses what is older than any token, and nothing else', async (t) => {
      await redis.del(LOG)
      // More than one node of the stream's tree, for Redis trims by whole nodes.
      const old = Date.now() - 120 * MINUTE
      const pipeline = redis.pipeline()
      for (let i = 0; i < 500; i++) pipeline.xadd(LOG, `${old + i}-0`, 'kind', 'jti', 'id', 'old', 'expires', '0')
      await pipeline.exec()
      const recent = [revocation('jti'), revocation('jti')]
      for (const one of recent) await denylist.publish([one])
      const ids = (await redis.xrange(LOG, '-', '+')).map(([, fields]) => fields[3])
      t.ok(ids.length < 200, `${ids.length} are left of 502`)
      t.strictSame(
        ids.slice(-2),
        recent.map(({ id }) => id)
      )
    })

    t.test('the key and the log entry are written in one step or not at all', async (t) => {
      await redis.del(LOG)
      await redis.set(LOG, 'not a stream')
      await t.rejects(denylist.publish([revocation('jti')]), { code: 'REVOCATION_PENDING', statusCode: 503 })
      await redis.del(LOG)
    })

    t.test('one command for each look-up, and one transaction for each publication', async (t) => {
      const before = await commands(redis)
      await denylist.isRevoked(nobody)
      t.equal((await commands(redis)) - before, 1 + 1, 'the look-up, and the count itself')
    })

    t.test('when Redis is gone, nobody knows: 503, at once', async (t) => {
      await server.stop()
      const started = performance.now()
      await t.rejects(async () => denylist.isRevoked(nobody), { code: 'REVOCATION_UNKNOWN', statusCode: 503 })
      await t.rejects(denylist.publish([revocation('jti')]), { code: 'REVOCATION_PENDING', statusCode: 503 })
      t.ok(performance.now() - started < 2000)
    })
  })
}

const commands = async (redis: Redis): Promise<number> =>
  Number(/total_commands_processed:(\d+)/.exec(await redis.info('stats'))?.[1])
