import t from 'tap'
// As built: what tsx makes of it takes about a third longer.
import { check, either, mutated, mutations, worlds } from '../model/dist/model/configurations.js'

// Every order of events that two replicas, Redis and Postgres can come to; `npm run check:model` explores more of it.
for (const [name, world] of Object.entries(worlds)) {
  t.test(`where ${name}, whatever the order: no revoked token is accepted, and all ends well`, (t) => {
    const { counterExample, states, counted, seconds } = check(world, either)
    t.equal(counterExample, undefined)
    t.ok(counted > 0, 'a replica answers under a lease after the acknowledgement')
    t.comment(`${states} states in ${seconds.toFixed(1)} s, ${counted} of them under a lease after the acknowledgement`)
    t.end()
  })
}

for (const [name, mutation] of Object.entries(mutations)) {
  t.test(`where ${name}, a revoked token is accepted`, (t) => {
    const { counterExample } = check(mutated(mutation))
    t.match(counterExample?.wrong, /^R1: /)
    t.comment(`found in ${counterExample?.steps.length} steps:\n  ${counterExample?.steps.join('\n  ')}`)
    t.end()
  })
}
