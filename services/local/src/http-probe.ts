import { once } from 'node:events'
import { get, type IncomingMessage } from 'node:http'
import { text } from 'node:stream/consumers'

const TIMEOUT_MS = 2_000

/**
 * Asks once, over a connection of its own: one that `fetch` keeps would be waited for by a server that is shutting down.
 * @throws {Error} no answer within 2 s
 */
export async function askHttp(
  url: string
): Promise<{ status: number; servedBy: string | string[] | undefined; body: string }> {
  const request = get(url, { agent: false, signal: AbortSignal.timeout(TIMEOUT_MS) })
  const [response] = (await once(request, 'response')) as [IncomingMessage]
  return { status: response.statusCode ?? 0, servedBy: response.headers['x-served-by'], body: await text(response) }
}
