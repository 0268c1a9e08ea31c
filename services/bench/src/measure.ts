import { setTimeout as sleep } from 'node:timers/promises'
import { LocalError, type Replica } from '@one-secret/local'
import type { Backends } from './backends.js'
import { countPostgres, countRedis, measureIdle, type IdleCalls } from './commands.js'
import { addUser, makeCredentials } from './credentials.js'
import { formOf, type FormName } from './forms.js'
import { processorTimeMs } from './processor-time.js'
import type { Saturate, Saturated } from './saturate.js'
import { askSteadily } from './steady.js'
import type { Signer } from './tokens.js'

/** What one form cost in one round. */
export interface Measurement {
  round: number
  form: FormName
  /** Of the server's process, at the fixed rate, without what it uses while nobody asks. */
  cpuMicroseconds: number
  /** The same at saturation. */
  saturatedCpuMicroseconds: number
  redisPerRequest: number
  postgresPerRequest: number
  /** Requests answered each second, at saturation. */
  perSecond: number
  p50Ms: number
  p99Ms: number
  /** Of one core, at saturation: well below 1, the server was not what held things up. */
  serverShare: number
}

export interface MeasureOptions {
  forms: readonly FormName[]
  rounds: number
  seconds: number
  /** Requests a second of the steady part. */
  rate: number
  saturate: Saturate
  signer: Signer
  signal: AbortSignal
  onProgress: (text: string) => void
}

/** Requests after which all code has been compiled. */
const WARM_UP_REQUESTS = 5000

/** Requests at the fixed rate before anything is counted: connections are open, and what is kept of repeated tokens is there. */
const LEAD_IN_SECONDS = 0.5

/** More tokens than requests will be sent, as far as it can be known. */
const TOKENS_PER_REQUEST = 1.4

/** Requests a second that nobody here can answer: so many tokens are always enough at the first attempt. */
const FIRST_GUESS_PER_SECOND = 25_000

interface Subject {
  name: FormName
  server: Replica
  pid: number
  perSecond: number
}

/** Starts a server for each form, and measures all of them in each round, every round beginning with another one. */
export async function measureForms(backends: Backends, options: MeasureOptions): Promise<Measurement[]> {
  const { forms, rounds, seconds, signal, onProgress } = options
  await addUser(backends.pool)
  const subjects: Subject[] = []
  for (const name of forms) {
    const { script, env } = formOf(name)
    const server = await backends.start({ name, script, env })
    subjects.push({ name, server, pid: server.pid, perSecond: FIRST_GUESS_PER_SECOND })
  }
  await requireSameAnswer(subjects, options.signer)

  for (const subject of subjects) {
    onProgress(`${subject.name}: warming up`)
    for (let warmed = 0; warmed < WARM_UP_REQUESTS;) {
      const { requests } = await saturated(subject, options, 1)
      warmed += requests
    }
  }

  const results: Measurement[] = []
  for (let round = 1; round <= rounds; round++) {
    onProgress(`round ${round} of ${rounds}: nobody is asked anything`)
    const idleFrom = subjects.map(({ pid }) => processorTimeMs(pid))
    const idle = await measureIdle(backends.redis, () => sleep(Math.max(1, seconds) * 1000))
    const idleMsPerSecond = subjects.map(({ pid }, i) => (processorTimeMs(pid) - idleFrom[i]!) / Math.max(1, seconds))
    const first = ((round - 1) * Math.ceil(subjects.length / rounds)) % subjects.length
    for (let i = 0; i < subjects.length; i++) {
      signal.throwIfAborted()
      const at = (first + i) % subjects.length
      const subject = subjects[at]!
      const measured = await measureOne(backends, subject, idle, idleMsPerSecond[at]!, options)
      results.push({ round, form: subject.name, ...measured })
      const { cpuMicroseconds, perSecond } = measured
      onProgress(
        `round ${round} of ${rounds}: ${subject.name}: ${Math.round(cpuMicroseconds)} µs, ${Math.round(perSecond)}/s`
      )
    }
  }
  return results
}

async function measureOne(
  backends: Backends,
  subject: Subject,
  idle: IdleCalls,
  idleMsPerSecond: number,
  options: MeasureOptions
): Promise<Omit<Measurement, 'round' | 'form'>> {
  const { name, server, pid } = subject
  const { rate, seconds, signer, signal } = options
  const form = formOf(name)
  const leadIn = Math.ceil(LEAD_IN_SECONDS * rate)
  const headers = await makeCredentials(form, server.url, signer, leadIn + Math.ceil(rate * seconds))
  const steady = { urls: [server.url], rate, signal }
  await askSteadily({ ...steady, headers, seconds: LEAD_IN_SECONDS })

  const cpuFrom = processorTimeMs(pid)
  const began = performance.now()
  const [[requests, redisCommands], postgresCommands] = await countPostgres(backends.pool, name, () =>
    countRedis(backends.redis, idle, () =>
      askSteadily({ ...steady, headers: form.brings === 'first-seen' ? headers.slice(leadIn) : headers, seconds })
    )
  )
  const elapsedSeconds = (performance.now() - began) / 1000
  const cpuMs = processorTimeMs(pid) - cpuFrom - idleMsPerSecond * elapsedSeconds

  const full = await saturated(subject, options, seconds)
  if (server.pid !== pid) throw new LocalError(`${name} has died, and was started again`)
  return {
    cpuMicroseconds: (cpuMs * 1000) / requests,
    saturatedCpuMicroseconds: (full.cpuMs * 1000) / full.requests,
    redisPerRequest: redisCommands / requests,
    postgresPerRequest: postgresCommands / requests,
    perSecond: full.requests / full.seconds,
    p50Ms: full.p50Ms,
    p99Ms: full.p99Ms,
    serverShare: full.cpuMs / 1000 / full.seconds
  }
}

/** With more tokens where there were too few, or a token that was said to be new would not have been. */
async function saturated(
  subject: Subject,
  { saturate, signer, signal }: MeasureOptions,
  seconds: number
): Promise<Saturated & { cpuMs: number }> {
  const form = formOf(subject.name)
  const { url } = subject.server
  for (;;) {
    const needed = Math.ceil(subject.perSecond * seconds * TOKENS_PER_REQUEST)
    const headers = await makeCredentials(form, url, signer, needed)
    const cpuFrom = processorTimeMs(subject.pid)
    const result = await saturate({ url, headers, seconds, signal }).catch((error: unknown) => {
      throw new LocalError(`${subject.name}: ${(error as Error).message}`, { cause: error })
    })
    const cpuMs = processorTimeMs(subject.pid) - cpuFrom
    const perSecond = result.requests / result.seconds
    if (form.brings === 'first-seen' && result.sent > headers.length) {
      subject.perSecond = Math.max(perSecond, subject.perSecond) * 2
      continue
    }
    subject.perSecond = perSecond
    return { ...result, cpuMs }
  }
}

/** One request to each, before it is measured: an answer of another shape would be another task. */
async function requireSameAnswer(subjects: readonly Subject[], signer: Signer): Promise<void> {
  for (const { name, server } of subjects) {
    const [[header, value]] = (await makeCredentials(formOf(name), server.url, signer, 1)) as [[string, string]]
    const response = await fetch(`${server.url}/whoami`, { headers: { [header]: value } })
    const body = await response.text()
    const fields = response.status === 200 ? Object.keys(JSON.parse(body) as object) : []
    // A session has no claims but who it is, when it ends and who answers.
    const expected = ['sub', 'sid', 'exp', 'issuedBy', 'servedBy']
    if (!expected.every((field) => fields.includes(field))) {
      throw new LocalError(`${name} answers ${response.status} ${body}`)
    }
  }
}
