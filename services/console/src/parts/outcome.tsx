import type { Answer } from '../ask.js'
import { words } from '../words/words.js'

export const isGood = ({ status }: Pick<Answer, 'status'>): boolean => status >= 200 && status < 300

/** What an answer says: its status, and where it is a refusal the code for programs and the message for people. */
export function Outcome({ answer }: { answer: Answer }) {
  const { accepted, refused, nobody } = words.value.answer
  const { status, code, message } = answer
  if (status === 0) return <span class="outcome bad">{nobody}</span>
  return (
    <span class={`outcome ${isGood(answer) ? 'good' : 'bad'}`}>
      <b>
        {status} {isGood(answer) ? accepted : refused}
      </b>
      {code !== undefined && <code>{code}</code>}
      {message !== undefined && (
        <span class="message" lang="en">
          {message}
        </span>
      )}
    </span>
  )
}
