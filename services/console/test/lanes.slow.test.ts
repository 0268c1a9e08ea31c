import t from 'tap'
import { skip, startBrowser, startConsole, visit } from './visit.js'

t.test('without a comparison, the lanes say how to turn it on', { skip }, async (t) => {
  const { url } = await startConsole(t, { replicas: 1 })
  const browser = await startBrowser(t)
  const { page, complaints } = await visit(browser, url)
  await page.getByRole('button', { name: 'Start the race' }).click()
  await page.getByText('nobody has turned the comparison on').waitFor()
  t.match(await page.locator('[data-task=compare] code').textContent(), 'npm start -- --compare')
  t.equal(await page.locator('.troubles p').count(), 0, 'and that is no trouble')
  t.strictSame(complaints, [])
})

t.test('the race', { skip }, async (t) => {
  const { url, cluster } = await startConsole(t, { replicas: 2, compare: true })
  const browser = await startBrowser(t)
  const { page, complaints } = await visit(browser, url)
  const lane = (name: string) => page.locator(`[data-lane=${name}]`)
  const drawn = (name: string, what: string): Promise<number> =>
    lane(name).locator(`rect.${what}:not([height="0"])`).count()

  // Somebody in a hurry: there is one race all the same.
  await page.evaluate("[1, 2, 3].forEach(() => document.querySelector('#lanes button.first').click())")
  await lane('jwt').locator('rect.accepted:not([height="0"])').nth(4).waitFor({ timeout: 30_000 })
  t.ok((await drawn('memory', 'refused')) > 0, 'memory: the other server does not know the visitor')
  for (const name of ['sticky', 'cluster', 'jwt']) {
    t.ok((await drawn(name, 'accepted')) > 0, name)
    t.equal(await drawn(name, 'refused'), 0, name)
  }

  const rate = Number(await lane('jwt').locator('.counts .good').textContent())
  t.ok(rate > 0 && rate <= 12, `${rate} a second`)

  // A tab that nobody looks at asks nobody, so nobody who answers it no more has gone.
  const hide = (hidden: boolean): Promise<unknown> =>
    page.evaluate(`Object.defineProperty(document, 'hidden', { value: ${hidden}, configurable: true })`)
  await hide(true)
  await page.waitForTimeout(4000)
  await hide(false)
  await page.waitForTimeout(1500)
  t.equal(await page.locator('[data-mark]').count(), 0, 'nobody has gone')
  // Until they have all been asked again, nobody is said to have gone.
  await page.waitForTimeout(2000)

  for (const server of cluster.pools!['sessions-memory'].slice(0, 1)) {
    await server.kill()
    await lane('memory').locator(`[data-mark=gone]`).waitFor({ state: 'attached', timeout: 10_000 })
    await page.locator('.events', { hasText: `${server.name} has gone` }).waitFor({ timeout: 10_000 })
  }
  await page.waitForTimeout(2500)
  for (const name of ['cluster', 'jwt']) t.equal(await drawn(name, 'refused'), 0, `${name}: nobody noticed`)
  await page.getByRole('button', { name: 'Stop the race' }).click()
  const before = await lane('jwt').locator('rect').count()
  await page.waitForTimeout(1500)
  t.equal(await lane('jwt').locator('rect').count(), before, 'it has stopped')
  t.strictSame(complaints, [])
})
