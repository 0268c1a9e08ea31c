import { createHmac, generateKeyPairSync, randomUUID, sign } from 'node:crypto'
import { claimsIn, segment, type Forger } from './forge.js'
import type { Row } from './rows.js'

/**
 * Each is signed with the right secret where it is signed at all: what is refused is what it says. To be asked at once, for
 * some are about to expire.
 */
export function hostileTokens(forger: Forger, good: string): Row[] {
  const { kid, secret } = forger
  const forge: Forger['forge'] = (...args) => forger.forge(...args)
  const claims = claimsIn(good)
  const [header, payload, signature] = good.split('.') as [string, string, string]
  const without = (name: string): object => Object.fromEntries(Object.entries(claims).filter(([key]) => key !== name))
  const now = Math.floor(Date.now() / 1000)
  const raw = JSON.stringify(claims)

  const tokens: Record<string, string> = {
    'alg none, no signature (RFC 8725 §3.1)': `${segment({ alg: 'none', typ: 'at+jwt', kid })}.${payload}.`,
    'alg none, the old signature': `${segment({ alg: 'none', typ: 'at+jwt', kid })}.${payload}.${signature}`,
    'alg None': `${segment({ alg: 'None', typ: 'at+jwt', kid })}.${payload}.`,
    'alg NONE': `${segment({ alg: 'NONE', typ: 'at+jwt', kid })}.${payload}.`,
    'alg nOnE': `${segment({ alg: 'nOnE', typ: 'at+jwt', kid })}.${payload}.${signature}`,
    'alg missing': forge(claims, { alg: undefined }),
    'alg null': forge(claims, { alg: null }),
    'alg a list': forge(claims, { alg: ['HS256'] }),
    'alg hs256': forge(claims, { alg: 'hs256' }),
    'alg HS384 (RFC 8725 §3.2)': forge(claims, { alg: 'HS384' }, secret, 'sha384'),
    'alg HS512': forge(claims, { alg: 'HS512' }, secret, 'sha512'),
    'alg HS256, signed with SHA-512 cut off': forge(claims, {}, secret, 'sha512').slice(0, good.length),
    'alg RS256 with the secret (RFC 8725 §3.1)': forge(claims, { alg: 'RS256' }),
    'alg ES256 with the secret': forge(claims, { alg: 'ES256' }),
    'alg RS256, signed as it says': signedBy('RS256', claims, kid),
    'alg ES256, signed as it says': signedBy('ES256', claims, kid),
    'typ missing (RFC 8725 §3.11)': forge(claims, { typ: undefined }),
    'typ JWT': forge(claims, { typ: 'JWT' }),
    'typ refresh': forge(claims, { typ: 'refresh' }),
    'typ AT+JWT': forge(claims, { typ: 'AT+JWT' }),
    'kid missing': forge(claims, { kid: undefined }),
    'kid unknown': forge(claims, { kid: 'k9' }),
    'kid blank': forge(claims, { kid: '' }),
    'kid a number': forge(claims, { kid: 1 }),
    'kid null': forge(claims, { kid: null }),
    'kid a list with the right one': forge(claims, { kid: [kid] }),
    'kid __proto__': forge(claims, { kid: '__proto__' }),
    'kid constructor': forge(claims, { kid: 'constructor' }),
    'kid a path (RFC 8725 §3.10)': forge(claims, { kid: '../../dev/null' }, Buffer.alloc(0)),
    'kid SQL (RFC 8725 §3.10)': forge(claims, { kid: "' OR 1=1 --" }),
    'crit empty': forge(claims, { crit: [] }),
    'crit known': forge(claims, { crit: ['exp'] }),
    'crit unknown': forge(claims, { crit: ['x-unknown'], 'x-unknown': true }),
    'crit a string': forge(claims, { crit: 'exp' }),
    'crit null': forge(claims, { crit: null }),
    'b64 false, and not in crit': forge(claims, { b64: false }),
    'b64 false': forge(claims, { b64: false, crit: ['b64'] }),
    'zip (RFC 8725 §3.6)': forge(claims, { zip: 'DEF' }),
    'jwk of the attacker (RFC 8725 §3.10)': forge(claims, { jwk: { kty: 'oct', k: 'AAAA' } }, Buffer.alloc(3)),
    'jku of the attacker (RFC 8725 §3.10)': forge(claims, { jku: 'https://attacker.example/keys' }),
    'x5u of the attacker (RFC 8725 §3.10)': forge(claims, { x5u: 'https://attacker.example/cert' }),
    'x5c of the attacker': forge(claims, { x5c: ['AAAA'] }),
    'cty JWT': forge(claims, { cty: 'JWT' }),
    'header with a key twice': twice(secret, kid, payload),
    'header with a blank': blanks(secret, kid, payload),
    'header an array': `${segment(['HS256'])}.${payload}.${signature}`,
    'header no JSON': `${Buffer.from('{').toString('base64url')}.${payload}.${signature}`,
    'header empty': `.${payload}.${signature}`,
    'payload empty': `${header}..${signature}`,
    'signature missing (RFC 8725 §3.3)': `${header}.${payload}.`,
    'signature cut off': `${header}.${payload}`,
    'signature null': `${header}.${payload}.null`,
    'signature undefined': `${header}.${payload}.undefined`,
    'signature of zeros': `${header}.${payload}.${'A'.repeat(43)}`,
    'signature shortened': good.slice(0, -1),
    'signature of half its bytes': good.slice(0, -21),
    'signature lengthened': `${good}A`,
    'signature padded': `${good}=`,
    'signature of the empty key (RFC 8725 §3.5)': forge(claims, {}, Buffer.alloc(0)),
    'signature of another key': forge(claims, {}, Buffer.alloc(32, 7)),
    'signature of another payload': `${header}.${segment({ ...claims, sub: randomUUID() })}.${signature}`,
    'signature with its first bit flipped': `${header}.${payload}.${signature.startsWith('A') ? 'B' : 'A'}${signature.slice(1)}`,
    'a part more': `${good}.x`,
    'five parts, as a JWE': `${good}.x.x`,
    'one part': header,
    'two parts, and no dot behind them': `${payload}.${signature}`,
    'four parts, the last empty': `${good}.`,
    'dots alone': '..',
    'dots at the front': `..${good}`,
    'standard base64 alphabet': `${header}.${payload}.${'+'.repeat(43)}`,
    'payload an array': forge([]),
    'payload a string': forge('"x"'),
    'payload a number': forge('1'),
    'payload null': forge('null'),
    'payload true': forge('true'),
    'payload nothing, signed': forge(''),
    'payload no JSON': forge('{'),
    'payload not UTF-8 (RFC 8725 §3.7)': signedBytes(secret, header, Buffer.from([0x7b, 0xff, 0xfe, 0x7d])),
    'payload in UTF-16 (RFC 8725 §3.7)': signedBytes(secret, header, Buffer.from(raw, 'utf16le')),
    'payload with blanks': forge(JSON.stringify(claims, null, 1)),
    'payload with a BOM': forge(`\ufeff${raw}`),
    'payload with a key twice': forge(raw.replace('{', `{"sub":"${randomUUID()}",`)),
    'payload with __proto__': forge(raw.replace('{', '{"__proto__":{"a":1},')),
    'a claim more': forge({ ...claims, admin: true }),
    'nbf in the future': forge({ ...claims, nbf: now + 60 }),
    'nbf in the past': forge({ ...claims, nbf: now - 60 }),
    'nbf null': forge({ ...claims, nbf: null }),
    'nbf a string': forge({ ...claims, nbf: 'tomorrow' }),
    'exp a string': forge({ ...claims, exp: String(claims.exp) }),
    'exp a fraction': forge({ ...claims, exp: claims.exp + 0.5 }),
    'exp beyond the years there are': forge({ ...claims, exp: 8_640_000_000_001 }),
    'exp negative': forge({ ...claims, exp: -1 }),
    'exp 1e300': forge(raw.replace(/"exp":\d+/, '"exp":1e300')),
    'exp 1e999': forge(raw.replace(/"exp":\d+/, '"exp":1e999')),
    'exp with an exponent': forge(raw.replace(/"exp":(\d+)/, '"exp":$1e0')),
    'exp a year ahead': forge({ ...claims, exp: claims.iat + 31_536_000 }),
    'exp a second further than any life': forge({ ...claims, exp: claims.iat + 901 }),
    'exp before iat, both to come': forge({ ...claims, iat: now + 4, exp: now + 3 }),
    'exp at iat, both to come': forge({ ...claims, iat: now + 4, exp: now + 4 }),
    'iat in the future': forge({ ...claims, iat: now + 60, exp: now + 120 }),
    'iat a string': forge({ ...claims, iat: String(claims.iat) }),
    'a refresh token, in a JWT of our own making (RFC 8725 §3.12)': forge(
      { sid: claims['sid'], generation: 1 },
      { typ: 'rt+jwt' }
    ),
    'an ID token of ours (RFC 8725 §3.12)': forge({ ...claims, nonce: 'n' }, { typ: 'JWT' }),
    'a logout token of ours (RFC 8725 §3.12)': forge({ ...claims, events: {} }, { typ: 'logout+jwt' }),
    'sub not a UUID (RFC 8725 §3.8)': forge({ ...claims, sub: 'ada' }),
    'aud an array (RFC 8725 §3.9)': forge({ ...claims, aud: [claims['aud']] }),
    'aud of another service (RFC 8725 §3.9)': forge({ ...claims, aud: 'another-api' }),
    'aud an array with another (RFC 8725 §3.9)': forge({ ...claims, aud: [claims['aud'], 'another-api'] }),
    'iss an array': forge({ ...claims, iss: [claims['iss']] }),
    'iss wrong (RFC 8725 §3.8)': forge({ ...claims, iss: 'https://attacker.example' }),
    'iss in other letters': forge({ ...claims, iss: String(claims['iss']).toUpperCase() })
  }
  for (const name of ['iss', 'aud', 'sub', 'sid', 'jti', 'scope', 'replica', 'iat', 'exp']) {
    tokens[`${name} missing`] = forge(without(name))
    for (const value of [null, true, 0, '', {}, []]) {
      // An empty scope is a scope.
      if (name !== 'scope' || value !== '')
        tokens[`${name} ${JSON.stringify(value)}`] = forge({ ...claims, [name]: value })
    }
  }
  for (const name of ['sub', 'sid', 'jti']) {
    tokens[`${name} a number other than 0`] = forge({ ...claims, [name]: 1 })
    tokens[`${name} a word`] = forge({ ...claims, [name]: 'ada' })
    tokens[`${name} in capitals`] = forge({ ...claims, [name]: randomUUID().toUpperCase().replace(/^./, 'A') })
    tokens[`${name} without dashes`] = forge({ ...claims, [name]: randomUUID().replaceAll('-', '') })
    tokens[`${name} with a line behind it`] = forge({ ...claims, [name]: `${randomUUID()}\n` })
    tokens[`${name} of three thousand letters`] = forge({ ...claims, [name]: 'a'.repeat(3000) })
  }
  // The sixteen last characters that are canonical stand for sixteen values; each has three others for the same bytes.
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
  const last = alphabet.indexOf(good.at(-1)!)
  for (const other of [1, 2, 3]) {
    tokens[`the same signature spelled otherwise, ${other}`] = good.slice(0, -1) + alphabet[last + other]!
  }

  const rows = Object.entries(tokens).map(([name, token]): Row => {
    return { name, headers: { authorization: `Bearer ${token}` }, status: 401, code: 'TOKEN_INVALID' }
  })
  for (const [name, exp] of [
    ['exp long ago', 1_300_819_380],
    ['exp a second ago', now - 1],
    ['exp now', now]
  ] as const) {
    const token = forge({ ...claims, iat: exp - 60, exp })
    rows.push({ name, headers: { authorization: `Bearer ${token}` }, status: 401, code: 'TOKEN_EXPIRED' })
  }
  return rows
}

const hmac = (secret: Buffer, input: string): string => createHmac('sha256', secret).update(input).digest('base64url')

function signedBytes(secret: Buffer, header: string, payload: Buffer): string {
  const input = `${header}.${payload.toString('base64url')}`
  return `${input}.${hmac(secret, input)}`
}

function withHeader(secret: Buffer, header: string, payload: string): string {
  const input = `${Buffer.from(header).toString('base64url')}.${payload}`
  return `${input}.${hmac(secret, input)}`
}
const twice = (secret: Buffer, kid: string, payload: string): string =>
  withHeader(secret, `{"alg":"HS256","typ":"at+jwt","kid":"k9","kid":"${kid}"}`, payload)
const blanks = (secret: Buffer, kid: string, payload: string): string =>
  withHeader(secret, `{"alg": "HS256","typ":"at+jwt","kid":"${kid}"}`, payload)

// Once, and before anything waits for an answer: it takes its time, and all of this process'.
const keys = {
  RS256: generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey,
  ES256: generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
}

function signedBy(alg: keyof typeof keys, claims: object, kid: string): string {
  const input = `${segment({ alg, typ: 'at+jwt', kid })}.${segment(claims)}`
  const signature = sign('sha256', Buffer.from(input), { key: keys[alg], dsaEncoding: 'ieee-p1363' })
  return `${input}.${signature.toString('base64url')}`
}
