import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { startRedis } from '@one-secret/local'
import { Redis } from 'ioredis'
import t from 'tap'
import { append, GENERATION } from '../src/denylist/append.js'
import { createBarriers } from '../src/denylist/barrier.js'
import { MAX_LEASE_MS, withSlack, type View } from '../src/denylist/protocol.js'
import { confirmationsOf, newMember, REGISTRY, spellRegistration, spellView } from '../src/denylist/registry.js'
import { serverOf } from '../src/denylist/whole.js'

const LEASE_MS = 500

t.test('a barrier', async (t) => {
  const server = await startRedis({})
  t.teardown(() => server.stop())
  const connect = async (): Promise<Redis> => {
    const redis = new Redis(server.url, { protocol: 2 })
    t.teardown(() => redis.disconnect())
    await once(redis, 'ready')
    return redis
  }
  const [redis, subscriber] = [await connect(), await connect()]
  const [appender, other] = [newMember('a'), newMember('b')]
  const barriers = createBarriers(redis, subscriber, appender)
  const process = await serverOf(redis)

  const begin = async (generation: string): Promise<void> => {
    await redis.flushall()
    await redis.set(GENERATION, generation)
    barriers.look()
    // Until whatever lease there may have been elsewhere has ended.
    await sleep(withSlack(MAX_LEASE_MS) + 200)
  }
  let round = 0
  const register = (view: View) => redis.hset(REGISTRY, other, spellRegistration(LEASE_MS, round++, view))
  const publish = async () => {
    const revocation = { kind: 'jti' as const, id: randomUUID(), expiresAt: new Date(Date.now() + 60_000) }
    const appended = await append(redis, GENERATION, [revocation], { by: appender })
    if (appended === undefined) throw new Error('nothing was appended')
    return { appended, passed: barriers.pass(appended) }
  }
  const confirm = async (view: View): Promise<void> => {
    const arrived = once(subscriber, 'message')
    await redis.publish(confirmationsOf(appender), `${other} ${spellView(view)}`)
    await arrived
  }
  /** Higher than any id for years, as those of a lost log are where the clock of Redis has been set back. */
  const LATER = '9999999999999-0'

  await t.test('is over when whoever is registered has confirmed', async (t) => {
    await begin('first')
    await register({ server: process, generation: 'first', cursor: '0-0' })
    const { appended, passed } = await publish()
    await confirm({ server: process, generation: 'first', cursor: appended.lastId })
    const { acknowledgedBy, waitedMs } = await passed
    t.strictSame(acknowledgedBy, ['b'])
    t.ok(waitedMs < LEASE_MS, `${waitedMs} ms`)
  })

  await t.test('is not over where it is another log that was confirmed', async (t) => {
    await confirm({ server: process, generation: 'first', cursor: LATER })
    await begin('second')
    await register({ server: process, generation: 'second', cursor: '0-0' })
    const { passed } = await publish()
    const { acknowledgedBy, waitedMs } = await passed
    t.strictSame(acknowledgedBy, [])
    t.ok(waitedMs >= LEASE_MS, `${waitedMs} ms`)
  })

  await t.test('is not over where whoever is registered had applied another log', async (t) => {
    await register({ server: process, generation: 'first', cursor: LATER })
    const { passed } = await publish()
    const { acknowledgedBy, waitedMs } = await passed
    t.strictSame(acknowledgedBy, [])
    t.ok(waitedMs >= LEASE_MS, `${waitedMs} ms`)
  })

  await t.test('is over at once where whoever is registered had applied the entry', async (t) => {
    await register({ server: process, generation: 'second', cursor: LATER })
    const { acknowledgedBy, waitedMs } = await (await publish()).passed
    t.strictSame(acknowledgedBy, ['b'])
    t.ok(waitedMs < LEASE_MS, `${waitedMs} ms`)
  })

  await t.test(
    'is over without a confirmation, once whoever is registered has registered with the entry',
    async (t) => {
      const view = { server: process, generation: 'second' }
      await register({ ...view, cursor: '0-0' })
      const { appended, passed } = await publish()
      await register({ ...view, cursor: appended.lastId })
      const { acknowledgedBy, waitedMs } = await passed
      t.strictSame(acknowledgedBy, ['b'])
      t.ok(waitedMs < LEASE_MS / 2, `${waitedMs} ms`)
    }
  )

  await t.test(
    'strikes off whoever has been silent for the whole of it, and nobody who has registered again',
    async (t) => {
      const view = { server: process, generation: 'second', cursor: '0-0' }
      await register(view)
      const first = await (await publish()).passed
      t.ok(first.waitedMs >= LEASE_MS, `${first.waitedMs} ms`)
      const second = await (await publish()).passed
      t.ok(second.waitedMs < LEASE_MS, `${second.waitedMs} ms: nobody is waited for`)
      t.equal(await redis.hexists(REGISTRY, other), 0)

      await register(view)
      const { passed } = await publish()
      await register(view)
      await passed
      await sleep(50)
      t.equal(await redis.hexists(REGISTRY, other), 1)
      await redis.del(REGISTRY)
    }
  )

  await t.test('strikes off also whoever registered in words of its own, as another version may', async (t) => {
    await redis.hset(REGISTRY, other, `0${LEASE_MS} since today`, newMember('c'), 'nonsense')
    const first = await (await publish()).passed
    t.ok(first.waitedMs >= MAX_LEASE_MS, `${first.waitedMs} ms`)
    const second = await (await publish()).passed
    t.ok(second.waitedMs < LEASE_MS, `${second.waitedMs} ms: nobody is waited for`)
    t.equal(await redis.hlen(REGISTRY), 0)
  })
})
