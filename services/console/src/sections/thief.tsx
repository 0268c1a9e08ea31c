import { useSignal } from '@preact/signals'
import type { Answer } from '../ask.js'
import { current, whoami } from '../login.js'
import { Said } from '../parts/said.js'
import { words } from '../words/words.js'

/** What whoever steals a token knows, and can do. */
export function Thief() {
  const answer = useSignal<Answer | undefined>(undefined)
  const { thief } = words.value.anatomy
  const login = current.value
  const steal = async (): Promise<void> => {
    answer.value = await whoami(login?.token ?? '')
  }
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
      <Said answer={answer.value}> {answer.value?.status === 200 ? thief.accepted : thief.refused}</Said>
    </div>
  )
}
