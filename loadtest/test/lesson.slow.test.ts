import { readFileSync } from 'node:fs'
import t from 'tap'
import { inLoadtest, run, startCluster, versionOf } from './cluster.js'

const page = readFileSync(inLoadtest('../docs/lesson.md'), 'utf8')

/** The page in pieces: what came before, the commands, and what they print, where that is said. */
const steps = [...page.matchAll(/^## (.*)$|^```bash\n([^]*?)^```$(?:\s*^```text\n([^]*?)^```$)?/gm)]

const skip = versionOf('bash', '--version') === undefined ? 'bash is not on the PATH' : false

t.test('the lesson prints what it says', { skip }, async (t) => {
  const { url } = await startCluster(t, '--compare')
  const END = '--- the next step'
  // One shell for all, for what one step has learnt the next one uses.
  const script = steps.flatMap(([, , commands]) => (commands === undefined ? [] : [commands, `echo '${END}'`]))
  const { stdout, stderr } = await run('bash', ['-uc', script.join('\n')], { url })
  t.equal(stderr, '')
  const printed = stdout.split(`${END}\n`)

  let title = 'the beginning'
  let index = 0
  for (const [, heading, commands, expected = ''] of steps) {
    title = heading ?? title
    if (commands !== undefined) t.equal(printed[index++], expected, title)
  }
  t.ok(index > 10)
})
