import { readFileSync } from 'node:fs'
import t from 'tap'
import { inLoadtest, run, startCluster, versionOf } from './cluster.js'
import { startMeddler } from './meddler.js'

const tour = inLoadtest('tour.sh')

/** The lines of one part of it, as they stand in the README. */
function linesOf(part: string): string {
  const [, lines] = new RegExp(`^# --- ${part}\\n([^]*?)^# --- end$`, 'm').exec(readFileSync(tour, 'utf8')) ?? []
  if (lines === undefined) throw new Error(`there is no ${part} in ${tour}`)
  return lines
}

/** Why it cannot run here, or false. */
function reasonToSkip(): string | false {
  const [, major, minor] = /^curl (\d+)\.(\d+)/.exec(versionOf('curl', '--version') ?? '') ?? []
  if (versionOf('bash', '--version') === undefined) return 'bash is not on the PATH'
  if (major === undefined) return 'curl is not on the PATH'
  // The first one with %header{}.
  return Number(major) * 1000 + Number(minor) < 7084 && `curl is ${major}.${minor}, and 7.84 is needed`
}

t.test('the quick start', { skip: reasonToSkip() }, async (t) => {
  const { url, replicas } = await startCluster(t)

  t.test('every line of it keeps what it promises', async (t) => {
    const { code, stdout, stderr } = await run('bash', ['-c', linesOf('tour')], { url })
    t.equal(code, 0)
    t.equal(stderr, '')

    const [user, ...answers] = stdout.trimEnd().split('\n')
    t.match(JSON.parse(user!), { id: /./, username: /^ada-\d+$/ })

    const before = answers.splice(0, 6)
    t.ok(before.every((line) => line.startsWith('200 from ')))
    t.equal(new Set(before).size, Math.min(replicas, 6), before.join())

    const [claims, forged, expired, receipt] = answers.splice(0, 4).map((line) => JSON.parse(line) as { exp?: number })
    t.match(claims, { sub: (JSON.parse(user!) as { id: string }).id, exp: Number })
    t.notMatch(JSON.stringify(claims), /ada-/)
    t.match(forged, { statusCode: 401, code: 'TOKEN_INVALID', message: /signature/ })
    t.match(expired, { statusCode: 401, code: 'TOKEN_EXPIRED' })
    t.match(receipt, { revoked: [{ kind: 'jti' }, { kind: 'sid' }], acknowledgedBy: Array })

    t.equal(answers.length, 6)
    t.ok(answers.every((line) => line.startsWith('401 from ')))
    t.equal(new Set(answers).size, Math.min(replicas, 6), answers.join())
  })

  t.test('and so does every line about devices and cookies', async (t) => {
    const { code, stdout, stderr } = await run('bash', ['-c', linesOf('devices')], { url })
    t.equal(code, 0)
    t.equal(stderr, '')
    const answers = stdout.trimEnd().split('\n')
    t.match(
      answers.map((line) => JSON.parse(line) as object),
      [
        { username: /^eve-/ },
        {
          sessions: [
            { userAgent: 'laptop', current: true },
            { userAgent: 'phone', current: false }
          ]
        },
        { revoked: [{ kind: 'sid' }] },
        { code: 'TOKEN_REVOKED' },
        { revoked: [{ kind: 'sid' }, { kind: 'sid' }] },
        { code: 'TOKEN_REVOKED' },
        { transport: 'cookie', expires_in: 900 },
        { issuedBy: String, servedBy: String },
        { statusCode: 403, code: 'CROSS_SITE_REFUSED' },
        { revoked: [{ kind: 'jti' }, { kind: 'sid' }] }
      ]
    )
    t.equal(answers.length, 10)
    t.notMatch(answers[6], /ey/)
  })

  t.test('run as a program it shows its lines, and ends with 0', async (t) => {
    const { code, stderr } = await run('bash', [tour, url])
    t.equal(code, 0)
    t.match(stderr, '# The same token, another server each time.')
  })

  t.test('run as a program it ends with 1 where a replica accepts a token after logout', async (t) => {
    const good = '{"sub":"somebody"}'
    // The meddler begins after its honest answers, so they are used up first.
    const meddler = await startMeddler(t, url, (answer) =>
      answer.body.includes('TOKEN_REVOKED') ? { ...answer, status: 200, body: good } : answer
    )
    for (let asked = 0; asked < 30; asked++) await (await fetch(`${meddler}/whoami`)).text()
    const { code, stderr } = await run('bash', [tour, meddler])
    t.equal(code, 1)
    t.match(stderr, `expected TOKEN_REVOKED, got: ${good}`)
  })
})

t.test('where nothing answers it says so, and ends with 1', { skip: reasonToSkip() }, async (t) => {
  const { code, stderr } = await run('bash', [tour, 'http://127.0.0.1:1'])
  t.equal(code, 1)
  t.match(stderr, 'Nothing answers at http://127.0.0.1:1: npm start, or docker compose up')
})
