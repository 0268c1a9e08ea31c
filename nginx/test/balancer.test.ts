import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http'
import { connect, type AddressInfo } from 'node:net'
import { findBinary, freePort, startNginx, startProxy, type Balancer } from '@one-secret/local'
import t, { type Test } from 'tap'

interface Upstream {
  name: string
  url: string
  requests: { method: string; headers: IncomingHttpHeaders }[]
  connections: number
  /** What it does with a request; answers with its name unless told otherwise. */
  handle: (request: IncomingMessage, response: ServerResponse) => void
}

/** A server that can fail in ways that a healthy replica cannot be made to. */
async function startUpstream(t: Test, name: string): Promise<Upstream> {
  const upstream: Upstream = {
    name,
    url: '',
    requests: [],
    connections: 0,
    handle: (_request, response) => response.setHeader('x-served-by', name).end(JSON.stringify({ name }))
  }
  const server = createServer({ keepAliveTimeout: 72_000 }, (request, response) => {
    request.resume().on('end', () => {
      upstream.requests.push({ method: request.method!, headers: request.headers })
      upstream.handle(request, response)
    })
  })
  server.on('connection', () => upstream.connections++)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  upstream.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return upstream
}

const balancers = { nginx: startNginx, embedded: startProxy }

/** The two balancers are held to the same promises. */
for (const [kind, start] of Object.entries(balancers)) {
  const skip = kind === 'nginx' && findBinary('nginx') === undefined ? 'nginx is not on the PATH' : false

  t.test(`balancer ${kind}`, { skip }, async (t) => {
    async function balance(
      t: Test,
      count: number
    ): Promise<{ balancer: Balancer; upstreams: Upstream[]; log: string[] }> {
      const upstreams = await Promise.all(Array.from({ length: count }, (_, i) => startUpstream(t, `up-${i + 1}`)))
      const log: string[] = []
      const balancer = await start({ replicas: upstreams, onLine: (line) => log.push(line) })
      t.teardown(() => balancer.stop())
      for (const upstream of upstreams) {
        upstream.requests = []
        upstream.connections = 0
      }
      return { balancer, upstreams, log }
    }

    t.test('spreads requests evenly, over connections that it keeps', async (t) => {
      const { balancer, upstreams } = await balance(t, 3)
      for (let i = 0; i < 90; i++) t.equal((await fetch(`${balancer.url}/`)).status, 200)
      t.strictSame(
        upstreams.map(({ requests }) => requests.length),
        [30, 30, 30]
      )
      for (const { connections } of upstreams) t.ok(connections <= 4, `${connections} connections for 30 requests`)
    })

    t.test('replaces what a client says of its address and of the request', async (t) => {
      const { balancer, upstreams } = await balance(t, 1)
      const spoofed = {
        'x-forwarded-for': '203.0.113.9, 198.51.100.7',
        'x-request-id': 'chosen-by-the-client',
        'x-forwarded-host': 'attacker.example',
        forwarded: 'for=203.0.113.9'
      }
      await fetch(`${balancer.url}/`, { headers: spoofed })
      const headers = upstreams[0]!.requests[0]!.headers
      t.equal(headers['x-forwarded-for'], '127.0.0.1')
      t.match(headers['x-request-id'], /^[\w-]{16,}$/)
      t.not(headers['x-request-id'], spoofed['x-request-id'])
      t.equal(headers['x-forwarded-host'], undefined)
      t.equal(headers.forwarded, undefined)
    })

    t.test('passes method, path, query, body and status through', async (t) => {
      const { balancer, upstreams } = await balance(t, 1)
      upstreams[0]!.handle = (request, response) =>
        response
          .writeHead(418, { 'content-type': 'text/plain', 'x-own': 'kept' })
          .end(`${request.method} ${request.url}`)
      const response = await fetch(`${balancer.url}/a/b?c=d`, {
        method: 'PUT',
        body: '{}',
        headers: { 'content-type': 'application/json' }
      })
      t.equal(response.status, 418)
      t.equal(response.headers.get('x-own'), 'kept')
      t.equal(await response.text(), 'PUT /a/b?c=d')
    })

    t.test('hides /metrics', async (t) => {
      const { balancer, upstreams } = await balance(t, 1)
      for (const path of ['/metrics', '/metrics?x', '/%6detrics']) {
        const response = await fetch(`${balancer.url}${path}`)
        t.equal(response.status, 404, path)
        t.match(await response.json(), { statusCode: 404, code: 'NOT_FOUND', error: 'Not Found', message: String })
      }
      t.equal(upstreams[0]!.requests.length, 0)
    })

    t.test('a replica that breaks off: a GET is repeated elsewhere, a POST never', async (t) => {
      const { balancer, upstreams } = await balance(t, 3)
      const [broken] = upstreams as [Upstream, Upstream, Upstream]
      broken.handle = (request) => request.socket.destroy()

      for (let i = 0; i < 6; i++) t.equal((await fetch(`${balancer.url}/`)).status, 200, 'every GET is answered')
      t.ok(broken.requests.length > 0, 'some of them after it had failed')

      const executed = (): number => upstreams.reduce((sum, { requests }) => sum + requests.length, 0)
      const before = executed()
      const answers = []
      for (let i = 0; i < 6; i++) answers.push(await fetch(`${balancer.url}/`, { method: 'POST', body: '{}' }))
      t.equal(executed() - before, 6, 'each POST reached one replica, once')
      const failed = answers.filter(({ status }) => status !== 200)
      t.equal(failed.length, 2)
      for (const response of failed) {
        t.equal(response.status, 502)
        t.match(await response.json(), { statusCode: 502, code: 'NO_REPLICA', error: 'Bad Gateway', message: String })
      }
    })

    t.test(
      'a replica that refuses connections gets nothing, and a POST that was not sent goes to another',
      async (t) => {
        const alive = await startUpstream(t, 'alive')
        const nobody = { url: `http://127.0.0.1:${await freePort()}` }
        const balancer = await start({ replicas: [nobody, alive, nobody] })
        t.teardown(() => balancer.stop())
        for (const method of ['GET', 'POST', 'GET', 'POST', 'GET', 'POST']) {
          t.equal((await fetch(`${balancer.url}/`, { method })).status, 200, method)
        }
      }
    )

    t.test('nobody there: 502 in the shape of every error, at once', async (t) => {
      const replicas = [
        { url: `http://127.0.0.1:${await freePort()}` },
        { url: `http://127.0.0.1:${await freePort()}` }
      ]
      const balancer = await start({ replicas })
      t.teardown(() => balancer.stop())
      const started = performance.now()
      for (const method of ['GET', 'POST']) {
        const response = await fetch(`${balancer.url}/whoami`, { method })
        t.equal(response.status, 502)
        t.match(await response.json(), { statusCode: 502, code: 'NO_REPLICA' })
      }
      t.ok(performance.now() - started < 1000)
    })

    t.test('an idempotent request that one replica cannot serve at the moment is asked of the next', async (t) => {
      const { balancer, upstreams } = await balance(t, 2)
      upstreams[0]!.handle = (_request, response) => response.writeHead(503).end('{}')
      for (let i = 0; i < 4; i++) t.equal((await fetch(`${balancer.url}/`)).status, 200)
      const statuses = []
      for (let i = 0; i < 4; i++) statuses.push((await fetch(`${balancer.url}/`, { method: 'POST' })).status)
      t.strictSame(statuses.sort(), [200, 200, 503, 503], 'a POST is not')
    })

    t.test('where one is gone and the others cannot serve: their 503, and not that nobody is there', async (t) => {
      const unable = await startUpstream(t, 'unable')
      unable.handle = (_request, response) => response.writeHead(503, { 'retry-after': '1' }).end('{}')
      const balancer = await start({ replicas: [unable, { url: `http://127.0.0.1:${await freePort()}` }] })
      t.teardown(() => balancer.stop())
      for (let i = 0; i < 4; i++) {
        const response = await fetch(`${balancer.url}/whoami`)
        t.equal(response.status, 503)
        t.equal(response.headers.get('retry-after'), '1')
        await response.text()
      }
    })

    t.test('bounds what a client may send', async (t) => {
      const { balancer, upstreams } = await balance(t, 1)
      const large = await fetch(`${balancer.url}/users`, { method: 'POST', body: 'x'.repeat(16 * 1024 + 1) })
      t.equal(large.status, 413)
      t.match(await large.json(), { statusCode: 413, code: 'BODY_TOO_LARGE' })
      const headers = await fetch(`${balancer.url}/`, { headers: { 'x-large': 'x'.repeat(35_000) } })
      t.equal(headers.status, 431)
      t.match(await headers.json(), { statusCode: 431, code: 'HEADERS_TOO_LARGE' })
      t.equal(upstreams[0]!.requests.length, 0)
    })

    // The embedded one keeps no access log, and gives up on a replica that hangs.
    if (kind !== 'nginx') return
    t.test('a replica that hangs: a GET is answered by another, a POST is 504 and not repeated', async (t) => {
      const { balancer, upstreams } = await balance(t, 2)
      upstreams[0]!.handle = () => undefined
      const started = performance.now()
      const get = await Promise.all([fetch(`${balancer.url}/`), fetch(`${balancer.url}/`)])
      t.strictSame(
        get.map(({ status }) => status),
        [200, 200]
      )
      const asked = performance.now()
      const before = upstreams[0]!.requests.length + upstreams[1]!.requests.length
      const post = await Promise.all(
        [1, 2].map(async () => (await fetch(`${balancer.url}/`, { method: 'POST', body: '{}' })).status)
      )
      t.strictSame(post.sort(), [200, 504])
      for (const ms of [asked - started, performance.now() - asked])
        t.ok(ms > 5000 && ms < 7500, `after ${Math.round(ms)} ms`)
      t.equal(upstreams[0]!.requests.length + upstreams[1]!.requests.length - before, 2)
    })

    t.test('what is no HTTP/1 is 400, and HTTP/1.0 without a Host is served', async (t) => {
      const { balancer } = await balance(t, 1)
      const { hostname, port } = new URL(balancer.url)
      const raw = (text: string): Promise<string> =>
        new Promise((resolve, reject) => {
          let answer = ''
          const socket = connect(Number(port), hostname, () => socket.write(text))
          socket.setEncoding('utf8').on('data', (chunk: string) => (answer += chunk))
          socket.on('end', () => resolve(answer)).on('error', reject)
        })
      t.match(await raw('GET / HTTP/1.0\r\n\r\n'), /^HTTP\/1\.1 200 /)
      for (const text of [
        'GET / HTTP/9.9\r\nHost: a\r\n\r\n',
        'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n',
        'GET / HTTP/1.1\r\n\r\n',
        'CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n',
        'GARBAGE\r\n\r\n'
      ]) {
        t.match(await raw(text), /^HTTP\/1\.1 400 [^]*"code":"BAD_REQUEST"/, text)
      }
    })

    t.test('logs each request as JSON, with who answered it and in what time', async (t) => {
      const { balancer, upstreams, log } = await balance(t, 1)
      const response = await fetch(`${balancer.url}/nothing?password=canary`, { method: 'DELETE' })
      t.equal(response.status, 200)
      const find = (): string | undefined => log.find((line) => line.includes('/nothing'))
      for (let i = 0; i < 100 && find() === undefined; i++) await new Promise((resolve) => setTimeout(resolve, 20))
      t.notMatch(find(), 'canary')
      t.match(JSON.parse(find()!), {
        request_id: upstreams[0]!.requests[0]!.headers['x-request-id'],
        client: '127.0.0.1',
        method: 'DELETE',
        path: '/nothing',
        status: 200,
        upstream: new URL(upstreams[0]!.url).host,
        upstream_status: '200',
        upstream_seconds: /^\d+\.\d+$/,
        served_by: 'up-1'
      })
    })
  })
}
