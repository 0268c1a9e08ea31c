import { findBinary, NO_SERVERS, startCluster, type Cluster, type ClusterOptions } from '@one-secret/local'
import { chromium, type Browser, type BrowserContextOptions, type Page } from 'playwright-core'
import type { Test } from 'tap'

const executablePath = findBinary('chromium')

/** For a test that needs a browser: why it is skipped, where there is none. */
export const skip = executablePath === undefined ? 'no chromium on the PATH' : false

export const SIZES = {
  phone: { width: 390, height: 844 },
  tablet: { width: 820, height: 1180 },
  wide: { width: 1360, height: 900 }
} as const

/** A cluster of the test's own, stopped after it. Its users log in as often as they like. */
export async function startConsole(
  t: Test,
  options: Partial<ClusterOptions> = {}
): Promise<{ cluster: Cluster; url: string }> {
  const cluster = await startCluster({
    replicas: 3,
    port: 0,
    host: '127.0.0.1',
    balancer: undefined,
    postgres: undefined,
    redis: undefined,
    compare: false,
    ...options,
    env: { ...process.env, ...NO_SERVERS, LOGIN_LIMIT_PER_ACCOUNT: '0', LOGIN_LIMIT_PER_ADDRESS: '0', ...options.env }
  })
  t.teardown(() => cluster.stop())
  // The name for which a browser keeps secure cookies without https.
  return { cluster, url: cluster.balancer.url.replace('127.0.0.1', 'localhost') }
}

export async function startBrowser(t: Test): Promise<Browser> {
  const browser = await chromium.launch({ executablePath: executablePath!, args: ['--no-sandbox'] })
  t.teardown(() => browser.close())
  return browser
}

/** A browser whose profile is on the disk, so that it can be closed and opened again. */
export const openProfile = (folder: string): ReturnType<typeof chromium.launchPersistentContext> =>
  chromium.launchPersistentContext(folder, { executablePath: executablePath!, args: ['--no-sandbox'] })

export interface Visit {
  page: Page
  /** What the console of the browser has said, but for the refusals that the page is there to show. */
  complaints: string[]
  /** The origins that were asked for anything. */
  origins: Set<string>
}

/** What Chromium says of each answer that is an error, and of each request that got none. */
const REFUSAL = /^Failed to load resource: (?:the server responded with a status of (?:4\d\d|50[234])|net::ERR_)/

/** Opens the page, as somebody does who has never been here. */
export async function visit(browser: Browser, url: string, options: BrowserContextOptions = {}): Promise<Visit> {
  const context = await browser.newContext({ viewport: SIZES.wide, locale: 'en-US', ...options })
  const page = await context.newPage()
  const complaints: string[] = []
  const origins = new Set<string>()
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') {
      if (!REFUSAL.test(message.text())) complaints.push(message.text())
    }
  })
  page.on('pageerror', (error) => complaints.push(error.message))
  page.on('request', (request) => origins.add(new URL(request.url()).origin))
  await page.goto(url)
  return { page, complaints, origins }
}

/** Signs up and logs in with what stands in the form. */
export async function logIn(page: Page): Promise<void> {
  await page.locator('#log-in button[type=submit]').click()
  await page.locator('.whole-token:not(.example)').waitFor()
}

export const PASSWORD = 'correct horse battery staple'
