import { chmodSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { findBinary } from '../src/binaries.js'

t.test('a program is found on the PATH, and beside it in sbin where the PATH has only bin', (t) => {
  const dir = t.testdir({ bin: { one: '' }, sbin: { one: '', two: '' }, other: {} })
  for (const file of ['bin/one', 'sbin/one', 'sbin/two']) chmodSync(join(dir, file), 0o755)
  const { PATH } = process.env
  t.teardown(() => (process.env['PATH'] = PATH))
  process.env['PATH'] = `${dir}/other:${dir}/bin`
  t.equal(findBinary('one'), join(dir, 'bin/one'))
  t.equal(findBinary('two'), join(dir, 'sbin/two'))
  t.equal(findBinary('three'), undefined)
  process.env['PATH'] = `${dir}/other`
  t.equal(findBinary('two'), undefined)
  t.end()
})
