import { Command } from '../parts/command.js'
import { LaneChart } from '../parts/lane-chart.js'
import { lanes, missing, RACERS, racing, start, stop } from '../race.js'
import { words } from '../words/words.js'

/** The same login in four ways, under the same requests. */
export function Lanes() {
  const { lanes: table } = words.value
  const events = RACERS.flatMap((name) => (lanes[name].value?.marks ?? []).map((mark) => ({ ...mark, name })))
    .sort((a, b) => b.at - a.at)
    .slice(0, 4)
  return (
    <section id="lanes" aria-labelledby="lanes-heading">
      <h2 id="lanes-heading">{table.heading}</h2>
      <p>{table.text}</p>
      <div class="buttons">
        <button type="button" class="first" onClick={() => (racing.value ? stop() : void start())}>
          {racing.value ? table.stop : table.start}
        </button>
        <p class="legend">
          <span class="accepted">{table.accepted}</span>
          <span class="refused">{table.refused}</span>
          <span class="quiet">{table.perSecond}</span>
          <span class="gone">{table.mark}</span>
        </p>
      </div>
      <p class="turn-on" role="status">
        {missing.value ? table.missing : table.kill}
      </p>
      <div class="commands">
        {missing.value ? (
          <Command task="compare" />
        ) : (
          <>
            <Command task="kill-memory" />
            <Command task="revive-memory" />
          </>
        )}
      </div>
      <div class="card lanes">
        {RACERS.map((name) => (
          <LaneChart key={name} name={name} />
        ))}
      </div>
      <ol class="events" aria-live="polite">
        {events.length === 0 && <li class="quiet">{table.events}</li>}
        {events.map(({ name, at, server, what }) => (
          <li key={`${name} ${server} ${at} ${what}`}>
            <span class="quiet">{at.toFixed(1)} s</span> {table.names[name]}: {table[what](server)}
          </li>
        ))}
      </ol>
    </section>
  )
}
