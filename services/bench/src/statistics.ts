/** What is left of a figure after several rounds. */
export interface Spread {
  median: number
  min: number
  max: number
}

/** @throws {Error} there is nothing to take a median of */
export function spreadOf(numbers: readonly number[]): Spread {
  const sorted = numbers.toSorted((a, b) => a - b)
  const middle = (sorted.length - 1) / 2
  const [low, high] = [sorted[Math.floor(middle)], sorted[Math.ceil(middle)]]
  if (low === undefined || high === undefined) throw new Error('there is nothing to take a median of')
  return { median: (low + high) / 2, min: sorted[0]!, max: sorted.at(-1)! }
}
