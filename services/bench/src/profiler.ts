/**
 * Loaded into a server before its own program: SIGWINCH begins a profile of its main thread, the next one writes it to the
 * file that PROFILE names. So what is profiled is the load alone, and not the start.
 */
import { renameSync, writeFileSync } from 'node:fs'
import { Session } from 'node:inspector/promises'
import { isMainThread } from 'node:worker_threads'

const file = process.env['PROFILE']
if (isMainThread && file !== undefined) {
  const session = new Session()
  session.connect()
  await session.post('Profiler.enable')
  await session.post('Profiler.setSamplingInterval', { interval: 250 })
  let running = false
  process.on('SIGWINCH', () => void turn(file))

  async function turn(file: string): Promise<void> {
    running = !running
    if (running) return session.post('Profiler.start')
    const { profile } = await session.post('Profiler.stop')
    // Whoever waits for the file finds all of it.
    writeFileSync(`${file}.part`, JSON.stringify(profile))
    renameSync(`${file}.part`, file)
  }
}
