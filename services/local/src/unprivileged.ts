import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'

export interface Account {
  name: string
  uid: number
  gid: number
}

/** macOS writes nobody as -2; spawn and chown want the same 32 bits unsigned. */
const unsigned = (text: string): number => Number(text) >>> 0

function lookUp(name: string): Account | undefined {
  try {
    const line = readFileSync('/etc/passwd', 'utf8')
      .split('\n')
      .find((entry) => entry.startsWith(`${name}:`))
    const [, , uid, gid] = line?.split(':') ?? []
    if (uid !== undefined && gid !== undefined) return { name, uid: unsigned(uid), gid: unsigned(gid) }
  } catch {
    // No such file: ask the system below.
  }
  try {
    const ask = (flag: string): string =>
      execFileSync('id', [flag, name], { stdio: ['ignore', 'pipe', 'ignore'] }).toString()
    return { name, uid: unsigned(ask('-u')), gid: unsigned(ask('-g')) }
  } catch {
    return undefined
  }
}

/** Whom to run as where root is refused (Postgres does): undefined unless this process is root. */
export function unprivilegedAccount(): Account | undefined {
  if (process.getuid?.() !== 0) return undefined
  return lookUp('postgres') ?? lookUp('nobody') ?? { name: '65534', uid: 65534, gid: 65534 }
}
