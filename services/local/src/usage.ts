import { LocalError } from './errors.js'

/** What the command line says that it cannot: one line, and exit code 2. */
export const usage = (message: string): LocalError =>
  new LocalError(`${message} (--help lists the options)`, { exitCode: 2 })

/** @throws {LocalError} it is no whole number, or out of range */
export function wholeNumber(name: string, text: string, min: number, max: number): number {
  const value = Number(text)
  if (!/^\d+$/.test(text) || value < min || value > max) {
    throw usage(`--${name} must be a whole number from ${min} to ${max}, not '${text}'`)
  }
  return value
}

/** Of what parseArgs throws: its first sentence says what is wrong. */
export const usageOf = (error: unknown): LocalError => usage((error as Error).message.split('. ')[0] ?? '')
