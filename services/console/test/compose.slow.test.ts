import { execFile, execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { freePort } from '@one-secret/local'
import t from 'tap'
import { logIn, skip as skipBrowser, startBrowser, visit } from './visit.js'

const run = promisify(execFile)

function hasDocker(): boolean {
  try {
    execFileSync('docker', ['info'], { stdio: 'ignore' })
    return true
  } catch {
    // Not there, or no engine answers: either way there is nothing to test with.
    return false
  }
}

const skip = skipBrowser || (hasDocker() ? false : 'no Docker Engine answers')

t.test('the page, with docker compose', { skip, timeout: 600_000 }, async (t) => {
  const port = String(await freePort())
  const options = {
    cwd: fileURLToPath(new URL('../../..', import.meta.url)),
    env: {
      ...process.env,
      HTTP_PORT: port,
      // A project of the test's own, beside one that may be running.
      COMPOSE_PROJECT_NAME: `one-secret-console-${process.pid}`,
      LOGIN_LIMIT_PER_ACCOUNT: '0',
      LOGIN_LIMIT_PER_ADDRESS: '0'
    }
  }
  const compose = (...args: string[]) => run('docker', ['compose', '--profile', 'compare', ...args], options)
  t.teardown(() => compose('down', '--volumes', '--timeout', '5'))
  await compose('up', '--build', '--detach', '--wait')

  const browser = await startBrowser(t)
  const { page, complaints } = await visit(browser, `http://localhost:${port}`)
  const servers = page.locator('.hops-picture [data-replica]')
  /** Does what the page says, as whoever copies the line into a terminal. */
  const obey = async (task: string): Promise<string> => {
    const line = (await page.locator(`[data-task=${task}] code`).textContent()) ?? 'false'
    return (await run('bash', ['-c', line], options)).stdout.trim()
  }

  t.test('a token crosses the containers, is tampered with and taken back', async (t) => {
    await servers.nth(2).waitFor()
    await logIn(page)
    await page.getByRole('button', { name: 'Send 100' }).click()
    await page.getByRole('button', { name: 'Send 100', disabled: false }).waitFor()
    const counts = (await page.locator('.server .count').allTextContents()).map((text) => parseInt(text))
    t.equal(counts.length, 3)
    for (const count of counts) t.ok(count >= 20 && count <= 50, String(count))
    await page.locator('.tries .payload button').click()
    await page.locator('.tries .payload', { hasText: 'TOKEN_INVALID' }).waitFor()
    await page.locator('[data-browser=A]').getByRole('button', { name: 'Log out' }).click()
    await page.locator('.sum', { hasText: ': 0 were accepted' }).waitFor()
    t.equal((await page.locator('.receipt .replica').count()) >= 3, true)
  })

  t.test('a container is killed, and brought back', async () => {
    const id = (await obey('kill')).slice(0, 12)
    await page.locator(`.server.silent[data-replica="${id}"]`).waitFor({ timeout: 15_000 })
    // The browser is on the machine whose networks change with the containers: it may lose a request by that itself.
    await page.locator('.troubles p').first().waitFor({ state: 'detached' })
    await obey('revive')
    await page.locator(`.server:not(.silent)[data-replica="${id}"]`).waitFor({ timeout: 30_000 })
  })

  t.test('three become eight', async () => {
    await obey('scale')
    await servers.nth(7).waitFor({ timeout: 60_000 })
  })

  t.test('the race, and a server of the memory lane that is killed meanwhile', async (t) => {
    const lane = (name: string) => page.locator(`[data-lane=${name}]`)
    const isOfLane = (url: string): boolean => url.endsWith('/lanes/jwt/whoami')
    const refusals: Promise<string>[] = []
    page.on('response', (response) => {
      if (!isOfLane(response.url()) || response.ok()) return
      refusals.push(response.text().then((body) => `${response.status()} ${body}`))
    })
    page.on('requestfailed', (request) => {
      if (isOfLane(request.url())) refusals.push(Promise.resolve(request.failure()?.errorText ?? 'no reason'))
    })
    await page.getByRole('button', { name: 'Start the race' }).click()
    for (const name of ['sticky', 'cluster', 'jwt']) {
      await lane(name).locator('rect.accepted:not([height="0"])').nth(4).waitFor({ timeout: 30_000 })
    }
    const id = (await obey('kill-memory')).slice(0, 12)
    await page.locator('.events', { hasText: `${id} has gone` }).waitFor({ timeout: 15_000 })
    t.equal(await page.locator('.events li', { hasText: 'Signed token' }).count(), 0, 'the eight of the api are there')
    await obey('revive-memory')
    await page.locator('.events', { hasText: `${id} is back` }).waitFor({ timeout: 30_000 })
    await page.getByRole('button', { name: 'Stop the race' }).click()
    const bars = await lane('jwt').locator('rect.refused:not([height="0"])').count()
    const all = await Promise.all(refusals)
    // A container that comes or goes changes the networks of the machine that the browser is on, which ends requests; and
    // eleven servers on two cores may have no time. Neither comes of the server that was killed.
    const ofTheMachine = /^net::ERR_NETWORK_CHANGED$|^503 .*"code":"(?:OVERLOADED|REPLICAS_UNAVAILABLE)"/
    t.strictSame(
      all.filter((refusal) => !ofTheMachine.test(refusal)),
      [],
      'jwt: nobody noticed'
    )
    t.ok(bars <= all.length, `${bars} bars of refusals, ${all.join(', ')}`)
    t.ok(all.length < 20, `${all.length} that the machine had no time or no network for`)
  })

  t.test('the console of the browser has said nothing', (t) => {
    t.strictSame(complaints, [])
    t.end()
  })
})
