import { compactVerify, SignJWT } from 'jose'
import t from 'tap'
import type {} from '../../src/plugins/tokens.js'
import { buildReplica, present, startBackends } from '../harness.js'
import { claimsIn } from './forge.js'

// The key and the tokens of RFC 7515 appendix A.1 and A.5; A.1 is also the example of RFC 7519 §3.1.
const key = 'AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow'
const payload = 'eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ'
const a1 = `eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.${payload}.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk`
const a5 = `eyJhbGciOiJub25lIn0.${payload}.`

const { env } = await startBackends(t)
const app = await buildReplica(t, { ...env, JWT_KEYS: `a1:${key}` })
const bytes = Buffer.from(key, 'base64url')

t.test('RFC 7515 A.1 and RFC 7519 §3.1: well signed with our key, and not ours', async (t) => {
  const verified = await compactVerify(a1, bytes)
  t.match(JSON.parse(Buffer.from(verified.payload).toString()), { iss: 'joe', exp: 1300819380 })
  t.strictSame(await present(app, a1), { status: 401, code: 'TOKEN_INVALID' })
})

t.test('RFC 7515 A.5 and RFC 7519 §6.1: not signed at all', async (t) => {
  t.strictSame(await present(app, a5), { status: 401, code: 'TOKEN_INVALID' })
})

t.test('what another library signs as we do is accepted, so it is the content that is refused above', async (t) => {
  const claims = claimsIn(app.tokens.issue({ sub: crypto.randomUUID(), sid: crypto.randomUUID() }, 60))
  const header = { alg: 'HS256', typ: 'at+jwt', kid: 'a1' }
  t.match(await present(app, await new SignJWT(claims).setProtectedHeader(header).sign(bytes)), { status: 200 })
  // The classes of Wycheproof's HMAC tests, made here: another key, an altered tag, a tag cut off, none, another hash.
  const altered = { ...claims, jti: crypto.randomUUID() }
  for (const [name, token] of Object.entries({
    'another key': await new SignJWT(altered).setProtectedHeader(header).sign(Buffer.alloc(64, 1)),
    'the key with a byte more': await new SignJWT(altered)
      .setProtectedHeader(header)
      .sign(Buffer.concat([bytes, Buffer.from([1])])),
    'the key cut off': await new SignJWT(altered).setProtectedHeader(header).sign(bytes.subarray(0, 32)),
    'another hash': await new SignJWT(altered).setProtectedHeader({ ...header, alg: 'HS512' }).sign(bytes),
    'no kid': await new SignJWT(altered).setProtectedHeader({ alg: 'HS256', typ: 'at+jwt' }).sign(bytes)
  })) {
    t.strictSame(await present(app, token), { status: 401, code: 'TOKEN_INVALID' }, name)
  }
  const token = await new SignJWT(altered).setProtectedHeader(header).sign(bytes)
  const tag = Buffer.from(token.slice(token.lastIndexOf('.') + 1), 'base64url')
  const signed = token.slice(0, token.lastIndexOf('.'))
  for (let bit = 0; bit < 256; bit++) {
    const flipped = Buffer.from(tag)
    flipped[bit >> 3]! ^= 1 << (bit & 7)
    const { status } = await present(app, `${signed}.${flipped.toString('base64url')}`)
    if (status !== 401) t.fail(`bit ${bit} of the tag flipped: ${status}`)
  }
  for (let length = 0; length < 32; length++) {
    const { status } = await present(app, `${signed}.${tag.subarray(0, length).toString('base64url')}`)
    if (status !== 401) t.fail(`a tag of ${length} bytes: ${status}`)
  }
  t.match(await present(app, token), { status: 200 })
})
