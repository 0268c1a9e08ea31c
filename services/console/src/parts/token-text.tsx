import { PARTS, partsOf, type Change } from '../token.js'

/** A token in its three colours; of one with an exchanged letter, that letter is marked. */
export function TokenText({ token, change }: { token: string; change?: Change | undefined }) {
  const parts = partsOf(change?.token ?? token)
  return (
    <code class="token" lang="en">
      {PARTS.map((part, i) => (
        <span key={part}>
          {i > 0 && <span class="stop">.</span>}
          <span class={`part ${part}`}>
            {change?.part === part ? (
              <>
                {parts[part].slice(0, change.at)}
                <mark>{parts[part][change.at]}</mark>
                {parts[part].slice(change.at + 1)}
              </>
            ) : (
              parts[part]
            )}
          </span>
        </span>
      ))}
    </code>
  )
}
