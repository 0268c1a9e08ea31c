import { execFileSync } from 'node:child_process'
import type { Page } from 'playwright-core'
import t from 'tap'
import { logIn, openProfile, skip, startBrowser, startConsole, visit } from './visit.js'

const STORES = ['cookie', 'session', 'local'] as const

t.test('where a browser keeps it', { skip }, async (t) => {
  const { url, cluster } = await startConsole(t)

  /** How many requests without a token the replicas have refused. */
  async function refusedWithoutToken(): Promise<number> {
    const texts = cluster.replicas.map(async (replica) => (await fetch(`${replica.url}/metrics`)).text())
    const counts = (await Promise.all(texts)).map(
      (text) => /^http_errors_total\{.*"TOKEN_MISSING".*\} (\d+)/m.exec(text)?.[1]
    )
    return counts.reduce((sum, count) => sum + Number(count), 0)
  }

  /** Keeps a login in each. The user has signed up. */
  async function keepAll(page: Page): Promise<void> {
    await page.locator('#log-in button[type=submit]').click()
    await page.locator('.whole-token:not(.example)').waitFor()
    for (const store of STORES) {
      const place = page.locator(`[data-store=${store}]`)
      await place.getByRole('button', { name: 'Log in and keep' }).click()
      await place.locator('.state', { hasText: /^kept$/ }).waitFor()
    }
  }
  /** What this load of the page has found in each. */
  async function foundBy(page: Page): Promise<string[]> {
    await page.locator('.found[aria-busy=false]').nth(2).waitFor()
    const all = await page.locator('.found b').allTextContents()
    return all.map((text) => text.replace(/api-\d/, 'a replica'))
  }
  const yes = 'yes: a replica knew you'

  t.test('a reload, a new tab, a script, another site, a logout', async (t) => {
    const browser = await startBrowser(t)
    const { page, complaints } = await visit(browser, url)
    await keepAll(page)
    t.strictSame(await foundBy(page), ['nothing', 'nothing', 'nothing'], 'not by this load')
    for (const store of STORES) {
      const place = page.locator(`[data-store=${store}]`)
      await place.getByRole('button', { name: 'Ask' }).click()
      await place.locator('.said', { hasText: /^GET \/whoami.*200 accepted$/ }).waitFor()
    }
    await page.getByRole('button', { name: 'Reload this page' }).click()
    await page.getByText('This page was reloaded.').waitFor()
    t.strictSame(await foundBy(page), [yes, yes, yes])

    const [tab] = await Promise.all([
      page.context().waitForEvent('page'),
      page.getByRole('link', { name: 'Open a new tab' }).click()
    ])
    await tab.getByText('This page was opened anew.').waitFor()
    t.strictSame(await foundBy(tab), [yes, 'nothing', yes])
    await tab.close()

    await page.getByRole('button', { name: 'Play an injected script' }).click()
    await page.locator('.loot dd', { hasText: 'the browser added the cookie' }).waitFor()
    const loot = await page.locator('.loot dd').allTextContents()
    t.equal(loot[0], 'nothing', 'it cannot read the cookie')
    t.match(loot.slice(1, 3), [/^eyJ/, /^eyJ/])

    const before = await refusedWithoutToken()
    await page.getByRole('button', { name: 'Play another site' }).click()
    await page.locator('.other-site .said', { hasText: 'It sent the request' }).waitFor()
    await page.locator('.other-site .said', { hasText: 'You are still logged in' }).waitFor()
    t.equal(await refusedWithoutToken(), before + 1, 'it has reached a replica, without the cookie')

    // The frame is the page's own doing, so the answer that the API has for it is asked for with the command.
    const command = (await page.locator('[data-task=other-site] code').textContent()) ?? ''
    t.match(execFileSync('bash', ['-c', command]).toString(), /"statusCode":403,"code":"CROSS_SITE_REFUSED"/)

    for (const store of ['session', 'local'] as const) {
      const place = page.locator(`[data-store=${store}]`)
      await place.getByRole('button', { name: 'Log out' }).click()
      await place.locator('.state', { hasText: /^empty$/ }).waitFor()
      // There is a cookie still, and it is not what was asked with.
      await place.getByRole('button', { name: 'Ask' }).click()
      await place.locator('.said', { hasText: /^GET \/whoami.*401 refused ?TOKEN_MISSING/ }).waitFor()
    }
    await page.context().clearCookies()
    await page.getByRole('button', { name: 'Play another site' }).click()
    await page.locator('.other-site .said', { hasText: 'TOKEN_MISSING' }).waitFor()
    t.notMatch(await page.locator('.other-site .said').textContent(), 'logged out', 'nobody has been')
    const cookie = page.locator('[data-store=cookie]')
    await cookie.getByRole('button', { name: 'Ask' }).click()
    await cookie.locator('.said', { hasText: 'did not keep the cookie' }).waitFor()
    await cookie.getByRole('button', { name: 'Log out' }).click()
    await cookie.locator('.state', { hasText: /^empty$/ }).waitFor()
    await page.locator('.other-site .said', { hasText: 'Keep a login in the cookie first.' }).waitFor()
    await page.reload()
    t.strictSame(await foundBy(page), ['nothing', 'nothing', 'nothing'])
    t.strictSame(complaints, [])
  })

  t.test('a browser that lets no page keep anything', async (t) => {
    // What "block all cookies" in Chromium's settings writes.
    const blocked = { profile: { default_content_setting_values: { cookies: 2 } } }
    const context = await openProfile(t.testdir({ Default: { Preferences: JSON.stringify(blocked) } }))
    t.teardown(() => context.close())
    const page = await context.newPage()
    await page.goto(url)
    t.equal(
      await page.evaluate('(() => { try { return localStorage.length } catch (error) { return error.name } })()'),
      'SecurityError'
    )
    await logIn(page)
    for (const store of ['session', 'local']) {
      const place = page.locator(`[data-store=${store}]`)
      await place.getByRole('button', { name: 'Log in and keep' }).click()
      await place.locator('.said', { hasText: 'its site data are blocked' }).waitFor()
      t.equal(await place.locator('.state').textContent(), 'empty')
    }
  })

  t.test('the end of the browser', async (t) => {
    const profile = t.testdir()
    const first = await openProfile(profile)
    const page = await first.newPage()
    await page.goto(url)
    await keepAll(page)
    // Chromium writes its cookies to the disk by and by, and for certain when it ends.
    await first.close()
    const second = await openProfile(profile)
    t.teardown(() => second.close())
    const again = await second.newPage()
    await again.goto(url)
    t.strictSame(await foundBy(again), [yes, 'nothing', yes])
  })
})
