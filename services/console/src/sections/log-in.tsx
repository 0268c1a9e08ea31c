import { useSignal } from '@preact/signals'
import type { Answer } from '../ask.js'
import { current, isExpired, lifetime, logIn, password, refresh, signUpAndLogIn, username } from '../login.js'
import { Said } from '../parts/said.js'
import { isWatching } from '../refusals.js'
import { words } from '../words/words.js'
import { leave } from './revocation.js'

const LIFETIMES = [15, 60, 900] as const

/** Who you are to be, and the buttons that make it so. */
export function LogIn() {
  const answer = useSignal<Answer | undefined>(undefined)
  const busy = useSignal(false)
  const { login } = words.value
  const held = current.value

  const run = async (action: () => Promise<Answer>): Promise<void> => {
    busy.value = true
    answer.value = await action()
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
        <button type="submit" class="first" disabled={busy.value}>
          {login.signUp}
        </button>
        <button type="button" disabled={busy.value} onClick={() => void run(() => logIn('A'))}>
          {login.logIn}
        </button>
        <button type="button" disabled={busy.value || held === undefined} onClick={() => void run(() => refresh('A'))}>
          {login.refresh}
        </button>
        <button
          type="button"
          disabled={busy.value || isWatching.value || !held || held.ended}
          onClick={() => void run(() => leave(held!))}
        >
          {login.logOut}
        </button>
      </div>
      <Said answer={answer.value} empty={login.nothing}>
        {answer.value?.status === 200 && (
          <span class="quiet">
            : {held?.ended ? login.loggedOut : isExpired.value ? login.expired : login.loggedIn}
          </span>
        )}
      </Said>
      <p class="note">{login.note}</p>
    </form>
  )
}
