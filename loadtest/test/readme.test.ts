import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import t from 'tap'

const read = (file: string): string => readFileSync(fileURLToPath(new URL(`../../${file}`, import.meta.url)), 'utf8')

/** The lines of a document's fenced blocks of one language. */
const blocks = (text: string, language: string): string[] =>
  [...text.matchAll(new RegExp(`^\`\`\`${language}\\n([^]*?)^\`\`\`$`, 'gm'))].map(([, lines]) => lines!)

t.test('the tour in the README is the one that is tested', async (t) => {
  const parts = [...read('loadtest/tour.sh').matchAll(/^# --- (?:tour|devices)\n([^]*?)^# --- end$/gm)]
  t.strictSame(
    blocks(read('README.md'), 'bash'),
    parts.map(([, lines]) => lines)
  )
})

t.test('each command of the README and of CONTRIBUTING is run by .ci/run', async (t) => {
  const ci = read('.ci/run')
  const commands = ['README.md', 'CONTRIBUTING.md'].flatMap((file) =>
    blocks(read(file), 'sh').flatMap((lines) => lines.trim().split('\n'))
  )
  t.ok(commands.length > 8)
  for (const command of commands) t.ok(ci.includes(command), command)
})

t.test('docker compose hands on every setting that .env.example names', async (t) => {
  const compose = read('docker-compose.yml')
  const names = [...read('.env.example').matchAll(/^# ([A-Z_]+)=/gm)].map(([, name]) => name!)
  t.ok(names.includes('SHUTDOWN_DRAIN_MS'))
  t.strictSame(
    names.filter((name) => !compose.includes(`\${${name}:-`)),
    []
  )
})
