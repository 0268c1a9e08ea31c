import t from 'tap'
import { plan, seeded } from '../src/schedule.js'

t.test('the same seed plans the same revocations, another seed others, and each fault its own', async (t) => {
  const planned = (seed: number, fault: string) => plan(seeded(seed, fault), 200, 100)
  t.same(planned(1, 'cut'), planned(1, 'cut'))
  // Compared as text: tap would work out how two long plans differ, for two seconds, and show it to nobody.
  const spelled = (seed: number, fault: string): string => JSON.stringify(planned(seed, fault))
  t.not(spelled(1, 'cut'), spelled(2, 'cut'))
  t.not(spelled(1, 'cut'), spelled(1, 'kill'))
})

t.test('every kind of revocation is planned, at the rate that was asked for', async (t) => {
  const planned = plan(seeded(1, 'any'), 2000, 100)
  t.equal(new Set(planned.map(({ kind }) => kind)).size, 7)
  const mean = planned.reduce((sum, { afterMs }) => sum + afterMs, 0) / planned.length
  t.ok(mean > 90 && mean < 110, `every ${mean.toFixed(1)} ms`)
  t.ok(planned.every(({ replica }) => replica >= 0 && replica < 1))
})
