import { useSignal } from '@preact/signals'
import { current, stillHolds, whoami, type Told } from '../login.js'
import { Button } from '../parts/button.js'
import { Said } from '../parts/said.js'
import { words } from '../words/words.js'

/** What whoever steals a token knows, and can do. */
export function Thief() {
  const told = useSignal<Told | undefined>(undefined)
  const { thief } = words.value.anatomy
  const login = current.value
  const answer = stillHolds(told.value)
  const steal = async (): Promise<void> => {
    told.value = { answer: await whoami(login?.token ?? ''), login }
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
        <Button off={login === undefined} onClick={() => void steal()}>
          {thief.button}
        </Button>
        <span class="quiet">{thief.text}</span>
      </div>
      <Said answer={answer}>
        {answer?.status === 200 && ` ${thief.accepted}`}
        {answer?.status === 401 && ` ${thief.refused}`}
      </Said>
    </div>
  )
}
