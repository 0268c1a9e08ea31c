import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'

export interface Process {
  pid: number
  parent: number
  /** `Z` for one that has ended and was not waited for. */
  state: string
  commandLine: string
}

/** Every process there is; from /proc where there is one, for a slim image has no ps. */
export function processes(): Process[] {
  if (!existsSync('/proc/self/stat')) return fromPs()
  return readdirSync('/proc').flatMap((pid) => (/^\d+$/.test(pid) ? fromProc(pid) : []))
}

function fromProc(pid: string): Process[] {
  try {
    // pid (name) state ppid …, and a name can hold blanks and brackets.
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const [state = '', parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    const commandLine = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ')
    return [{ pid: Number(pid), parent: Number(parent), state, commandLine }]
  } catch {
    // It has ended meanwhile.
    return []
  }
}

function fromPs(): Process[] {
  const rows = execFileSync('ps', ['-axo', 'pid=,ppid=,stat=,args=']).toString().trim().split('\n')
  return rows.map((row) => {
    const [, pid, parent, state = '', commandLine = ''] = /^\s*(\d+)\s+(\d+)\s+(\S+)\s+(.*)$/.exec(row) ?? []
    return { pid: Number(pid), parent: Number(parent), state, commandLine }
  })
}

/** Whether a process is there. One that has ended but was not waited for is not. */
export const isRunning = (pid: number): boolean =>
  processes().some((process) => process.pid === pid && !process.state.startsWith('Z'))

/** Every process below this one, however deep. */
export function descendants(pid: number): number[] {
  const all = processes()
  const below = (parent: number): number[] =>
    all.filter((process) => process.parent === parent).flatMap((child) => [child.pid, ...below(child.pid)])
  return below(pid)
}
