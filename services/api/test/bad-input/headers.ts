import type { Row } from './rows.js'

const ACCESS = '__Host-access_token'
const REFRESH = '__Secure-refresh_token'

/** What cannot be read in one way only, and what is not a token at all. */
export function badHeaders(good: string): Row[] {
  const [header, payload, signature] = good.split('.')
  const whoami = (name: string, headers: Row['headers'], status: number, code: string): Row => ({
    name,
    ...(headers && { headers }),
    status,
    code
  })
  return [
    whoami('no Authorization', undefined, 401, 'TOKEN_MISSING'),
    whoami('Basic', { authorization: 'Basic dXNlcjpwYXNz' }, 401, 'TOKEN_MISSING'),
    whoami('a scheme alone', { authorization: 'Digest' }, 401, 'TOKEN_MISSING'),
    whoami('an empty Authorization', { authorization: '' }, 400, 'AUTHORIZATION_MALFORMED'),
    whoami('bare Bearer', { authorization: 'Bearer' }, 400, 'AUTHORIZATION_MALFORMED'),
    whoami('Bearer and blanks', { authorization: 'Bearer   ' }, 400, 'AUTHORIZATION_MALFORMED'),
    whoami('two tokens', { authorization: `Bearer ${good} ${good}` }, 400, 'AUTHORIZATION_MALFORMED'),
    whoami('a comma list', { authorization: `Bearer ${good},Bearer ${good}` }, 400, 'AUTHORIZATION_MALFORMED'),
    whoami('a tab', { authorization: `Bearer\t${good}` }, 400, 'AUTHORIZATION_MALFORMED'),
    whoami(
      'a blank in the token',
      { authorization: `Bearer ${good.replace('.', '. ')}` },
      400,
      'AUTHORIZATION_MALFORMED'
    ),
    whoami(
      'a JWS in JSON',
      { authorization: `Bearer ${JSON.stringify({ payload, protected: header, signature })}` },
      400,
      'AUTHORIZATION_MALFORMED'
    ),
    whoami(
      'a bad header beside a good cookie',
      { authorization: 'Bearer x', cookie: `${ACCESS}=${good}` },
      401,
      'TOKEN_INVALID'
    ),
    whoami('two cookies', { cookie: `${ACCESS}=${good}; ${ACCESS}=${good}` }, 400, 'COOKIE_MALFORMED'),
    whoami('a cookie in quotes', { cookie: `${ACCESS}="${good}x"` }, 401, 'TOKEN_INVALID'),
    whoami('an empty cookie', { cookie: `${ACCESS}=` }, 401, 'TOKEN_INVALID'),
    whoami('a cookie of another name', { cookie: `access_token=${good}; ${ACCESS}2=${good}` }, 401, 'TOKEN_MISSING'),
    { name: 'a token in the query string', url: `/whoami?access_token=${good}`, status: 401, code: 'TOKEN_MISSING' },
    {
      name: 'a cookie, and nothing says where from',
      method: 'POST',
      url: '/auth/logout',
      headers: { cookie: `${ACCESS}=${good}` },
      status: 403,
      code: 'CROSS_SITE_REFUSED'
    },
    {
      name: 'a refresh cookie from another site',
      method: 'POST',
      url: '/auth/refresh',
      headers: { cookie: `${REFRESH}=rt.x.y.z`, 'sec-fetch-site': 'cross-site' },
      status: 403,
      code: 'CROSS_SITE_REFUSED'
    },
    {
      name: 'a session that is no UUID',
      method: 'DELETE',
      url: '/me/sessions/1',
      headers: { authorization: `Bearer ${good}` },
      status: 400,
      code: 'VALIDATION_FAILED'
    },
    { name: 'a path that is none', url: '/nothing', status: 404, code: 'NOT_FOUND' },
    { name: 'a method that is none there', method: 'DELETE', url: '/whoami', status: 404, code: 'NOT_FOUND' }
  ]
}
