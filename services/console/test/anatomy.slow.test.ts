import t from 'tap'
import { logIn, skip, startBrowser, startConsole, visit } from './visit.js'

t.test('the anatomy of a token', { skip }, async (t) => {
  const { url, cluster } = await startConsole(t, { balancer: 'embedded' })
  const browser = await startBrowser(t)
  const names = cluster.replicas.map(({ name }) => name)
  const tokenOf = async (): Promise<string> => (await page.locator('.whole-token .token').textContent()) ?? ''
  const claimsOf = (token: string): Record<string, unknown> =>
    JSON.parse(Buffer.from(token.split('.')[1]!, 'base64url').toString()) as Record<string, unknown>
  const valueOf = (name: string): Promise<string | null> =>
    page
      .locator('.claims > div', { has: page.locator('dt code', { hasText: new RegExp(`^${name}$`) }) })
      .locator('.value')
      .textContent()

  const { page, complaints } = await visit(browser, url)
  await page.locator('[data-replica]').nth(2).waitFor()
  t.ok(await page.locator('.tries button').first().isDisabled(), 'there is nothing to send before a login')
  await logIn(page)

  t.test('shows each part decoded, and each claim with its kind', async (t) => {
    const token = await tokenOf()
    t.equal(token.split('.').length, 3)
    for (const part of ['header', 'payload', 'signature'])
      t.equal(await page.locator(`.token .part.${part}`).count(), 1)
    const claims = claimsOf(token)
    for (const [name, value] of Object.entries(claims)) t.equal(await valueOf(name), String(value), name)
    t.equal(await valueOf('alg'), 'HS256')
    const kinds = await page.locator('.claims .kind').allTextContents()
    const registered = 'registered'
    const expected = [
      registered,
      registered,
      registered,
      'public',
      registered,
      'public',
      'private',
      registered,
      registered
    ]
    t.strictSame(kinds, expected)
    t.notMatch(JSON.stringify(claims), await page.locator('[name=username]').inputValue(), 'nothing personal is in it')
  })

  t.test('counts the time that is left', async (t) => {
    const left = page.locator('.whole-token .expires-in b')
    const first = await left.textContent()
    t.match(first, /^1[45]:\d\d left$/)
    await page.waitForTimeout(1300)
    t.not(await left.textContent(), first)
  })

  for (const [part, message] of [
    ['asIs', undefined],
    ['header', 'its key or its type is unknown'],
    ['payload', 'its signature does not match'],
    ['signature', 'its signature does not match']
  ] as const) {
    t.test(`${part}: says who answered what`, async (t) => {
      const row = page.locator(`.tries .${part}`)
      await row.getByRole('button').click()
      await row.locator('.outcome').waitFor()
      t.ok(names.includes((await row.locator('.replica').textContent()) ?? ''))
      const said = await row.locator('.outcome').textContent()
      if (message === undefined) {
        t.match(said, '200 accepted')
        return
      }
      t.match(said, /401 refused/)
      t.match(said, 'TOKEN_INVALID')
      t.match(said, message)
      t.match(await row.locator('.letter').textContent(), /^letter \d+: . became .$/)
      t.equal(await page.locator(`.token .part.${part} mark`).count(), 1, 'the letter is marked in the token')
    })
  }

  t.test('a thief is taken for its owner', async (t) => {
    await page.locator('.thief button').click()
    await page.locator('.thief .outcome').waitFor()
    t.match(await page.locator('.thief .said').textContent(), /^api-\d 200 accepted It takes the thief for you/)
  })

  t.test('a new token: another number, the same session, and no answer to the one before', async (t) => {
    const [jti, sid] = [await valueOf('jti'), await valueOf('sid')]
    await page.getByRole('button', { name: 'Get a new token' }).click()
    await page.locator('.decoded.payload', { hasText: jti! }).waitFor({ state: 'detached' })
    t.not(await valueOf('jti'), jti)
    t.equal(await valueOf('sid'), sid)
    await page.locator('.tries .outcome, .thief .outcome').first().waitFor({ state: 'detached' })
  })

  t.test('logged out, the token is crossed out and refused, and no longer said to be accepted', async () => {
    await page.locator('.tries .asIs button').click()
    await page.locator('.tries .asIs .outcome.good').waitFor()
    await page.locator('#log-in').getByRole('button', { name: 'Log out' }).click()
    await page.locator('.whole-token.dead').waitFor()
    await page.locator('.refusal .bad').nth(2).waitFor()
    await page.locator('.tries .outcome').waitFor({ state: 'detached' })
    await page.locator('.tries .asIs button').click()
    await page.locator('.tries .asIs .outcome', { hasText: 'TOKEN_REVOKED' }).waitFor()
  })

  t.test('a token for fifteen seconds expires while one looks, and is no longer said to be accepted', async () => {
    await page.locator('[name=lifetime]').selectOption('15')
    await page.locator('#log-in').getByRole('button', { name: 'Log in', exact: true }).click()
    await page.locator('.whole-token:not(.dead)').waitFor()
    await page.locator('.thief button').click()
    await page.locator('.thief .outcome.good').waitFor()
    await page.locator('.whole-token .expires-in', { hasText: /^expired$/ }).waitFor({ timeout: 20_000 })
    await page.locator('.thief .outcome').waitFor({ state: 'detached' })
    await page.locator('.tries .asIs button').click()
    await page.locator('.tries .asIs .outcome', { hasText: 'TOKEN_EXPIRED' }).waitFor()
    await page.locator('#log-in .said', { hasText: 'has expired since' }).waitFor()
  })

  t.test('what is wrong with a login is said', async () => {
    const said = page.locator('#log-in .said')
    await page.locator('[name=password]').fill('a wrong one, but long enough')
    await page.locator('#log-in').getByRole('button', { name: 'Log in', exact: true }).click()
    await said.getByText('CREDENTIALS_INVALID').waitFor()
    await page.locator('#log-in button[type=submit]').click()
    await said.getByText('USERNAME_TAKEN').waitFor()
    await page.locator('[name=username]').fill(`new-${Date.now()}`)
    await page.locator('[name=password]').fill('short')
    await page.locator('#log-in button[type=submit]').click()
    await said.getByText('VALIDATION_FAILED').waitFor()
  })

  t.test('a refusal is said in the language of the page, and what exactly is wrong as the API says it', async (t) => {
    await page.locator('[name=language]').selectOption('ko')
    const refusal = page.locator('#log-in .said .outcome')
    await refusal.getByText('입력한 값이 규칙에 맞지 않습니다').waitFor()
    t.match(await refusal.locator('[lang=en]').textContent(), /password/)
    const expired = page.locator('.tries .asIs .outcome')
    t.match(await expired.textContent(), /TOKEN_EXPIRED\s*액세스 토큰이 만료되었습니다/)
    t.equal(await expired.locator('[lang=en]').count(), 0)
  })

  t.test('the console of the browser has said nothing', (t) => {
    t.strictSame(complaints, [])
    t.end()
  })
})
