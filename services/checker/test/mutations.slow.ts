import { cpSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import { mutations, type Mutation } from './mutations.js'
import { runChecker } from './run-checker.js'

const root = fileURLToPath(new URL('../../..', import.meta.url))

/** A copy of the compiled api in which something is wrong. @returns its server */
function build(folder: string, { edits }: Mutation): string {
  cpSync(join(root, 'services/api/dist'), join(folder, 'dist'), { recursive: true })
  cpSync(join(root, 'services/api/package.json'), join(folder, 'package.json'))
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'))
  for (const [name, search, replacement] of edits) {
    const file = join(folder, `dist/denylist/${name}.js`)
    const parts = readFileSync(file, 'utf8').split(search)
    // A mutation that is not made would be found by nothing.
    if (parts.length !== 2) throw new Error(`${name}.js has ${parts.length - 1} times: ${search}`)
    writeFileSync(file, parts.join(replacement))
  }
  return join(folder, 'dist/server.js')
}

/** What a mistake breaks may need a moment that a run does not meet: a mutation must be found in one of so many. */
const SEEDS = ['1', '2', '3']

// A checker that cannot fail proves nothing.
for (const mutation of mutations) {
  const { name, faults, violates, leases: [lease, lastLease] = [250, 250] } = mutation
  t.test(`${violates} is found violated where ${name}`, async (t) => {
    const server = build(t.testdir(), mutation)
    const found = new RegExp(`^${violates} +${faults}: .*$`, 'm')
    const leases = ['--lease', `${lease}`, '--last-lease', `${lastLease}`]
    let run = { code: null as number | null, output: '' }
    for (const seed of SEEDS) {
      run = await runChecker('--quick', '--seed', seed, ...leases, '--faults', faults, '--api', server)
      const [, reason] = /skipped: (.*)/.exec(run.output) ?? []
      if (reason !== undefined) return void t.pass(name, { skip: reason })
      if (found.test(run.output)) break
      t.comment(`not with seed ${seed}`)
    }
    t.equal(run.code, 1, run.output)
    t.match(run.output, found)
    t.comment(found.exec(run.output)?.[0] ?? '')
  })
}
