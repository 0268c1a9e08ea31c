import { connect, createServer, type AddressInfo, type Socket } from 'node:net'

export interface Line {
  /** The server's, by way of the line. */
  url: string
  /** From now on nothing arrives, and nobody is told: as where packets are dropped. */
  cut(): void
  /** New connections pass again. Those that were cut stay silent for good. */
  mend(): void
  /** From now on everything arrives so much later, in milliseconds, each way. */
  slow(ms: number): void
  close(): void
}

/** Stands between a replica and a server. */
export async function startLine(url: string): Promise<Line> {
  const target = new URL(url)
  const all = new Set<Socket>()
  let open = new Set<Socket>()
  let whole = true
  let delayMs = 0

  function keep(socket: Socket): void {
    all.add(socket)
    socket.on('error', () => socket.destroy())
    socket.on('close', () => all.delete(socket))
  }

  /** Hands on what comes, in order, when it is due. */
  function hand(from: Socket, to: Socket): void {
    const queue: { due: number; chunk: Buffer }[] = []
    let timer: NodeJS.Timeout | undefined
    const deliver = (): void => {
      timer = undefined
      while (queue[0] !== undefined && open.has(from)) {
        const left = queue[0].due - performance.now()
        if (left > 0) {
          timer = setTimeout(deliver, left)
          return
        }
        to.write(queue.shift()!.chunk)
      }
    }
    from.on('data', (chunk: Buffer) => {
      queue.push({ due: Math.max(performance.now() + delayMs, queue.at(-1)?.due ?? 0), chunk })
      if (timer === undefined) deliver()
    })
    // The end of one is the end of the other, unless it has been cut.
    from.on('close', () => {
      clearTimeout(timer)
      if (open.delete(from)) to.destroy()
    })
  }

  const server = createServer({ noDelay: true }, (socket) => {
    keep(socket)
    if (!whole) return
    const upstream = connect({ port: Number(target.port), host: target.hostname, noDelay: true })
    keep(upstream)
    open.add(socket)
    open.add(upstream)
    hand(socket, upstream)
    hand(upstream, socket)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))

  const lined = new URL(url)
  lined.port = String((server.address() as AddressInfo).port)
  return {
    url: lined.href,
    cut() {
      whole = false
      for (const socket of open) socket.pause()
      open = new Set()
    },
    mend() {
      whole = true
    },
    slow(ms) {
      delayMs = ms
    },
    close() {
      server.close()
      for (const socket of all) socket.destroy()
    }
  }
}
