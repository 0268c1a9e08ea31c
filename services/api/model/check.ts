import { either, check, largerWorlds, mutated, mutations, worlds } from './configurations.js'
import type { Explored } from './explore.js'

/** `npm run check:model`: explores every world, small and larger, then what the mutations come to. */

const COLUMNS = [11, 12, 6, 15, 9] as const
const row = (name: string, ...cells: (string | number)[]): void =>
  console.log(name.padEnd(56) + cells.map((cell, i) => String(cell).padStart(COLUMNS[i] ?? 0)).join(''))
const numbers = ({ states, transitions, depth, counted, seconds }: Explored): (string | number)[] =>
  [states, transitions, depth, counted].map((number) => number.toLocaleString('en')).concat(seconds.toFixed(1))

/** In a state that is counted the last logout is acknowledged, and somebody answers from his set, under a lease. */
row('world', 'states', 'transitions', 'depth', 'under a lease', 'seconds', '  verdict')
let failed = 0
for (const [name, world] of Object.entries({ ...worlds, ...largerWorlds })) {
  const explored = check(world, either)
  const { counterExample } = explored
  row(name, ...numbers(explored), counterExample === undefined ? '  holds' : `  ${counterExample.wrong}`)
  if (counterExample === undefined) continue
  failed++
  for (const step of counterExample.steps) console.log(`    ${step}`)
}

console.log()
row('mutation', 'states', 'transitions', 'depth', 'under a lease', 'seconds', '  found')
for (const [name, mutation] of Object.entries(mutations)) {
  const explored = check(mutated(mutation))
  const { counterExample } = explored
  row(
    name,
    ...numbers(explored),
    counterExample === undefined ? '  NOT FOUND' : `  in ${counterExample.steps.length} steps`
  )
  if (counterExample === undefined) failed++
}
process.exitCode = failed === 0 ? 0 : 1
