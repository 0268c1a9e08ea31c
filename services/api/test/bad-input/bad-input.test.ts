import { createHmac } from 'node:crypto'
import { request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { findBinary, startNginx, startProxy } from '@one-secret/local'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { bearer, buildReplica, logIn, present, refresh, startBackends } from '../harness.js'
import { badBodies } from './bodies.js'
import { claimsIn, createForger } from './forge.js'
import { badHeaders } from './headers.js'
import { complaints, type Answer, type Row } from './rows.js'
import { hostileTokens } from './tokens.js'

const { env } = await startBackends(t)
const app = await buildReplica(t, { ...env, TRUST_PROXY: '127.0.0.1' })
await app.listen({ host: '127.0.0.1', port: 0 })
const replica = { url: `http://127.0.0.1:${(app.server.address() as AddressInfo).port}` }

const forger = createForger(env['JWT_KEYS']!)
const { access_token: good, refresh_token: goodRefresh } = await logIn(app)

async function inject(app: FastifyInstance, { method = 'GET', url = '/whoami', headers, body }: Row): Promise<Answer> {
  const response = await app.inject({
    method,
    url,
    headers: headers ?? {},
    ...(body !== undefined && { payload: body })
  })
  return { status: response.statusCode, headers: response.headers, body: response.body }
}

/** Not fetch, which mends what it is given. */
function send(base: string, { method = 'GET', url = '/whoami', headers, body }: Row): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const length = body === undefined ? {} : { 'content-length': Buffer.byteLength(body) }
    const sent = request(`${base}${url}`, { method, headers: { ...headers, ...length } }, (response) => {
      let text = ''
      response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
      response.on('end', () => resolve({ status: response.statusCode!, headers: response.headers, body: text }))
    })
    sent.on('error', reject).end(body)
  })
}

t.test('what the rows are made from is good', async (t) => {
  t.match(await present(app, good), { status: 200 })
  t.match(await present(app, forger.forge(claimsIn(good))), { status: 200 })
  const skewed = { ...claimsIn(good), iat: Math.floor(Date.now() / 1000) + 3 }
  t.match(await present(app, forger.forge(skewed)), { status: 200 }, 'from a clock that is three seconds ahead')
  t.equal((await refresh(app, goodRefresh)).statusCode, 200)
})

t.test('an empty body is no body, whatever type it says it has', async (t) => {
  const { access_token } = await logIn(app)
  const headers = { ...bearer(access_token), 'content-type': 'application/json' }
  t.equal((await app.inject({ method: 'POST', url: '/auth/logout', headers })).statusCode, 200)
})

t.test('a refresh token signed with the key of access tokens is refused', async (t) => {
  const [mark, kid, grant] = goodRefresh.split('.') as [string, string, string]
  for (const secret of [forger.secret, Buffer.alloc(32), Buffer.alloc(0)]) {
    const mac = createHmac('sha256', secret).update(`${kid}.${grant}`).digest('base64url')
    t.match((await refresh(app, `${mark}.${kid}.${grant}.${mac}`)).json(), { code: 'REFRESH_TOKEN_INVALID' })
  }
})

const balancers = {
  nginx: findBinary('nginx') === undefined ? undefined : startNginx,
  embedded: startProxy
}
const ways: Record<string, ((row: Row) => Promise<Answer>) | undefined> = { inject: (row) => inject(app, row) }
for (const [name, start] of Object.entries(balancers)) {
  const balancer = await start?.({ replicas: [replica] })
  if (balancer) t.teardown(() => balancer.stop())
  ways[name] = balancer && ((row) => send(balancer.url, row))
}

for (const [way, ask] of Object.entries(ways)) {
  for (const [kind, rows] of Object.entries({
    tokens: () => hostileTokens(forger, good),
    headers: () => badHeaders(good),
    bodies: () => badBodies(good)
  })) {
    t.test(`bad ${kind}, by ${way}`, { skip: ask ? false : 'no nginx on the PATH' }, async (t) => {
      for (const row of rows()) t.strictSame(complaints(row, await ask!(row)), [], row.name)
    })
  }
}
