import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t, { type Test } from 'tap'
import { EMBEDDED, launch, useOwnTempDir } from './launch.js'
import { tempDirs } from './waiting.js'

useOwnTempDir(t)

const root = fileURLToPath(new URL('../../..', import.meta.url))
const RING = `given:${Buffer.from(Array.from({ length: 32 }, (_, i) => i * 7)).toString('base64url')}`

/** As a shell would run it, below the root of the repository. */
async function shell(t: Test, command: string): Promise<string> {
  const [code, output] = await new Promise<[number, string]>((resolve) =>
    execFile('sh', ['-c', command], { cwd: root }, (error, stdout, stderr) =>
      resolve([error === null ? 0 : Number(error.code), stdout + stderr])
    )
  )
  t.equal(code, 0, `${command}: ${output}`)
  return output
}

t.test(
  'the command that the launcher names replaces the secret, and a token from before works until the drop',
  async (t) => {
    const launcher = launch(t, ['--json', '--port', '0', '--replicas', '2', ...EMBEDDED])
    const { balancer, keys } = await launcher.ready()
    t.match(keys, /^npm run keys -- --file \S+\/jwt-keys$/)

    const body = JSON.stringify({ username: 'ada', password: 'correct horse battery staple' })
    const init = { method: 'POST', headers: { 'content-type': 'application/json' }, body }
    await fetch(`${balancer}/users`, init)
    const logIn = async (): Promise<string> =>
      ((await (await fetch(`${balancer}/auth/login`, init)).json()) as { access_token: string }).access_token
    const whoami = async (token: string): Promise<number[]> => {
      const headers = { authorization: `Bearer ${token}` }
      return Promise.all([1, 2, 3, 4].map(async () => (await fetch(`${balancer}/whoami`, { headers })).status))
    }
    const old = await logIn()
    t.match(await shell(t, keys!), /^k1 +signs +2 of 2$/m)
    t.match(await shell(t, `${keys} add k2`), /^safe next: sign k2$/m)
    t.match(await shell(t, `${keys} sign k2`), /^safe next: drop k1 from /m)
    const fresh = await logIn()
    for (const token of [old, fresh]) t.strictSame(await whoami(token), [200, 200, 200, 200])
    await shell(t, `${keys} drop k1 --force`)
    t.strictSame(await whoami(old), [401, 401, 401, 401])
    t.strictSame(await whoami(fresh), [200, 200, 200, 200])

    launcher.child.kill('SIGTERM')
    t.equal(await launcher.exit, 0)
    t.same(tempDirs(), [], 'the ring goes with the rest')
  }
)

t.test('the ring of JWT_KEYS_FILE is changed where it is; for that of JWT_KEYS no command is named', async (t) => {
  const file = join(t.testdir(), "the user's ring")
  writeFileSync(file, RING)
  const launcher = launch(t, ['--json', '--port', '0', '--replicas', '1', ...EMBEDDED], { JWT_KEYS_FILE: file })
  const { keys, replicas } = await launcher.ready()
  t.match(keys, ` --replicas ${replicas[0]!.url}`)
  t.match(await shell(t, keys!), /^given +signs +1 of 1$/m)
  launcher.child.kill('SIGTERM')
  await launcher.exit

  const other = launch(t, ['--json', '--port', '0', '--replicas', '1', ...EMBEDDED], { JWT_KEYS: RING })
  t.equal((await other.ready()).keys, undefined)
})
