import type { Started } from './started.js'

export type Task = 'kill' | 'revive' | 'scale' | 'roll' | 'compare' | 'kill-memory' | 'revive-memory'

/** The port that this page came from, where it is not the one that everything takes by default. */
const ownPort = location.port || (location.protocol === 'http:' ? '80' : '8080')
const port = ownPort === '8080' ? undefined : ownPort

function withCompose(task: Task): string {
  const compose = port === undefined ? 'docker compose' : `HTTP_PORT=${port} docker compose`
  switch (task) {
    case 'kill':
      return 'docker kill $(docker compose ps -q api | head -n 1)'
    case 'kill-memory':
      return 'docker kill $(docker compose ps -q sessions-memory | head -n 1)'
    // Whom `docker kill` has ended Docker does not start again by itself; and `up` would undo a scale.
    case 'revive':
      return 'docker compose start api'
    case 'revive-memory':
      return 'docker compose start sessions-memory'
    case 'scale':
      return `${compose} up -d --scale api=8`
    case 'roll':
      return port === undefined ? 'npm run roll' : `HTTP_PORT=${port} npm run roll`
    case 'compare':
      return `${compose} --profile compare up -d --build`
  }
}

/**
 * The oldest of the launcher's children of that kind: whoever is killed is started again, and is the youngest then. Each has its
 * name, which is its kind and a number, as its last argument.
 */
const killOldest = (pid: number | string, kind: string): string => `pkill -KILL -o -P ${pid} -f ' ${kind}-[0-9]+$'`

/** @returns undefined where there is nothing to do: the launcher starts whoever was killed again */
function withNpm(task: Task, pid: number | string): string | undefined {
  const onPort = port === undefined ? '' : ` --port ${port}`
  switch (task) {
    case 'kill':
      return killOldest(pid, 'api')
    case 'kill-memory':
      return killOldest(pid, 'sessions-memory')
    case 'revive':
    case 'revive-memory':
      return undefined
    case 'scale':
      return `npm start -- --replicas 8${onPort}`
    case 'roll':
      return `kill -USR2 ${pid}`
    case 'compare':
      return `npm start -- --compare${onPort}`
  }
}

/** What to type for it: one line or none, or where nobody says how the cluster was started one for each way. */
export function commandsFor(task: Task, started: Started | undefined): readonly string[] {
  const compose = started?.with === 'npm start' ? undefined : withCompose(task)
  const npm =
    started?.with === 'docker compose'
      ? undefined
      : withNpm(task, started?.with === 'npm start' ? started.pid : '<pid>')
  return [compose, npm].filter((command) => command !== undefined)
}

/** What should be known before: `npm start` is told at its start, and has whoever was killed back at once. */
export function noteOf(task: Task, started: Started | undefined): 'stopFirst' | 'isBack' | undefined {
  if (started?.with === 'docker compose') return undefined
  if (task === 'scale' || task === 'compare') return 'stopFirst'
  return task === 'kill' || task === 'kill-memory' ? 'isBack' : undefined
}
