import { computed, effect, signal, type ReadonlySignal } from '@preact/signals'
import { ask, type Answer } from './ask.js'
import { serverSeconds } from './clock.js'
import { read, write } from './site-data.js'
import { partsOf, readPart } from './token.js'

/** A login whose tokens this page holds, in its memory alone. */
export interface Login {
  token: string
  refreshToken: string
  /** The user, under a number. */
  sub: string
  sid: string
  issuer: string
  /** Seconds since 1970. */
  exp: number
  iat: number
  /** The session has ended, or the token has been refused. */
  ended: boolean
}

const random = (): string => Math.random().toString(36).slice(2, 8)

/** Nobody's name, and a password that everybody may read: these users are there to be thrown away. */
const USERNAME = 'console-username'
export const username = signal(read('local', USERNAME) ?? `ada-${random()}`)
effect(() => void write('local', USERNAME, username.value))
export const password = signal('correct horse battery staple')
/** Seconds that an access token is asked to live. */
export const lifetime = signal(900)

export type BrowserName = 'A' | 'B'

/** Two logins of one user, as if there were two browsers. The first is the one of the anatomy. */
export const logins: Record<BrowserName, ReturnType<typeof signal<Login | undefined>>> = {
  A: signal<Login | undefined>(undefined),
  B: signal<Login | undefined>(undefined)
}

/** The token that is shown and sent; undefined where nobody has logged in. */
export const current: ReadonlySignal<Login | undefined> = computed(() => logins.A.value)

/** By the balancer's clock. */
export const isOver = ({ exp }: Login): boolean => exp <= serverSeconds.value
export const isExpired = computed(() => current.value !== undefined && isOver(current.value))

/** An answer to a token, and the login that it was of. */
export interface Told {
  answer: Answer
  login: Login | undefined
}

/** The answer, as long as it holds of the token that is shown: not once that is another one, or has ended or expired since. */
export const stillHolds = (told: Told | undefined): Answer | undefined =>
  told &&
  told.login?.token === current.value?.token &&
  !(told.answer.status === 200 && (isExpired.value || current.value?.ended))
    ? told.answer
    : undefined

/** Where a login comes from: what the api answered with. */
function loginFrom({ body }: Answer): Login | undefined {
  const { access_token: token, refresh_token: refreshToken } = body
  if (typeof token !== 'string' || typeof refreshToken !== 'string') return undefined
  const claims = readPart(partsOf(token).payload) ?? {}
  return {
    token,
    refreshToken,
    sub: String(claims['sub']),
    sid: String(claims['sid']),
    issuer: String(claims['replica']),
    exp: Number(claims['exp']),
    iat: Number(claims['iat']),
    ended: false
  }
}

/** What stands in the form. */
export const credentials = (): { username: string; password: string } => ({
  username: username.value.trim(),
  password: password.value
})

/** @param quiet where it is not what the visitor asked for */
export const signUp = (quiet = false): Promise<Answer> => ask('POST', '/users', { body: credentials(), quiet })

export async function logIn(browser: BrowserName): Promise<Answer> {
  const answer = await ask('POST', '/auth/login', { body: { ...credentials(), expires_in: lifetime.value } })
  if (answer.status === 200) logins[browser].value = loginFrom(answer)
  return answer
}

/** With the token in cookies, which this page never sees. */
export const logInWithCookie = (): Promise<Answer> =>
  ask('POST', '/auth/login', { body: { ...credentials(), transport: 'cookie' }, cookies: true })

/** For a store of the page's own: it gets a session of its own too. */
export const logInForStore = (): Promise<Answer> => ask('POST', '/auth/login', { body: credentials() })

/** Signs up, and logs in. Whoever is there already, with this password, is logged in all the same. */
export async function signUpAndLogIn(): Promise<Answer> {
  const signedUp = await signUp()
  if (signedUp.status !== 201 && signedUp.status !== 409) return signedUp
  const loggedIn = await logIn('A')
  // That the name is taken says more than that the password is not that of whoever has it.
  return signedUp.status === 409 && loggedIn.status === 401 ? signedUp : loggedIn
}

/** Exchanges the refresh token: the same session, and a new access token, from whichever replica. */
export async function refresh(browser: BrowserName): Promise<Answer> {
  const { refreshToken = '' } = logins[browser].value ?? {}
  const answer = await ask('POST', '/auth/refresh', {
    body: { refresh_token: refreshToken, expires_in: lifetime.value }
  })
  if (answer.status === 200) logins[browser].value = loginFrom(answer)
  else if (answer.status === 401) markEnded((login) => login.refreshToken === refreshToken)
  return answer
}

export const logOut = (token: string): Promise<Answer> => ask('POST', '/auth/logout', { token })

/** Asks with a token of this page's. One that has been taken back elsewhere, in another tab or on another device, is known to be then. */
export async function askAs(token: string, method: string, path: string): Promise<Answer> {
  const answer = await ask(method, path, { token })
  if (answer.code === 'TOKEN_REVOKED') markEnded((login) => login.token === token)
  return answer
}

export const whoami = (token: string): Promise<Answer> => askAs(token, 'GET', '/whoami')

/** These sessions have ended: their tokens stay to be looked at, and are good for nothing. */
export function markEnded(isEnded: (login: Login) => boolean): void {
  for (const login of Object.values(logins)) {
    if (login.value && !login.value.ended && isEnded(login.value)) login.value = { ...login.value, ended: true }
  }
}

/** Of the number of a session or a token, as much as tells it from the others. */
export const shortId = (id: string): string => id.slice(0, 8)
