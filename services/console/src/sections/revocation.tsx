import { useSignal } from '@preact/signals'
import { ask, type Answer } from '../ask.js'
import { logIn, logins, markEnded, whoami, type BrowserName, type Login } from '../login.js'
import { ExpiresIn } from '../parts/expires-in.js'
import { Outcome } from '../parts/outcome.js'
import { RefusalChart } from '../parts/refusal-chart.js'
import { Receipt } from '../parts/receipt.js'
import { Who } from '../parts/who.js'
import { watch, watchRefusals } from '../refusals.js'
import { words } from '../words/words.js'
import { Devices, listDevices } from './devices.js'

const BROWSERS: readonly BrowserName[] = ['A', 'B']

/** Sends what ends these sessions, and watches the refusals of one of their tokens. */
export async function end(
  watched: Login,
  send: () => Promise<Answer>,
  isEnded: (login: Login) => boolean
): Promise<void> {
  const answer = await watchRefusals(watched.token, send)
  if (answer.status !== 200) return
  markEnded(isEnded)
  await listDevices()
}

const short = (id: string): string => id.slice(0, 8)

/** One of two logins of the same user. */
function Browser({ name }: { name: BrowserName }) {
  const answer = useSignal<Answer | undefined>(undefined)
  const { revocation, answer: said } = words.value
  const login = logins[name].value
  const isBusy = watch.value !== undefined && !watch.value.done

  const label = (text: string): string => `${text}: ${revocation.browser(name)}`

  const enter = async (): Promise<void> => {
    answer.value = await logIn(name)
    if (answer.value.status === 200) await listDevices()
  }
  const askWho = async (): Promise<void> => {
    answer.value = await whoami(login?.token ?? '')
  }
  const logOut = (): Promise<void> =>
    end(
      login!,
      () => ask('POST', '/auth/logout', { token: login!.token }),
      ({ sid }) => sid === login!.sid
    )

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
            {revocation.session} <code>{short(login.sid)}</code>
            {!login.ended && <ExpiresIn login={login} />}
          </>
        )}
      </p>
      <div class="buttons">
        <button type="button" aria-label={label(revocation.logIn)} disabled={isBusy} onClick={() => void enter()}>
          {revocation.logIn}
        </button>
        <button
          type="button"
          aria-label={label(revocation.ask)}
          disabled={login === undefined}
          onClick={() => void askWho()}
        >
          {revocation.ask}
        </button>
        <button
          type="button"
          aria-label={label(revocation.logOut)}
          disabled={isBusy || !login || login.ended}
          onClick={() => void logOut()}
        >
          {revocation.logOut}
        </button>
      </div>
      <p class="said" role="status">
        {answer.value === undefined ? (
          <span class="quiet">{said.notYet}</span>
        ) : (
          <>
            <Who answer={answer.value} /> <Outcome answer={answer.value} />
          </>
        )}
      </p>
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
