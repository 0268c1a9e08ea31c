import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'

/** The kernel's unit of /proc/<pid>/stat, USER_HZ: 100 on every architecture that Node runs on. */
const TICK_MS = 10

/**
 * Processor time that a process has used since it started, all its threads together, in milliseconds: to the microsecond where
 * the kernel keeps /proc/<pid>/task/<tid>/schedstat, else in steps of ten milliseconds.
 */
export function processorTimeMs(pid: number): number {
  if (process.platform !== 'linux') return timeOfPs(pid)
  try {
    const threads = readdirSync(`/proc/${pid}/task`)
    const times = threads.map((tid) => Number(readFileSync(`/proc/${pid}/task/${tid}/schedstat`, 'utf8').split(' ')[0]))
    return times.reduce((sum, ns) => sum + ns, 0) / 1e6
  } catch {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    // Behind the name, which may have blanks in it: utime and stime are the 12th and 13th there.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return (Number(fields[11]) + Number(fields[12])) * TICK_MS
  }
}

/** macOS has no /proc, and a `ps` that prints minutes and hundredths of seconds. */
function timeOfPs(pid: number): number {
  const text = execFileSync('ps', ['-o', 'time=', '-p', String(pid)], { encoding: 'utf8' }).trim()
  return 1000 * text.split(':').reduce((sum, part) => sum * 60 + Number(part), 0)
}
