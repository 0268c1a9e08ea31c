import { lookup } from 'node:dns/promises'
import { get as getHttp, type IncomingMessage } from 'node:http'
import { get as getHttps } from 'node:https'
import type { LookupFunction } from 'node:net'
import { text } from 'node:stream/consumers'
import { fingerprintOf, type Key } from '../key-ring.js'

/** How long one replica may take, in milliseconds. */
const ANSWER_WITHIN_MS = 3000

/** What a replica says of itself. */
export interface Answer {
  /** Its name and where it is. */
  who: string
  /** The kid of the key it signs with. */
  signs: string
  /** The fingerprint of each key it has, by kid. */
  keys: Map<string, string>
  refreshTokenTtlSeconds: number
}

export interface Asked {
  answers: Answer[]
  /** Who did not answer, and why: it may be a replica that goes on without having been asked. */
  silent: string[]
}

/**
 * Asks every replica for its keys, by `GET /metrics`. A host with several addresses, as Docker's DNS has for a service, is as
 * many replicas. Never rejects.
 */
export async function askReplicas(urls: readonly URL[]): Promise<Asked> {
  const asked: Asked = { answers: [], silent: [] }
  const blame = (who: string, error: unknown): void => {
    const { code, message } = error as NodeJS.ErrnoException
    asked.silent.push(`${who}: ${code ?? message}`)
  }
  async function ask(url: URL, address: string): Promise<void> {
    const where = url.hostname === address ? url.host : `${url.host} ${address}`
    try {
      asked.answers.push(await askOne(url, address, where))
    } catch (error) {
      blame(where, error)
    }
  }
  await Promise.all(
    urls.map(async (url) => {
      try {
        await Promise.all((await addressesOf(url)).map((address) => ask(url, address)))
      } catch (error) {
        blame(url.host, error)
      }
    })
  )
  asked.answers.sort((a, b) => a.who.localeCompare(b.who))
  return asked
}

/** Whether a replica has this very key, and not another one of its name. */
export const has = ({ keys }: Answer, key: Key): boolean => keys.get(key.kid) === fingerprintOf(key)

async function addressesOf({ hostname }: URL): Promise<string[]> {
  const found = await lookup(hostname.replace(/^\[|\]$/g, ''), { all: true })
  // The same machine twice, where a name has addresses of both kinds.
  const family = found.some(({ family }) => family === 4) ? 4 : 6
  return found.filter((one) => one.family === family).map(({ address }) => address)
}

async function askOne(url: URL, address: string, where: string): Promise<Answer> {
  const family = address.includes(':') ? 6 : 4
  const toAddress: LookupFunction = (_hostname, { all }, callback) =>
    all ? callback(null, [{ address, family }]) : callback(null, address, family)
  const get = url.protocol === 'https:' ? getHttps : getHttp
  const options = { agent: false, lookup: toAddress, signal: AbortSignal.timeout(ANSWER_WITHIN_MS) } as const
  const [status, body] = await new Promise<[number | undefined, string]>((resolve, reject) => {
    const onResponse = (response: IncomingMessage): void =>
      void text(response).then((body) => resolve([response.statusCode, body]), reject)
    get(new URL('/metrics', url), options, onResponse).on('error', reject)
  })
  if (status !== 200) throw new Error(`GET /metrics answers ${status}`)

  const keys = new Map<string, string>()
  let signs
  for (const [, list = ''] of body.matchAll(/^jwt_key_info\{(.*)\} 1$/gm)) {
    const { kid, use, fingerprint } = labelsOf(list)
    if (kid === undefined || fingerprint === undefined) continue
    keys.set(kid, fingerprint)
    if (use === 'signs') signs = kid
  }
  const [, labels = '', seconds] = /^refresh_token_ttl_seconds\{(.*)\} (\d+)$/m.exec(body) ?? []
  if (signs === undefined || seconds === undefined) throw new Error('does not say which keys it has')
  const { replica } = labelsOf(labels)
  return { who: `${replica} (${where})`, signs, keys, refreshTokenTtlSeconds: Number(seconds) }
}

/** Of a line in Prometheus' text format. None of the values here has anything to be escaped. */
function labelsOf(text: string): Partial<Record<string, string>> {
  const pairs = [...text.matchAll(/(\w+)="([^"]*)"/g)].map(([, name, value]) => [name!, value!] as const)
  return Object.fromEntries(pairs)
}
