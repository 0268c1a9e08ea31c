import { useSignal } from '@preact/signals'
import type { Answer } from '../ask.js'
import { current, isExpired, lifetime, logIn, password, refresh, signUpAndLogIn, username } from '../login.js'
import { Button } from '../parts/button.js'
import { Said } from '../parts/said.js'
import { isWatching } from '../refusals.js'
import { words } from '../words/words.js'
import { leave } from './revocation.js'

const LIFETIMES = [15, 60, 900] as const

/** Who you are to be, and the buttons that make it so. */
export function LogIn() {
  /** The last answer of this form, and the token that there was then. */
  const told = useSignal<{ answer: Answer; token: string | undefined } | undefined>(undefined)
  const busy = useSignal(false)
  const { login } = words.value
  const held = current.value
  const answer = told.value?.answer

  /** What the answer means, as long as it is about the token that there is. */
  const meaning = (): string | undefined => {
    if (answer?.status !== 200 || told.value?.token !== held?.token) return undefined
    if (answer.path === '/auth/logout') return login.loggedOut
    return held?.ended ? undefined : isExpired.value ? login.expired : login.loggedIn
  }

  const run = async (action: () => Promise<Answer>): Promise<void> => {
    if (busy.value) return
    busy.value = true
    const answer = await action()
    told.value = { answer, token: current.value?.token }
    busy.value = false
  }

  return (
    <form
      class="card log-in"
      id="log-in"
      aria-label={login.heading}
      onSubmit={(event) => {
        event.preventDefault()
        void run(signUpAndLogIn)
      }}
    >
      <label>
        {login.username}
        <input
          name="username"
          autocomplete="username"
          autocapitalize="none"
          spellcheck={false}
          title={login.usernameRule}
          value={username.value}
          onInput={({ currentTarget }) => (username.value = currentTarget.value)}
        />
      </label>
      <label>
        {login.password}
        <input
          name="password"
          autocomplete="off"
          spellcheck={false}
          value={password.value}
          onInput={({ currentTarget }) => (password.value = currentTarget.value)}
        />
      </label>
      <label>
        {login.lifetime}
        <select
          name="lifetime"
          value={String(lifetime.value)}
          onChange={({ currentTarget }) => (lifetime.value = Number(currentTarget.value))}
        >
          {LIFETIMES.map((seconds) => (
            <option key={seconds} value={String(seconds)} selected={seconds === lifetime.value}>
              {login.lifetimes[seconds]}
            </option>
          ))}
        </select>
      </label>
      <div class="buttons">
        <Button type="submit" class="first" off={busy.value}>
          {login.signUp}
        </Button>
        <Button off={busy.value} onClick={() => void run(() => logIn('A'))}>
          {login.logIn}
        </Button>
        <Button off={busy.value || held === undefined} onClick={() => void run(() => refresh('A'))}>
          {login.refresh}
        </Button>
        <Button
          off={busy.value || isWatching.value || !held || held.ended || isExpired.value}
          onClick={() => void run(() => leave(held!))}
        >
          {login.logOut}
        </Button>
      </div>
      <Said answer={answer} empty={login.nothing}>
        {meaning() !== undefined && <span class="quiet">: {meaning()}</span>}
      </Said>
      <p class="note">{login.note}</p>
    </form>
  )
}
