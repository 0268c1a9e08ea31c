/** A request that is to be refused, and how. */
export interface Row {
  name: string
  method?: 'GET' | 'POST' | 'PUT' | 'DELETE'
  url?: string
  /** An array is a header that is sent as often. */
  headers?: Record<string, string | string[]>
  body?: string | Buffer
  status: number
  code: string
}

export interface Answer {
  status: number
  headers: Record<string, string | string[] | number | undefined>
  body: string
}

/** What is wrong with an answer to a row; nothing is what is hoped for. */
export function complaints({ status, code }: Row, answer: Answer): string[] {
  const found: string[] = []
  if (answer.status !== status) found.push(`${answer.status} instead of ${status}`)
  if (answer.status >= 500) found.push('a fault of the client is none of the server')
  let said: Record<string, unknown> = {}
  try {
    said = JSON.parse(answer.body) as Record<string, unknown>
  } catch {
    found.push(`no JSON: ${answer.body.slice(0, 100)}`)
  }
  if (Object.keys(said).join() !== 'statusCode,code,error,message')
    found.push(`not the shape of errors: ${answer.body}`)
  if (said['statusCode'] !== answer.status) found.push(`the body says ${String(said['statusCode'])}`)
  if (said['code'] !== code) found.push(`${String(said['code'])} instead of ${code}`)
  if (!/^application\/json/.test(String(answer.headers['content-type']))) found.push('not called JSON')
  if (answer.headers['x-request-id'] === undefined) found.push('no X-Request-Id')
  const challenge = answer.headers['www-authenticate']
  if (answer.status === 401 && !/^Bearer realm="one-secret"/.test(String(challenge))) found.push('no WWW-Authenticate')
  if (said['code'] === 'TOKEN_INVALID' && !/error="invalid_token"/.test(String(challenge)))
    found.push(String(challenge))
  return found
}
