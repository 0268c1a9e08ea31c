import { signal } from '@preact/signals'
import { ask, type Answer, type Question } from './ask.js'
import { logInForStore, logInWithCookie } from './login.js'
import { read, write } from './site-data.js'

/** Where a browser can keep a login. */
export type Store = 'cookie' | 'session' | 'local'
export const STORES: readonly Store[] = ['cookie', 'session', 'local']

const KEY = 'one-secret-token'
/**
 * Until when there should be a cookie, in milliseconds since 1970. The page cannot see one that is HttpOnly, and would have to ask
 * at every load.
 */
const COOKIE_NOTE = 'console-cookie-until'

/** What this load of the page has found in each: who answered, undefined where nothing was kept. */
export const foundAtLoad = signal<Readonly<Record<Store, Answer | undefined>>>({
  cookie: undefined,
  session: undefined,
  local: undefined
})

/** Whether it has looked into all of them. */
export const hasLooked = signal(false)

const isKept = (store: Store): boolean =>
  store === 'cookie' ? Number(read('local', COOKIE_NOTE)) > Date.now() : read(store, KEY) !== undefined

const look = (): Readonly<Record<Store, boolean>> => ({
  cookie: isKept('cookie'),
  session: isKept('session'),
  local: isKept('local')
})

/** Whether something is kept there, as far as the page knows. */
export const kept = signal(look())
const lookAgain = (): void => void (kept.value = look())
// Another tab has the same local storage, and has just changed it.
addEventListener('storage', lookAgain)

/** How a request says who sends it, with what is kept there and nothing else. */
const from = (store: Store): Question => (store === 'cookie' ? { cookies: true } : { token: read(store, KEY) })

/** Asks who is logged in with what is kept there, as the page of a shop would. */
export async function askWith(store: Store): Promise<Answer> {
  const answer = await ask('GET', '/whoami', from(store))
  lookAgain()
  return answer
}

export async function keepIn(store: Store): Promise<Answer> {
  const answer = store === 'cookie' ? await logInWithCookie() : await logInForStore()
  if (answer.status !== 200) return answer
  const { access_token: token, expires_in: seconds } = answer.body
  if (store !== 'cookie') write(store, KEY, String(token))
  // Whether the browser keeps it can only be seen by what it sends: over http it does not, but for localhost.
  else if ((await ask('GET', '/whoami', { cookies: true, quiet: true })).code !== 'TOKEN_MISSING') {
    write('local', COOKIE_NOTE, String(Date.now() + Number(seconds) * 1000))
  }
  lookAgain()
  return answer
}

/** Logs it out, which for a cookie is the only way to be rid of it. */
export async function clear(store: Store): Promise<Answer> {
  const answer = await ask('POST', '/auth/logout', from(store))
  // Where it could not be ended it is kept, for another try.
  if (answer.status === 200 || answer.status === 401) {
    if (store === 'cookie') write('local', COOKIE_NOTE, undefined)
    else write(store, KEY, undefined)
  }
  lookAgain()
  return answer
}

/** Looks what has lived through the load of this page. */
export async function lookAtLoad(): Promise<void> {
  const found = await Promise.all(
    STORES.map(async (store) => [store, isKept(store) ? await askWith(store) : undefined] as const)
  )
  foundAtLoad.value = Object.fromEntries(found) as Record<Store, Answer | undefined>
  hasLooked.value = true
}

/** Reload, a link that was followed, a tab that was opened: as far as a page can tell. */
export function howLoaded(): 'reload' | 'new' {
  const [entry] = performance.getEntriesByType('navigation') as PerformanceNavigationTiming[]
  return entry?.type === 'reload' ? 'reload' : 'new'
}

/** What a script of somebody else found, when it ran in this page. */
export interface Loot {
  /** A token, or nothing. */
  cookie: string
  session: string
  local: string
  /** What it can do with a cookie that it cannot read: have it sent. */
  sent: Answer
}

/** The lines of the script, as they are shown. */
export const INJECTED = [
  `document.cookie`,
  `sessionStorage['${KEY}']`,
  `localStorage['${KEY}']`,
  `fetch('/whoami')`
] as const

/** Does what a script would do that somebody got into this page. The policy of this page keeps one from getting in. */
export async function playInjectedScript(): Promise<Loot> {
  return {
    cookie: document.cookie,
    session: read('session', KEY) ?? '',
    local: read('local', KEY) ?? '',
    sent: await ask('GET', '/whoami', { cookies: true })
  }
}
