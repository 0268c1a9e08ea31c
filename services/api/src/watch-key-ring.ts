import { readFile } from 'node:fs/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyBaseLogger } from 'fastify'
import { formatKeyRing, parseKeyRing, type KeyRing } from './key-ring.js'

/** How often the file is read, in milliseconds. It is a line of text: cheaper than being told of every way to exchange it. */
const LOOK_EVERY_MS = 1000

/** A ring that is new must still be there after this long, in milliseconds. */
const SETTLED_AFTER_MS = 250

export interface KeyRingWatch {
  /** Looks at once. Resolves, never rejects, when what stands in the file is in use or has been refused. */
  look(): Promise<void>
  close(): Promise<void>
}

export interface KeyRingWatchOptions {
  file: string
  /** The ring that is in use at the start. */
  ring: KeyRing
  /** Takes a new ring into use. */
  use: (ring: KeyRing) => Promise<void>
  /** Called for each look that found no good ring. */
  onFailure: () => void
  log: Pick<FastifyBaseLogger, 'info' | 'error'>
}

/**
 * Reads the file every second and compares what it says: that sees a file that was exchanged by a rename, a volume or
 * Kubernetes' symbolic links, whatever its times say, and a change between the start and the first look. Where there is no good
 * ring in it, the one in use stays.
 */
export function watchKeyRing({ file, ring, use, onFailure, log }: KeyRingWatchOptions): KeyRingWatch {
  let inUse = formatKeyRing(ring)
  /** Of the last look: what goes on is logged once and counted each time. */
  let complaint: string | undefined

  async function look(): Promise<void> {
    try {
      const next = await read(file)
      const text = formatKeyRing(next)
      if (text !== inUse) {
        // Half a ring can look like a whole one. Whoever writes it in place, not beside, is given the time to finish.
        await sleep(SETTLED_AFTER_MS)
        if (formatKeyRing(await read(file)) !== text) return
        await use(next)
        inUse = text
        const [signs, ...verify] = next.map(({ kid }) => kid)
        log.info({ signs, verify }, 'another key ring is in use')
      }
      complaint = undefined
    } catch (error) {
      onFailure()
      const { message } = error as Error
      if (message !== complaint) log.error({ file }, `the key ring ${message}; the one in use stays`)
      complaint = message
    }
  }

  let underWay: Promise<void> | undefined
  const lookOnce = (): Promise<void> => (underWay ??= look().finally(() => (underWay = undefined)))
  const timer = setInterval(() => void lookOnce(), LOOK_EVERY_MS)
  timer.unref()
  return {
    async look() {
      // One that has begun may have read the file before it was changed.
      await underWay
      complaint = undefined
      await lookOnce()
    },
    async close() {
      clearInterval(timer)
      await underWay
    }
  }
}

/** @throws Error that says what is wrong, without any part of a secret */
async function read(file: string): Promise<KeyRing> {
  let text
  try {
    text = await readFile(file, 'utf8')
  } catch (error) {
    throw new Error(`cannot be read (${(error as NodeJS.ErrnoException).code})`, { cause: error })
  }
  return parseKeyRing(text.trim())
}
