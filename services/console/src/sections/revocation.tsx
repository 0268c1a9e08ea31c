import { useSignal } from '@preact/signals'
import type { Answer } from '../ask.js'
import { isOver, logIn, logins, logOut, markEnded, shortId, whoami, type BrowserName, type Login } from '../login.js'
import { Button } from '../parts/button.js'
import { ExpiresIn } from '../parts/expires-in.js'
import { RefusalChart } from '../parts/refusal-chart.js'
import { Receipt } from '../parts/receipt.js'
import { Said } from '../parts/said.js'
import { isWatching, watch, watchRefusals } from '../refusals.js'
import { words } from '../words/words.js'
import { Devices, listDevices } from './devices.js'

const BROWSERS: readonly BrowserName[] = ['A', 'B']

/** Sends what ends these sessions, and watches the refusals of one of their tokens. */
async function end(watched: Login, send: () => Promise<Answer>, isEnded: (login: Login) => boolean): Promise<Answer> {
  // Those of now: who logs in while it is watched is somebody new.
  const sids = Object.values(logins).flatMap(({ value }) => (value && isEnded(value) ? [value.sid] : []))
  const answer = await watchRefusals(watched.token, send)
  if (answer.status !== 200) return answer
  markEnded(({ sid }) => sids.includes(sid))
  await listDevices()
  return answer
}

/** Logs out, and watches that. */
export const leave = (login: Login): Promise<Answer> =>
  end(
    login,
    () => logOut(login.token),
    ({ sid }) => sid === login.sid
  )

/** One of two logins of the same user. */
function Browser({ name }: { name: BrowserName }) {
  const answer = useSignal<Answer | undefined>(undefined)
  const entering = useSignal(false)
  const { revocation } = words.value
  const login = logins[name].value
  const isBusy = isWatching.value

  const label = (text: string): string => `${text}: ${revocation.browser(name)}`

  const enter = async (): Promise<void> => {
    entering.value = true
    answer.value = await logIn(name)
    entering.value = false
    if (answer.value.status === 200) await listDevices()
  }
  const askWho = async (): Promise<void> => {
    answer.value = await whoami(login?.token ?? '')
  }
  const exit = async (login: Login): Promise<void> => {
    answer.value = await leave(login)
  }

  return (
    <article class="card browser" data-browser={name} aria-label={revocation.browser(name)}>
      <h3>
        {revocation.browser(name)}
        <span class={`state ${login === undefined ? '' : login.ended ? 'bad' : 'good'}`}>
          {login === undefined ? revocation.loggedOut : login.ended ? revocation.ended : revocation.active}
        </span>
      </h3>
      <p class="session">
        {login === undefined ? (
          <span class="quiet">–</span>
        ) : (
          <>
            {revocation.session} <code>{shortId(login.sid)}</code>
            {!login.ended && <ExpiresIn login={login} />}
          </>
        )}
      </p>
      <div class="buttons">
        <Button aria-label={label(revocation.logIn)} off={isBusy || entering.value} onClick={() => void enter()}>
          {revocation.logIn}
        </Button>
        <Button aria-label={label(revocation.ask)} off={login === undefined} onClick={() => void askWho()}>
          {revocation.ask}
        </Button>
        <Button
          aria-label={label(revocation.logOut)}
          off={isBusy || !login || login.ended || isOver(login)}
          onClick={() => void exit(login!)}
        >
          {revocation.logOut}
        </Button>
      </div>
      <Said answer={answer.value} named />
    </article>
  )
}

/** The one thing that needs state: to take back what was signed. */
export function Revocation() {
  const { revocation } = words.value
  return (
    <section id="revocation" aria-labelledby="revocation-heading">
      <h2 id="revocation-heading">{revocation.heading}</h2>
      <p>{revocation.text}</p>
      <div class="columns">
        {BROWSERS.map((name) => (
          <Browser key={name} name={name} />
        ))}
      </div>
      <Devices end={end} />
      <div class="columns uneven">
        <div class="card">
          <h3>{revocation.watch}</h3>
          <p class="quiet">{revocation.watchText}</p>
          <RefusalChart />
        </div>
        <div class="card">
          <h3>{revocation.receipt}</h3>
          <p class="quiet">{revocation.receiptText}</p>
          <Receipt answer={watch.value?.answer} />
        </div>
      </div>
    </section>
  )
}
