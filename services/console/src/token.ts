export type Part = 'header' | 'payload' | 'signature'
export const PARTS: readonly Part[] = ['header', 'payload', 'signature']

/** The parts of a token in compact form (RFC 7515 §3.1). */
export function partsOf(token: string): Record<Part, string> {
  const [header = '', payload = '', signature = ''] = token.split('.')
  return { header, payload, signature }
}

/** What a part says to whoever reads it: no secret is needed for that. Undefined where it is no JSON object. */
export function readPart(part: string): Record<string, unknown> | undefined {
  try {
    const bytes = Uint8Array.from(atob(part.replaceAll('-', '+').replaceAll('_', '/')), (char) => char.charCodeAt(0))
    const value: unknown = JSON.parse(new TextDecoder().decode(bytes))
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined
  } catch {
    return undefined
  }
}

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'

/** A letter that was exchanged: where it stands in its part, and what the token is now. */
export interface Change {
  part: Part
  at: number
  token: string
}

/**
 * Exchanges one letter of a part, somewhere in its middle third. Not the last of a signature: of its six bits two are not
 * used, and the change might be none.
 */
export function changeLetter(token: string, part: Part): Change {
  const parts = partsOf(token)
  const text = parts[part]
  const at = Math.floor(text.length / 3 + Math.random() * (text.length / 3))
  const old = ALPHABET.indexOf(text[at] ?? 'A')
  const other = ALPHABET[(old + 1 + Math.floor(Math.random() * 63)) % 64] ?? 'A'
  const changed = { ...parts, [part]: text.slice(0, at) + other + text.slice(at + 1) }
  return { part, at, token: `${changed.header}.${changed.payload}.${changed.signature}` }
}
