/**
 * RESP2 replies. Every string of the embedded Redis is a "byte string": one UTF-16 unit per byte (latin1), so that keys
 * and values are exact whatever they hold, and still work as keys of a Map.
 */
export type Reply = string | number | bigint | null | Status | CommandError | typeof NIL_ARRAY | Reply[]

/** `*-1`: what EXEC and XREAD answer for nothing, where other commands answer `$-1`. */
export const NIL_ARRAY = Symbol('nil array')

/** `+OK`. */
export class Status {
  constructor(readonly text: string) {}
}

export const OK = new Status('OK')

/** `-ERR …`: thrown by a command, worded as Redis words it. */
export class CommandError extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'CommandError'
  }
}

export const WRONG_TYPE = 'WRONGTYPE Operation against a key holding the wrong kind of value'
export const NOT_AN_INTEGER = 'ERR value is not an integer or out of range'
export const SYNTAX_ERROR = 'ERR syntax error'

/** The reply's bytes, as a byte string. */
export function encode(reply: Reply): string {
  if (typeof reply === 'string') return `$${reply.length}\r\n${reply}\r\n`
  if (typeof reply === 'number' || typeof reply === 'bigint') return `:${reply}\r\n`
  if (reply === null) return '$-1\r\n'
  if (reply === NIL_ARRAY) return '*-1\r\n'
  if (reply instanceof Status) return `+${reply.text}\r\n`
  // A line end inside would be read as the start of the next reply.
  if (reply instanceof CommandError) return `-${reply.message.replace(/[\r\n]+/g, ' ')}\r\n`
  return `*${reply.length}\r\n${reply.map(encode).join('')}`
}
