import { troubles, type Trouble } from '../troubles.js'
import { words } from '../words/words.js'

function say(trouble: Trouble): string {
  const table = words.value.troubles
  switch (trouble.kind) {
    case 'unreachable':
      return table.unreachable
    case 'no-replica':
      return table.noReplica
    case 'unavailable':
      return table.unavailable(trouble.code)
    case 'limited':
      return table.limited(trouble.seconds)
    case 'clock':
      return table.clock(trouble.seconds)
  }
}

/** Over the page and not in it, so that nothing moves when something goes wrong. */
export function Troubles() {
  return (
    <div class="troubles" role="status" aria-label={words.value.troubles.label}>
      {troubles.value.map((trouble) => (
        <p key={trouble.kind} data-trouble={trouble.kind}>
          {trouble.kind === 'limited' ? (
            <>
              {/* What is read aloud must not count: each number would be read again. */}
              <span aria-hidden="true">{say(trouble)}</span>
              <span class="unseen">{say({ ...trouble, seconds: trouble.of })}</span>
            </>
          ) : (
            say(trouble)
          )}
        </p>
      ))}
    </div>
  )
}
