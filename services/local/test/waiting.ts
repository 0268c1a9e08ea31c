import { readdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'

/** Temporary directories of this package that are there now. */
export const tempDirs = (): string[] => readdirSync(tmpdir()).filter((name) => name.startsWith('one-secret-'))

/** Waits until `condition` holds. */
export async function until(condition: () => boolean | Promise<boolean>, timeoutMs = 10_000): Promise<void> {
  const deadline = performance.now() + timeoutMs
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`still not so after ${timeoutMs} ms: ${String(condition)}`)
    await sleep(20)
  }
}
