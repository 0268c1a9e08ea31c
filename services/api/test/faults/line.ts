import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import type { Test } from 'tap'

export interface Line {
  /** The server's, by way of the line. */
  url: string
  /** From now on nothing arrives, and nobody is told: as where packets are dropped. */
  cut(): void
  /** New connections pass again. Those that were cut stay silent for good. */
  mend(): void
}

/** Stands between a replica and a server. */
export async function startLine(t: Test, url: string): Promise<Line> {
  const target = new URL(url)
  const all: Socket[] = []
  let open: Socket[] = []
  let whole = true

  const server = createServer((socket) => {
    all.push(socket)
    socket.on('error', () => socket.destroy())
    if (!whole) return
    const upstream = connect(Number(target.port), target.hostname)
    all.push(upstream)
    open.push(socket, upstream)
    upstream.on('error', () => upstream.destroy())
    // The end of one is the end of the other, unless it has been cut.
    for (const [from, to] of [
      [socket, upstream],
      [upstream, socket]
    ] as const) {
      from.on('close', () => open.includes(from) && to.destroy())
    }
    socket.pipe(upstream).pipe(socket)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    for (const socket of all) socket.destroy()
    server.close()
  })

  const lined = new URL(url)
  lined.port = String((server.address() as AddressInfo).port)
  return {
    url: lined.href,
    cut() {
      whole = false
      for (const socket of open) socket.unpipe().pause()
      open = []
    },
    mend() {
      whole = true
    }
  }
}
