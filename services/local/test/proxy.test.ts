import { once } from 'node:events'
import {
  createServer,
  request as httpRequest,
  type IncomingHttpHeaders,
  type IncomingMessage,
  type Server
} from 'node:http'
import { connect, type AddressInfo } from 'node:net'
import { networkInterfaces } from 'node:os'
import { text } from 'node:stream/consumers'
import t from 'tap'
import { findBinary } from '../src/binaries.js'
import { startNginx, type Balancer } from '../src/nginx.js'
import { freePort } from '../src/ports.js'
import { startProxy } from '../src/proxy.js'
import type { Upstream } from '../src/replicas.js'

interface Seen {
  replica: string
  method: string
  url: string
  headers: IncomingHttpHeaders
  body: string
}

interface Answer {
  status: number
  headers: IncomingHttpHeaders
  body: string
}

interface Stub {
  url: string
  alive: boolean
  server: Server
  /** What it does with a request instead of answering it: cut the connection, or say 503. */
  mood: 'well' | 'cuts' | 'hangs' | 'closing'
}

/** A replica that tells what it was sent. */
async function startStub(replica: string, seen: Seen[]): Promise<Stub> {
  const server = createServer((request, response) => {
    void text(request).then((body) => {
      const { method = '', url = '', headers } = request
      seen.push({ replica, method, url, headers, body })
      if (stub.mood === 'hangs') return
      if (stub.mood === 'cuts') {
        request.socket.destroy()
        return
      }
      response.statusCode = stub.mood === 'closing' ? 503 : url.startsWith('/teapot') ? 418 : 200
      response.setHeader('x-served-by', replica)
      response.end(method === 'HEAD' ? '' : JSON.stringify({ replica, body }))
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const stub: Stub = { url, alive: true, server, mood: 'well' }
  return stub
}

async function ask(
  balancer: Balancer,
  path: string,
  options: { method?: string; headers?: Record<string, string>; body?: string | Buffer } = {}
): Promise<Answer> {
  const { hostname, port } = new URL(balancer.url)
  const { method = 'GET', headers = {}, body } = options
  const request = httpRequest({ hostname, port, path, method, headers, agent: false })
  request.end(body)
  const [response] = (await once(request, 'response')) as [IncomingMessage]
  return { status: response.statusCode ?? 0, headers: response.headers, body: await text(response) }
}

async function raw(balancer: Balancer, bytes: string): Promise<string> {
  const { hostname, port } = new URL(balancer.url)
  const socket = connect(Number(port), hostname)
  socket.write(bytes, 'latin1')
  return text(socket)
}

const served = ({ headers }: Answer): unknown => headers['x-served-by']

for (const [kind, start] of [
  ['embedded', startProxy],
  ['nginx', startNginx]
] as const) {
  const skip = kind === 'nginx' && findBinary('nginx') === undefined && 'needs nginx on the PATH'

  t.test(kind, { skip }, async (t) => {
    const seen: Seen[] = []
    const stubs = [await startStub('a', seen), await startStub('b', seen), await startStub('c', seen)]
    const balancer = await start({ replicas: stubs })
    t.teardown(async () => {
      await balancer.stop()
      for (const { server } of stubs) server.closeAllConnections()
      for (const { server } of stubs) server.close()
    })
    t.beforeEach(() => {
      seen.length = 0
      for (const stub of stubs) stub.mood = 'well'
    })
    const json = { 'content-type': 'application/json' }

    await t.test('takes everybody in turn', async (t) => {
      const answers = await Promise.all(Array.from({ length: 30 }, () => ask(balancer, '/')))
      const counts = ['a', 'b', 'c'].map((name) => answers.filter((answer) => served(answer) === name).length)
      t.ok(
        counts.every((count) => count >= 5),
        String(counts)
      )
    })

    await t.test('a lane, where nothing is compared: 502, and how to begin', async (t) => {
      for (const path of ['/lanes/jwt/whoami', '/lanes/memory/', '/lanes/none']) {
        const answer = await ask(balancer, path)
        t.equal(answer.status, 502, path)
        t.match(JSON.parse(answer.body), { code: 'LANE_EMPTY', message: /npm start -- --compare/ })
      }
      t.equal((await ask(balancer, '/lanes/jwt/metrics')).status, 404)
      t.strictSame(seen, [], 'nobody was asked')
    })

    await t.test('forwards method, path, query, headers and body as they are', async (t) => {
      const body = '{ "a": 1.0, "\u00fc": "x" }'
      const answer = await ask(balancer, '/x/y%20z?q=%7B&q=2', {
        method: 'POST',
        headers: { ...json, authorization: 'Bearer t', host: 'example.test' },
        body
      })
      t.equal(answer.status, 200)
      t.match(seen, [{ method: 'POST', url: '/x/y%20z?q=%7B&q=2', body }])
      t.match(seen[0]?.headers, { ...json, authorization: 'Bearer t', host: 'example.test' })
    })

    for (const headers of [{}, { 'content-type': 'text/plain' }, { 'content-type': 'application/json; charset=x' }]) {
      await t.test(`leaves it to a replica to judge a body of ${JSON.stringify(headers)}`, async (t) => {
        await ask(balancer, '/', { method: 'POST', headers: { ...headers }, body: 'a body' })
        t.match(seen, [{ body: 'a body' }])
        t.equal(seen[0]?.headers['content-type'], (headers as Record<string, string>)['content-type'])
      })
    }

    for (const method of ['PUT', 'DELETE', 'PATCH', 'HEAD', 'OPTIONS']) {
      await t.test(`forwards ${method}`, async (t) => {
        t.equal((await ask(balancer, '/', { method })).status, 200)
        t.match(seen, [{ method }])
      })
    }

    await t.test('passes on what a replica answers', async (t) => {
      t.match(await ask(balancer, '/teapot'), { status: 418, body: /"replica":/ })
    })

    await t.test('believes nobody about addresses and request ids', async (t) => {
      await ask(balancer, '/', {
        headers: {
          'x-forwarded-for': '6.6.6.6',
          'x-forwarded-host': 'evil.test',
          forwarded: 'for=6.6.6.6',
          'x-request-id': 'mine'
        }
      })
      const { headers = {} } = seen[0] ?? {}
      t.equal(headers['x-forwarded-for'], '127.0.0.1')
      t.notOk(headers['x-forwarded-host'])
      t.notOk(headers['forwarded'])
      t.match(headers['x-request-id'], /^[0-9a-f-]{32,36}$/)
    })

    for (const path of [
      '/metrics',
      '/metrics?x=1',
      '/%6detrics',
      '//metrics',
      '/./metrics',
      '/%2e/metrics',
      '/x/../metrics'
    ]) {
      await t.test(`hides ${path}`, async (t) => {
        const answer = await ask(balancer, path)
        t.ok([400, 404].includes(answer.status), String(answer.status))
        t.match(JSON.parse(answer.body), { statusCode: answer.status, code: String, error: String, message: String })
        t.same(seen, [])
      })
    }

    await t.test('a body of 16 KiB passes, one more byte is 413', async (t) => {
      t.equal((await ask(balancer, '/', { method: 'POST', headers: json, body: 'x'.repeat(16_384) })).status, 200)
      const answer = await ask(balancer, '/', { method: 'POST', headers: json, body: 'x'.repeat(16_385) })
      t.equal(answer.status, 413)
      t.match(JSON.parse(answer.body), { statusCode: 413, code: 'BODY_TOO_LARGE', error: 'Payload Too Large' })
      t.equal(seen.length, 1)
    })

    await t.test('too large headers are 431, and what is no HTTP is 400', async (t) => {
      const large = await raw(balancer, `GET / HTTP/1.1\r\nHost: x\r\nA: ${'x'.repeat(40_000)}\r\n\r\n`)
      t.match(large, /^HTTP\/1\.1 431 [\s\S]*"code":"HEADERS_TOO_LARGE"/)
      t.match(await raw(balancer, 'NONSENSE\r\n\r\n'), /"code":"BAD_REQUEST"/)
      t.same(seen, [])
    })

    await t.test('a replica that is gone is passed over, for a POST too, which it never got', async (t) => {
      const port = await freePort()
      const half = await start({ replicas: [{ url: `http://127.0.0.1:${port}` }, stubs[0] ?? { url: '' }] })
      t.teardown(() => half.stop())
      for (const method of ['GET', 'POST', 'GET', 'POST']) {
        t.equal((await ask(half, '/', { method, headers: json, ...(method === 'POST' && { body: '{}' }) })).status, 200)
      }
    })

    await t.test('nobody there is 502 in the shape of errors', async (t) => {
      const alone = await start({ replicas: [{ url: `http://127.0.0.1:${await freePort()}` }] })
      t.teardown(() => alone.stop())
      const answer = await ask(alone, '/')
      t.equal(answer.status, 502)
      t.match(JSON.parse(answer.body), { statusCode: 502, code: 'NO_REPLICA', error: 'Bad Gateway', message: String })
    })

    await t.test('a GET that was cut goes to another replica', async (t) => {
      for (const stub of stubs.slice(1)) stub.mood = 'cuts'
      for (let i = 0; i < 6; i++) t.equal(served(await ask(balancer, '/')), 'a')
    })

    await t.test('a POST that was cut is never sent again', async (t) => {
      for (const stub of stubs) stub.mood = 'cuts'
      const answer = await ask(balancer, '/', { method: 'POST', headers: json, body: '{}' })
      t.equal(answer.status, 502)
      t.equal(seen.length, 1)
    })

    await t.test('behind a replica that hangs everybody is answered within 8 s, however many there are', async (t) => {
      stubs[1]!.mood = 'hangs'
      const timed = async (options: object): Promise<{ status: number; ms: number }> => {
        const began = performance.now()
        const { status } = await ask(balancer, '/', options)
        return { status, ms: performance.now() - began }
      }
      const posts = Array.from({ length: 300 }, () => timed({ method: 'POST', headers: json, body: '{}' }))
      const gets = Array.from({ length: 30 }, () => timed({}))
      const answers = await Promise.all([...posts, ...gets])
      t.strictSame(new Set((await Promise.all(posts)).map(({ status }) => status)), new Set([200, 504]))
      t.strictSame(new Set((await Promise.all(gets)).map(({ status }) => status)), new Set([200]), 'a GET goes on')
      const worst = Math.max(...answers.map(({ ms }) => ms))
      t.ok(worst < 9000, `${Math.round(worst)} ms`)
      for (const { server } of stubs) server.closeAllConnections()
    })

    await t.test('a GET goes on from a replica that is closing; the last 503 is passed on', async (t) => {
      for (const stub of stubs.slice(1)) stub.mood = 'closing'
      for (let i = 0; i < 6; i++) t.match(await ask(balancer, '/'), { status: 200, headers: { 'x-served-by': 'a' } })
      for (const stub of stubs) stub.mood = 'closing'
      t.equal((await ask(balancer, '/')).status, 503)
      seen.length = 0
      const post = await ask(balancer, '/', { method: 'POST', headers: json, body: '{}' })
      t.equal(post.status, 503)
      t.equal(seen.length, 1)
    })
  })
}

t.test('embedded: a lane without servers is another thing than a server that does not answer', async (t) => {
  const cuts = createServer((_request, response) => response.destroy()).listen(0, '127.0.0.1')
  await once(cuts, 'listening')
  t.teardown(() => cuts.close())
  const { port } = cuts.address() as AddressInfo
  const none: Upstream[] = []
  const pools = { api: none, 'sessions-memory': [{ url: `http://127.0.0.1:${port}` }] }
  const balancer = await startProxy({
    replicas: none,
    pools: { ...pools, 'sessions-redis': none, 'api-single': none }
  })
  t.teardown(() => balancer.stop())
  const code = async (lane: string): Promise<unknown> => {
    const response = await fetch(`${balancer.url}/lanes/${lane}/auth/login`, { method: 'POST' })
    return ((await response.json()) as { code: unknown }).code
  }
  t.equal(await code('cluster'), 'LANE_EMPTY')
  t.equal(await code('memory'), 'NO_REPLICA')
})

t.test('embedded: what the supervisor knows to be down is not asked', async (t) => {
  const seen: Seen[] = []
  const [a, b] = [await startStub('a', seen), await startStub('b', seen)]
  const balancer = await startProxy({ replicas: [a, b] })
  t.teardown(async () => {
    await balancer.stop()
    for (const { server } of [a, b]) server.close()
  })
  b.alive = false
  for (let i = 0; i < 4; i++) t.equal(served(await ask(balancer, '/')), 'a')
  b.alive = true
  const names = await Promise.all([ask(balancer, '/'), ask(balancer, '/')])
  t.same(new Set(names.map(served)), new Set(['a', 'b']))
})

const hasIpv6 = networkInterfaces()['lo']?.some(({ family }) => family === 'IPv6') ?? true

for (const [kind, start] of [
  ['embedded', startProxy],
  ['nginx', startNginx]
] as const) {
  const skip = kind === 'nginx' && findBinary('nginx') === undefined && 'needs nginx on the PATH'
  t.test(`${kind}: a port in use is one clear line`, { skip }, async (t) => {
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    t.teardown(() => server.close())
    const { port } = server.address() as AddressInfo
    await t.rejects(start({ port, replicas: [] }), { name: 'LocalError', message: new RegExp(String(port)) })
  })

  t.test(`${kind}: on :: it can be reached by IPv4 too`, { skip }, async (t) => {
    const stub = await startStub('a', [])
    t.teardown(() => stub.server.close())
    const balancer = await start({ host: hasIpv6 ? '::' : '0.0.0.0', replicas: [stub] })
    t.teardown(() => balancer.stop())
    for (const host of ['127.0.0.1', ...(hasIpv6 ? ['[::1]'] : [])]) {
      t.equal((await fetch(balancer.url.replace('127.0.0.1', host))).status, 200, host)
    }
  })

  t.test(`${kind}: stop() does not wait for a client that says nothing`, { skip }, async (t) => {
    const stub = await startStub('a', [])
    const balancer = await start({ replicas: [stub] })
    t.teardown(() => stub.server.close())
    const { hostname, port } = new URL(balancer.url)
    const socket = connect(Number(port), hostname)
    socket.on('error', () => undefined)
    await once(socket, 'connect')
    const start_ = performance.now()
    await balancer.stop()
    t.ok(performance.now() - start_ < 2000)
    socket.destroy()
  })
}
