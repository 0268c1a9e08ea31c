import { ask } from './ask.js'

/** Once a second: so replicas are seen to come and go, and a trouble to be over. In milliseconds. */
const EVERY_MS = 1_000

/** The first ones come at once, or the picture would be empty for as many seconds as there are replicas. */
const AT_ONCE = 6

const beat = (): Promise<unknown> => ask('GET', '/health/ready', { quiet: true })

/** Asks whether the cluster is ready, for as long as somebody looks at the page. */
export function startHeartbeat(): void {
  for (let i = 0; i < AT_ONCE; i++) void beat()
  let waiting = false
  setInterval(() => {
    if (document.hidden || waiting) return
    waiting = true
    void beat().finally(() => (waiting = false))
  }, EVERY_MS)
}
