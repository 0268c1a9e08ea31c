import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import type { FormResults } from '../dist/results.js'

const main = fileURLToPath(new URL('../dist/main.js', import.meta.url))

async function run(...args: string[]): Promise<{ code: number | null; out: string; said: string }> {
  const child = spawn(process.execPath, [main, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  const [out, said] = await Promise.all([text(child.stdout), text(child.stderr), once(child, 'exit')])
  return { code: child.exitCode, out, said }
}

t.test('two forms, quickly: a table, the figures and a chart', async (t) => {
  const output = mkdtempSync(join(tmpdir(), 'one-secret-bench-'))
  t.teardown(() => rmSync(output, { recursive: true }))
  const { code, out, said } = await run('--quick', '--rounds', '1', '--forms', 'bare,fastify-jwt', '--output', output)
  t.equal(code, 0, said)
  const read = (name: string): string => readFileSync(join(output, name), 'utf8')
  t.equal(out.trim(), read('bench.md').trim())
  t.match(out, /@fastify\/jwt \+ EXISTS/)
  t.match(read('bench.svg'), /^<svg /)

  const { measurements } = JSON.parse(read('bench.json')) as FormResults
  t.strictSame(
    measurements.map(({ form }) => form),
    ['bare', 'fastify-jwt']
  )
  for (const one of measurements) {
    t.ok(one.cpuMicroseconds > 0 && one.perSecond > 0 && one.p99Ms >= one.p50Ms, JSON.stringify(one))
    t.equal(one.postgresPerRequest, 0)
  }
  t.ok(measurements[1]!.redisPerRequest > 0.9)
})

t.test('a form that there is not', async (t) => {
  const { code, said } = await run('--forms', 'nobody')
  t.equal(code, 2)
  t.match(said, /^bench: there is no form 'nobody' \(--help lists the options\)$/m)
})
