import { useEffect, useRef } from 'preact/hooks'
import { now } from '../clock.js'
import { recent, tally, watchHops, type Hop } from '../hops.js'
import { current } from '../login.js'
import { mayMove } from '../motion.js'
import { isSilent, replicas, shortName } from '../replicas.js'
import { words } from '../words/words.js'
import { isGood } from './outcome.js'

const WIDTH = 400
const HEIGHT = 270
const YOU = { x: 34, y: HEIGHT / 2 }
const BALANCER = { x: 132, y: HEIGHT / 2 }
/** Where the replicas stand in a column, and their names beside them. */
const REPLICAS_X = 226
const BAR_WIDTH = 142

/** Few stand as far apart as many would, so that nothing jumps when a fourth is there. */
const yOf = (index: number, count: number): number => {
  const room = Math.min(72, (HEIGHT - 20) / Math.max(1, count))
  return HEIGHT / 2 + (index - (count - 1) / 2) * room
}

/** How long a request takes to be drawn, there and back, in milliseconds. */
const TRAVEL_MS = 620

/** A point that goes to the replica and comes back: there in the colour of the page, back in that of the answer. */
function animate(group: SVGGElement, hop: Hop, y: number | undefined): void {
  const dot = document.createElementNS('http://www.w3.org/2000/svg', 'circle')
  dot.setAttribute('r', '4.5')
  dot.setAttribute('class', `packet ${isGood(hop) ? 'good' : 'bad'}`)
  group.append(dot)
  const at = (x: number, y: number): { transform: string } => ({ transform: `translate(${x}px, ${y}px)` })
  const far = y === undefined ? at(BALANCER.x, BALANCER.y) : at(REPLICAS_X, y)
  const [you, balancer] = [at(YOU.x, YOU.y), at(BALANCER.x, BALANCER.y)]
  const flight = dot.animate([you, balancer, far, far, balancer, you], { duration: TRAVEL_MS, easing: 'ease-in-out' })
  flight.finished.finally(() => dot.remove()).catch(() => undefined)
}

/** Who issued the token that is used, and who checked it last, or the one that was sent in its place. */
function useRoles(): { issuer: string | undefined; verifier: string | undefined; refused: boolean } {
  const issuer = current.value?.issuer
  const last = recent.value.find(({ path, servedBy }) => path === '/whoami' && servedBy !== undefined)
  return {
    issuer,
    verifier: issuer === undefined ? undefined : last?.servedBy,
    refused: last !== undefined && !isGood(last)
  }
}

/** The balancer and the replicas, as they have been seen; and each request on its way. */
export function HopsPicture() {
  const moving = useRef<SVGGElement>(null)
  const places = useRef<ReadonlyMap<string, number>>(new Map())
  const { hops, answer } = words.value
  const all = replicas.value
  const { issuer, verifier, refused } = useRoles()
  const said = hops.picture(issuer && shortName(issuer), verifier && shortName(verifier), refused)
  const total = all.reduce((sum, { name }) => sum + (tally.value[name] ?? 0), 0)
  places.current = new Map(all.map(({ name }, i) => [name, yOf(i, all.length)]))

  useEffect(
    () =>
      watchHops((hop) => {
        if (!mayMove() || document.hidden || !moving.current || moving.current.childElementCount > 40) return
        animate(moving.current, hop, hop.servedBy === undefined ? undefined : places.current.get(hop.servedBy))
      }),
    []
  )

  return (
    <figure class="hops-picture">
      <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-label={said}>
        <path class="line" d={`M ${YOU.x} ${YOU.y} H ${BALANCER.x}`} />
        {all.map(({ name }, i) => {
          const y = yOf(i, all.length)
          const middle = (BALANCER.x + REPLICAS_X) / 2
          return (
            <path
              key={name}
              class={`line${name === verifier ? ' used' : ''}`}
              d={`M ${BALANCER.x} ${BALANCER.y} C ${middle} ${BALANCER.y}, ${middle} ${y}, ${REPLICAS_X} ${y}`}
            />
          )
        })}
        <g class="node">
          <circle cx={YOU.x} cy={YOU.y} r={16} />
          <text x={YOU.x} y={YOU.y + 34}>
            {hops.you}
          </text>
          <rect
            x={BALANCER.x - 15}
            y={BALANCER.y - 15}
            width={30}
            height={30}
            rx={6}
            transform={`rotate(45 ${BALANCER.x} ${BALANCER.y})`}
          />
          <text x={BALANCER.x} y={BALANCER.y + 40}>
            {hops.balancer}
          </text>
        </g>
        {all.map((replica, i) => {
          const { name, colour, seenAt } = replica
          const y = yOf(i, all.length)
          const count = tally.value[name] ?? 0
          const share = total === 0 ? 0 : count / total
          const silent = isSilent(replica)
          const marks = [
            name === issuer && hops.issued,
            name === verifier && (refused ? answer.refused : hops.verified)
          ]
            .filter(Boolean)
            .join(' · ')
          return (
            <g key={name} class={`server colour-${colour}${silent ? ' silent' : ''}`} data-replica={name}>
              {name === issuer && <circle class="issuer" cx={REPLICAS_X} cy={y} r={15} />}
              <circle class="dot" cx={REPLICAS_X} cy={y} r={10} />
              {name === verifier && (
                <path
                  class={refused ? 'cross' : 'check'}
                  d={
                    refused
                      ? `M ${REPLICAS_X - 4} ${y - 4} l 8 8 m 0 -8 l -8 8`
                      : `M ${REPLICAS_X - 4.5} ${y} l 3.2 3.4 l 5.8 -6.6`
                  }
                />
              )}
              <text class="name" x={REPLICAS_X + 22} y={y - 2}>
                {shortName(name)}
              </text>
              <text class="count" x={REPLICAS_X + 22 + BAR_WIDTH} y={y - 2}>
                {count > 0 ? `${count} · ${Math.round(share * 100)} %` : ''}
              </text>
              <rect class="bar back" x={REPLICAS_X + 22} y={y + 5} width={BAR_WIDTH} height={4} rx={2} />
              <rect class="bar" x={REPLICAS_X + 22} y={y + 5} width={BAR_WIDTH * share} height={4} rx={2} />
              {all.length <= 6 && (
                <text class="marks" x={REPLICAS_X + 22} y={y + 23}>
                  {silent ? hops.silent(Math.round((now.value - seenAt) / 1000)) : marks}
                </text>
              )}
            </g>
          )
        })}
        {all.length === 0 && (
          <text class="nobody" x={REPLICAS_X} y={HEIGHT / 2 + 4}>
            {hops.none}
          </text>
        )}
        <g ref={moving} />
      </svg>
      <figcaption>{said}</figcaption>
      {/* What the picture shows of each, for whoever cannot see it. */}
      <ul class="unseen">
        {all.map((replica) => (
          <li key={replica.name}>
            {`${shortName(replica.name)}: ${tally.value[replica.name] ?? 0}`}
            {isSilent(replica) && `, ${hops.silent(Math.round((now.value - replica.seenAt) / 1000))}`}
          </li>
        ))}
      </ul>
    </figure>
  )
}
