/**
 * `npm run keys`: edits the file of the key ring while replicas use it, one safe step at a time. It asks each replica which keys
 * it has; nothing is remembered from one call to the next, and nothing secret is printed or taken from the command line.
 */
import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import ms from 'ms'
import { MAX_ACCESS_TOKEN_TTL_SECONDS, type Key, type KeyRing } from './key-ring.js'
import { askReplicas, has, type Answer, type Asked } from './keys/ask-replicas.js'
import { editRingFile, readRingFile, type RingFile } from './keys/ring-file.js'

const HELP = `Replaces the secret without logging anybody out: add a key, sign with it, drop the old one.

  npm run keys -- [command] [options]

  list             which keys there are, who has them, and what is safe next
  add [kid]        makes a random key that verifies, at the end of the ring (its name: k and the date)
  sign <kid>       lets it sign from now on; refused unless every replica has it
  drop [kid]       takes it away; refused while a token that it signed may live (no kid: the only other one)

  --file <path>    the ring (JWT_KEYS_FILE)
  --replicas <url,url,…>   every replica; a name with several addresses is all of them. Default: the lines of the
                   file "replicas" beside the ring
  --wait <seconds> for the replicas to take the change (15)
  --force          also what is not safe: add, though no replica answers; sign, though a replica may not have the key
                   and refuses its tokens; drop, and log out whoever has not refreshed since another key signs
  -h, --help

Ends with 0 if it is done on every replica, 1 if it was refused or is not done on every replica yet, 2 if it was not
understood. Where REFRESH_TOKEN_TTL has been made shorter, tokens from before live longer than drop can know.`

/** How often replicas are asked while they are waited for, in milliseconds. */
const ASK_EVERY_MS = 300

/** For replicas that took the ring a little later than it was written, and for clocks that differ. */
const MARGIN_SECONDS = 60

/** What was asked for is not safe, or not possible: exit code 1. */
class Refused extends Error {}

/** It is not clear what was asked for: exit code 2. */
class NotUnderstood extends Error {}

interface Options {
  file: string
  /** Undefined where nobody said which there are. */
  replicas: URL[] | undefined
  waitMs: number
  force: boolean
}

const say = (line: string): void => console.log(line)

/** The name of a key, also where somebody has pasted a secret instead: that is not repeated. */
function checkKid(kid: string): string {
  if (!/^[A-Za-z0-9_-]{1,32}$/.test(kid))
    throw new NotUnderstood('a kid is 1 to 32 letters, digits, dashes or underscores')
  return kid
}

function find(ring: KeyRing, kid: string): Key {
  const key = ring.find((one) => one.kid === kid)
  if (key === undefined) throw new Refused(`there is no key ${kid}; there is ${ring.map(({ kid }) => kid).join(', ')}`)
  return key
}

/** A name for a key made today. */
function freeKid(ring: KeyRing): string {
  const today = `k${new Date().toISOString().slice(0, 10).replaceAll('-', '')}`
  let kid = today
  for (let n = 2; ring.some((key) => key.kid === kid); n++) kid = `${today}-${n}`
  return kid
}

/** In what a replica differs from the ring in the file. */
function differences(ring: KeyRing, answer: Answer): string[] {
  const { who, keys, signs } = answer
  return [
    ...ring
      .filter((key) => !has(answer, key))
      .map(({ kid }) => `${who} ${keys.has(kid) ? `has another key called ${kid}` : `does not have ${kid}`}`),
    ...[...keys.keys()].filter((kid) => !ring.some((key) => key.kid === kid)).map((kid) => `${who} still has ${kid}`),
    ...(signs === ring[0].kid ? [] : [`${who} signs with ${signs}`])
  ]
}

const notAnswering = ({ silent }: Asked): string[] => silent.map((who) => `no answer from ${who}`)

/** From when on no token lives that a key other than the first has signed. */
function droppableAt({ changedAt }: RingFile, { answers }: Asked): Date {
  const seconds = Math.max(MAX_ACCESS_TOKEN_TTL_SECONDS, ...answers.map((answer) => answer.refreshTokenTtlSeconds))
  return new Date(changedAt.getTime() + (seconds + MARGIN_SECONDS) * 1000)
}

/** As in `from 2026-12-24T20:41:07Z on, in 30 days`. */
function fromWhen(at: Date): string {
  const left = at.getTime() - Date.now()
  return left <= 0 ? 'now' : `from ${at.toISOString().slice(0, 19)}Z on, in ${ms(left, { long: true })}`
}

const PRICE = '--force does it now, and logs out whoever has not refreshed since another key signs'

function sayDroppable(now: RingFile, asked: Asked): string {
  const at = droppableAt(now, asked)
  return at.getTime() <= Date.now() ? 'now' : `${fromWhen(at)}; ${PRICE}`
}

/** What may be done next, and what must not. */
function advise(now: RingFile, asked: Asked | undefined): string[] {
  if (asked === undefined) return ['safe next: not known, for it was not said which replicas there are (--replicas)']
  const wrong = [...notAnswering(asked), ...asked.answers.flatMap((answer) => differences(now.ring, answer))]
  if (wrong.length > 0) return ['safe next: nothing but add, for', ...wrong.map((line) => `  ${line}`)]
  const others = now.ring.slice(1).map(({ kid }) => kid)
  if (others.length === 0) return ['safe next: add']
  const names = others.join(' or ')
  return [
    `safe next: drop ${names} ${sayDroppable(now, asked)}`,
    `           or sign ${names}, to go on with it, or back to it`
  ]
}

/**
 * Asks until every replica is as it should be.
 *
 * @throws Refused where some are not after `waitMs`
 */
async function untilAll(
  { replicas, waitMs }: Options,
  what: string,
  isSo: (answer: Answer) => boolean
): Promise<Asked | undefined> {
  if (replicas === undefined) return undefined
  const deadline = performance.now() + waitMs
  let last: string | undefined
  for (;;) {
    const asked = await askReplicas(replicas)
    const all = asked.answers.length + asked.silent.length
    const done = asked.answers.filter(isSo).length
    const progress = `  ${done} of ${all} replicas ${what}`
    if (progress !== last) say(progress)
    last = progress
    if (all > 0 && done === all) return asked
    if (performance.now() > deadline) {
      const late = asked.answers.filter((answer) => !isSo(answer)).map(({ who }) => `not yet: ${who}`)
      throw new Refused(
        [`not done on every replica after ${waitMs / 1000} s`, ...late, ...notAnswering(asked)].join('\n  ')
      )
    }
    await sleep(ASK_EVERY_MS)
  }
}

async function list({ file, replicas }: Options): Promise<void> {
  const now = await readRingFile(file)
  const asked = replicas && (await askReplicas(replicas))
  const all = asked && asked.answers.length + asked.silent.length
  const count = (isSo: (answer: Answer) => boolean): string =>
    asked ? `${asked.answers.filter(isSo).length} of ${all}` : 'not known'
  const strangers = new Set(asked?.answers.flatMap(({ keys }) => [...keys.keys()]))
  for (const { kid } of now.ring) strangers.delete(kid)
  const rows = [
    ['key', 'use', 'replicas'],
    ...now.ring.map((key, place) => [
      key.kid,
      place === 0 ? 'signs' : 'verifies',
      count((answer) => has(answer, key) && (place > 0 || answer.signs === key.kid))
    ]),
    ...[...strangers].map((kid) => [kid, 'dropped', count(({ keys }) => keys.has(kid))])
  ]
  const width = Math.max(...rows.map(([kid]) => kid!.length))
  for (const [kid, use, where] of rows) say(`${kid!.padEnd(width)}  ${use!.padEnd(8)}  ${where}`)
  for (const line of advise(now, asked)) say(line)
}

async function add(options: Options, asked?: string): Promise<void> {
  let key!: Key
  if (options.replicas !== undefined && !options.force) {
    const { answers, silent } = await askReplicas(options.replicas)
    if (answers.length === 0) {
      throw new Refused(['no replica answers, and each must take the key before it can sign', ...silent].join('\n  '))
    }
  }
  const now = await editRingFile(options.file, ({ ring }) => {
    const kid = asked ?? freeKid(ring)
    if (ring.some((one) => one.kid === kid)) throw new Refused(`there is a key ${kid} already`)
    key = { kid, secret: randomBytes(32) }
    return [...ring, key]
  })
  say(`${key.kid} is in the ring, and verifies`)
  const all = await untilAll(options, 'have it', (answer) => has(answer, key))
  if (all) say(`safe next: sign ${key.kid}`)
  else for (const line of advise(now, all)) say(line)
}

async function sign(options: Options, kid: string): Promise<void> {
  const { file, replicas, force } = options
  const now = await editRingFile(file, async ({ ring }) => {
    const key = find(ring, kid)
    if (key === ring[0]) return ring
    if (!force) {
      if (replicas === undefined) {
        throw new Refused(
          'it was not said which replicas there are (--replicas), and each must have the key before it signs'
        )
      }
      const asked = await askReplicas(replicas)
      const without = asked.answers.filter((answer) => !has(answer, key))
      const why = [...notAnswering(asked), ...without.flatMap((a) => differences([key], a).slice(0, 1))]
      if (why.length > 0) {
        throw new Refused(
          ['every replica must have the key before it signs, or it would refuse the others’ tokens', ...why].join(
            '\n  '
          )
        )
      }
    }
    return [key, ...ring.filter((one) => one !== key)]
  })
  say(`${kid} is the first of the ring, and signs`)
  const all = await untilAll(options, 'sign with it', (answer) => answer.signs === kid && has(answer, now.ring[0]))
  const others = now.ring.slice(1).map(({ kid }) => kid)
  if (all) say(`safe next: ${others.length === 0 ? 'add' : `drop ${others.join(' or ')} ${sayDroppable(now, all)}`}`)
  else for (const line of advise(now, all)) say(line)
}

async function drop(options: Options, asked?: string): Promise<void> {
  const { file, replicas, force } = options
  let key!: Key
  await editRingFile(file, async (now) => {
    const { ring } = now
    const kid = asked ?? onlyOther(ring)
    key = find(ring, kid)
    if (ring.length === 1) throw new Refused(`${kid} is the only key: add another, and let that sign`)
    if (key === ring[0]) throw new Refused(`${kid} signs: let another key sign first`)
    if (!force) {
      if (replicas === undefined) throw new Refused('it was not said which replicas there are (--replicas)')
      const asked = await askReplicas(replicas)
      const why = [...notAnswering(asked), ...asked.answers.flatMap((answer) => differences(ring, answer))]
      if (why.length > 0) throw new Refused(['every replica must be up to date before a key goes', ...why].join('\n  '))
      const at = droppableAt(now, asked)
      if (at.getTime() > Date.now()) {
        throw new Refused(`tokens that ${kid} signed may still live: it can be dropped ${fromWhen(at)}\n  ${PRICE}`)
      }
    }
    return ring.filter((one) => one !== key) as [Key, ...Key[]]
  })
  say(`${key.kid} is no longer in the ring`)
  const all = await untilAll(options, 'have forgotten it', ({ keys }) => !keys.has(key.kid))
  if (all) say(`its tokens are refused everywhere\nsafe next: add`)
}

/** The one to drop where no name was given: also the only one, which is then refused by its name. */
function onlyOther(ring: KeyRing): string {
  const [only, other, ...more] = ring
  if (ring.length === 1) return only.kid
  if (other === undefined || more.length > 0) throw new NotUnderstood('which one? drop <kid>')
  return other.kid
}

function parseUrls(text: string): URL[] {
  const words = text.split(/[\s,]+/).filter((word) => word !== '')
  return words.map((word) => {
    if (URL.canParse(word) && /^https?:$/.test(new URL(word).protocol)) return new URL(word)
    throw new NotUnderstood('a replica is given as http://host:port')
  })
}

/** The ones given or, where none were, those that whoever made the ring wrote down beside it. */
async function findReplicas(given: string | undefined, file: string): Promise<URL[] | undefined> {
  const beside = (): Promise<string> =>
    readFile(join(dirname(file), 'replicas'), 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return ''
      throw error
    })
  const urls = parseUrls(given ?? (await beside()))
  return urls.length > 0 ? urls : undefined
}

function parseCommandLine() {
  try {
    return parseArgs({
      allowPositionals: true,
      options: {
        file: { type: 'string' },
        replicas: { type: 'string' },
        wait: { type: 'string', default: '15' },
        force: { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h', default: false }
      }
    })
  } catch (error) {
    throw new NotUnderstood((error as Error).message.split('. ')[0])
  }
}

async function run(): Promise<void> {
  const {
    values,
    positionals: [command = 'list', kid, ...more]
  } = parseCommandLine()
  if (values.help) return say(HELP)
  const { JWT_KEYS, JWT_KEYS_FILE } = process.env
  const file = values.file ?? (JWT_KEYS_FILE || undefined)
  if (JWT_KEYS) {
    throw new Refused(
      'JWT_KEYS is set, and would replace this ring at the next start: take it out of .env or the environment'
    )
  }
  if (file === undefined) throw new NotUnderstood('which ring? --file <path>, or JWT_KEYS_FILE')
  if (!/^\d{1,4}$/.test(values.wait)) throw new NotUnderstood('--wait is a number of seconds')
  const options: Options = {
    file,
    replicas: await findReplicas(values.replicas, file),
    waitMs: Number(values.wait) * 1000,
    force: values.force
  }
  if (more.length > 0) throw new NotUnderstood('one command, and one kid')
  if (kid !== undefined) checkKid(kid)
  if (command === 'list' && kid === undefined) return list(options)
  if (command === 'add') return add(options, kid)
  if (command === 'sign' && kid !== undefined) return sign(options, kid)
  if (command === 'drop') return drop(options, kid)
  throw new NotUnderstood(
    ['list', 'add', 'sign', 'drop'].includes(command)
      ? 'list, add [kid], sign <kid> or drop [kid]'
      : `there is no command ${command.slice(0, 32)}: list, add [kid], sign <kid> or drop [kid]`
  )
}

// Ended from outside it leaves no lock behind.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => process.exit(1))

await run().catch((error: unknown) => {
  const usage = error instanceof NotUnderstood
  console.error(`npm run keys: ${(error as Error).message}${usage ? ' (--help says more)' : ''}`)
  process.exitCode = usage ? 2 : 1
})
