/**
 * What a page keeps in the browser: for this tab, or for this origin. Where somebody has blocked that, even the name of the storage
 * throws (HTML §12.2.2, SecurityError), and the page goes on without it.
 */
export type Keeper = 'session' | 'local'

const storageOf = (keeper: Keeper): Storage => (keeper === 'session' ? sessionStorage : localStorage)

/** @returns undefined where nothing is kept, or nothing may be */
export function read(keeper: Keeper, key: string): string | undefined {
  try {
    return storageOf(keeper).getItem(key) ?? undefined
  } catch {
    return undefined
  }
}

/**
 * Keeps the text, or with undefined nothing any more.
 * @returns whether the browser has let it
 */
export function write(keeper: Keeper, key: string, text: string | undefined): boolean {
  try {
    if (text === undefined) storageOf(keeper).removeItem(key)
    else storageOf(keeper).setItem(key, text)
    return true
  } catch {
    return false
  }
}
