import { closeSync, openSync, readSync } from 'node:fs'

const EVERY_MS = 100

export interface Tail {
  /** For a child to write to. */
  fd: number
  /** Reads what is still there, and closes the file. */
  close(): void
}

/**
 * A file to write lines to, which are handed on as they come. It stands in for a pipe where a child opens `/dev/stdout`
 * by its name, as nginx does: Node's pipes are sockets, which Linux does not let anybody open.
 */
export function createTail(path: string, onLine: (line: string) => void): Tail {
  const fd = openSync(path, 'a')
  const reader = openSync(path, 'r')
  const chunk = Buffer.alloc(65_536)
  let rest = ''
  const read = (): void => {
    for (let bytes; (bytes = readSync(reader, chunk)) > 0;) {
      const lines = (rest + chunk.toString('latin1', 0, bytes)).split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) onLine(Buffer.from(line, 'latin1').toString('utf8'))
    }
  }
  const timer = setInterval(read, EVERY_MS)
  timer.unref()
  return {
    fd,
    close() {
      clearInterval(timer)
      read()
      closeSync(fd)
      closeSync(reader)
    }
  }
}
