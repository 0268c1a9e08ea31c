import { LocalError, type Replica } from '@one-secret/local'
import type { Backends } from './backends.js'
import { addUser, makeCredentials } from './credentials.js'
import { formOf, type FormName } from './forms.js'
import { processorTimeMs } from './processor-time.js'
import type { Saturate, Saturated } from './saturate.js'
import { beIdle, measureSteadyCost, type RoundsOptions, type Steady } from './steady-cost.js'
import type { Signer } from './tokens.js'

/** What a server does when it is asked as much as it can answer. */
export interface Full {
  /** Requests answered each second. */
  perSecond: number
  p50Ms: number
  p99Ms: number
  saturatedCpuMicroseconds: number
  /** Of one core: well below 1, the server was not what held things up. */
  serverShare: number
}

/** What one form cost in one round. */
export interface Measurement extends Steady, Full {
  round: number
  form: FormName
}

export interface MeasureOptions extends RoundsOptions {
  forms: readonly FormName[]
  saturate: Saturate
}

/** Requests after which all code has been compiled. */
const WARM_UP_REQUESTS = 5000

/** Of one core, at the most, at the fixed rate: who would need more is asked less often, or it would be saturated. */
const STEADY_SHARE = 0.5

/** More tokens than requests will be sent, as far as it can be known. */
const TOKENS_PER_REQUEST = 1.4

/** Requests a second that nobody here can answer: so many tokens are enough at the first attempt. */
const FIRST_GUESS_PER_SECOND = 25_000

interface Subject {
  name: FormName
  server: Replica
  pid: number
  /** Requests a second that it has answered at the last saturation. */
  perSecond: number
  /** Requests a second of the steady part. */
  rate: number
}

/**
 * Starts a server for each form, and measures all of them in each round, every round beginning with another one. First all at
 * the fixed rate, then all at saturation: what is compared is so measured within seconds of each other.
 */
export async function measureForms(backends: Backends, options: MeasureOptions): Promise<Measurement[]> {
  const { forms, rounds, seconds, signer, signal, onProgress } = options
  await addUser(backends.pool)
  const subjects: Subject[] = []
  for (const name of forms) {
    const { script, env } = formOf(name)
    const server = await backends.start({ name, script, env })
    const { rate } = options
    subjects.push({ name, server, pid: server.pid, perSecond: FIRST_GUESS_PER_SECOND, rate })
  }
  await requireAnswers(subjects, signer)
  for (const subject of subjects) await warmUp(subject, options)

  const results: Measurement[] = []
  for (let round = 1; round <= rounds; round++) {
    const say = (text: string): void => onProgress(`round ${round} of ${rounds}: ${text}`)
    const first = Math.floor(((round - 1) * subjects.length) / rounds)
    const turns = [...subjects.slice(first), ...subjects.slice(0, first)]
    say('nobody is asked anything')
    const idle = await beIdle(
      backends,
      turns.map(({ server }) => [server]),
      seconds
    )
    const steadies: Steady[] = []
    for (const [i, { name, server, rate }] of turns.entries()) {
      const asked = { form: formOf(name), servers: [server], name, rate, seconds, signer, signal }
      const steady = await named(name, measureSteadyCost(backends, idle.calls, idle.cpuMsPerSecond[i]!, asked))
      say(`${name}: ${Math.round(steady.cpuMicroseconds)} µs a request`)
      steadies.push(steady)
    }
    for (const [i, subject] of turns.entries()) {
      const full = await measureFull(subject, options)
      say(`${subject.name}: ${Math.round(full.perSecond)} requests a second`)
      results.push({ round, form: subject.name, ...steadies[i]!, ...full })
    }
  }
  return results
}

async function warmUp(subject: Subject, options: MeasureOptions): Promise<void> {
  options.onProgress(`${subject.name}: warming up`)
  for (let warmed = 0; warmed < WARM_UP_REQUESTS;) {
    const { requests, cpuMs } = await saturated(subject, options, 1)
    warmed += requests
    // By what a request takes, not by how many were answered: a neighbour on the machine takes from the one, not from the other.
    subject.rate = Math.min(options.rate, Math.floor((STEADY_SHARE * 1000 * requests) / cpuMs))
  }
}

async function measureFull(subject: Subject, options: MeasureOptions): Promise<Full> {
  const { cpuMs, requests, seconds, p50Ms, p99Ms } = await saturated(subject, options, options.seconds)
  const { name, server, pid } = subject
  if (server.pid !== pid) throw new LocalError(`${name} has died, and was started again`)
  return {
    perSecond: requests / seconds,
    p50Ms,
    p99Ms,
    saturatedCpuMicroseconds: (cpuMs * 1000) / requests,
    serverShare: cpuMs / 1000 / seconds
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
    signal.throwIfAborted()
    const needed = Math.ceil(subject.perSecond * seconds * TOKENS_PER_REQUEST)
    const headers = await makeCredentials(form, url, signer, needed)
    const cpuFrom = processorTimeMs(subject.pid)
    const result = await named(subject.name, saturate({ url, headers, seconds, signal }))
    const cpuMs = processorTimeMs(subject.pid) - cpuFrom
    if (form.brings === 'first-seen' && result.sent > headers.length) {
      subject.perSecond *= 2
      continue
    }
    subject.perSecond = result.requests / result.seconds
    return { ...result, cpuMs }
  }
}

/** One request to each: what answers something else would do another task. */
async function requireAnswers(subjects: readonly Subject[], signer: Signer): Promise<void> {
  // The claims of a token; of a session, which has fewer: who it is, when it ends, and who answers.
  const claims = ['iss', 'aud', 'sub', 'sid', 'jti', 'scope', 'replica', 'iat', 'exp', 'issuedBy', 'servedBy']
  const ofSession = ['sub', 'sid', 'exp', 'issuedBy', 'servedBy']
  for (const { name, server } of subjects) {
    const form = formOf(name)
    const [header] = await makeCredentials(form, server.url, signer, 1)
    const response = await fetch(`${server.url}/whoami`, { headers: [[...header!]] })
    const body = await response.text()
    const fields = response.status === 200 ? Object.keys(JSON.parse(body) as object) : []
    const expected = form.brings === 'session' ? ofSession : claims
    if (fields.toSorted().join() !== expected.toSorted().join()) {
      throw new LocalError(`${name} answers ${response.status} ${body}`)
    }
  }
}

/** Says of whom an error speaks. */
async function named<T>(name: FormName, work: Promise<T>): Promise<T> {
  try {
    return await work
  } catch (error) {
    if (!(error instanceof LocalError) || error.exitCode === 2) throw error
    throw new LocalError(`${name}: ${error.message}`, { cause: error })
  }
}
