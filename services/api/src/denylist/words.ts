/**
 * Words that are given back to the system. The memory of a common array comes from the allocator of C, which keeps most of
 * what is freed for itself: after a million entries had expired 45 of 57 MB were still there. A buffer that may be resized
 * has pages of its own.
 */
export type Words = Uint32Array<ArrayBuffer>

/** A page of 4 kB: less is not to be had. */
export const PAGE_WORDS = 1024

export function takeWords(length: number): Words {
  const byteLength = length * Uint32Array.BYTES_PER_ELEMENT
  return new Uint32Array(new ArrayBuffer(byteLength, { maxByteLength: byteLength }), 0, length)
}

/** They are gone at once, without waiting until V8 finds that nobody has them: whoever reads them finds nothing. */
export const giveBackWords = (words: Words): void => words.buffer.resize(0)
