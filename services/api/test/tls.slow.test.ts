import { execFileSync, spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { findBinary, freePort } from '@one-secret/local'
import { Redis } from 'ioredis'
import t from 'tap'
import { bearer, newUsername, PASSWORD, spawnReplica, startBackends, type TokenResponse } from './harness.js'

const [redisServer, openssl] = ['redis-server', 'openssl'].map(findBinary)
const skip = (redisServer === undefined || openssl === undefined) && 'needs redis-server and openssl on the PATH'

const SECRET = 'of-this-test'

t.test('Redis behind TLS and a password, both by the URL', { skip }, async (t) => {
  const dir = t.testdir()
  const [key, certificate, port] = [join(dir, 'key.pem'), join(dir, 'certificate.pem'), await freePort()]
  const subject = ['-subj', '/CN=of-this-test', '-addext', 'subjectAltName=IP:127.0.0.1']
  const making = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '1', '-keyout', key, '-out', certificate]
  execFileSync(openssl!, [...making, ...subject], { stdio: 'ignore' })
  const server = spawn(
    redisServer!,
    ['--port', '0', '--tls-port', `${port}`, '--tls-key-file', key, '--tls-cert-file', certificate]
      .concat('--tls-ca-cert-file', certificate, '--tls-auth-clients', 'no', '--requirepass', SECRET)
      .concat('--dir', dir, '--save', '', '--appendonly', 'no'),
    { stdio: 'ignore' }
  )
  t.teardown(() => server.kill('SIGKILL'))
  const url = `rediss://:${SECRET}@127.0.0.1:${port}`
  const redis = new Redis(url, { protocol: 2, tls: { ca: readFileSync(certificate) }, retryStrategy: () => 50 })
  redis.on('error', () => undefined)
  t.teardown(() => redis.disconnect())
  await redis.ping()

  const { env } = await startBackends(t, { kind: 'embedded' })
  const trusting = { ...env, REDIS_URL: url, NODE_EXTRA_CA_CERTS: certificate }

  await t.test('a logout is final on every replica, and each answers from its own copy', async (t) => {
    const [a, b] = await Promise.all(['a', 'b'].map((REPLICA_NAME) => spawnReplica(t, { ...trusting, REPLICA_NAME })))
    const post = (url: string, body?: object, token?: string) =>
      fetch(url, {
        method: 'POST',
        headers: { ...(body && { 'content-type': 'application/json' }), ...(token !== undefined && bearer(token)) },
        ...(body && { body: JSON.stringify(body) })
      })
    const user = { username: newUsername(), password: PASSWORD }
    t.equal((await post(`${a!.url}/users`, user)).status, 201)
    const { access_token } = (await (await post(`${a!.url}/auth/login`, user)).json()) as TokenResponse
    t.equal((await post(`${a!.url}/auth/logout`, undefined, access_token)).status, 200)
    for (const { url } of [a!, b!]) {
      t.equal((await fetch(`${url}/whoami`, { headers: bearer(access_token) })).status, 401)
    }
    t.equal(await redis.exists('denylist:generation'), 1, 'it is this Redis that they use')
    t.match(await (await fetch(`${b!.url}/metrics`)).text(), /denylist_checks_total\{by="local"[^}]*\} [1-9]/)
  })

  // Most of each is waiting.
  t.jobs = 3
  for (const [what, wrong, words] of [
    ['a certificate that nobody vouches for', { NODE_EXTRA_CA_CERTS: '' }, /self-signed certificate/],
    ['a wrong password', { REDIS_URL: url.replace(SECRET, 'another') }, /WRONGPASS/],
    ['a URL without TLS', { REDIS_URL: url.replace('rediss:', 'redis:') }, /Redis did not answer within 8 s/]
  ] as const) {
    t.test(`with ${what} a replica does not start, and says why`, { buffered: true }, async (t) => {
      const error = await spawnReplica(t, { ...trusting, ...wrong }).then(
        () => t.fail('it started'),
        (error: Error) => error
      )
      t.match((error as Error).message, words)
      t.notMatch((error as Error).message, new RegExp(SECRET), 'the password is not in its log')
    })
  }
})
