const encode = (value: object): string =>
  btoa(JSON.stringify(value)).replaceAll('=', '').replaceAll('+', '-').replaceAll('/', '_')

const nobody = '00000000-0000-4000-8000-000000000000'

/** As long as a real one, so that nothing moves when that comes; signed by nobody. */
export const EXAMPLE = [
  encode({ alg: 'HS256', typ: 'at+jwt', kid: 'k1' }),
  encode({
    iss: 'one-secret',
    aud: 'one-secret-api',
    sub: nobody,
    sid: nobody,
    jti: nobody,
    scope: 'user',
    replica: 'api-1',
    iat: 1_000_000_000,
    exp: 1_000_000_900
  }),
  'A'.repeat(43)
].join('.')
