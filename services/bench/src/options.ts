import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { usage, usageOf, wholeNumber } from '@one-secret/local'
import { formNames, formOf, type FormName } from './forms.js'

/** What is measured: the forms beside each other, what might make a lease dearer, or the balancer. */
export type Mode = 'forms' | 'growth' | 'nginx'

export interface Options {
  mode: Mode
  forms: FormName[]
  rounds: number
  seconds: number
  /** Requests a second of the steady part. */
  rate: number
  quick: boolean
  output: string
  help: boolean
}

const REPORTS = fileURLToPath(new URL('../../../loadtest/reports', import.meta.url))

export const HELP = `What it costs to authenticate a request and to look whether its token was revoked: the same GET /whoami, answered by
this api and by others, each in a process of its own, with one Redis and one Postgres, in turn, round by round.

  npm run bench -- [options]

  --growth           what a request costs as revocations, replicas and revocations a second grow, in place of the forms
  --nginx            what a request costs a replica behind nginx, and asked directly, in place of the forms
  --quick            3 short rounds of the most telling forms, and loose bounds: a minute
  --forms <a,b>      only these
  --rounds <n>       1 to 100 (5; 3 with --quick)
  --seconds <n>      of each measurement, 1 to 60 (5; 1 with --quick)
  --rate <n>         requests a second at which processor time is measured, 10 to 20000 (500)
  --output <folder>  where the report goes, as Markdown, SVG and JSON: bench.*, bench-growth.*, bench-nginx.* (loadtest/reports)
  -h, --help

wrk is used where it is on the PATH (Debian: wrk), else autocannon.
Exit codes: 0 what must hold does, 1 something does not, 2 it could not be measured.

Forms:
${formNames.map((name) => `  ${name.padEnd(18)} ${formOf(name).title}`).join('\n')}`

/** The lease, and what it is held against that is soon measured. */
const QUICK: FormName[] = ['bare', 'lease', 'lease-first-seen', 'fastify-jwt', 'session-redis']

function isForm(name: string): name is FormName {
  return (formNames as string[]).includes(name)
}

/**
 * Reads the command line.
 * @throws {LocalError} with exit code 2: an unknown option, or a value that cannot be
 */
export function parseOptions(args: readonly string[]): Options {
  let values
  let positionals
  try {
    ;({ values, positionals } = parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        growth: { type: 'boolean', default: false },
        nginx: { type: 'boolean', default: false },
        quick: { type: 'boolean', default: false },
        forms: { type: 'string' },
        rounds: { type: 'string' },
        seconds: { type: 'string' },
        rate: { type: 'string', default: '500' },
        output: { type: 'string', default: REPORTS },
        help: { type: 'boolean', short: 'h', default: false }
      }
    }))
  } catch (error) {
    throw usageOf(error)
  }
  const { growth, nginx, quick, output, help } = values
  const [word, ...rest] = positionals
  if ((word !== undefined && word !== 'growth') || rest.length > 0)
    throw usage(`there is no '${positionals.join(' ')}'`)
  if ((growth || word === 'growth') && nginx) throw usage('--growth and --nginx are two measurements: one at a time')
  const named = values.forms?.split(',') ?? (quick ? QUICK : formNames)
  const forms = named.map((name) => {
    if (!isForm(name)) throw usage(`there is no form '${name}'`)
    return name
  })
  return {
    mode: nginx ? 'nginx' : growth || word === 'growth' ? 'growth' : 'forms',
    forms: [...new Set(forms)],
    rounds: wholeNumber('rounds', values.rounds ?? (quick ? '3' : '5'), 1, 100),
    seconds: wholeNumber('seconds', values.seconds ?? (quick ? '1' : '5'), 1, 60),
    rate: wholeNumber('rate', values.rate, 10, 20_000),
    quick,
    output,
    help
  }
}
