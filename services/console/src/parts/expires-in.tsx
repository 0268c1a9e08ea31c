import { serverSeconds } from '../clock.js'
import type { Login } from '../login.js'
import { words } from '../words/words.js'

/** As in `14:59`. */
function asClock(seconds: number): string {
  const whole = Math.ceil(seconds)
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, '0')}`
}

/** What is left of the token's life, by the balancer's clock. */
export function ExpiresIn({ login: { iat, exp } }: { login: Login }) {
  const left = exp - serverSeconds.value
  const { anatomy } = words.value
  return (
    <span class="expires-in">
      <meter min={0} max={exp - iat} value={Math.max(0, left)} aria-label="exp" />
      <b>{left > 0 ? anatomy.left(asClock(left)) : anatomy.expired}</b>
    </span>
  )
}
