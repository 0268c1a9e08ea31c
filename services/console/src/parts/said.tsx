import type { ComponentChildren } from 'preact'
import type { Answer } from '../ask.js'
import { words } from '../words/words.js'
import { Outcome } from './outcome.js'
import { Who } from './who.js'

interface SaidProps {
  answer: Answer | undefined
  /** What stands there until something has been asked. */
  empty?: string
  /** Whether to say what was asked, where a place has answers to more than one question. */
  named?: boolean
  children?: ComponentChildren
}

/** Who has answered, and what: also for whoever cannot see it appear. */
export function Said({ answer, empty, named = false, children }: SaidProps) {
  return (
    <div class="said" role="status">
      {answer === undefined ? (
        <span class="quiet">{empty ?? words.value.answer.notYet}</span>
      ) : (
        <>
          {named && <code class="quiet asked">{`${answer.method} ${answer.path}`}</code>}
          <Who answer={answer} /> <Outcome answer={answer} />
          {children}
        </>
      )}
    </div>
  )
}
