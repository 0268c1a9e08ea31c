// Does anybody notice that replicas come and go?
// To be done meanwhile: docker compose up -d --scale api=8, and back
import type { Options } from 'k6/options'
import { logInOnce, nobodyNotices, steadyLoad } from './lib/steady.ts'

export const options: Options = { scenarios: steadyLoad('60s'), thresholds: nobodyNotices }

export const setup = logInOnce

export { goOn, read, write } from './lib/steady.ts'
