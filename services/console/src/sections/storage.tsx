import { signal, useSignal } from '@preact/signals'
import type { Answer } from '../ask.js'
import { Button } from '../parts/button.js'
import { Line } from '../parts/command.js'
import { Outcome } from '../parts/outcome.js'
import { Said } from '../parts/said.js'
import { otherSiteCommand, playOtherSite } from '../other-site.js'
import { shortName } from '../replicas.js'
import {
  askWith,
  clear,
  foundAtLoad,
  hasLooked,
  howLoaded,
  INJECTED,
  keepIn,
  kept,
  playInjectedScript,
  STORES,
  type Loot,
  type Store
} from '../stores.js'
import { words } from '../words/words.js'

const ROWS = ['reload', 'tab', 'restart', 'script', 'site'] as const

const answers = signal<Partial<Record<Store, Answer>>>({})

/** One of the three places, what is in it, and what is known of it. */
function Place({ store }: { store: Store }) {
  const { storage } = words.value
  const { nobody } = words.value.answer
  const name = storage.stores[store]
  const answer = answers.value[store]
  const found = foundAtLoad.value[store]
  const busy = useSignal(false)
  const run = async (action: (store: Store) => Promise<Answer>): Promise<void> => {
    busy.value = true
    answers.value = { ...answers.value, [store]: await action(store) }
    busy.value = false
  }
  return (
    <article class="card place" data-store={store} aria-label={name}>
      <h3>
        {name}
        <span class={`state ${kept.value[store] ? 'good' : ''}`}>
          {kept.value[store] ? storage.kept : storage.empty}
        </span>
      </h3>
      <p class="quiet">{storage.storesText[store]}</p>
      <p class="found" aria-busy={!hasLooked.value}>
        <span class="quiet">{storage.rows.load}</span>
        <b>
          {found === undefined || found.code === 'TOKEN_MISSING'
            ? storage.foundNothing
            : found.status === 200
              ? storage.found(shortName(found.servedBy ?? ''))
              : found.status === 401
                ? storage.foundStale(found.code ?? '')
                : storage.foundUnknown(found.code ?? (found.status === 0 ? nobody : String(found.status)))}
        </b>
      </p>
      <div class="buttons">
        <Button aria-label={`${storage.keep}: ${name}`} off={busy.value} onClick={() => void run(keepIn)}>
          {storage.keep}
        </Button>
        <button type="button" aria-label={`${storage.ask}: ${name}`} onClick={() => void run(askWith)}>
          {storage.ask}
        </button>
        <Button
          aria-label={`${storage.clear}: ${name}`}
          off={busy.value || !kept.value[store]}
          onClick={() => void run(clear)}
        >
          {storage.clear}
        </Button>
      </div>
      <Said answer={answer} named>
        {store === 'cookie' && kept.value.cookie && answer?.code === 'TOKEN_MISSING' && ` ${storage.notKept}`}
        {answer?.path === '/auth/login' &&
          answer.status === 200 &&
          !kept.value[store] &&
          ` ${store === 'cookie' ? storage.notKept : storage.blocked}`}
      </Said>
    </article>
  )
}

/** What a script of somebody else reads, once it runs in the page. */
function Injected() {
  const loot = useSignal<Loot | undefined>(undefined)
  const { xss } = words.value.storage
  const show = (text: string): string => (text === '' ? xss.nothing : `${text.slice(0, 24)}…`)
  const lines = loot.value && [
    show(loot.value.cookie),
    show(loot.value.session),
    show(loot.value.local),
    loot.value.sent.status === 200 ? (
      xss.sends.yes(shortName(loot.value.sent.servedBy ?? ''))
    ) : loot.value.sent.code === 'TOKEN_MISSING' ? (
      xss.sends.no(loot.value.sent.code)
    ) : (
      <Outcome answer={loot.value.sent} />
    )
  ]
  return (
    <div class="card injected">
      <h3>{xss.heading}</h3>
      <p>{xss.text}</p>
      <button type="button" onClick={() => void playInjectedScript().then((found) => (loot.value = found))}>
        {xss.button}
      </button>
      <dl class="loot" aria-live="polite">
        {INJECTED.map((line, i) => (
          <div key={line}>
            <dt>
              <code>{line}</code>
            </dt>
            <dd class={lines && lines[i] !== xss.nothing ? '' : 'quiet'}>{lines?.[i] ?? xss.empty}</dd>
          </div>
        ))}
      </dl>
    </div>
  )
}

/** What another site can make the browser send, and why it comes to nothing. */
function OtherSite() {
  const played = useSignal<{ sent: string | undefined; after: Answer } | undefined>(undefined)
  const { csrf } = words.value.storage
  const play = async (): Promise<void> => {
    const before = await askWith('cookie')
    // Where nobody is logged in there is nobody to log out, and it would seem that it had been done.
    if (before.status !== 200) return void (played.value = { sent: undefined, after: before })
    const sent = await playOtherSite()
    played.value = { sent, after: await askWith('cookie') }
  }
  // It is of the login that is kept there.
  const { sent, after } = (kept.value.cookie ? played.value : undefined) ?? {}
  return (
    <div class="card other-site">
      <h3>{csrf.heading}</h3>
      <p>{csrf.text}</p>
      <Button off={!kept.value.cookie} onClick={() => void play()}>
        {csrf.button}
      </Button>
      <p class="said" role="status">
        {after === undefined ? (
          <span class="quiet">{kept.value.cookie ? csrf.empty : csrf.needsCookie}</span>
        ) : sent === undefined ? (
          <Outcome answer={after} />
        ) : (
          <>
            {sent === 'opaque' ? csrf.sent : csrf.notSent(sent)}{' '}
            {after.status === 200 && <b class="good">{csrf.stillIn}</b>}
            {after.status === 401 && <b class="bad">{csrf.loggedOut}</b>}
            {after.status !== 200 && after.status !== 401 && <Outcome answer={after} />}
          </>
        )}
      </p>
      <p class="quiet">{csrf.commandText}</p>
      <div class="task" data-task="other-site">
        <p class="task-name">{csrf.command}</p>
        <Line command={otherSiteCommand()} />
      </div>
    </div>
  )
}

/** What is known of the three, side by side. */
function Facts() {
  const { storage } = words.value
  return (
    <table class="facts">
      <thead>
        <tr>
          <td />
          {STORES.map((store) => (
            <th key={store} scope="col">
              {storage.stores[store]}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {ROWS.map((row) => (
          <tr key={row}>
            <th scope="row">{storage.rows[row]}</th>
            {STORES.map((store) => (
              <td key={store}>{storage.facts[store][row]}</td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  )
}

/** Where a token can be between two requests. */
export function Storage() {
  const { storage } = words.value
  return (
    <section id="storage" aria-labelledby="storage-heading">
      <h2 id="storage-heading">{storage.heading}</h2>
      <p>{storage.text}</p>
      <div class="columns three">
        {STORES.map((store) => (
          <Place key={store} store={store} />
        ))}
      </div>
      <div class="buttons">
        <button type="button" onClick={() => location.reload()}>
          {storage.reloadNow}
        </button>
        <a class="button" href="/#storage" target="_blank" rel="noopener">
          {storage.newTab}
        </a>
        <span class="quiet">
          {storage.loaded[howLoaded()]} {storage.restartNote}
        </span>
      </div>
      <Facts />
      <div class="columns">
        <Injected />
        <OtherSite />
      </div>
    </section>
  )
}
