import t from 'tap'
import { parseOptions } from '../src/options.js'

t.test('without arguments', async (t) => {
  t.same(parseOptions([]), {
    replicas: 3,
    port: 8080,
    host: '127.0.0.1',
    balancer: undefined,
    postgres: undefined,
    redis: undefined,
    compare: false,
    json: false,
    verbose: false,
    help: false,
    version: false
  })
})

t.test('with all of them', async (t) => {
  const line =
    '--replicas 5 --port 0 --host ::1 --balancer nginx --postgres url --redis embedded --compare --json --verbose'
  t.match(parseOptions(line.split(' ')), {
    replicas: 5,
    port: 0,
    host: '::1',
    balancer: 'nginx',
    postgres: 'url',
    redis: 'embedded',
    compare: true,
    json: true,
    verbose: true
  })
})

t.test('-h is --help', async (t) => {
  t.equal(parseOptions(['-h']).help, true)
})

for (const [line, message] of [
  ['--replicas 0', /--replicas must be a whole number from 1 to 32, not '0'/],
  ['--replicas 33', /--replicas/],
  ['--replicas 1e1', /--replicas/],
  ['--replicas=-1', /--replicas/],
  ['--replicas', /replicas/],
  ['--port 65536', /--port must be a whole number from 0 to 65535/],
  ['--port 80a', /--port/],
  ['--host a;b', /--host must be an address/],
  ['--balancer haproxy', /--balancer must be nginx or embedded, not 'haproxy'/],
  ['--postgres mysql', /--postgres must be url or binary or embedded/],
  ['--redis valkey', /--redis/],
  ['--bogus', /Unknown option '--bogus'/],
  ['extra', /Unexpected argument 'extra'/]
] as const) {
  t.test(`refuses ${line}`, async (t) => {
    t.throws(() => parseOptions(line.split(' ')), { name: 'LocalError', exitCode: 2, message })
  })
}
