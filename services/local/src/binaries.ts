import { accessSync, constants, statSync } from 'node:fs'
import { basename, delimiter, join } from 'node:path'

/**
 * The absolute path of `name` on the PATH, links not resolved, or undefined. Debian keeps nginx in /usr/sbin, which only
 * root has on the PATH: so beside each `bin` its `sbin` is looked into, last.
 */
export function findBinary(name: string): string | undefined {
  const directories = (process.env['PATH'] ?? '').split(delimiter).filter((directory) => directory !== '')
  const besides = directories.filter((directory) => basename(directory) === 'bin').map((bin) => join(bin, '../sbin'))
  for (const directory of [...directories, ...besides]) {
    const path = join(directory, name)
    try {
      accessSync(path, constants.X_OK)
      if (statSync(path).isFile()) return path
    } catch {
      // Not here.
    }
  }
  return undefined
}
