import { signal } from '@preact/signals'
import { current, stillHolds, whoami, type Told } from '../login.js'
import { Button } from '../parts/button.js'
import { Said } from '../parts/said.js'
import { changeLetter, PARTS, partsOf, type Change, type Part } from '../token.js'
import { words } from '../words/words.js'

type Sent = 'asIs' | Part
const SENT: readonly Sent[] = ['asIs', ...PARTS]

interface Try extends Told {
  change: Change | undefined
}

const tries = signal<Partial<Record<Sent, Try>>>({})

/** The letter that was exchanged last, and of which token. */
export const lastChange = signal<(Change & { from: string }) | undefined>(undefined)

/** The same token with a letter changed in each of its parts: who refuses it, and why. */
export function Tamper() {
  const { anatomy } = words.value
  const { tamper } = anatomy
  const login = current.value

  const send = async (what: Sent): Promise<void> => {
    const from = login?.token ?? ''
    const change = what === 'asIs' ? undefined : changeLetter(from, what)
    lastChange.value = change && { ...change, from }
    const answer = await whoami(change?.token ?? from)
    tries.value = { ...tries.value, [what]: { answer, login, change } }
  }
  const letter = ({ change, login }: Try): string => {
    if (change === undefined || login === undefined) return ''
    const { part, at, token } = change
    return tamper.letter(partsOf(login.token)[part][at] ?? '', partsOf(token)[part][at] ?? '', at + 1)
  }

  return (
    <div class="tamper card">
      <h3>{tamper.heading}</h3>
      <p>{tamper.text}</p>
      <ul class="tries">
        {SENT.map((what) => {
          const sent = tries.value[what]
          const answer = stillHolds(sent)
          const name = what === 'asIs' ? tamper.asIs : anatomy.parts[what]
          return (
            <li key={what} class={what}>
              <Button
                off={login === undefined}
                aria-label={`${name}: ${what === 'asIs' ? tamper.send : tamper.change}`}
                onClick={() => void send(what)}
              >
                {name}
              </Button>
              <Said answer={answer}>{sent && <span class="quiet letter">{letter(sent)}</span>}</Said>
            </li>
          )
        })}
      </ul>
    </div>
  )
}
