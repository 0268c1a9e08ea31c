import { randomUUID } from 'node:crypto'
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { link, open, readFile, realpath, rename, rm, stat, writeFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { dirname } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { formatKeyRing, parseKeyRing, type KeyRing } from '../key-ring.js'

/** How long to wait for another edit to end, in milliseconds. */
const PATIENCE_MS = 10_000

/** An edit takes a few seconds at the most. A lock older than this, in milliseconds, was left behind. */
const STALE_AFTER_MS = 60_000

export interface RingFile {
  ring: KeyRing
  /** When it was last changed: no key of it was retired later. */
  changedAt: Date
}

/** @throws Error that says what is wrong, without any part of a secret */
export async function readRingFile(file: string): Promise<RingFile> {
  const { ring, changedAt } = await readWhole(file)
  return { ring, changedAt }
}

/**
 * Changes the ring in one step: who reads the file finds the old ring or the new one, whole, with the same mode and
 * owner. One edit at a time, over every process and container that sees the folder. Whatever fails, the old ring stays.
 *
 * @param edit gets what there is, and returns what shall be there; the same ring leaves the file alone
 * @throws Error that says what is wrong, without any part of a secret
 */
export async function editRingFile(
  name: string,
  edit: (now: RingFile) => KeyRing | Promise<KeyRing>
): Promise<RingFile> {
  // A symbolic link stays one.
  const file = await realpath(name).catch((error: unknown) => fail(`the key ring ${name} cannot be read`, error))
  const lock = await takeLock(`${file}.lock`)
  try {
    const before = await readWhole(file)
    const ring = await edit(before)
    if (ring === before.ring) return before
    const text = `${formatKeyRing(ring)}\n`
    parseKeyRing(text.trim())

    const draft = `${file}.draft`
    try {
      // One that was left behind half way.
      await rm(draft, { force: true })
      const handle = await open(draft, 'wx', 0o600)
      try {
        await handle.writeFile(text)
        const { uid, gid } = await handle.stat()
        if (uid !== before.uid || gid !== before.gid) await handle.chown(before.uid, before.gid)
        await handle.chmod(before.mode & 0o7777)
        await handle.sync()
      } finally {
        await handle.close()
      }
      await lock.check()
      // Somebody with an editor knows nothing of locks.
      if ((await readWhole(file)).text !== before.text) throw new Error('the key ring was changed meanwhile')
      await rename(draft, file)
    } catch (error) {
      // What went wrong first is what is told.
      await rm(draft, { force: true }).catch(() => undefined)
      return fail('the key ring cannot be replaced', error)
    }
    // So that the name, too, is on the disk.
    const folder = await open(dirname(file), 'r')
    await folder.sync().finally(() => folder.close())
    return await readRingFile(file)
  } finally {
    await lock.release()
  }
}

async function readWhole(file: string) {
  try {
    const { mode, uid, gid, mtime } = await stat(file)
    const text = await readFile(file, 'utf8')
    return { text, mode, uid, gid, changedAt: mtime, ring: parse(text) }
  } catch (error) {
    return fail(`the key ring ${file} cannot be read`, error)
  }
}

function parse(text: string): KeyRing {
  try {
    return parseKeyRing(text.trim())
  } catch (error) {
    throw new Error(`it ${(error as Error).message}`, { cause: error })
  }
}

interface Lock {
  /** @throws Error where somebody has taken it for one that was left behind */
  check(): Promise<void>
  release(): Promise<void>
}

/** @throws Error where another has it for longer than 10 s */
async function takeLock(path: string): Promise<Lock> {
  const mine = JSON.stringify({ host: hostname(), pid: process.pid, id: randomUUID() })
  const isMine = async (): Promise<boolean> => (await readFile(path, 'utf8').catch(() => '')) === mine
  const deadline = performance.now() + PATIENCE_MS
  while (!(await createWhole(path, mine))) {
    const holder = await holderOf(path)
    if (holder === undefined) continue
    if (isLeftBehind(holder)) await takeAway(path, holder.text)
    else if (performance.now() < deadline) await sleep(50)
    else throw new Error(`somebody else is changing the key ring (process ${holder.pid} on ${holder.host})`)
  }
  const atExit = (): void => {
    if (existsSync(path) && readFileSync(path, 'utf8') === mine) rmSync(path)
  }
  process.once('exit', atExit)
  return {
    async check() {
      if (!(await isMine())) throw new Error('this took so long that somebody else has begun')
    },
    async release() {
      process.removeListener('exit', atExit)
      if (await isMine()) await rm(path)
    }
  }
}

/** Written beside and linked into place, so that nobody finds an empty one. False where there is one already. */
async function createWhole(path: string, text: string): Promise<boolean> {
  const draft = `${path}.${randomUUID()}`
  try {
    await writeFile(draft, text, { mode: 0o600 })
    await link(draft, path)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    return fail('the folder of the key ring cannot be written', error)
  } finally {
    await rm(draft, { force: true })
  }
}

interface Holder {
  text: string
  host: string
  pid: number
  ageMs: number
}

/** Undefined where it has gone meanwhile. */
async function holderOf(path: string): Promise<Holder | undefined> {
  try {
    const [text, { mtimeMs }] = await Promise.all([readFile(path, 'utf8'), stat(path)])
    return { text, ageMs: Date.now() - mtimeMs, ...(JSON.parse(text) as { host: string; pid: number }) }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    return fail(`${path} cannot be read`, error)
  }
}

function isLeftBehind({ host, pid, ageMs }: Holder): boolean {
  if (ageMs > STALE_AFTER_MS) return true
  // The processes of another machine, or container, cannot be seen from here.
  if (host !== hostname()) return false
  try {
    process.kill(pid, 0)
    return false
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ESRCH'
  }
}

/** Of two who take the same one away, the second may have got hold of the first one's new lock: it gives that back. */
async function takeAway(path: string, text: string): Promise<void> {
  const aside = `${path}.${randomUUID()}`
  try {
    await rename(path, aside)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return
    throw error
  }
  // Where that fails there is a third lock, and `check` tells the owner of this one.
  if ((await readFile(aside, 'utf8')) !== text) await link(aside, path).catch(() => undefined)
  await rm(aside)
}

function fail(what: string, error: unknown): never {
  const { code, message } = error as NodeJS.ErrnoException
  throw new Error(`${what}: ${code ?? message}`, { cause: error })
}
