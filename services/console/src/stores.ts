import { signal } from '@preact/signals'
import { ask, type Answer } from './ask.js'
import { logInForStore, logInWithCookie } from './login.js'

/** Where a browser can keep a login. */
export type Store = 'cookie' | 'session' | 'local'
export const STORES: readonly Store[] = ['cookie', 'session', 'local']

const KEY = 'one-secret-token'
/** That there should be a cookie. The page cannot see one that is HttpOnly, and would have to ask at every load. */
const COOKIE_NOTE = 'console-cookie-kept'

/** What this load of the page has found in each: who answered, undefined where nothing was kept. */
export const foundAtLoad = signal<Readonly<Record<Store, Answer | undefined>>>({
  cookie: undefined,
  session: undefined,
  local: undefined
})

const storageOf = (store: Store): Storage => (store === 'session' ? sessionStorage : localStorage)

const tokenIn = (store: Store): string | undefined => storageOf(store).getItem(KEY) ?? undefined

const isKept = (store: Store): boolean =>
  store === 'cookie' ? localStorage.getItem(COOKIE_NOTE) !== null : tokenIn(store) !== undefined

const look = (): Readonly<Record<Store, boolean>> => ({
  cookie: isKept('cookie'),
  session: isKept('session'),
  local: isKept('local')
})

/** Whether something is kept there, as far as the page knows. */
export const kept = signal(look())
const lookAgain = (): void => void (kept.value = look())

/** Asks who is logged in with what is kept there, as the page of a shop would. */
export const askWith = (store: Store): Promise<Answer> => {
  const token = store === 'cookie' ? undefined : tokenIn(store)
  return ask('GET', '/whoami', token === undefined ? { cookies: true } : { token })
}

export async function keepIn(store: Store): Promise<Answer> {
  const answer = store === 'cookie' ? await logInWithCookie() : await logInForStore()
  if (answer.status !== 200) return answer
  if (store === 'cookie') localStorage.setItem(COOKIE_NOTE, 'yes')
  else storageOf(store).setItem(KEY, String(answer.body['access_token']))
  lookAgain()
  return answer
}

/** Logs it out, which for a cookie is the only way to be rid of it. */
export async function clear(store: Store): Promise<Answer> {
  const token = store === 'cookie' ? undefined : tokenIn(store)
  const answer = await ask('POST', '/auth/logout', token === undefined ? { cookies: true } : { token })
  // Where it could not be ended it is kept, for another try.
  if (answer.status === 200 || answer.status === 401) {
    if (store === 'cookie') localStorage.removeItem(COOKIE_NOTE)
    else storageOf(store).removeItem(KEY)
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
    session: tokenIn('session') ?? '',
    local: tokenIn('local') ?? '',
    sent: await ask('GET', '/whoami', { cookies: true })
  }
}
