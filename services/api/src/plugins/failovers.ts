import type { FastifyBaseLogger } from 'fastify'
import { Redis } from 'ioredis'

export interface Address {
  host: string
  port: number
}

/** How often a Sentinel is asked whether it is still there, in milliseconds: nothing else is sent while it has no news. */
const PING_EVERY_MS = 1000

/** What a Sentinel says where another primary has been put in place: `<name> <old address> <old port> <new address> <new port>`. */
const CHANNEL = '+switch-master'

/**
 * Hears from the Sentinels that there is another primary. An old one that is cut off, and alive, would else be kept for as long
 * as it answers.
 *
 * ioredis has this too (`failoverDetector`), for each connection anew: it ends a connection for good where it hears of the
 * failover while that is being made, a Sentinel that takes connections and says nothing brings the process down (its
 * SUBSCRIBE is rejected where nobody looks), and one that has gone is asked again after a minute.
 *
 * @param onPrimary called once for each Sentinel that says so, or whose answer has changed while it could not be heard
 * @returns ends it
 */
export function watchFailovers(
  sentinels: readonly Address[],
  name: string,
  log: FastifyBaseLogger,
  onPrimary: (primary: Address) => void
): () => void {
  const ends = sentinels.map((sentinel) => {
    const client = new Redis({
      ...sentinel,
      protocol: 2,
      enableReadyCheck: false,
      enableOfflineQueue: false,
      autoResubscribe: false,
      maxRetriesPerRequest: 0,
      connectTimeout: 500,
      commandTimeout: 500,
      socketTimeout: 2 * PING_EVERY_MS,
      retryStrategy: (attempt) => Math.min(attempt * 100, 1000)
    })
    let isHeard: boolean | undefined
    let known: Address | undefined

    async function listen(): Promise<void> {
      const before = known
      // In one go, so that nothing is missed in between.
      const [answer] = await Promise.all([
        client.call('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', name) as Promise<[string, string] | null>,
        client.subscribe(CHANNEL)
      ])
      if (isHeard === false) log.info({ sentinel }, 'the Sentinel is heard again')
      isHeard = true
      // What it has told since is newer.
      if (answer === null || known !== before) return
      known = { host: answer[0], port: Number(answer[1]) }
      if (before !== undefined && (before.host !== known.host || before.port !== known.port)) onPrimary(known)
    }
    client.on('ready', () => {
      listen().catch(({ message }: Error) => {
        client.emit('error', new Error(message))
        client.disconnect(true)
      })
    })
    client.on('message', (_channel: string, message: string) => {
      const [of, , , host = '', port] = message.split(' ')
      if (of !== name) return
      known = { host, port: Number(port) }
      log.info({ sentinel, primary: known }, 'a Sentinel tells of another primary')
      onPrimary(known)
    })
    client.on('error', ({ message }: Error) => {
      if (isHeard !== false) log.warn({ sentinel, reason: message }, 'the Sentinel cannot be heard')
      isHeard = false
    })
    const pings = setInterval(() => void client.ping().catch(() => undefined), PING_EVERY_MS).unref()
    return () => {
      clearInterval(pings)
      client.disconnect()
    }
  })
  return () => ends.forEach((end) => end())
}
