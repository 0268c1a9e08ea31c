import { startLine as start, type Line } from '@one-secret/local'
import type { Test } from 'tap'

/** Stands between a replica and a server, until the test is over. */
export async function startLine(t: Test, url: string): Promise<Line> {
  const line = await start(url)
  t.teardown(() => line.close())
  return line
}
