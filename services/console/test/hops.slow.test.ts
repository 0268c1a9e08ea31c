import { execSync } from 'node:child_process'
import t from 'tap'
import { logIn, skip, startBrowser, startConsole, visit } from './visit.js'

t.test('the hops', { skip }, async (t) => {
  const { url, cluster } = await startConsole(t)
  const browser = await startBrowser(t)
  const { page, complaints } = await visit(browser, url)
  const server = (name: string) => page.locator(`.hops-picture [data-replica="${name}"]`)

  t.test('every replica is there within a moment, in a colour of its own', async (t) => {
    await page.locator('.hops-picture [data-replica]').nth(2).waitFor({ timeout: 3000 })
    const colours = await page
      .locator('.hops-picture .dot')
      .evaluateAll((dots) =>
        dots.map(
          (dot) =>
            (globalThis as unknown as { getComputedStyle(e: unknown): { fill: string } }).getComputedStyle(dot).fill
        )
      )
    t.equal(new Set(colours).size, 3)
    t.match(await server('api-2').getAttribute('class'), /\bcolour-1\b/, 'the same at each load')
  })

  t.test('who issued the token, and who checked it last', async (t) => {
    await logIn(page)
    await page.getByRole('button', { name: 'Send 1', exact: true }).click()
    await page.locator('.hops-picture .check').waitFor()
    const issuer = await page.locator('.server:has(.issuer)').getAttribute('data-replica')
    const verifier = await page.locator('.server:has(.check)').getAttribute('data-replica')
    t.equal(
      await page.locator('.hops-picture figcaption').textContent(),
      `${issuer} issued the token; ${verifier} checked it last.`
    )
    const last = page.locator('.log li').first()
    t.match(await last.textContent(), /GET \/whoami/)
    t.equal(await last.locator('.replica').textContent(), verifier)
  })

  t.test('who refused a token that was changed', async (t) => {
    await page.locator('.tries .payload button').click()
    await page.locator('.hops-picture .cross').waitFor()
    const refused = await page.locator('.server:has(.cross)').getAttribute('data-replica')
    t.match(await page.locator('.hops-picture figcaption').textContent(), `${refused} refused what it got last.`)
    t.equal(await page.locator('.hops-picture .check').count(), 0)
    await page.getByRole('button', { name: 'Send 1', exact: true }).click()
    await page.locator('.hops-picture .check').waitFor()
  })

  t.test('a hundred are shared out', async (t) => {
    await page.getByRole('button', { name: 'Send 100' }).click()
    await page.getByRole('button', { name: 'Send 100', disabled: false }).waitFor()
    const counts = (await page.locator('.server .count').allTextContents()).map((text) => parseInt(text))
    t.equal(
      counts.reduce((sum, count) => sum + count, 0),
      100
    )
    for (const count of counts) t.ok(count >= 20 && count <= 50, String(count))
    await page.getByRole('button', { name: 'Reset' }).click()
    t.equal(await page.locator('.server .count', { hasText: /\d/ }).count(), 0)
  })

  t.test('the command kills a replica, the one that has run longest', async (t) => {
    const pid = cluster.replicas[0]!.pid
    execSync((await page.locator('[data-task=kill] code').textContent()) ?? 'false')
    for (let i = 0; i < 100 && cluster.replicas[0]!.pid === pid; i++) await page.waitForTimeout(50)
    t.not(cluster.replicas[0]!.pid, pid)
    t.equal(await page.locator('[data-task=revive]').count(), 0, 'the launcher starts it again by itself')
    t.equal(await page.locator('[data-task=roll] code').textContent(), `kill -USR2 ${process.pid}`)
    t.match(await page.locator('[data-task=scale] code').textContent(), `--port ${new URL(url).port}`)
  })

  t.test('the command is copied', async (t) => {
    await page.context().grantPermissions(['clipboard-read', 'clipboard-write'])
    await page.locator('[data-task=roll] button').click()
    await page.locator('[data-task=roll] button', { hasText: 'Copied' }).waitFor()
    t.equal(await page.evaluate('navigator.clipboard.readText()'), `kill -USR2 ${process.pid}`)
  })

  t.test('one that is gone fades, and one that is added appears, while requests are sent', async (t) => {
    await page.getByRole('button', { name: 'Keep sending' }).click()
    const gone = cluster.replicas[1]!
    await gone.kill()
    await page.locator(`.server.silent[data-replica="${gone.name}"]`).waitFor({ timeout: 5000 })
    t.match(await server(gone.name).textContent(), /silent for \d+ s/)
    const added = await cluster.add('api')
    await server(added.name).waitFor({ timeout: 10_000 })
    await server(gone.name).waitFor({ state: 'detached', timeout: 40_000 })
    await page.getByRole('button', { name: 'Stop sending' }).click()
    t.equal(await page.locator('.troubles p').count(), 0, 'and nothing failed')
  })

  t.test('nobody is taken to be gone because another page takes every second turn', async (t) => {
    const { page: other } = await visit(browser, url)
    for (const one of [page, other]) await one.getByRole('button', { name: 'Keep sending' }).click()
    for (let i = 0; i < 20; i++) {
      await page.waitForTimeout(200)
      for (const one of [page, other]) t.equal(await one.locator('.server.silent').count(), 0)
    }
    for (const one of [page, other]) await one.getByRole('button', { name: 'Stop sending' }).click()
    await other.context().close()
  })

  t.test('nothing moves for whoever wants less motion', async (t) => {
    for (const [reducedMotion, moves] of [
      ['reduce', false],
      ['no-preference', true]
    ] as const) {
      const { page } = await visit(browser, url, { reducedMotion })
      await page.locator('.hops-picture [data-replica]').nth(2).waitFor()
      await page.evaluate(
        `globalThis.packets = 0; new MutationObserver((all) => { for (const { addedNodes } of all) for (const { classList } of addedNodes) if (classList?.contains('packet')) packets++ })
           .observe(document.querySelector('.hops-picture svg'), { childList: true, subtree: true })`
      )
      await page.getByRole('button', { name: 'Send 1', exact: true }).click()
      await page.locator('.log .replica').waitFor()
      await page.waitForTimeout(100)
      t.equal((await page.evaluate('packets')) !== 0, moves, reducedMotion)
      await page.context().close()
    }
  })

  t.test('the console of the browser has said nothing', (t) => {
    t.strictSame(complaints, [])
    t.end()
  })
})
