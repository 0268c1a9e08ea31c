// Does anybody notice that every replica is replaced?
// To be done meanwhile: npm run roll, or kill -USR2 <the launcher>
import type { Options } from 'k6/options'
import { logInOnce, nobodyNotices, steadyLoad } from './lib/steady.ts'

export const options: Options = { scenarios: steadyLoad('40s'), thresholds: nobodyNotices }

export const setup = logInOnce

export { goOn, read, write } from './lib/steady.ts'
