import t from 'tap'
import { logIn, skip, startBrowser, startConsole, visit } from './visit.js'

t.test('what is wrong is said, and goes away by itself', { skip }, async (t) => {
  const { url, cluster } = await startConsole(t, { env: { LOGIN_LIMIT_PER_ACCOUNT: '3' } })
  const browser = await startBrowser(t)
  const { page, complaints } = await visit(browser, url)
  const trouble = (kind: string) => page.locator(`[data-trouble=${kind}]`)
  await page.locator('[data-replica]').nth(2).waitFor()
  await logIn(page)
  t.equal(await page.locator('.troubles p').count(), 0)

  t.test('the balancer does not answer; when it is back, it may be that of another start', async (t) => {
    const command = page.locator('[data-task=roll] code')
    t.equal(await command.textContent(), `kill -USR2 ${process.pid}`)
    await page.route('**/console/started.json', (route) => route.fulfill({ json: { with: 'npm start', pid: 4711 } }))
    await page.context().setOffline(true)
    await trouble('unreachable').waitFor({ timeout: 5000 })
    await page.locator('.tries .asIs button').click()
    await page.locator('.tries .asIs', { hasText: 'nobody answered' }).waitFor()
    await page.context().setOffline(false)
    await trouble('unreachable').waitFor({ state: 'detached', timeout: 5000 })
    await command.getByText('kill -USR2 4711').waitFor()
  })

  const { pid } = cluster.redis
  t.test('Redis hangs: 503, and what is down', { skip: !pid && 'needs redis-server on the PATH' }, async (t) => {
    process.kill(pid!, 'SIGSTOP')
    try {
      await trouble('unavailable').waitFor({ timeout: 10_000 })
      t.match(await trouble('unavailable').textContent(), /redis|denylist|REVOCATION_UNKNOWN/)
      await page.locator('.tries .asIs button').click()
      await page.locator('.tries .asIs', { hasText: 'REVOCATION_UNKNOWN' }).waitFor()
    } finally {
      process.kill(pid!, 'SIGCONT')
    }
    await trouble('unavailable').waitFor({ state: 'detached', timeout: 10_000 })
    await page.locator('.tries .asIs button').click()
    await page.locator('.tries .asIs', { hasText: '200 accepted' }).waitFor()
  })

  t.test('one server hangs: it is silent, the others are not, and the balancer is well', async (t) => {
    const [{ pid, name }] = cluster.replicas as [(typeof cluster.replicas)[number]]
    process.kill(pid, 'SIGSTOP')
    const silent = (): Promise<string[]> => page.locator('.server.silent .name').allTextContents()
    const seen = new Set<string>()
    try {
      await page.locator(`.server.silent[data-replica=${name}]`).waitFor({ timeout: 10_000 })
      for (let i = 0; i < 60; i++) {
        for (const one of [...(await silent()), ...(await page.locator('.troubles p').allTextContents())]) seen.add(one)
        await page.waitForTimeout(100)
      }
    } finally {
      process.kill(pid, 'SIGCONT')
    }
    t.strictSame([...seen], [name])
    await page.locator(`.server.silent[data-replica=${name}]`).waitFor({ state: 'detached', timeout: 10_000 })
  })

  t.test('too many logins: the seconds that are left, counted down', async (t) => {
    const again = page.locator('#log-in').getByRole('button', { name: 'Log in', exact: true })
    for (let i = 0; i < 4; i++) {
      await again.click()
      await page.locator('#log-in button[type=submit]:not([aria-disabled=true])').waitFor()
    }
    await page.locator('#log-in .said', { hasText: 'TOO_MANY_LOGINS' }).waitFor()
    const seconds = async (): Promise<number> =>
      Number(/(\d+) s/.exec((await trouble('limited').textContent()) ?? '')?.[1])
    const first = await seconds()
    t.ok(first > 0 && first <= 60, String(first))
    await page.waitForTimeout(2200)
    t.ok((await seconds()) < first)
  })

  t.test('nobody behind the balancer', async () => {
    for (const replica of cluster.replicas) await replica.kill()
    await trouble('no-replica').waitFor({ timeout: 10_000 })
    await cluster.add('api')
    await trouble('no-replica').waitFor({ state: 'detached', timeout: 10_000 })
  })

  t.test('the clock of the browser is off: it is said, and the time left is right all the same', async (t) => {
    for (const [ahead, text] of [
      [90_000, /90 s ahead of|89 s ahead of|91 s ahead of/],
      [-600_000, /(?:599|600|601) s behind/]
    ] as const) {
      const context = await browser.newContext({ locale: 'en-US' })
      await context.addInitScript(`{ const now = Date.now; Date.now = () => now() + ${ahead} }`)
      const page = await context.newPage()
      await page.goto(url)
      await page.locator('[data-trouble=clock]').waitFor()
      t.match(await page.locator('[data-trouble=clock]').textContent(), text)
      await logIn(page)
      t.match(await page.locator('.whole-token .expires-in b').textContent(), /^1(?:5:00|4:5\d) left$/)
      await context.close()
    }
  })

  t.test('the console of the browser has said nothing', (t) => {
    t.strictSame(complaints, [])
    t.end()
  })
})
