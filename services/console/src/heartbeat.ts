import { ask, type Answer } from './ask.js'
import { replicas } from './replicas.js'
import { noteTroubles } from './troubles.js'

/** How often, in milliseconds: so replicas are seen to come and go, and a trouble to be over. */
const EVERY_MS = 1_000

/** How many are asked for while nobody is known. */
const AT_FIRST = 6

/** One server that hangs must not keep the page from meeting the others, in milliseconds: below two turns. */
const GIVE_UP_MS = 1_500

/** Whether the cluster can serve, and if not, what is down. */
const askWhetherReady = (): Promise<unknown> => ask('GET', '/health/ready', { quiet: true, giveUpMs: GIVE_UP_MS })

/**
 * As many requests at a time as there are replicas: the balancer takes each in turn, so all of them answer, whoever else sends
 * requests in between. And one more, for a new one.
 */
async function meetAll(): Promise<void> {
  const known = replicas.peek().length
  const count = known === 0 ? AT_FIRST : known + 1
  const meet = (): Promise<Answer> => ask('GET', '/health/live', { quiet: true, giveUpMs: GIVE_UP_MS })
  const answers = await Promise.all(Array.from({ length: count }, meet))
  // None of them has an answer: then it is the balancer that hangs.
  if (answers.every(({ status }) => status === 0)) noteTroubles(answers[0]!)
}

/** At once and then again and again, while somebody looks at the page; not before the last time is over. */
function repeat(job: () => Promise<unknown>): void {
  let running = false
  const run = (): void => {
    if (document.hidden || running) return
    running = true
    void job().finally(() => (running = false))
  }
  run()
  setInterval(run, EVERY_MS)
  document.addEventListener('visibilitychange', run)
}

/** By themselves, for where something hangs it takes long to say so, and the replicas are there all the same. */
export function startHeartbeat(): void {
  repeat(meetAll)
  repeat(askWhetherReady)
}
