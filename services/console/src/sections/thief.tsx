import { useSignal } from '@preact/signals'
import type { Answer } from '../ask.js'
import { current, whoami } from '../login.js'
import { Outcome } from '../parts/outcome.js'
import { shortName } from '../replicas.js'
import { words } from '../words/words.js'

/** What whoever steals a token knows, and can do. */
export function Thief() {
  const answer = useSignal<Answer | undefined>(undefined)
  const { anatomy, answer: said } = words.value
  const { thief } = anatomy
  const login = current.value
  const steal = async (): Promise<void> => {
    answer.value = await whoami(login?.token ?? '')
  }
  const { servedBy } = answer.value ?? {}
  const who = servedBy === undefined ? said.balancer : shortName(servedBy)
  return (
    <div class="thief card">
      <h3>{thief.heading}</h3>
      <ul>
        {thief.tells.map((line) => (
          <li key={line}>{line}</li>
        ))}
      </ul>
      <p>{thief.tellsNot}</p>
      <div class="buttons">
        <button type="button" disabled={login === undefined} onClick={() => void steal()}>
          {thief.button}
        </button>
        <span class="quiet">{thief.text}</span>
      </div>
      <p class="said" role="status">
        {answer.value === undefined ? (
          <span class="quiet">{said.notYet}</span>
        ) : (
          <>
            <Outcome answer={answer.value} /> {answer.value.status === 200 ? thief.accepted(who) : thief.refused(who)}
          </>
        )}
      </p>
    </div>
  )
}
