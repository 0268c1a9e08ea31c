import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { LocalError } from './errors.js'

async function bind(port: number, host: string): Promise<number> {
  const server = createServer()
  server.listen({ port, host, exclusive: true })
  await once(server, 'listening')
  await new Promise((resolve) => server.close(resolve))
  return port
}

/**
 * A TCP port that was free a moment ago. Somebody may still come first, so whoever binds it must be ready to ask again.
 * Not one of those that the system gives to outgoing connections (from 32768 on Linux, from 49152 elsewhere; RFC 6335,
 * section 6): under load the next of them would take it.
 */
export async function freePort(host = '127.0.0.1'): Promise<number> {
  for (let tries = 1; ; tries++) {
    try {
      return await bind(randomInt(20_000, 32_768), host)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE' || tries === 20) throw error
    }
  }
}

/**
 * Fails with one clear line before anything is started, where nginx would say it in the middle of its log, and late.
 * @throws {LocalError} the port is taken, or may not be used
 */
export async function requireFreePort(port: number, host: string): Promise<void> {
  try {
    await bind(port, host)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EADDRINUSE')
      throw new LocalError(`port ${port} on ${host} is in use; choose another: npm start -- --port ${port + 1}`)
    if (code === 'EACCES') throw new LocalError(`port ${port} on ${host} needs privileges; choose another with --port`)
    throw new LocalError(`cannot listen on ${host}:${port}: ${code ?? String(error)}`)
  }
}
