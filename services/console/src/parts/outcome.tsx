import type { Answer } from '../ask.js'
import { words } from '../words/words.js'

export const isGood = ({ status }: Pick<Answer, 'status'>): boolean => status >= 200 && status < 300

/** Their messages end in what exactly is wrong, which no table has. */
const DETAILED = new Set(['TOKEN_INVALID', 'REFRESH_TOKEN_INVALID', 'VALIDATION_FAILED'])

/** What an answer says: its status, and where it is a refusal the code for programs and the message for people. */
export function Outcome({ answer }: { answer: Answer }) {
  const { accepted, refused, nobody, codes } = words.value.answer
  const { status, code = '', message } = answer
  if (status === 0) return <span class="outcome bad">{nobody}</span>
  const meaning = codes[code]
  const said = meaning === undefined ? message : DETAILED.has(code) ? message?.replace(/^[^:]*: /, '') : undefined
  return (
    <span class={`outcome ${isGood(answer) ? 'good' : 'bad'}`}>
      <b>
        {status} {isGood(answer) ? accepted : refused}
      </b>
      {code && <code>{code}</code>}
      {meaning !== undefined && <span class="message">{meaning}</span>}
      {said !== undefined && (
        <span class="message" lang="en">
          {said}
        </span>
      )}
    </span>
  )
}
