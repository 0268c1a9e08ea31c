import { Counter, type Registry } from 'prom-client'

/**
 * A counter by one label, kept as plain numbers which Prometheus' scrape reads: to count is to add one, where a labelled
 * counter would build and look up a key each time. Every series is there from the start, with 0, or `rate()` would not
 * see the first that is counted; and there is none but these.
 *
 * @returns the numbers, by the label's value, for whoever counts to increment
 */
export function countBy<Value extends string>(
  registry: Registry,
  { name, help, label, values }: { name: string; help: string; label: string; values: readonly Value[] }
): Record<Value, number> {
  const counts = Object.fromEntries(values.map((value) => [value, 0])) as Record<Value, number>
  new Counter({
    name,
    help,
    labelNames: [label],
    registers: [registry],
    collect() {
      this.reset()
      for (const value of values) this.inc({ [label]: value }, counts[value])
    }
  })
  return counts
}
