import { once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Test } from 'tap'

export interface Answer {
  status: number
  servedBy: string
  body: string
}

/** What becomes of an answer; `again` asks the balancer once more, which then asks the next replica. */
export type Meddle = (answer: Answer, again: () => Promise<Answer>) => Answer | Promise<Answer>

/** So many questions are answered truly: those of a script's setup, which finds the replicas by them. */
const HONEST = 30

/**
 * Stands in front of the balancer and makes a cluster that is broken as no real one can be made to be. Of an answer's headers it
 * passes on `X-Served-By` alone.
 *
 * @param path whose answers it meddles with, after so many `honest` ones
 */
export async function startMeddler(
  t: Test,
  balancer: string,
  meddle: Meddle,
  { path = '/whoami', honest = HONEST } = {}
): Promise<string> {
  let asked = 0
  const server = createServer((request, response) => {
    const answer = async (): Promise<void> => {
      const body = request.method === 'GET' ? null : await bodyOf(request)
      const ask = async (): Promise<Answer> => {
        const { 'content-type': type, authorization } = request.headers
        const headers = { ...(type && { 'content-type': type }), ...(authorization && { authorization }) }
        const answered = await fetch(`${balancer}${request.url}`, { method: request.method!, headers, body })
        const servedBy = answered.headers.get('x-served-by') ?? ''
        return { status: answered.status, servedBy, body: await answered.text() }
      }
      const truth = await ask()
      const meddled = request.url === path && ++asked > honest ? await meddle(truth, ask) : truth
      response.writeHead(meddled.status, { 'content-type': 'application/json', 'x-served-by': meddled.servedBy })
      response.end(meddled.body)
    }
    answer().catch((error: unknown) => response.destroy(error as Error))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

async function bodyOf(request: IncomingMessage): Promise<Buffer | null> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  return chunks.length > 0 ? Buffer.concat(chunks) : null
}
