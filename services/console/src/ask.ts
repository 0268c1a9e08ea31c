import { noteHop } from './hops.js'
import { noteSeen } from './replicas.js'
import { noteTroubles } from './troubles.js'

/** What came back. `status` is 0 where nobody answered at all. */
export interface Answer {
  method: string
  path: string
  status: number
  /** Of an error: what a program should look at, and what a person should read. */
  code: string | undefined
  message: string | undefined
  body: Record<string, unknown>
  servedBy: string | undefined
  /** The balancer's clock, in milliseconds since 1970, to the second. */
  date: number | undefined
  retryAfterSeconds: number | undefined
  /** When it was sent, by `performance.now()`, and how long it took, in milliseconds. */
  sentAt: number
  tookMs: number
}

export interface Question {
  /** Sent as `Authorization: Bearer`. */
  token?: string | undefined
  body?: object
  /** Whether the browser may send and keep cookies. By default not: where a token is sent, nothing else should matter. */
  cookies?: boolean
  /** Not drawn and not counted: the page asks for itself. */
  quiet?: boolean
  /** For how long an answer is of any use, in milliseconds. Where none has come by then that is no trouble, as far as this one can tell. */
  giveUpMs?: number
}

/** Longer than any balancer waits, in milliseconds. */
const HANGS_MS = 30_000

/** Asks this origin, which is to say a balancer. Never rejects: that nobody answered is an answer too. */
export async function ask(method: string, path: string, question: Question = {}): Promise<Answer> {
  const { token, body, cookies = false, quiet = false, giveUpMs } = question
  const signal = AbortSignal.timeout(giveUpMs ?? HANGS_MS)
  const sentAt = performance.now()
  const answer: Answer = {
    method,
    path,
    status: 0,
    code: undefined,
    message: undefined,
    body: {},
    servedBy: undefined,
    date: undefined,
    retryAfterSeconds: undefined,
    sentAt,
    tookMs: 0
  }
  try {
    const response = await fetch(path, {
      method,
      credentials: cookies ? 'same-origin' : 'omit',
      cache: 'no-store',
      headers: {
        ...(token !== undefined && { authorization: `Bearer ${token}` }),
        ...(body !== undefined && { 'content-type': 'application/json' })
      },
      ...(body !== undefined && { body: JSON.stringify(body) }),
      signal
    })
    const { headers } = response
    answer.status = response.status
    answer.servedBy = headers.get('x-served-by') ?? undefined
    answer.date = Date.parse(headers.get('date') ?? '') || undefined
    answer.retryAfterSeconds = Number(headers.get('retry-after')) || undefined
    answer.body = (await response.json().catch(() => ({}))) as Record<string, unknown>
    if (typeof answer.body['code'] === 'string') answer.code = answer.body['code']
    if (typeof answer.body['message'] === 'string') answer.message = answer.body['message']
  } catch {
    // What was wrong the browser tells nobody but its own console.
    answer.status = 0
  }
  answer.tookMs = performance.now() - sentAt
  // The servers of the other lanes are not replicas of the api, and a lane without servers is no trouble.
  if (!/^\/lanes\/(?!jwt\/)/.test(path)) {
    if (answer.servedBy !== undefined) noteSeen(answer.servedBy)
    const isGivenUp = giveUpMs !== undefined && answer.status === 0 && signal.aborted
    const isEmptyLane = path.startsWith('/lanes/') && answer.status === 502
    if (!isGivenUp && !isEmptyLane) noteTroubles(answer)
  }
  if (!quiet) noteHop(answer)
  return answer
}
