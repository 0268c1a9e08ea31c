import { readFileSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'
import t from 'tap'
import { findBinary } from '../src/binaries.js'
import { startRedis } from '../src/redis.js'
import { until } from './waiting.js'
import { table, words } from './redis-table.js'

const UNORDERED = /^(?:KEYS|SMEMBERS|SINTER|SUNION|SDIFF|SCAN|HGETALL|HKEYS|HVALS)\b/

function readable(reply: unknown): unknown {
  if (Buffer.isBuffer(reply)) return reply.toString('latin1')
  return Array.isArray(reply) ? reply.map(readable) : reply
}

/** Every reply of every line of the table, in order. */
async function replies(url: string): Promise<Record<string, string[]>> {
  const result: Record<string, string[]> = {}
  for (const [name, lines] of Object.entries(table)) {
    const client = new Redis(url, { protocol: 2 })
    await client.flushall()
    result[name] = []
    for (const line of lines.trim().split('\n')) {
      const [command = '', ...args] = words(line.trim())
      const reply = await client
        .callBuffer(command, ...args.map((text) => Buffer.from(text, 'latin1')))
        .then(readable, (error: unknown) => ({ error: (error as Error).message }))
      const comparable = UNORDERED.test(line.trim()) && Array.isArray(reply) ? reply.flat().sort() : reply
      result[name].push(`${line.trim()} → ${JSON.stringify(comparable)}`)
    }
    client.disconnect()
  }
  return result
}

const recording = new URL('redis-table.json', import.meta.url)
const recorded = (): unknown => JSON.parse(readFileSync(recording, 'utf8'))

t.test('answers the table as Redis 7.0 did when it was recorded', async (t) => {
  const redis = await startRedis({ kind: 'embedded' })
  t.teardown(() => redis.stop())
  t.strictSame(await replies(redis.url), recorded())
})

const skip = findBinary('redis-server') === undefined && 'needs redis-server on the PATH'
t.test('the Redis on the PATH answers the table as recorded', { skip }, async (t) => {
  const redis = await startRedis({ kind: 'binary' })
  t.teardown(() => redis.stop())
  if (!redis.version?.startsWith('7.0.')) return t.comment(`recorded from 7.0, this is ${String(redis.version)}`)
  const live = await replies(redis.url)
  if (process.env['RECORD'] === '1') writeFileSync(recording, JSON.stringify(live, null, 2))
  t.strictSame(live, recorded())
})

for (const kind of ['embedded', 'binary'] as const) {
  t.test(`${kind}: what a table cannot show`, { skip: kind === 'binary' && skip }, async (t) => {
    const redis = await startRedis({ kind })
    const clients: Redis[] = []
    const open = (): Redis => {
      const client = new Redis(redis.url, { protocol: 2 })
      clients.push(client)
      return client
    }
    t.teardown(async () => {
      for (const client of clients) client.disconnect()
      await redis.stop()
    })
    const client = open()

    await t.test('everybody who waits gets what is appended, at once', async (t) => {
      const readers = [open(), open(), open()]
      await Promise.all(readers.map((reader) => reader.ping()))
      let since = 0
      const reads = readers.map(async (reader) => {
        const reply = await reader.xread('BLOCK', 0, 'STREAMS', 'log', '$')
        return { reply, after: performance.now() - since }
      })
      await until(async () => /blocked_clients:3/.test(await client.info('clients')))
      since = performance.now()
      const id = await client.xadd('log', '*', 'f', 'v')
      for (const { reply, after } of await Promise.all(reads)) {
        t.same(reply, [['log', [[id, ['f', 'v']]]]])
        t.ok(after < 50, `after ${after} ms`)
      }
    })

    await t.test('a transaction and a script wake those who wait, once they are over', async (t) => {
      const reader = open()
      const first = reader.xread('BLOCK', 0, 'STREAMS', 'tx', '$')
      await until(async () => /blocked_clients:1/.test(await client.info('clients')))
      await client.multi().xadd('tx', '1-1', 'a', '1').xadd('tx', '1-2', 'b', '2').exec()
      t.same(await first, [
        [
          'tx',
          [
            ['1-1', ['a', '1']],
            ['1-2', ['b', '2']]
          ]
        ]
      ])
      const second = reader.xread('BLOCK', 0, 'STREAMS', 'tx', '$')
      await until(async () => /blocked_clients:1/.test(await client.info('clients')))
      await client.eval("redis.call('XADD', KEYS[1], '2-1', 'c', '3') return 1", 1, 'tx')
      t.same(await second, [['tx', [['2-1', ['c', '3']]]]])
    })

    await t.test('a wait ends in time, with nothing', async (t) => {
      const start = performance.now()
      t.equal(await client.xread('BLOCK', 60, 'STREAMS', 'log', '$'), null)
      const took = performance.now() - start
      t.ok(took >= 55 && took < 1000, `${took} ms`)
    })

    await t.test('a client that goes away waits no longer', async () => {
      const reader = open()
      reader.xread('BLOCK', 0, 'STREAMS', 'log', '$').catch(() => undefined)
      await until(async () => /blocked_clients:1/.test(await client.info('clients')))
      reader.disconnect()
      await until(async () => /blocked_clients:0/.test(await client.info('clients')))
      await client.xadd('log', '*', 'f', 'v')
    })

    await t.test('replies of a pipeline keep their order behind a wait', async (t) => {
      const { hostname, port, password } = new URL(redis.url)
      const socket = connect(Number(port), hostname)
      const encode = (line: string): string => {
        const parts = line.split(' ')
        return `*${parts.length}\r\n${parts.map((part) => `$${part.length}\r\n${part}\r\n`).join('')}`
      }
      let received = ''
      socket.setEncoding('latin1').on('data', (text: string) => (received += text))
      socket.write(
        [`AUTH ${decodeURIComponent(password)}`, 'XREAD BLOCK 0 STREAMS order $', 'PING', 'GET none']
          .map(encode)
          .join('')
      )
      await until(async () => /blocked_clients:1/.test(await client.info('clients')))
      t.equal(received, '+OK\r\n')
      await client.xadd('order', '7-7', 'f', 'v')
      await until(() => received.endsWith('$-1\r\n'))
      t.match(received, /^\+OK\r\n\*1\r\n\*2\r\n\$5\r\norder\r\n[^+]*7-7[^+]*\+PONG\r\n\$-1\r\n$/)
      socket.destroy()
    })

    await t.test('ids made by the server grow, whoever asks', async (t) => {
      const others = [client, open(), open()]
      const ids = await Promise.all(
        Array.from({ length: 600 }, async (_, index) => others[index % 3]?.xadd('ids', '*', 'i', String(index)))
      )
      const stored = (await client.xrange('ids', '-', '+')).map(([id]) => id)
      t.equal(new Set(ids).size, 600)
      t.same([...ids].sort(), [...stored].sort())
      const parts = stored.map((id) => id.split('-').map(BigInt))
      t.ok(
        parts.every(
          ([ms = 0n, seq = 0n], i) => i === 0 || ms > (parts[i - 1]?.[0] ?? 0n) || seq > (parts[i - 1]?.[1] ?? 0n)
        )
      )
    })

    await t.test('what is published reaches those who listen, and a script may publish', async (t) => {
      const [one, two] = [open(), open()]
      const heard: string[] = []
      one.on('message', (channel, message) => heard.push(`one ${channel} ${message}`))
      two.on('message', (channel, message) => heard.push(`two ${channel} ${message}`))
      t.equal(await one.subscribe('news', 'weather'), 2)
      t.equal(await two.subscribe('news'), 1)
      t.equal(await client.publish('news', 'first'), 2)
      t.equal(await client.publish('weather', 'rain'), 1)
      t.equal(await client.publish('nothing', 'nobody'), 0)
      t.equal(await client.eval("return redis.call('PUBLISH', KEYS[1], 'second')", 1, 'news'), 2)
      await until(async () => heard.length === 5)
      t.strictSame(heard.sort(), [
        'one news first',
        'one news second',
        'one weather rain',
        'two news first',
        'two news second'
      ])

      t.equal(await one.unsubscribe('news'), 1)
      await two.unsubscribe()
      t.equal(await client.publish('news', 'third'), 0)
      t.match(await two.get('any'), null, 'who listens no more may do anything again')
      one.disconnect()
      await until(async () => (await client.publish('weather', 'sun')) === 0)
    })

    await t.test('who listens may do nothing else', async (t) => {
      const socket = connect(Number(new URL(redis.url).port), '127.0.0.1')
      const password = decodeURIComponent(new URL(redis.url).password)
      let text = ''
      socket.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
      const send = (...args: string[]): void =>
        void socket.write(`*${args.length}\r\n${args.map((arg) => `$${arg.length}\r\n${arg}\r\n`).join('')}`)
      send('AUTH', password)
      send('UNSUBSCRIBE')
      send('SUBSCRIBE', 'news')
      send('GET', 'any')
      send('PING')
      send('QUIT')
      await new Promise((resolve) => socket.once('close', resolve))
      t.equal(
        text,
        '+OK\r\n*3\r\n$11\r\nunsubscribe\r\n$-1\r\n:0\r\n*3\r\n$9\r\nsubscribe\r\n$4\r\nnews\r\n:1\r\n' +
          "-ERR Can't execute 'get': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context\r\n" +
          '*2\r\n$4\r\npong\r\n$0\r\n\r\n+OK\r\n'
      )
    })

    await t.test('a process has a name of its own', async (t) => {
      t.match(await client.info('server'), /^run_id:[0-9a-f]{40}\r$/m)
    })

    await t.test('a transaction is not interleaved with anybody else', async (t) => {
      const others = [client, open(), open()]
      await Promise.all(
        Array.from({ length: 300 }, async (_, index) => {
          const replies = await others[index % 3]?.multi().get('n').incr('n').get('n').exec()
          const [before, , after] = (replies ?? []).map(([, value]) => Number(value))
          t.equal(after, (before ?? 0) + 1)
        })
      )
      t.equal(await client.get('n'), '300')
    })

    await t.test('XTRIM ~ takes whole nodes of a long stream, = exactly', async (t) => {
      const pipeline = client.pipeline()
      for (let i = 1; i <= 1000; i++) pipeline.xadd('long', `${i}-0`, 'f', 'v')
      await pipeline.exec()
      const left = 1000 - Number(await client.xtrim('long', 'MAXLEN', '~', 450))
      t.ok(left >= 450 && left <= 550, `${left} left`)
      await client.xtrim('long', 'MINID', '=', '901-0')
      t.equal(await client.xlen('long'), 100)
    })

    await t.test('a lifetime ends', async (t) => {
      await client.set('short', 'v', 'PX', 30)
      await client.xadd('shortstream', '*', 'f', 'v')
      await client.pexpire('shortstream', 30)
      t.ok((await client.pttl('short')) > 0)
      await sleep(60)
      t.equal(await client.exists('short', 'shortstream'), 0)
      t.equal(await client.xlen('shortstream'), 0)
    })

    await t.test('what nobody asks for is freed all the same', async () => {
      await client.flushall()
      await client.set('forgotten', 'v', 'PX', 10)
      await until(async () => (await client.dbsize()) === 0, 4000)
    })

    await t.test('a missing or wrong password', async (t) => {
      const { host } = new URL(redis.url)
      const stranger = new Redis(`redis://${host}`, {
        protocol: 2,
        enableReadyCheck: false,
        retryStrategy: () => null
      })
      stranger.on('error', () => undefined)
      await t.rejects(stranger.get('k'), /NOAUTH/)
      await t.rejects(stranger.call('AUTH', 'wrong'), /WRONGPASS/)
      stranger.disconnect()
    })

    await t.test(
      'a client that asks for RESP3 connects all the same, and reads hashes as it does elsewhere',
      async (t) => {
        const other = new Redis(redis.url, { protocol: 3 })
        await other.hset('h', { a: '1' })
        t.same({ ...(await other.hgetall('h')) }, { a: '1' })
        other.disconnect()
      }
    )

    await t.test('counts what it did', async (t) => {
      const total = async (): Promise<number> =>
        Number(/total_commands_processed:(\d+)/.exec(await client.info('stats'))?.[1])
      const gets = async (): Promise<number> =>
        Number(/cmdstat_get:calls=(\d+)/.exec(await client.info('commandstats'))?.[1] ?? 0)
      const [before, getsBefore] = [await total(), await gets()]
      await client.get('x')
      await client.multi().get('x').exec()
      t.equal((await gets()) - getsBefore, 2)
      t.ok((await total()) - before >= 4)
    })

    await t.test('what is no RESP is refused, and the others are not disturbed', async (t) => {
      const { hostname, port } = new URL(redis.url)
      const socket = connect(Number(port), hostname)
      let received = ''
      socket.setEncoding('latin1').on('data', (text: string) => (received += text))
      socket.write('*1\r\n:5\r\n')
      await until(() => socket.closed)
      t.match(received, /^-ERR Protocol error/)
      t.equal(await client.ping(), 'PONG')
    })
  })
}

t.test('embedded: says that it keeps nothing', async (t) => {
  const redis = await startRedis({ kind: 'embedded' })
  t.teardown(() => redis.stop())
  t.match(redis.reason, /in memory, not durable/)
  const client = new Redis(redis.url, { protocol: 2 })
  t.same(await client.config('GET', 'appendonly'), ['appendonly', 'no'])
  t.same(await client.config('GET', 'maxmemory-policy'), ['maxmemory-policy', 'noeviction'])
  client.disconnect()
})

t.test('embedded: a second start on the same port, with the same password, is empty', async (t) => {
  const first = await startRedis({ kind: 'embedded', password: 'the same' })
  const client = new Redis(first.url, { protocol: 2 })
  client.on('error', () => undefined)
  await client.set('k', 'v')
  await first.stop()
  const second = await startRedis({ kind: 'embedded', password: 'the same', port: Number(new URL(first.url).port) })
  t.teardown(() => second.stop())
  t.equal(second.url, first.url)
  t.equal(await client.get('k'), null)
  client.disconnect()
})
