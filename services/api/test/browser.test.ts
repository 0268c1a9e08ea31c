import { spawn } from 'node:child_process'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { findBinary } from '@one-secret/local'
import t, { type Test } from 'tap'
import { buildApp } from '../src/app.js'
import { readConfig } from '../src/config.js'
import { PASSWORD, signUp, startBackends } from './harness.js'

const chromium = findBinary('chromium')

interface Site {
  url: string
  /** What the script of its page returned. */
  results: Promise<unknown>
  /** Each request to /auth and its end, as in `/auth/logout with a cookie: 200`. */
  seen: string[]
}

/**
 * A replica that also serves a page. Its script has `credentials` of a user, and `ask(method, url, body)` for the
 * status and the error's code, and hands what it returns to the test.
 */
async function startSite(t: Test, env: Record<string, string>, script: string): Promise<Site> {
  const app = await buildApp(readConfig({ REPLICA_NAME: 'api', SHUTDOWN_DRAIN_MS: '0', ...env }))
  const seen: string[] = []
  app.addHook('onResponse', async ({ url, headers }, { statusCode }) => {
    if (url.startsWith('/auth/')) seen.push(`${url} ${headers.cookie ? 'with' : 'without'} a cookie: ${statusCode}`)
  })
  app.get('/page', async (_request, reply) => reply.type('text/html').send(page))
  const results = new Promise((resolve) => {
    app.post('/results', async ({ body }) => {
      resolve(body)
      return {}
    })
  })
  await app.ready()
  // Not `app.listen`, after which a loop that is late is overload: a browser's start leaves this process little time.
  await once(app.server.listen(0, '127.0.0.1'), 'listening')
  t.teardown(() => app.close())

  const { username } = await signUp(app)
  const page = `<!doctype html><title>a page</title><script type="module">
    const credentials = ${JSON.stringify({ username, password: PASSWORD, transport: 'cookie' })}
    const json = (body) => ({ headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) })
    const ask = async (method, url, body) => {
      const response = await fetch(url, { method, ...(body && json(body)) })
      const { code } = await response.json()
      return code ? response.status + ' ' + code : response.status
    }
    const results = await (async () => { ${script} })().catch(String)
    await fetch('/results', { method: 'POST', ...json(results) })
  </script>`
  return { url: `http://localhost:${(app.server.address() as AddressInfo).port}`, results, seen }
}

/** Opens the site's page with the profile, until it has handed in its results. */
async function open(profile: string, { url, results }: Site): Promise<unknown> {
  const flags = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run']
  const browser = spawn(chromium!, [...flags, `--user-data-dir=${profile}`, `${url}/page`], { stdio: 'ignore' })
  const exited = once(browser, 'exit')
  const late = setTimeout(() => browser.kill('SIGKILL'), 60_000)
  try {
    return await Promise.race([results, exited.then(() => Promise.reject(new Error('the browser has ended')))])
  } finally {
    clearTimeout(late)
    browser.kill('SIGTERM')
    await exited
  }
}

t.test('a real browser', { skip: chromium ? false : 'no chromium on the PATH' }, async (t) => {
  const { env } = await startBackends(t)

  t.test('keeps the cookies, hides them from scripts, and forgets them at logout', async (t) => {
    const script = `return [
      await ask('POST', '/auth/login', credentials), document.cookie, (await cookieStore.getAll()).length,
      await ask('GET', '/whoami'), await ask('POST', '/auth/refresh'), await ask('GET', '/me/sessions'),
      await ask('POST', '/auth/logout'), await ask('GET', '/whoami'), await ask('POST', '/auth/refresh')
    ]`
    const site = await startSite(t, env, script)
    const after = ['401 TOKEN_MISSING', '400 REFRESH_TOKEN_MISSING']
    t.strictSame(await open(t.testdir(), site), [200, '', 0, 200, 200, 200, 200, ...after])
  })

  t.test('a page of another origin cannot use them, though the browser sends them', async (t) => {
    // Another port is another origin of the same site: SameSite lets its requests have the cookies.
    const attacker = await startSite(
      t,
      env,
      `const victim = location.hash.slice(1)
       const attack = { method: 'POST', mode: 'no-cors', credentials: 'include' }
       for (const path of ['logout', 'refresh']) await fetch(victim + '/auth/' + path, attack)
       return 'tried'`
    )
    const victim = await startSite(
      t,
      env,
      `await ask('POST', '/auth/login', credentials)
       location = '${attacker.url}/page#' + location.origin`
    )
    t.equal(await open(t.testdir(), { ...victim, results: attacker.results }), 'tried')
    t.strictSame(victim.seen, [
      '/auth/login without a cookie: 200',
      '/auth/logout with a cookie: 403',
      '/auth/refresh with a cookie: 403'
    ])
  })
})
