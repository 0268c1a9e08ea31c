import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { ConfigError, readConfig } from '../src/config.js'
import { newKeyRing } from './harness.js'

const valid = { JWT_KEYS: newKeyRing(), DATABASE_URL: 'postgres://u:p@db/x', REDIS_URL: 'redis://:p@cache' }

function problems(env: NodeJS.ProcessEnv): string[] {
  try {
    readConfig(env)
    return []
  } catch (error) {
    if (error instanceof ConfigError) return error.problems
    throw error
  }
}

t.test('defaults', async (t) => {
  const config = readConfig(valid)
  t.match(config, {
    issuer: 'one-secret',
    audience: 'one-secret-api',
    accessTokenTtlSeconds: 900,
    refreshTokenTtlSeconds: 30 * 86_400,
    host: '0.0.0.0',
    port: 3000,
    trustProxy: [],
    logLevel: 'info',
    shutdownGraceMs: 10_000
  })
})

t.test('an empty setting takes its default, as compose hands on what is not set', async (t) => {
  t.equal(readConfig({ ...valid, ACCESS_TOKEN_TTL: '', JWT_ISSUER: '' }).accessTokenTtlSeconds, 900)
})

t.test('the first key of the ring signs', async (t) => {
  const config = readConfig({ ...valid, JWT_KEYS: `${newKeyRing('new')},${newKeyRing('old')}` })
  t.same(
    config.keyRing.map(({ kid }) => kid),
    ['new', 'old']
  )
})

t.test('everything that is wrong is named in one message', async (t) => {
  const found = problems({ ACCESS_TOKEN_TTL: '900', PORT: 'http', LOG_LEVEL: 'loud', TRUST_PROXY: 'nginx' })
  t.same(found.map((problem) => problem.split(' ')[0]).sort(), [
    'ACCESS_TOKEN_TTL',
    'DATABASE_URL',
    'JWT_KEYS',
    'LOG_LEVEL',
    'PORT',
    'REDIS_URL',
    'TRUST_PROXY'
  ])
  t.ok(found.every((problem) => problem.includes('expected')))
})

const b64 = (text: string | Buffer): string => Buffer.from(text).toString('base64url')
const wrong: [string, string, RegExp][] = [
  ['TRUST_PROXY', '999.1.1.1', /has "999\.1\.1\.1"/],
  ['TRUST_PROXY', '10.0.0.0/33', /has "10\.0\.0\.0\/33"/],
  ['TRUST_PROXY', '10.0.0.0/8/8', /has /],
  ['TRUST_PROXY', 'LOOPBACK', /has "LOOPBACK"/],
  ['TRUST_PROXY', '0.0.0.0/0', /has "0\.0\.0\.0\/0"/],
  ['LOGIN_LIMIT_PER_ACCOUNT', ' ', /not valid/],
  ['LOGIN_LIMIT_PER_ADDRESS', 'Infinity', /not valid/],
  ['LOGIN_LIMIT_PER_ACCOUNT', '1', /too low to repeat/],
  ['REVOCATION_LEASE_MS', 'Infinity', /not valid/],
  ['REVOCATION_LEASE_MS', '9'.repeat(400), /not valid/],
  ['MAX_SESSIONS_PER_USER', '\n', /not valid/],
  ['MAX_SESSIONS_PER_USER', '0x10', /not valid/],
  ['SHUTDOWN_GRACE_MS', '1e3', /not valid/],
  ['SHUTDOWN_DRAIN_MS', '-1', /not valid/],
  ['REDIS_URL', 'redis://:p%zz@cache', /not written as %25/],
  ['JWT_AUDIENCE', '日', /of ASCII/],
  ['REDIS_URL', 'redis://localhost:6379/abc', /no number/],
  ['REDIS_URL', 'redis:/localhost', /not such a URL/],
  ['JWT_ISSUER', 'x'.repeat(257), /1 to 256/],
  ['JWT_KEYS', 'k1', /not kid:base64url/],
  ['JWT_KEYS', 'k1:', /number 1.*0 bytes/],
  ['JWT_KEYS', ':abc', /not kid:base64url/],
  ['JWT_KEYS', `k1:${b64('short')}`, /of 5 bytes/],
  ['JWT_KEYS', `k1:${'!'.repeat(44)}`, /not unpadded base64url/],
  ['JWT_KEYS', `${newKeyRing()},`, /number 2.*not kid:base64url/],
  ['JWT_KEYS', `${newKeyRing()},${newKeyRing()}`, /"k1" twice/],
  ['JWT_KEYS', `k/1:${b64('x'.repeat(32))}`, /not kid:base64url/],
  ['JWT_KEYS', `k1:${b64('x'.repeat(64))}`, /known weak/],
  ['JWT_KEYS', `k1:${b64('0123456789'.repeat(4))}`, /known weak/],
  ['JWT_KEYS', `k1:${b64('your-256-bit-secret-for-hs256-signing')}`, /known weak/],
  ['JWT_KEYS', `k1:${b64('my-super-secret-key-that-is-long-enough')}`, /known weak/],
  ['ACCESS_TOKEN_TTL', '900', /"900"/],
  ['ACCESS_TOKEN_TTL', '1.5s', /"1.5s"/],
  ['ACCESS_TOKEN_TTL', '0s', /out of range/],
  ['ACCESS_TOKEN_TTL', '16m', /out of range/],
  ['ACCESS_TOKEN_TTL', '15 bananas', /not a whole number/],
  ['REFRESH_TOKEN_TTL', '2y', /out of range/],
  ['REFRESH_TOKEN_TTL', '-1d', /not a whole number/],
  ['REFRESH_TOKEN_TTL', '14m', /shorter than ACCESS_TOKEN_TTL/],
  ['DATABASE_URL', 'mysql://db', /not such a URL/],
  ['DATABASE_URL', 'db', /not such a URL/],
  ['REDIS_URL', 'http://cache', /not such a URL/],
  ['PORT', '65536', /not valid/],
  ['PORT', '80.5', /not valid/],
  ['REPLICA_NAME', 'a b', /not valid/],
  ['REVOCATION_MODE', 'never', /not valid/],
  ['LOG_LEVEL', 'verbose', /not valid/],
  ['TRUST_PROXY', '*', /"\*"/],
  ['SHUTDOWN_GRACE_MS', '10s', /not valid/]
]
for (const [name, value, expected] of wrong) {
  t.test(`${name}=${value.slice(0, 24)} is refused`, async (t) => {
    const found = problems({ ...valid, [name]: value })
    t.equal(found.length, 1)
    t.match(found[0], new RegExp(`^${name} `))
    t.match(found[0], expected)
  })
}

t.test('no secret is repeated in a complaint', async (t) => {
  const canary = 'canary-canary-canary'
  const text = problems({
    JWT_KEYS: `k1:${b64(canary)}`,
    DATABASE_URL: `mysql://user:${canary}@db`,
    REDIS_URL: `nonsense-${canary}`
  }).join('\n')
  t.notMatch(text, canary)
  t.notMatch(text, b64(canary))
})

t.test('a secret may stand in a file', async (t) => {
  const file = join(t.testdir(), 'keys')
  writeFileSync(file, `${newKeyRing('from-file')}\n`)
  const others = { DATABASE_URL: valid.DATABASE_URL, REDIS_URL: valid.REDIS_URL }
  t.equal(readConfig({ ...others, JWT_KEYS_FILE: file }).keyRing[0].kid, 'from-file')
  t.match(problems({ ...others, JWT_KEYS_FILE: `${file}-not` }), [
    /^JWT_KEYS cannot be read from JWT_KEYS_FILE, \S+ \(ENOENT\)/
  ])
  t.match(problems({ ...valid, JWT_KEYS_FILE: file }), [/^JWT_KEYS and JWT_KEYS_FILE are both set/])
})
