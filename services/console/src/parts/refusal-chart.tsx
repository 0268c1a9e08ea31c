import { afterTheAnswer, firstRefusals, watch } from '../refusals.js'
import { words } from '../words/words.js'
import { ReplicaName } from './replica-name.js'

/** The left edge: the token is seen to be good for a moment before the logout is sent. In milliseconds. */
const FROM_MS = -160
/** The right edge, at the least. */
const TO_MS = 260

/**
 * Each replica's answers to one token, on one line of time: a ring where it was let in, a full point where it was not, and a
 * line from where it was sent. For what was sent before the logout had answered may be let in, though its answer comes later.
 */
export function RefusalChart() {
  const { revocation } = words.value
  const seen = watch.value
  if (seen === undefined) {
    return (
      <div class="refusals">
        <p class="quiet">{revocation.watchEmpty}</p>
      </div>
    )
  }
  const first = firstRefusals(seen)
  const to = Math.max(TO_MS, ...seen.sightings.map(({ atMs }) => atMs))
  const x = (ms: number): string => `${((ms - FROM_MS) / (to - FROM_MS)) * 98 + 1}%`
  const { sent, accepted } = afterTheAnswer(seen)
  return (
    <div class="refusals">
      {seen.replicas.map((name) => {
        const ms = first.get(name)
        return (
          <div key={name} class="refusal" data-replica={name}>
            <p>
              <ReplicaName name={name} />
              <span class={ms === undefined ? 'quiet' : 'bad'}>
                {ms === undefined ? revocation.notYet : revocation.first(Math.round(ms))}
              </span>
            </p>
            <svg width="100%" height="22" aria-hidden="true">
              <line class="axis" x1="0" x2="100%" y1="11" y2="11" />
              {seen.answeredMs !== undefined && (
                <line class="answered" x1={x(seen.answeredMs)} x2={x(seen.answeredMs)} y1="0" y2="22" />
              )}
              {seen.sightings
                .filter(({ replica, atMs }) => replica === name && atMs >= FROM_MS)
                .map(({ sentMs, atMs, accepted }) => (
                  <g key={atMs} class={accepted ? 'accepted' : 'refused'}>
                    <line x1={x(Math.max(sentMs, FROM_MS))} x2={x(atMs)} y1="11" y2="11" />
                    <circle cx={x(atMs)} cy="11" r="3.5" />
                  </g>
                ))}
            </svg>
          </div>
        )
      })}
      <p class="legend">
        <span class="accepted">{revocation.accepted}</span>
        <span class="refused">{revocation.refused}</span>
        <span class="answered">
          {revocation.answered}
          {seen.answeredMs !== undefined && ` ${Math.round(seen.answeredMs)} ms`}
        </span>
      </p>
      <p class="sum" role="status">
        {seen.done && seen.answer?.status === 200 && revocation.after(sent, accepted)}
      </p>
    </div>
  )
}
