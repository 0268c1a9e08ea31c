import { randomUUID } from 'node:crypto'
import { NO_SERVERS, startCluster, type LaneName } from '@one-secret/local'
import t from 'tap'

// Two of each kind, and all of it on a machine that has nothing.
const cluster = await startCluster({
  replicas: 2,
  port: 0,
  host: '127.0.0.1',
  balancer: 'embedded',
  postgres: undefined,
  redis: 'embedded',
  compare: true,
  env: { ...process.env, ...NO_SERVERS }
})
t.teardown(() => cluster.stop())
const { url } = cluster.balancer
const pools = cluster.pools!

const credentials = { username: `ada-${randomUUID().slice(0, 8)}`, password: 'correct horse battery staple' }
const post = (path: string, headers: Record<string, string> = {}): Promise<Response> =>
  fetch(`${url}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify(credentials)
  })
t.equal((await post('/users')).status, 201)

/** @returns what a browser would send from now on, and the cookies as they were set */
async function logIn(lane: LaneName): Promise<{ headers: Record<string, string>; cookies: string[] }> {
  const response = await post(`/lanes/${lane}/auth/login`)
  t.equal(response.status, 200)
  const { access_token: token } = (await response.json()) as { access_token?: string }
  const cookies = response.headers.getSetCookie()
  if (token !== undefined) return { headers: { authorization: `Bearer ${token}` }, cookies }
  return { headers: { cookie: cookies.map((one) => one.split(';')[0]).join('; ') }, cookies }
}

/** Whom so many requests came to, and with what answer. */
async function visit(lane: LaneName, headers: Record<string, string>, times: number): Promise<string[]> {
  const answers = []
  for (let i = 0; i < times; i++) {
    const response = await fetch(`${url}/lanes/${lane}/whoami`, { headers })
    answers.push(`${response.status} ${response.headers.get('x-served-by')}`)
  }
  return answers
}

const distinct = (all: string[]): string[] => [...new Set(all)].sort()

t.test('memory: one server knows the session, and the other does not', async (t) => {
  const { headers, cookies } = await logIn('memory')
  t.match(cookies, [/^session=.*; Path=\/lanes\/memory;/], 'kept to its lane')
  const answers = distinct(await visit('memory', headers, 4))
  t.equal(answers.length, 2)
  t.strictSame(answers.map((answer) => answer.slice(0, 3)).sort(), ['200', '401'])
})

t.test('sticky: always the same server, until it dies; then another, which does not know the session', async (t) => {
  const { headers, cookies } = await logIn('sticky')
  t.match(cookies, [/^session=.*; Path=\/lanes\/sticky;/, /^lane_sticky=[0-9a-f]{32}; Path=\/lanes\/sticky; HttpOnly/])
  const [first, ...others] = distinct(await visit('sticky', headers, 6))
  t.strictSame(others, [])
  t.match(first, /^200 sessions-memory-/)

  const index = pools['sessions-memory'].findIndex(({ name }) => first?.endsWith(name))
  const [victim] = pools['sessions-memory'].splice(index, 1)
  await victim!.kill()
  const response = await fetch(`${url}/lanes/sticky/whoami`, { headers })
  t.equal(response.status, 401)
  t.match(await response.json(), { code: 'SESSION_UNKNOWN' })
  t.match(response.headers.getSetCookie().at(-1), /^lane_sticky=/, 'and from now on that one')

  const added = await cluster.add('sessions-memory')
  t.equal(added.name, 'sessions-memory-3')
  const servers = new Set<string | null>()
  for (let i = 0; i < 4; i++) servers.add((await post('/lanes/sticky/auth/login')).headers.get('x-served-by'))
  t.ok(servers.has(added.name), 'who is added is sent new logins')
})

for (const lane of ['cluster', 'jwt', 'single'] as const) {
  t.test(`${lane}: every server knows who it is`, async (t) => {
    const { headers } = await logIn(lane)
    const answers = distinct(await visit(lane, headers, 4))
    t.equal(answers.length, 2, 'both were asked')
    t.ok(
      answers.every((answer) => answer.startsWith('200 ')),
      String(answers)
    )
  })
}

t.test('single: the next login ends the one before it', async (t) => {
  const { headers } = await logIn('single')
  await logIn('single')
  const answers = await visit('single', headers, 4)
  t.ok(
    answers.every((answer) => answer.startsWith('401 ')),
    String(answers)
  )
})

t.test('the metrics of a server are not to be had by its lane', async (t) => {
  for (const path of ['/lanes/jwt/metrics', '/lanes/memory/%6detrics', '/lanes/cluster//metrics']) {
    t.equal((await fetch(`${url}${path}`)).status, 404, path)
  }
})
