import t from 'tap'
import { HELP, parseOptions } from '../src/options.js'

t.test('without arguments: five replicas, every fault, a hundred thousand probes', async (t) => {
  const options = parseOptions([], 42)
  t.match(options, {
    seed: 42,
    quick: false,
    replicas: 5,
    leaseMs: 250,
    probes: 100_000,
    compose: false,
    strict: false
  })
  t.equal(options.faults[0], 'none')
  t.equal(options.faults.at(-1), 'memory')
  for (const name of options.faults) t.match(HELP, `${name} `)
})

t.test('--quick: three replicas, some of the faults', async (t) => {
  const options = parseOptions(['--quick', '--seed', '7'], 42)
  t.match(options, { seed: 7, quick: true, replicas: 3, probes: 0 })
  t.ok(options.faults.length < parseOptions([], 42).faults.length)
})

t.test('--faults takes those that are named, in that order', async (t) => {
  t.same(parseOptions(['--faults', 'cut,kill,memory'], 42).faults, ['cut', 'kill', 'memory'])
})

for (const [line, message] of [
  ['--faults cut,earthquake', /no fault 'earthquake'/],
  ['--replicas 1', /--replicas must be a whole number from 2 to 16, not '1'/],
  ['--lease 1001', /--lease must be a whole number from 10 to 1000/],
  ['--seed -1', /seed/],
  ['--api nowhere.js', /there is no 'nowhere.js'/],
  ['--bogus', /Unknown option '--bogus'/],
  ['extra', /Unexpected argument 'extra'/]
] as const) {
  t.test(`refuses ${line}`, async (t) => {
    t.throws(() => parseOptions(line.split(' '), 42), { name: 'LocalError', exitCode: 2, message })
  })
}
