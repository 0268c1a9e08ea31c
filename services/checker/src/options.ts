import { existsSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { usage, usageOf, wholeNumber } from '@one-secret/local'
import { faults } from './faults.js'

export interface Options {
  seed: number
  quick: boolean
  /** By name, in this order. */
  faults: string[]
  replicas: number
  leaseMs: number
  /** Of the last replica, the one that is cut off. */
  lastLeaseMs: number
  /** Probes a second at each replica. */
  rate: number
  /** The least number of probes: after the faults it goes on without one until then. */
  probes: number
  compose: boolean
  strict: boolean
  markdown: boolean
  keep: boolean
  /** The module that the replicas run, where it is not the api's server. */
  api: string | undefined
  help: boolean
}

export const HELP = `Revokes and probes tokens in a cluster while faults are injected, records every request, and judges the record:

  R1  no 2xx for a token on a request that began after the acknowledgement of its revocation
  R2  no 401 TOKEN_REVOKED for a token that nobody revoked
  R3  while a lease holds: not one command at Redis or Postgres on the path of a request
  R4  what has expired is held by nobody

  npm run check:revocation -- [options]

  --seed <n>        repeats the schedule of another run: which revocation, when, by which replica (a random one)
  --quick           3 replicas, and the faults marked * once each: about a minute
  --faults <a,b>    only these
  --replicas <n>    2 to 16 (5; 3 with --quick)
  --lease <ms>      REVOCATION_LEASE_MS, 10 to 1000 (250)
  --last-lease <ms> that of the last replica, as while the setting is being changed (the same)
  --rate <n>        probes a second at each replica (160; 200 with --quick; 100 with --compose)
  --probes <n>      goes on without a fault until there have been so many (100000; none with --quick or --faults)
  --compose         the containers of docker-compose.yml in place of processes; they are removed afterwards, with their volumes
  --strict          a fault that cannot be injected here fails the run
  --markdown        the table as Markdown
  --keep            keeps the record, which is kept anyhow where something is wrong
  --api <module>    what the replicas run, in place of the api's server: another build
  -h, --help

Needs nothing, and less is skipped with redis-server and libfaketime (Debian: redis-server, faketime).
Ends with 0 where nothing is wrong, 1 where something is, 2 where it could not be found out.

Faults:
${faults.map(({ name, title, quick }) => `  ${quick ? '*' : ' '} ${name.padEnd(26)} ${title}`).join('\n')}
  * memory                     none, but revocations that expire soon (R4)`

/** Not a fault: a measurement that takes a while. */
export const MEMORY = 'memory'

/**
 * Reads the command line.
 * @throws {LocalError} with exit code 2: an unknown option, or a value that cannot be
 */
export function parseOptions(args: readonly string[], randomSeed: number): Options {
  let values
  try {
    ;({ values } = parseArgs({
      args: [...args],
      options: {
        seed: { type: 'string', default: String(randomSeed) },
        quick: { type: 'boolean', default: false },
        faults: { type: 'string' },
        replicas: { type: 'string' },
        lease: { type: 'string', default: '250' },
        'last-lease': { type: 'string' },
        rate: { type: 'string' },
        probes: { type: 'string' },
        compose: { type: 'boolean', default: false },
        strict: { type: 'boolean', default: false },
        markdown: { type: 'boolean', default: false },
        keep: { type: 'boolean', default: false },
        api: { type: 'string' },
        help: { type: 'boolean', short: 'h', default: false }
      }
    }))
  } catch (error) {
    throw usageOf(error)
  }

  const { quick, compose, strict, markdown, keep, help } = values
  const all = [...faults.filter((fault) => fault.quick || !quick).map(({ name }) => name), MEMORY]
  const chosen = values.faults?.split(',') ?? all
  for (const name of chosen) {
    if (name !== MEMORY && !faults.some((fault) => fault.name === name)) throw usage(`there is no fault '${name}'`)
  }
  if (values.api !== undefined && !existsSync(values.api)) throw usage(`--api: there is no '${values.api}'`)
  if (compose && (values.api ?? values['last-lease']) !== undefined) {
    throw usage('--api and --last-lease are for processes, not for --compose')
  }
  return {
    seed: wholeNumber('seed', values.seed, 0, 2 ** 32 - 1),
    quick,
    faults: chosen,
    replicas: wholeNumber('replicas', values.replicas ?? (quick ? '3' : '5'), 2, 16),
    leaseMs: wholeNumber('lease', values.lease, 10, 1000),
    lastLeaseMs: wholeNumber('last-lease', values['last-lease'] ?? values.lease, 10, 1000),
    rate: wholeNumber('rate', values.rate ?? (compose ? '100' : quick ? '200' : '160'), 1, 5000),
    probes: wholeNumber(
      'probes',
      values.probes ?? (quick || values.faults !== undefined ? '0' : '100000'),
      0,
      10_000_000
    ),
    compose,
    strict,
    markdown,
    keep,
    api: values.api,
    help
  }
}
