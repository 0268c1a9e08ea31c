import type { Row } from './rows.js'

const PASSWORD = 'correct horse battery staple'
const arrays = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth)
const objects = (depth: number): string => '{"a":'.repeat(depth) + '1' + '}'.repeat(depth)
const json = { 'content-type': 'application/json' }

/** Of every route that has a body: what it takes, and for each property what it does not. */
interface Route {
  method: 'POST' | 'PUT'
  url: string
  headers?: Record<string, string>
  right: object
  wrong: Record<string, unknown[]>
}

function routes(good: string): Route[] {
  const text = [null, 1, true, [], {}, '', '\u0000', '\ud800']
  return [
    {
      method: 'POST',
      url: '/users',
      right: { username: 'ada', password: PASSWORD },
      wrong: {
        username: [...text, 'a', 'a'.repeat(33), 'a da', '-ada', 'ädä', 'a\u0000'],
        password: [...text, 'fourteen chars', 'x'.repeat(129), `${PASSWORD}\u0000`, `${PASSWORD}\ud800`]
      }
    },
    {
      method: 'POST',
      url: '/auth/login',
      right: { username: 'ada', password: PASSWORD },
      wrong: {
        username: [...text, 'a'.repeat(65)],
        password: [...text, 'x'.repeat(129), `${PASSWORD}\u0000`, `${PASSWORD}\ud800`],
        expires_in: [null, '60', 0, -1, 1.5],
        transport: [null, 1, '', 'header', ['cookie']]
      }
    },
    {
      method: 'POST',
      url: '/auth/refresh',
      right: { refresh_token: 'rt.x.y.z' },
      wrong: { refresh_token: [null, 1, [], {}, '', 'x'.repeat(4097)], expires_in: [null, '60', 0, 1.5] }
    },
    {
      method: 'PUT',
      url: '/me/password',
      headers: { authorization: `Bearer ${good}` },
      right: { old_password: PASSWORD, new_password: PASSWORD },
      wrong: {
        old_password: [...text, 'x'.repeat(129)],
        new_password: [...text, 'fourteen chars', 'x'.repeat(129)]
      }
    }
  ]
}

export function badBodies(good: string): Row[] {
  return routes(good).flatMap(({ method, url, headers: own, right, wrong }) => {
    const row = (name: string, body: string | Buffer, status: number, code: string, headers: object = json): Row => ({
      name: `${method} ${url}: ${name}`,
      method,
      url,
      headers: { ...own, ...headers },
      body,
      status,
      code
    })
    const text = JSON.stringify(right)
    const invalid = Buffer.from(text.replace(/"([^"]*)"}$/, '"$1\u0001"}'))
    invalid[invalid.indexOf(1)] = 0xff
    return [
      row('no JSON', '{', 400, 'BODY_NOT_JSON'),
      row('half of it', text.slice(0, -1), 400, 'BODY_NOT_JSON'),
      row('twice', text + text, 400, 'BODY_NOT_JSON'),
      row('not UTF-8', invalid, 400, 'BODY_NOT_JSON'),
      row('__proto__', text.replace('{', '{"__proto__":{"a":1},'), 400, 'BODY_NOT_JSON'),
      row('constructor.prototype', text.replace('{', '{"constructor":{"prototype":{}},'), 400, 'BODY_NOT_JSON'),
      row('an array', '[]', 400, 'VALIDATION_FAILED'),
      row('a string', '"x"', 400, 'VALIDATION_FAILED'),
      // As deep as the limit of the body lets anybody go, and then 10,000.
      row('8,000 arrays deep', arrays(8000), 400, 'VALIDATION_FAILED'),
      row('2,700 objects deep', objects(2700), 400, 'VALIDATION_FAILED'),
      row('10,000 arrays deep', arrays(10_000), 413, 'BODY_TOO_LARGE'),
      row('8,000 deep in a property', text.replace(/:"[^"]*"/, `:${arrays(8000)}`), 400, 'VALIDATION_FAILED'),
      row('__proto__ further in', text.replace('{', '{"a":{"b":[{"__proto__":{"a":1}}]},'), 400, 'BODY_NOT_JSON'),
      row('a NUL as it is', text.replace(/"}$/, '\0"}'), 400, 'BODY_NOT_JSON'),
      row('a property more', JSON.stringify({ ...right, admin: true }), 400, 'VALIDATION_FAILED'),
      row('17 KiB', `{"x":"${'a'.repeat(17_000)}"}`, 413, 'BODY_TOO_LARGE'),
      row('a form', 'username=ada', 415, 'UNSUPPORTED_MEDIA_TYPE', {
        'content-type': 'application/x-www-form-urlencoded'
      }),
      row('plain text', text, 415, 'UNSUPPORTED_MEDIA_TYPE', { 'content-type': 'text/plain' }),
      row('of a type that is none', text, 415, 'UNSUPPORTED_MEDIA_TYPE', { 'content-type': 'garbage' }),
      row('of no type', text, 415, 'UNSUPPORTED_MEDIA_TYPE', {}),
      ...(url === '/auth/refresh'
        ? [row('nothing in it', '{}', 400, 'REFRESH_TOKEN_MISSING'), row('empty', '', 400, 'REFRESH_TOKEN_MISSING')]
        : [
            row('nothing in it', '{}', 400, 'VALIDATION_FAILED'),
            row('empty', '', 400, 'VALIDATION_FAILED'),
            row('null', 'null', 400, 'VALIDATION_FAILED')
          ]),
      ...Object.entries(wrong).flatMap(([name, values]) =>
        values.map((value) =>
          row(
            `${name} ${JSON.stringify(value).slice(0, 40)}`,
            JSON.stringify({ ...right, [name]: value }),
            400,
            'VALIDATION_FAILED'
          )
        )
      )
    ]
  })
}
