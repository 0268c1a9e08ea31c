import { connect } from 'node:net'
import { findBinary, startNginx, startProxy } from '@one-secret/local'
import t from 'tap'
import { buildReplica, logIn, spawnReplica, startBackends } from '../harness.js'
import { complaints } from './rows.js'

const { env } = await startBackends(t)
const replica = await spawnReplica(t, { ...env, TRUST_PROXY: '127.0.0.1' })
const app = await buildReplica(t, env)
const { access_token } = await logIn(app)

/** Sends it as it stands; resolves with what came back once the other side has closed, and after how long. */
function send(base: string, text: string | Buffer, drip?: () => string): Promise<{ answer: string; ms: number }> {
  return new Promise((resolve) => {
    const { hostname, port } = new URL(base)
    const started = performance.now()
    let answer = ''
    const socket = connect(Number(port), hostname, () => socket.write(text))
    const timer = drip && setInterval(() => socket.writable && socket.write(drip()), 300)
    const late = setTimeout(() => socket.destroy(), 30_000)
    socket.setEncoding('latin1').on('data', (chunk: string) => (answer += chunk))
    // A server may hang up on somebody who is still talking.
    socket.on('error', () => undefined)
    socket.on('close', () => {
      clearInterval(timer)
      clearTimeout(late)
      resolve({ answer, ms: performance.now() - started })
    })
  })
}

const get = (lines: string): string => `GET /whoami HTTP/1.1\r\nHost: a\r\nConnection: close\r\n${lines}\r\n`
const post = (lines: string, body: string): string =>
  `POST /auth/refresh HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Type: application/json\r\n${lines}\r\n${body}`
const own = `Authorization: Bearer ${access_token}\r\n`

/** Each is refused, by the two balancers and by a replica itself: how, and with which code where a replica has one of its own. */
const broken: Record<string, [text: string, status: number, code: string, ofReplica?: string]> = {
  'no HTTP': ['GARBAGE\r\n\r\n', 400, 'BAD_REQUEST'],
  'a version to come': ['GET / HTTP/9.9\r\nHost: a\r\nConnection: close\r\n\r\n', 400, 'BAD_REQUEST'],
  'the preface of HTTP/2': ['PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 400, 'BAD_REQUEST'],
  'a method in small letters': [get(own).replace('GET', 'get'), 400, 'BAD_REQUEST'],
  'no Host': [`GET /whoami HTTP/1.1\r\nConnection: close\r\n${own}\r\n`, 400, 'BAD_REQUEST'],
  'two Hosts': [get(`Host: b\r\n${own}`), 400, 'BAD_REQUEST'],
  'a NUL in a header': [get(`${own}X-A: a\0b\r\n`), 400, 'BAD_REQUEST'],
  'a NUL in the path': [get(own).replace('whoami', 'who\0ami'), 400, 'BAD_REQUEST'],
  'a CR in a header': [get(own.replace('\r\n', '\rX-A: b\r\n')), 400, 'BAD_REQUEST'],
  'a header without a name': [get(`${own}: b\r\n`), 400, 'BAD_REQUEST'],
  'a header with a blank before its colon': [get(`${own}X-A : b\r\n`), 400, 'BAD_REQUEST'],
  'a folded header (obs-fold, RFC 9112 §5.2)': [get(`${own}X-A: b\r\n c\r\n`), 400, 'BAD_REQUEST'],
  'headers of 35 kB': [get(`${own}X-A: ${'x'.repeat(35_000)}\r\n`), 431, 'HEADERS_TOO_LARGE'],
  'a token of 1 MB': [get(`Authorization: Bearer ${'a'.repeat(1_000_000)}\r\n`), 431, 'HEADERS_TOO_LARGE'],
  'two Authorizations': [get(own + own), 400, 'BAD_REQUEST', 'AUTHORIZATION_MALFORMED'],
  'a good Authorization before another': [
    get(`${own}Authorization: Basic YTpi\r\n`),
    400,
    'BAD_REQUEST',
    'AUTHORIZATION_MALFORMED'
  ],
  'a good Authorization behind another': [
    get(`Authorization: Basic YTpi\r\n${own}`),
    400,
    'BAD_REQUEST',
    'AUTHORIZATION_MALFORMED'
  ],
  'a tab after Bearer': [get(own.replace('Bearer ', 'Bearer\t')), 400, 'AUTHORIZATION_MALFORMED'],
  'a tab in the token': [get(own.replace('.', '\t.')), 400, 'AUTHORIZATION_MALFORMED'],
  'a token of bytes': [get('Authorization: Bearer \xff\xfe\r\n'), 401, 'TOKEN_INVALID'],
  'a length and chunks (RFC 9112 §6.3)': [
    post('Content-Length: 2\r\nTransfer-Encoding: chunked\r\n', '0\r\n\r\n'),
    400,
    'BAD_REQUEST'
  ],
  'chunks and a length': [post('Transfer-Encoding: chunked\r\nContent-Length: 2\r\n', '0\r\n\r\n'), 400, 'BAD_REQUEST'],
  'two lengths': [post('Content-Length: 2\r\nContent-Length: 3\r\n', '{}'), 400, 'BAD_REQUEST'],
  'a length that is none': [post('Content-Length: +2\r\n', '{}'), 400, 'BAD_REQUEST'],
  'a negative length': [post('Content-Length: -1\r\n', '{}'), 400, 'BAD_REQUEST'],
  'chunks twice': [
    post('Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n', '0\r\n\r\n'),
    400,
    'BAD_REQUEST'
  ],
  'chunks twice in one header': [post('Transfer-Encoding: chunked, chunked\r\n', '0\r\n\r\n'), 400, 'BAD_REQUEST'],
  'another encoding': [post('Transfer-Encoding: gzip\r\n', '{}'), 400, 'BAD_REQUEST'],
  'a chunk whose size is none': [post('Transfer-Encoding: chunked\r\n', 'zz\r\n{}\r\n0\r\n\r\n'), 400, 'BAD_REQUEST'],
  CONNECT: ['CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\nConnection: close\r\n\r\n', 400, 'BAD_REQUEST'],
  'a path that cannot be read': [get(own).replace('/whoami', '/%'), 400, 'BAD_REQUEST'],
  'a path of bytes': [get(own).replace('/whoami', '/%ff%fe'), 400, 'BAD_REQUEST']
}

/** Odd, and no reason to refuse: what counts is that the answer is the one that anybody gets. */
const odd: Record<string, [text: string, status: number | string]> = {
  'HTTP/1.0 without a Host': ['GET /health/live HTTP/1.0\r\n\r\n', 200],
  'a path in absolute form': [`GET http://a/whoami HTTP/1.1\r\nHost: a\r\nConnection: close\r\n${own}\r\n`, 200],
  'two slashes': [`GET //whoami HTTP/1.1\r\nHost: a\r\nConnection: close\r\n${own}\r\n`, '40[04]'],
  'an expectation that nobody knows': [get(`${own}Expect: a miracle\r\n`), 200],
  'an Upgrade to nothing that is known': [get(`${own}Upgrade: h2c\r\n`), 200],
  'a header of 9 kB': [get(`${own}X-A: ${'x'.repeat(9000)}\r\n`), 200],
  'a query of 9 kB': [get(own).replace('/whoami', `/whoami?${'x'.repeat(9000)}`), 200],
  HEAD: [`HEAD /health/live HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`, 200]
}

const nginx = findBinary('nginx') === undefined ? undefined : await startNginx({ replicas: [replica] })
const embedded = await startProxy({ replicas: [replica] })
t.teardown(() => Promise.all([nginx?.stop(), embedded.stop()]))

for (const [way, url] of Object.entries({ nginx: nginx?.url, embedded: embedded.url, replica: replica.url })) {
  const skip = url === undefined ? 'no nginx on the PATH' : false
  t.test(`broken HTTP to ${way}: 4xx in the shape of errors`, { skip }, async (t) => {
    for (const [name, [text, status, code, ofReplica = code]] of Object.entries(broken)) {
      const { answer } = await send(url!, Buffer.from(text, 'latin1'))
      t.match(answer, new RegExp(`^HTTP/1\\.1 ${status} `), name)
      t.equal(answer.split('HTTP/1.1 ').length, 2, `${name}: one answer`)
      const [head = '', body = ''] = answer.split('\r\n\r\n')
      const headers = Object.fromEntries(
        head.split('\r\n').map((line) => {
          const at = line.indexOf(': ')
          return [line.slice(0, at).toLowerCase(), line.slice(at + 2)]
        })
      )
      const row = { name, status, code: way === 'replica' ? ofReplica : code }
      t.strictSame(complaints(row, { status, headers, body }), [], name)
      if (way === 'replica') t.match(headers, { 'x-served-by': /./ }, name)
    }
  })

  t.test(`odd HTTP to ${way} gets what anybody gets`, { skip }, async (t) => {
    for (const [name, [text, status]] of Object.entries(odd)) {
      const { answer } = await send(url!, text)
      t.match(answer, new RegExp(`^HTTP/1\\.1 ${status} `), `${name}: ${answer.slice(0, 200)}`)
    }
  })
}

/** As `send`, from a client that never closes its own side: resolves with whether the other closes, and does not only end. */
function isLeft(base: string, text: string): Promise<boolean> {
  return new Promise((resolve) => {
    const { hostname, port } = new URL(base)
    const socket = connect({ host: hostname, port: Number(port), allowHalfOpen: true }, () => socket.write(text))
    const probes: NodeJS.Timeout[] = []
    // What is written to one who has closed is reset.
    socket.on('end', () =>
      probes.push(
        setInterval(() => socket.write('x'), 200),
        setTimeout(() => resolve(false), 4000)
      )
    )
    socket.resume().on('error', () => resolve(true))
    socket.on('close', () => probes.forEach(clearTimeout))
    t.teardown(() => socket.destroy())
  })
}

for (const [way, url] of Object.entries({ embedded: embedded.url, replica: replica.url })) {
  t.test(`a CONNECT does not hurt the ${way}`, async (t) => {
    const text = 'CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n'
    const { hostname, port } = new URL(url)
    // A client that is gone before its answer; that ended the process.
    for (let i = 0; i < 50; i++) {
      await new Promise<void>((resolve) => {
        const socket = connect(Number(port), hostname, () => socket.write(text, () => socket.resetAndDestroy()))
        socket.on('error', () => undefined).on('close', () => resolve())
      })
    }
    t.ok(await isLeft(url, text), 'a client that does not close is not kept')
    t.equal((await fetch(`${url}/health/live`)).status, 200)
  })
}

t.test(
  'nobody waits for those who are slow on purpose',
  { skip: nginx ? false : 'no nginx on the PATH' },
  async (t) => {
    const head = 'GET /whoami HTTP/1.1\r\nHost: a\r\n'
    const body =
      'POST /auth/login HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 10000\r\n\r\n{'
    // Headers that come drop by drop, and a body that does not come at all. Their bounds are 5 s at a balancer, 6 s and 10 s
    // at a replica; the rest is for a busy machine.
    const sent = [nginx!, embedded, replica].flatMap(({ url }) => [
      send(url, head, () => 'X-A: b\r\n'),
      send(url, body)
    ])
    const left = [embedded, replica].flatMap(({ url }) => [isLeft(url, head), isLeft(url, body)])
    for (const { answer, ms } of await Promise.all(sent)) {
      t.ok(ms > 3000 && ms < 16_000, `closed after ${Math.round(ms)} ms`)
      t.ok(answer === '' || /^HTTP\/1\.1 4\d\d /.test(answer), answer.slice(0, 100))
    }
    t.strictSame(
      await Promise.all(left),
      [true, true, true, true],
      'nor is one kept that does not close after its answer'
    )
  }
)
