import { createHmac } from 'node:crypto'
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

/**
 * Wycheproof's cases for HS256 (`json_web_signature_test.json`, tcId 1–17 and 357–377), by its own names, made anew: from a token
 * that is accepted, so that what is refused is the one thing that was done to it. Its own tokens are signed by its own keys
 * and are refused for that alone.
 */
t.test('the cases of Wycheproof for HS256', async (t) => {
  const header = { alg: 'HS256', typ: 'at+jwt', kid: 'a1' }
  const claims = claimsIn(app.tokens.issue({ sub: crypto.randomUUID(), sid: crypto.randomUUID() }, 60))
  const segment = (text: string): string => Buffer.from(text).toString('base64url')
  const mac = (input: string): string => createHmac('sha256', bytes).update(input).digest('base64url')
  const signed = (head: string, body: string): string => `${head}.${body}.${mac(`${head}.${body}`)}`
  const [head, body] = [segment(JSON.stringify(header)), segment(JSON.stringify(claims))]
  const good = signed(head, body)
  const tag = good.slice(good.lastIndexOf('.') + 1)
  const exchange = (text: string, at: number, by: string): string => text.slice(0, at) + by + text.slice(at + 1)
  const insert = (text: string, at: number, what: string): string => text.slice(0, at) + what + text.slice(at)
  // The last letter of a part of 3n + 1 or 3n + 2 bytes has bits that stand for nothing: blanks make one of such a length.
  const loose = segment(`${JSON.stringify(claims)}${' '.repeat((4 - (JSON.stringify(claims).length % 3)) % 3)}`)
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  const spelledOtherwise = loose.slice(0, -1) + alphabet[alphabet.indexOf(loose.at(-1)!) + 1]!

  const cases: Record<string, string> = {
    rejectsModifiedSignature: `${head}.${body}.${exchange(tag, 0, tag.startsWith('X') ? 'Y' : 'X')}`,
    rejectsMissingSignature: `${head}.${body}.`,
    rejectsMissingSignatureAndSeparator: `${head}.${body}`,
    rejectsModifiedPayload: `${head}.${exchange(body, 20, body[20] === 'X' ? 'Y' : 'X')}.${tag}`,
    rejectsMissingPayload: `${head}..${tag}`,
    rejectsMissingPayloadAndSeparator: `${head}.${tag}`,
    rejectsModifiedHeader: `${exchange(head, 5, head[5] === 'X' ? 'Y' : 'X')}.${body}.${tag}`,
    rejectsMissingHeader: `.${body}.${tag}`,
    rejectsMissingHeaderAndSeparator: `${body}.${tag}`,
    rejectsMissingHeaderAndSignature: `.${body}.`,
    rejectsMissingHeaderSignatureAndSeparators: body,
    rejectsEmptyString: '',
    rejectsExtraEmptyComponent: `${good}.`,
    rejectsExtraComponent: `${good}.foo`,
    rejectsNoneAlgorithmAndMissingSignature: `${segment(JSON.stringify({ ...header, alg: 'none' }))}.${body}.`,
    rejectsValidJsonSerialization: JSON.stringify({
      payload: body,
      signatures: [{ protected: head, header: { unknown: 'untrustworthy' }, signature: tag }]
    }),
    rejectsSpacesInMac: `${head}.${body}.${insert(tag, 10, ' ')}`,
    rejectsInvalidCharacterInsertedInMac: `${head}.${body}.${insert(tag, 10, '?')}`,
    rejects0ReplacedbyInvalidCharacter: `${head}.${body}.${exchange(tag, 10, '?')}`,
    rejectsInvalidCharacters: `${head}.${body}.${tag}!`,
    spacesInHeader: signed(insert(head, 10, ' '), body),
    invalidCharactersInHeader: signed(insert(head, 10, '?'), body),
    invalidBase64Padding: `${head}.${body}.${tag}=`,
    spacesInPayload: signed(head, insert(body, 10, ' ')),
    invalidCharactersInPayload: signed(head, insert(body, 10, '?')),
    invalidBase64PaddingInPayload: signed(head, `${body}=`),
    InvalidCharacterInPayload: signed(head, exchange(body, 10, '?')),
    ModifiedUnusedBitsInPayload: signed(head, spelledOtherwise),
    MacOfIncorrectlyEncodedMessage: `${head}.${body}.${mac(`${head}=.${body}=`)}`,
    // Valid there, and not here: this API made none of them, for it spells a header and a payload in one way.
    acceptsValid: signed(segment('{"alg":"HS256","kid":"a1"}'), segment('foo')),
    ValidMac: signed(segment('{"kid":"a1","alg":"HS256"}'), segment('Test')),
    InvalidCharacterInsertedInHeader: signed(`${head}!`, body),
    InvalidCharacterInsertedInPayload: signed(head, `${body}!`),
    ValidSpacesInJsonHeader: signed(segment('{ "alg" : "HS256", "typ" : "at+jwt", "kid" : "a1" }'), body),
    ValidWhiteSpaceInJsonHeader: signed(segment('{"alg":"HS256","typ":"at+jwt",\n\t"kid":"a1"}'), body)
  }
  t.match(await present(app, good), { status: 200 }, 'what they are made from')
  for (const [name, token] of Object.entries(cases)) {
    const { status, code } = await present(app, token)
    // What is no token68 at all (RFC 7235 §2.1) is refused before anybody takes it for one.
    const malformed = token === '' || /[ ,]/.test(token)
    t.strictSame([status, code], malformed ? [400, 'AUTHORIZATION_MALFORMED'] : [401, 'TOKEN_INVALID'], name)
  }
})
