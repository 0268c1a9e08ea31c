import fc from 'fast-check'
import t from 'tap'
import type {} from '../../src/plugins/tokens.js'
import { bearer, buildReplica, logIn, startBackends } from '../harness.js'
import { claimsIn, createForger } from './forge.js'

const { env } = await startBackends(t)
const app = await buildReplica(t, env)
const forger = createForger(env['JWT_KEYS']!)
const { access_token: good, refresh_token } = await logIn(app)
const claims = claimsIn(good)

/** The good token with a few of its characters replaced, removed, doubled or moved. */
const mutated = fc
  .array(
    fc.tuple(
      fc.nat(good.length - 1),
      fc.constantFrom('replace', 'remove', 'double', 'cut'),
      fc.string({ maxLength: 2 })
    ),
    {
      minLength: 1,
      maxLength: 4
    }
  )
  .map((edits) =>
    edits.reduce((token, [at, edit, text]) => {
      if (edit === 'replace') return token.slice(0, at) + text + token.slice(at + 1)
      if (edit === 'remove') return token.slice(0, at) + token.slice(at + 1)
      if (edit === 'double') return token.slice(0, at) + token.slice(Math.max(0, at - 1))
      return token.slice(0, at)
    }, good)
  )
const base64url = fc.uint8Array({ maxLength: 64 }).map((bytes) => Buffer.from(bytes).toString('base64url'))
const parts = fc
  .array(fc.oneof(base64url, fc.constantFrom(...good.split('.'))), { maxLength: 5 })
  .map((all) => all.join('.'))
/** Signed with the right key: another claim, or another value of one. */
const signed = fc
  .tuple(fc.oneof(fc.constantFrom(...Object.keys(claims)), fc.string()), fc.jsonValue())
  .filter(([name, value]) => JSON.stringify(claims[name]) !== JSON.stringify(value))
  // An own scope, replica, or subject is one that this service could have given.
  .filter(([name, value]) => !(['scope', 'replica'].includes(name) && typeof value === 'string'))
  .map(([name, value]) => forger.forge({ ...claims, [name]: value }))
const signedText = fc.oneof(fc.json(), fc.string()).map((text) => forger.forge(text))
const tokens = fc
  .oneof({ arbitrary: mutated, weight: 4 }, parts, fc.string(), signed, signedText)
  .filter((token) => token !== good)

t.test('100,000 random and mutated tokens: none is accepted, none is a fault', async (t) => {
  const codes = new Map<string, number>()
  const check = fc.property(tokens, (token) => {
    try {
      app.tokens.verify(token)
    } catch (error) {
      const { statusCode, code } = error as { statusCode: number; code: string }
      codes.set(code, (codes.get(code) ?? 0) + 1)
      return statusCode === 401
    }
    return false
  })
  t.doesNotThrow(() => fc.assert(check, { numRuns: 100_000 }))
  t.ok([...codes.keys()].every((code) => /^TOKEN_(INVALID|EXPIRED)$/.test(code)))
  t.comment(Object.fromEntries(codes))
})

t.test('a thousand of them in the header, and as many as refresh tokens: 400 or 401', async (t) => {
  const answers = fc.asyncProperty(tokens, fc.constantFrom(good, refresh_token), async (token, other) => {
    const header = token.replace(/[^\x20-\x7e]/g, '')
    const whoami = await app.inject({ url: '/whoami', headers: bearer(header) })
    const payload = { refresh_token: token === refresh_token ? other.slice(1) : token }
    const refreshed = await app.inject({ method: 'POST', url: '/auth/refresh', payload })
    return [whoami, refreshed].every(({ statusCode }) => statusCode === 400 || statusCode === 401)
  })
  await t.resolves(fc.assert(answers, { numRuns: 1000 }))
})

t.test('bodies of any kind: 4xx in the shape of errors', async (t) => {
  const body = fc.oneof(
    fc.json(),
    fc.string(),
    fc
      .record({ username: fc.jsonValue(), password: fc.jsonValue(), more: fc.jsonValue() })
      .map((value) => JSON.stringify(value)),
    fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes))
  )
  const routes = fc.constantFrom(
    ['POST', '/users'],
    ['POST', '/auth/login'],
    ['POST', '/auth/refresh'],
    ['PUT', '/me/password']
  )
  const answers = fc.asyncProperty(routes, body, async ([method, url], payload) => {
    const headers = { ...bearer(good), 'content-type': 'application/json' }
    const response = await app.inject({ method: method as 'POST', url, headers, payload })
    const { statusCode } = response
    return statusCode >= 400 && statusCode < 500 && response.json<{ statusCode: number }>().statusCode === statusCode
  })
  await t.resolves(fc.assert(answers, { numRuns: 2000 }))
})
