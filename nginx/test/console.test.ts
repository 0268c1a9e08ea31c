import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { createServer, request as httpRequest, type IncomingHttpHeaders, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { createExitHook, createTempDir, findBinary, layOutConsole, startNginx, startProxy } from '@one-secret/local'
import t from 'tap'

const skip = findBinary('nginx') === undefined ? 'nginx is not on the PATH' : false

/** Of an answer, what a browser goes by. */
const COMPARED = [
  'content-type',
  'content-length',
  'cache-control',
  'content-security-policy',
  'x-content-type-options',
  'referrer-policy',
  'x-served-by'
]

t.test('the page: nginx and the embedded balancer answer alike', { skip }, async (t) => {
  const replica = createServer((request, response) => {
    request.resume().on('end', () => {
      response.writeHead(404, { 'content-type': 'application/json', 'x-served-by': 'api' })
      response.end(request.method === 'HEAD' ? undefined : `{"asked":"${request.method} ${request.url}"}`)
    })
  }).listen(0, '127.0.0.1')
  await once(replica, 'listening')
  t.teardown(() => {
    replica.closeAllConnections()
    replica.close()
  })
  const replicas = [{ url: `http://127.0.0.1:${(replica.address() as AddressInfo).port}` }]
  const temp = createTempDir(createExitHook())
  t.teardown(() => temp.remove())
  const started = { with: 'npm start', pid: 12_345 } as const
  layOutConsole(temp.path, started)
  const balancers = {
    nginx: await startNginx({ replicas, console: temp.path }),
    embedded: await startProxy({ replicas, console: temp.path })
  }
  t.teardown(async () => void (await Promise.all(Object.values(balancers).map((balancer) => balancer.stop()))))

  interface Answer {
    status: number
    body: string
    headers: IncomingHttpHeaders
  }
  async function ask(url: string, method: string, path: string, headers: Record<string, string>): Promise<Answer> {
    const { hostname, port } = new URL(url)
    const body = method === 'POST' ? '{}' : method === 'PUT' ? ' '.repeat(16 * 1024 + 1) : ''
    const sent = body === '' ? {} : { 'content-type': 'application/json', 'content-length': body.length }
    const request = httpRequest({ hostname, port, path, method, headers: { ...headers, ...sent }, agent: false })
    request.on('error', () => undefined).end(body)
    const [response] = (await once(request, 'response')) as [IncomingMessage]
    return { status: response.statusCode!, body: await text(response), headers: response.headers }
  }

  const page = readFileSync(join(temp.path, 'index.html'), 'utf8')
  const assets = readdirSync(join(temp.path, 'assets'))
  const find = (ending: string): string => `/console/assets/${assets.find((name) => name.endsWith(ending))}`
  const served = { 'x-served-by': 'api' }
  const immutable = { 'cache-control': 'public, max-age=31536000, immutable', 'x-content-type-options': 'nosniff' }
  const policy =
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
  const html = {
    'content-type': 'text/html; charset=utf-8',
    'cache-control': 'no-cache',
    'content-security-policy': policy,
    'x-content-type-options': 'nosniff',
    'referrer-policy': 'same-origin',
    'x-served-by': undefined
  }
  const rows: [request: string, status: number, headers: Record<string, string | undefined>, body?: string | RegExp][] =
    [
      ['GET /', 200, html, page],
      ['GET /?from=somewhere', 200, html, page],
      ['HEAD /', 200, html, ''],
      ['POST /', 404, served, '{"asked":"POST /"}'],
      ['PUT /', 413, {}, /"code":"BODY_TOO_LARGE"/],
      ['PUT /console/started.json', 413, {}, /"code":"BODY_TOO_LARGE"/],
      [`PUT ${find('.js')}`, 413, {}, /"code":"BODY_TOO_LARGE"/],
      ['DELETE /', 404, served, '{"asked":"DELETE /"}'],
      ['OPTIONS /', 404, served, '{"asked":"OPTIONS /"}'],
      [`GET ${find('.css')}`, 200, { 'content-type': 'text/css; charset=utf-8', ...immutable }],
      [`GET ${find('.js')}`, 200, { 'content-type': 'application/javascript; charset=utf-8', ...immutable }],
      [`GET ${find('.svg')}`, 200, { ...immutable }],
      [`HEAD ${find('.js')}`, 200, { 'content-type': 'application/javascript; charset=utf-8', ...immutable }, ''],
      [`POST ${find('.js')}`, 404, served],
      ['GET /console/assets/nothing.js', 404, { 'cache-control': undefined }, /"code":"NOT_FOUND"/],
      ['HEAD /console/assets/nothing.js', 404, { 'cache-control': undefined }, ''],
      ['GET /console/assets/', 404, { 'cache-control': undefined }, /"code":"NOT_FOUND"/],
      [
        'GET /console/started.json',
        200,
        { 'content-type': 'application/json; charset=utf-8', 'cache-control': 'no-store' },
        JSON.stringify(started)
      ],
      ['POST /console/started.json', 404, served],
      // All else is a replica's, as it has always been.
      ['GET /console', 404, served],
      ['GET /console/', 404, served],
      ['GET /index.html', 404, served, '{"asked":"GET /index.html"}'],
      ['GET /whoami', 404, served],
      ['GET /docs', 404, served]
    ]
  for (const [row, status, headers, body] of rows) {
    await t.test(row, async (t) => {
      const [method, path] = row.split(' ') as [string, string]
      const [nginx, embedded] = await Promise.all(Object.values(balancers).map(({ url }) => ask(url, method, path, {})))
      for (const answer of [nginx!, embedded!]) {
        t.equal(answer.status, status)
        for (const [name, value] of Object.entries(headers)) t.equal(answer.headers[name], value, name)
        if (body !== undefined) t.match(answer.body, body)
      }
      if (nginx!.headers['x-served-by'] === undefined) t.equal(embedded!.body, nginx!.body)
      const compared = ({ headers }: Answer): object =>
        Object.fromEntries(COMPARED.map((name) => [name, headers[name]]))
      if (status === 200) t.strictSame(compared(embedded!), compared(nginx!))
    })
  }

  t.test('nothing beside the page can be had', async (t) => {
    for (const { url } of Object.values(balancers)) {
      for (const path of ['/console/assets/../../../etc/passwd', '/console/assets/..%2f..%2f..%2fetc%2fpasswd']) {
        const { status } = await ask(url, 'GET', path, {})
        t.ok(status === 400 || status === 404, `${path}: ${status}`)
      }
    }
  })

  t.test('what has not changed is not sent again', async (t) => {
    for (const { url } of Object.values(balancers)) {
      const { headers } = await ask(url, 'GET', '/', {})
      t.equal((await ask(url, 'GET', '/', { 'if-none-match': headers.etag! })).status, 304)
    }
  })

  t.test('nginx sends it compressed', async (t) => {
    for (const path of ['/', find('.js'), find('.css')]) {
      t.equal(
        (await ask(balancers.nginx.url, 'GET', path, { 'accept-encoding': 'gzip' })).headers['content-encoding'],
        'gzip'
      )
    }
  })
})
