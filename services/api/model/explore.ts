import { hash } from 'node:crypto'

/** One possible next state, in words for whoever reads a counter-example. A fault costs something: nothing recovers by one. */
export type Step<State> = (says: string, next: State, isFault?: boolean) => void

export interface Search<State> {
  initial: State
  /** Calls back with each state that may follow. */
  steps: (state: State, step: Step<State>) => void
  /** What is wrong with a state, if anything is. */
  violated: (state: State) => string | undefined
  /** Where every state must be able to get to without another fault. */
  isGoal: (state: State) => boolean
  /** Counted while exploring, each where it is true. */
  count: (state: State) => boolean
}

export interface Explored {
  states: number
  transitions: number
  /** The longest of the shortest ways to a state, in steps. */
  depth: number
  counted: number
  seconds: number
  /** The shortest way to a violation, or to a state from which there is no way to the goal. */
  counterExample?: { wrong: string; steps: string[] }
}

/** Visits every state that can be reached, the nearest first, until one is wrong or none is left. */
export function explore<State>({ initial, steps, violated, isGoal, count }: Search<State>): Explored {
  const started = performance.now()
  const encode = encoder()
  const numbers = new Map<string, number>([[encode(initial), 0]])
  /** Of each state, from which it was first reached, and by which of its steps. */
  const parents = new Numbers()
  const choices = new Numbers()
  parents.push(0)
  choices.push(0)
  /** What leads from where to where without a fault. */
  const from = new Numbers()
  const to = new Numbers()
  const goals: number[] = []
  let [transitions, depth, counted] = [0, 0, 0]
  let layer: [number, State][] = [[0, initial]]

  const result = (wrong?: string, state = 0): Explored => {
    const explored = {
      states: numbers.size,
      transitions,
      depth,
      counted,
      seconds: (performance.now() - started) / 1000
    }
    return wrong === undefined ? explored : { ...explored, counterExample: { wrong, steps: wayTo(state) } }
  }

  function wayTo(state: number): string[] {
    const way: number[] = []
    for (let at = state; at !== 0; at = parents.at(at)) way.unshift(choices.at(at))
    let here = initial
    return way.map((choice) => {
      let [n, taken, next] = [0, '', here]
      steps(here, (says, there) => {
        if (n++ === choice) [taken, next] = [says, there]
      })
      here = next
      return taken
    })
  }

  for (; layer.length > 0; depth++) {
    const following: typeof layer = []
    for (const [number, state] of layer) {
      const wrong = violated(state)
      if (wrong !== undefined) return result(wrong, number)
      if (isGoal(state)) goals.push(number)
      if (count(state)) counted++
      let choice = 0
      steps(state, (_says, next, isFault = false) => {
        transitions++
        const key = encode(next)
        let there = numbers.get(key)
        if (there === undefined) {
          there = numbers.size
          numbers.set(key, there)
          parents.push(number)
          choices.push(choice)
          following.push([there, next])
        }
        if (!isFault) {
          from.push(number)
          to.push(there)
        }
        choice++
      })
    }
    layer = following
  }
  const lost = cannotReach(goals, from, to, numbers.size)
  return lost === undefined ? result() : result('from here there is no way back to normal', lost)
}

/** @returns the first state from which no goal can be reached */
function cannotReach(goals: readonly number[], from: Numbers, to: Numbers, states: number): number | undefined {
  // Who leads to a state, as a list for each, in two arrays.
  const starts = new Int32Array(states + 1)
  for (let i = 0; i < to.length; i++) starts[to.at(i) + 1]!++
  for (let i = 0; i < states; i++) starts[i + 1]! += starts[i]!
  const filled = starts.slice()
  const sources = new Int32Array(to.length)
  for (let i = 0; i < to.length; i++) sources[filled[to.at(i)]!++] = from.at(i)

  const can = new Uint8Array(states)
  const open = [...goals]
  for (const goal of goals) can[goal] = 1
  for (let state = open.pop(); state !== undefined; state = open.pop()) {
    for (let i = starts[state]!; i < starts[state + 1]!; i++) {
      const source = sources[i]!
      if (can[source] === 0) {
        can[source] = 1
        open.push(source)
      }
    }
  }
  const lost = can.indexOf(0)
  return lost < 0 ? undefined : lost
}

/** A list of numbers that grows, at four bytes each. */
class Numbers {
  #values = new Int32Array(1024)
  length = 0

  push(value: number): void {
    if (this.length === this.#values.length) {
      const larger = new Int32Array(2 * this.length)
      larger.set(this.#values)
      this.#values = larger
    }
    this.#values[this.length++] = value
  }

  at(index: number): number {
    return this.#values[index]!
  }
}

/** @returns a function that spells a state, a byte for each word or small number, and gives a digest of that: alike for equal states only */
function encoder(): (state: unknown) => string {
  const bytes = Buffer.alloc(4096)
  const words = new Map<string, number>()
  let length = 0

  function write(value: unknown): void {
    if (typeof value === 'number') {
      if (value < -50 || value > 200) throw new Error(`${value} does not fit in a byte`)
      bytes[length++] = value + 50
    } else if (typeof value === 'string') {
      if (!words.has(value)) words.set(value, words.size)
      bytes[length++] = words.get(value)!
    } else if (typeof value === 'boolean') {
      bytes[length++] = value ? 1 : 0
    } else if (value === null || value === undefined) {
      bytes[length++] = 255
    } else if (Array.isArray(value)) {
      bytes[length++] = value.length
      for (const one of value) write(one)
    } else {
      for (const name in value) write(value[name as keyof typeof value])
    }
  }

  return (state) => {
    length = 0
    write(state)
    return hash('md5', bytes.subarray(0, length), 'binary')
  }
}
