import { writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import axe, { type AxeResults } from 'axe-core'
import type { Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { logIn, SIZES, skip, startBrowser, startConsole, visit } from './visit.js'

/** Where the pictures of the README go: `SCREENSHOTS=docs`. Without it none are taken, for each would be another one. */
const { SCREENSHOTS } = process.env

/** Takes one as WebP, a quarter of a PNG: what Chromium cannot do at once, but in a page. */
async function picture(page: Page, name: string, height: number): Promise<void> {
  const { width } = page.viewportSize()!
  await page.setViewportSize({ width, height })
  await page.waitForTimeout(300)
  const png = (await page.screenshot()).toString('base64')
  const blank = await page.context().newPage()
  const webp: string = await blank.evaluate(`(async () => {
    const image = new Image()
    image.src = 'data:image/png;base64,${png}'
    await image.decode()
    const canvas = Object.assign(document.createElement('canvas'), { width: image.width, height: image.height })
    canvas.getContext('2d').drawImage(image, 0, 0)
    return canvas.toDataURL('image/webp', 0.7).split(',')[1]
  })()`)
  writeFileSync(
    fileURLToPath(new URL(`../../../${SCREENSHOTS}/${name}.webp`, import.meta.url)),
    Buffer.from(webp, 'base64')
  )
}

/** What axe finds wrong, and with what. */
async function violations(page: Page): Promise<string[]> {
  await page.evaluate(axe.source)
  const found: AxeResults = await page.evaluate('axe.run(document, { resultTypes: ["violations"] })')
  return found.violations.flatMap(({ id, nodes }) =>
    nodes.map(({ target, any }) => `${id}: ${target.join(' ')} ${any[0]?.message ?? ''}`)
  )
}

t.test('for everybody', { skip }, async (t) => {
  const { url } = await startConsole(t)
  const browser = await startBrowser(t)

  /** Nothing for axe to find, and nothing that is wider than the screen. */
  async function isAccessible(t: Test, page: Page, what: string): Promise<void> {
    t.strictSame(await violations(page), [], what)
    t.equal(await page.evaluate('document.documentElement.scrollWidth'), page.viewportSize()!.width, `${what}: fits`)
  }

  for (const [size, viewport] of Object.entries(SIZES)) {
    for (const colorScheme of ['light', 'dark'] as const) {
      t.test(`${size}, ${colorScheme}`, async (t) => {
        const { page, complaints } = await visit(browser, url, { viewport, colorScheme })
        await page.locator('.hops-picture [data-replica]').nth(2).waitFor()
        await isAccessible(t, page, 'as it opens')

        await logIn(page)
        for (const button of await page.locator('.tries button').all()) await button.click()
        await page.locator('.tries .signature .outcome').waitFor()
        await page.locator('[data-browser=B] button').first().click()
        await page.locator('[data-session]').nth(1).waitFor()
        await page.locator('[data-browser=B] button').last().click()
        await page.locator('.receipt dd').first().waitFor()
        await page.locator('.sum:not(:empty)').waitFor()
        await page.locator('#hops .buttons button').nth(1).click()
        await page.locator('#hops .buttons button:nth-child(2):not([aria-disabled=true])').waitFor()
        await page.waitForTimeout(700)
        await isAccessible(t, page, 'in use')

        if (SCREENSHOTS !== undefined) {
          await page.evaluate("document.documentElement.style.scrollBehavior = 'auto'; scrollTo(0, 0)")
          if (size === 'wide') await picture(page, `console-${colorScheme}`, 1180)
          if (size === 'phone' && colorScheme === 'light') {
            await page.evaluate("document.querySelector('#anatomy').scrollIntoView()")
            await picture(page, 'console-phone', viewport.height)
          }
          if (size === 'wide' && colorScheme === 'light') {
            await page.evaluate("document.querySelector('#revocation').scrollIntoView()")
            await picture(page, 'console-revocation', 1240)
          }
          await page.setViewportSize(viewport)
        }

        await page.locator('[name=language]').selectOption('ko')
        await page.locator('html[lang=ko]').waitFor()
        await isAccessible(t, page, 'in Korean')
        t.strictSame(complaints, [])
        await page.context().close()
      })
    }
  }

  t.test('a browser that is Korean is spoken to in Korean', async (t) => {
    const { page } = await visit(browser, url, { locale: 'ko-KR', viewport: SIZES.phone })
    await page.locator('.hops-picture [data-replica]').nth(2).waitFor()
    t.equal(await page.locator('html').getAttribute('lang'), 'ko')
    await isAccessible(t, page, 'as it opens')
  })

  t.test('the language and the colours are chosen, and kept', async (t) => {
    const { page } = await visit(browser, url, { colorScheme: 'light' })
    const paper = (): Promise<string> => page.evaluate('getComputedStyle(document.body).backgroundColor')
    const light = await paper()
    await page.locator('[name=theme]').selectOption('dark')
    const dark = await paper()
    t.not(dark, light)
    await page.locator('[name=language]').selectOption('ko')
    t.equal(await page.locator('html').getAttribute('lang'), 'ko')
    t.match(await page.title(), '하나의 비밀 키')
    t.match(await page.locator('h1').textContent(), '토큰 하나로')
    await page.reload()
    t.equal(await paper(), dark)
    t.equal(await page.locator('html').getAttribute('lang'), 'ko')
    await page.locator('[name=theme]').selectOption('light')
    t.equal(await paper(), light)
  })

  t.test('by keyboard alone, from the login to the logout', async (t) => {
    const { page } = await visit(browser, url)
    await page.locator('.hops-picture [data-replica]').nth(2).waitFor()
    const focused = (): Promise<string> => page.evaluate('document.activeElement.textContent.trim()')
    /** @returns whether it was reached, and can be seen to be */
    async function tabTo(text: string): Promise<void> {
      for (let i = 0; i < 80; i++) {
        await page.keyboard.press('Tab')
        if ((await focused()) !== text) continue
        t.not(
          await page.evaluate('getComputedStyle(document.activeElement).outlineStyle'),
          'none',
          `${text}: is seen to be focused`
        )
        return
      }
      throw new Error(`no ${text} within reach`)
    }
    await page.keyboard.press('Tab')
    t.equal(await focused(), 'Skip to the token')
    await tabTo('Sign up and log in')
    await page.keyboard.press('Enter')
    await page.locator('.whole-token:not(.example)').waitFor()
    await tabTo('Payload')
    await page.keyboard.press('Space')
    await page.locator('.tries .payload .outcome.bad').waitFor()
    await tabTo('Send 100')
    await page.keyboard.press('Enter')
    await page.locator('.server .count', { hasText: '%' }).first().waitFor()
    await tabTo('Log out')
    await page.keyboard.press('Enter')
    await page.locator('[data-browser=A] .state', { hasText: 'ended' }).waitFor()
  })
})
