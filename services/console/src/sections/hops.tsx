import { useSignal } from '@preact/signals'
import { useEffect } from 'preact/hooks'
import { ask } from '../ask.js'
import { recent, resetTally } from '../hops.js'
import { current } from '../login.js'
import { Button } from '../parts/button.js'
import { Command } from '../parts/command.js'
import { HopsPicture } from '../parts/hops-picture.js'
import { isGood } from '../parts/outcome.js'
import { Who } from '../parts/who.js'
import { started } from '../started.js'
import { words } from '../words/words.js'

const MANY = 100
/** How many of the hundred are under way at a time. */
const AT_A_TIME = 6
/** While it keeps sending: one in so many milliseconds. */
const EVERY_MS = 150

/** With the token where there is one; without, something that everybody may ask. */
const send = (): Promise<unknown> => {
  const { token } = current.value ?? {}
  return token === undefined ? ask('GET', '/health/live') : ask('GET', '/whoami', { token })
}

async function sendMany(): Promise<void> {
  let left = MANY
  const worker = async (): Promise<void> => {
    while (left-- > 0) await send()
  }
  await Promise.all(Array.from({ length: AT_A_TIME }, worker))
}

/** The way of each request, and who has answered how many. */
export function Hops() {
  const busy = useSignal(false)
  const sending = useSignal(false)
  const { hops, commands, answer } = words.value

  useEffect(() => {
    if (!sending.value) return
    const timer = setInterval(() => void (document.hidden || send()), EVERY_MS)
    return () => clearInterval(timer)
  }, [sending.value])

  const many = async (): Promise<void> => {
    busy.value = true
    resetTally()
    await sendMany()
    busy.value = false
  }

  return (
    <section id="hops" aria-labelledby="hops-heading">
      <h2 id="hops-heading">{hops.heading}</h2>
      <p>{hops.text}</p>
      <HopsPicture />
      <div class="buttons">
        <button type="button" class="first" onClick={() => void send()}>
          {hops.send}
        </button>
        <Button off={busy.value} onClick={() => void many()}>
          {hops.sendMany}
        </Button>
        <button type="button" class={sending.value ? 'pressed' : ''} onClick={() => (sending.value = !sending.value)}>
          {sending.value ? hops.stopSending : hops.keepSending}
        </button>
        <button type="button" class="plain" onClick={resetTally}>
          {hops.reset}
        </button>
      </div>
      <h3>{hops.log}</h3>
      <ol class="log">
        {recent.value.length === 0 && <li class="quiet">{hops.empty}</li>}
        {/* By their place: a new one changes what six lines say, and moves none of them. */}
        {recent.value.map((hop, place) => (
          <li key={place}>
            {/* One text, for two would move when a method is longer. */}
            <code>{`${hop.method} ${hop.path}`}</code>
            <Who answer={hop} />
            <b class={isGood(hop) ? 'good' : 'bad'}>{hop.status || '–'}</b>
            <span class="quiet">{answer.took(hop.tookMs.toFixed(0))}</span>
          </li>
        ))}
      </ol>
      <div class="commands">
        <h3>{hops.commands}</h3>
        <p class="quiet">{started.value === undefined ? commands.unknown : hops.commandsText}</p>
        <Command task="kill" />
        <Command task="revive" />
        <Command task="roll" />
        <Command task="scale" />
      </div>
    </section>
  )
}
