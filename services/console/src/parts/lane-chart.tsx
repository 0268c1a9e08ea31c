import { elapsed, lanes, missing, RATE, SECONDS, type Racer } from '../race.js'
import { words } from '../words/words.js'

const WIDTH = 300
const HALF = 40
const STEP = WIDTH / SECONDS

/** Accepted above the line, refused below it, a second a step; and where a server went or came back. */
export function LaneChart({ name }: { name: Racer }) {
  const { lanes: table } = words.value
  const lane = lanes[name].value
  const all = lane?.seconds ?? []
  // The second that is under way is not drawn: it would always look like a fall.
  const whole = all.slice(0, -1)
  const from = Math.max(0, whole.length - SECONDS)
  const last = whole.at(-1) ?? { accepted: 0, refused: 0 }
  const height = (count: number): number => Math.min(HALF - 2, (count / RATE) * (HALF - 6))
  // That there are no servers is said once, for all lanes.
  const failed = lane?.login && lane.login.status !== 200 && !missing.value ? lane.login : undefined
  return (
    <article class="lane" data-lane={name}>
      <div>
        <h3>{table.names[name]}</h3>
        <p class="quiet">{table.notes[name]}</p>
        <p class="counts">
          {failed ? (
            <span class="bad">{table.notLoggedIn(failed.code ?? String(failed.status))}</span>
          ) : (
            <>
              <b class="good">{last.accepted}</b> {table.accepted} ·{' '}
              <b class={last.refused > 0 ? 'bad' : ''}>{last.refused}</b> {table.refused} {table.perSecond}
            </>
          )}
        </p>
      </div>
      <svg
        viewBox={`0 0 ${WIDTH} ${HALF * 2}`}
        preserveAspectRatio="none"
        role="img"
        aria-label={table.chart(table.names[name], last.accepted, last.refused)}
      >
        <line class="axis" x1="0" x2={WIDTH} y1={HALF} y2={HALF} />
        {whole.slice(from).map(({ accepted, refused }, i) => (
          <g key={from + i}>
            <rect
              class="accepted"
              x={i * STEP}
              y={HALF - height(accepted)}
              width={STEP - 0.6}
              height={height(accepted)}
            />
            <rect class="refused" x={i * STEP} y={HALF} width={STEP - 0.6} height={height(refused)} />
          </g>
        ))}
        {lane?.marks
          .filter(({ at }) => at >= from && at <= elapsed.value)
          .map(({ at, server, what }) => (
            <line
              key={`${at} ${server} ${what}`}
              class={what}
              data-mark={what}
              x1={(at - from) * STEP}
              x2={(at - from) * STEP}
              y1="0"
              y2={HALF * 2}
            />
          ))}
      </svg>
    </article>
  )
}
