/** A UUID as four words of 32 bits: what is compared and hashed without making a string. */
export type UuidWords = Uint32Array & { readonly length: 4 }

export const newUuidWords = (): UuidWords => new Uint32Array(4) as UuidWords

const DASH = 45
const TEXT_LENGTH = 36
const NO_DIGIT = 16
/** What each character is as a hexadecimal digit. */
const DIGITS = Uint8Array.from({ length: 128 }, (_, code) => {
  const digit = parseInt(String.fromCharCode(code), 16)
  return Number.isNaN(digit) ? NO_DIGIT : digit
})
/** Where the 32 digits of `01234567-0123-4567-0123-456701234567` stand. */
const DIGITS_AT = Uint8Array.from(
  Array.from({ length: TEXT_LENGTH }, (_, i) => i).filter((i) => ![8, 13, 18, 23].includes(i))
)

/**
 * Reads the text of a UUID, in either case, without making anything: it is done at each request.
 *
 * @returns false where it is none; the words then mean nothing
 */
export function parseUuid(text: string, words: UuidWords): boolean {
  if (text.length !== TEXT_LENGTH) return false
  // Any bit that is left says that something is no dash, or no digit.
  let wrong =
    (text.charCodeAt(8) ^ DASH) |
    (text.charCodeAt(13) ^ DASH) |
    (text.charCodeAt(18) ^ DASH) |
    (text.charCodeAt(23) ^ DASH)
  for (let word = 0, i = 0; word < 4; word++) {
    let value = 0
    for (const end = i + 8; i < end; i++) {
      const code = text.charCodeAt(DIGITS_AT[i]!)
      const digit = code < DIGITS.length ? DIGITS[code]! : NO_DIGIT
      wrong |= digit & NO_DIGIT
      value = (value << 4) | digit
    }
    words[word] = value
  }
  return wrong === 0
}

const hex = (word: number): string => word.toString(16).padStart(8, '0')

export function spellUuid([a, b, c, d]: UuidWords): string {
  const [second, third] = [hex(b!), hex(c!)]
  return `${hex(a!)}-${second.slice(0, 4)}-${second.slice(4)}-${third.slice(0, 4)}-${third.slice(4)}${hex(d!)}`
}
