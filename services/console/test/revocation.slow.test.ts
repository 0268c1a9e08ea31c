import t, { type Test } from 'tap'
import { logIn, skip, startBrowser, startConsole, visit } from './visit.js'

t.test('taking a token back', { skip }, async (t) => {
  const { url, cluster } = await startConsole(t)
  const browser = await startBrowser(t)
  const { page, complaints } = await visit(browser, url)
  const names = cluster.replicas.map(({ name }) => name).sort()
  const card = (name: string) => page.locator(`[data-browser=${name}]`)
  const button = (name: string, label: string) => card(name).getByRole('button', { name: label })
  const stateOf = (name: string): Promise<string | null> => card(name).locator('.state').textContent()

  await page.locator('[data-replica]').nth(2).waitFor()
  await logIn(page)
  await button('B', 'Log in').click()
  await page.locator('[data-session]:not(.ended)').nth(1).waitFor()

  /** What is shown when a logout is through: each replica refuses, and nobody was let in after the answer. */
  async function expectRefusals(t: Test): Promise<void> {
    await page.locator('.sum', { hasText: 'requests were sent' }).waitFor()
    t.strictSame((await page.locator('.refusal .replica').allTextContents()).sort(), names)
    for (const text of await page.locator('.refusal p span:last-child').allTextContents()) {
      t.match(text, /^first refusal seen at \d+ ms$/)
    }
    const [, sent, accepted] =
      /^(\d+) requests .* (\d+) were/.exec((await page.locator('.sum').textContent()) ?? '') ?? []
    t.ok(Number(sent) >= 3, `${sent} were sent after the answer`)
    t.equal(accepted, '0')
    t.ok((await page.locator('.refusal .refused circle').count()) >= 3)
    t.strictSame((await page.locator('.receipt .replica').allTextContents()).sort(), names, 'the receipt names them')
    t.match(await page.locator('.receipt').textContent(), /[\d.]+ ms \(at the most \d+ ms\)/)
  }

  t.test('a logout of one browser is seen to arrive at each replica, and leaves the other alone', async (t) => {
    await button('B', 'Log out').click()
    await expectRefusals(t)
    t.ok((await page.locator('.refusal .accepted circle').count()) > 0, 'it had been good until then')
    t.equal(await stateOf('B'), 'ended')
    t.equal(await stateOf('A'), 'logged in')
    await button('B', 'Who am I?').click()
    await card('B').getByText('TOKEN_REVOKED').waitFor()
    await button('A', 'Who am I?').click()
    await card('A').getByText('200 accepted').waitFor()
    await page.locator('[data-session]:not(.ended)').nth(1).waitFor({ state: 'detached' })
  })

  t.test('a device is ended from another', async (t) => {
    await button('B', 'Log in').click()
    await page.locator('[data-session]:not(.ended)').nth(1).waitFor()
    await page.locator('[data-session]:not(.ended)', { hasText: 'Browser B' }).getByRole('button').click()
    await page.locator('[data-browser=B] .state', { hasText: 'ended' }).waitFor()
    await expectRefusals(t)
    t.equal(await stateOf('A'), 'logged in')
  })

  t.test('the list is asked for anew, without those that have ended', async (t) => {
    await page.locator('[data-session=ended]').nth(1).waitFor()
    await page.getByRole('button', { name: 'List the devices' }).click()
    await page.locator('[data-session]').nth(1).waitFor({ state: 'detached' })
    t.equal(await page.locator('[data-session=ended]').count(), 0)
  })

  t.test('log out everywhere', async (t) => {
    await button('B', 'Log in').click()
    await page.locator('[data-session]:not(.ended)').nth(1).waitFor()
    await page.getByRole('button', { name: 'Log out everywhere' }).click()
    await page.locator('[data-browser=A] .state', { hasText: 'ended' }).waitFor()
    t.equal(await stateOf('B'), 'ended')
    await expectRefusals(t)
    for (const name of ['A', 'B']) {
      await button(name, 'Who am I?').click()
      await card(name).getByText('TOKEN_REVOKED').waitFor()
    }
    t.ok(await page.getByRole('button', { name: 'Log out everywhere' }).isDisabled())
  })

  /** With a new token: there is one already, that has ended. */
  async function logInA(): Promise<void> {
    await logIn(page)
    await page.locator('[data-browser=A] .state', { hasText: /^logged in$/ }).waitFor()
  }

  t.test('who logs in with another name is somebody else, whose devices are listed and ended alone', async (t) => {
    await button('B', 'Log in').click()
    await page.locator('[data-session]:not(.ended)', { hasText: 'Browser B' }).waitFor()
    await page.locator('input[name=username]').fill(`bob-${Date.now()}`)
    await logInA()
    await button('A', 'Log in').click()
    await page.locator('[data-session]:not(.ended)', { hasText: 'Browser A' }).waitFor()
    t.equal(await page.locator('[data-session=ended]').count(), 0, 'the first has not ended')
    await page.getByRole('button', { name: 'Log out everywhere' }).click()
    await page.locator('[data-browser=A] .state', { hasText: 'ended' }).waitFor()
    t.equal(await stateOf('B'), 'logged in')
    await button('B', 'Who am I?').click()
    await card('B').getByText('200 accepted').waitFor()
  })

  t.test('a session of which this page has no token lives on when the last login of the page ends', async (t) => {
    const said = page.locator('#log-in .said')
    await logInA()
    t.match(await said.textContent(), 'it signed the token')
    await page.reload()
    await logInA()
    await page.getByRole('button', { name: 'List the devices' }).click()
    await page.locator('[data-session]', { hasText: 'another login' }).waitFor()
    await button('A', 'Log out').click()
    await page.locator('[data-session=ended]').waitFor()
    t.equal(await page.locator('[data-session]:not(.ended)', { hasText: 'another login' }).count(), 1)
    t.notMatch(await said.textContent(), 'it signed the token', 'that was said of a token that has ended')
    t.equal(await page.evaluate('document.activeElement.textContent'), 'Log out', 'the focus stays where it was')
    // It is off: another logout would begin by emptying this.
    await button('A', 'Log out').click({ force: true })
    t.match(await page.locator('.sum').textContent(), 'requests were sent')
    await expectRefusals(t)
  })

  t.test('what was taken back elsewhere is known once it has been refused', async (t) => {
    await logInA()
    const token = (await page.locator('.whole-token code').first().textContent()) ?? ''
    const response = await fetch(`${url}/auth/logout`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}` }
    })
    t.equal(response.status, 200)
    t.equal(await stateOf('A'), 'logged in')
    await button('A', 'Who am I?').click()
    await page.locator('[data-browser=A] .state', { hasText: 'ended' }).waitFor()
  })

  t.test('the console of the browser has said nothing', (t) => {
    t.strictSame(complaints, [])
    t.end()
  })
})
