import { chmodSync, mkdtempSync, realpathSync, rmSync } from 'node:fs'
import { rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { LocalError, messageOf } from './errors.js'
import type { ExitHook } from './exit-hook.js'

export interface TempDir {
  path: string
  remove(): Promise<void>
}

function makeIn(parent: string): string {
  try {
    return mkdtempSync(join(realpathSync(parent), 'one-secret-'))
  } catch (error) {
    throw new LocalError(`no temporary directory can be made in ${parent} (TMPDIR): ${messageOf(error)}`, {
      cause: error
    })
  }
}

/**
 * A directory that is removed by `remove()`, or at the latest when the process exits. Others may pass through it (0711)
 * but not list it: started by root, Postgres and nginx' workers run as somebody else and live in folders of their own below.
 * @throws {LocalError} none can be made there
 */
export function createTempDir(exitHook: ExitHook): TempDir {
  const path = makeIn(tmpdir())
  chmodSync(path, 0o711)
  // A server that was killed a moment ago may still be writing.
  const options = { recursive: true, force: true, maxRetries: 10, retryDelay: 20 }
  const forget = exitHook.add(() => rmSync(path, options))
  return {
    path,
    async remove() {
      await rm(path, options)
      forget()
    }
  }
}
