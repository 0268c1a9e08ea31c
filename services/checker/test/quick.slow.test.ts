import { fileURLToPath } from 'node:url'
import t from 'tap'
import { runChecker } from './run-checker.js'

const noServer = fileURLToPath(new URL('../../api/dist/errors.js', import.meta.url))

// The same schedule each time. What it meets is another one each time: a failure may take some runs to come again.
t.test('no invariant is violated in the short form', async (t) => {
  const { code, output } = await runChecker('--quick', '--seed', '1')
  t.equal(code, 0, output)
  t.match(output, /\nno violation\n$/)
  for (const [, name, reason] of output.matchAll(/^(\S+) +(skipped: .*)$/gm)) {
    t.test(name!, { skip: reason! }, async () => undefined)
  }
})

t.test('where it cannot be found out the exit code is 2', async (t) => {
  // Another program of the api's, which ends at once.
  const { code, output } = await runChecker('--quick', '--faults', 'none', '--api', noServer)
  t.equal(code, 2, output)
})

t.test('where none of the faults can be injected neither', async (t) => {
  const { PATH } = process.env
  t.teardown(() => (process.env['PATH'] = PATH))
  process.env['PATH'] = '/nonexistent'
  const { code, output } = await runChecker('--quick', '--faults', 'redis-restart')
  t.equal(code, 2, output)
  t.match(output, '1 of 1 faults could not be injected')
})
