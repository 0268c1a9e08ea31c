import { useSignal } from '@preact/signals'
import type { Answer } from '../ask.js'
import { current, lifetime, logIn, markEnded, password, refresh, signUpAndLogIn, username } from '../login.js'
import { ask } from '../ask.js'
import { isGood, Outcome } from '../parts/outcome.js'
import { Who } from '../parts/who.js'
import { shortName } from '../replicas.js'
import { words } from '../words/words.js'

const LIFETIMES = [15, 60, 900] as const

/** Who you are to be, and the buttons that make it so. */
export function LogIn() {
  const answer = useSignal<Answer | undefined>(undefined)
  const busy = useSignal(false)
  const { login } = words.value
  const token = current.value

  const run = async (action: () => Promise<Answer>): Promise<void> => {
    busy.value = true
    answer.value = await action()
    busy.value = false
  }
  const logOut = async (): Promise<Answer> => {
    const answer = await ask('POST', '/auth/logout', { token: token?.token ?? '' })
    if (answer.status === 200) markEnded(({ sid }) => sid === token?.sid)
    return answer
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
        <button type="button" disabled={busy.value || token === undefined} onClick={() => void run(() => refresh('A'))}>
          {login.refresh}
        </button>
        <button type="button" disabled={busy.value || !token || token.ended} onClick={() => void run(logOut)}>
          {login.logOut}
        </button>
      </div>
      <p class="said" role="status">
        {answer.value === undefined ? (
          <span class="quiet">{login.nothing}</span>
        ) : (
          <>
            <Who answer={answer.value} />{' '}
            {isGood(answer.value) && token && !token.ended ? (
              login.loggedIn(shortName(token.issuer))
            ) : (
              <Outcome answer={answer.value} />
            )}
          </>
        )}
      </p>
      <p class="note">{login.note}</p>
    </form>
  )
}
