import { spawn } from 'node:child_process'
import t from 'tap'

const MILLION = 1_000_000

/** Fills entries in a process of its own, by numbers that cost nothing. @returns what it prints, as JSON */
async function measure<T>(code: string): Promise<T> {
  const preamble = `
    const { Entries } = await import(process.argv[1])
    const words = new Uint32Array(4)
    let state = 1
    const random = () => (state ^= state << 13, state ^= state >>> 17, state ^= state << 5)
    const add = (entries, i, second) => {
      for (let word = 0; word < 4; word++) words[word] = random()
      entries.addWords(i % 2 ? 'jti' : 'sid', words, second * 1000)
    }`
  const module = new URL('../dist/denylist/entries.js', import.meta.url).href
  // What V8 keeps for new objects grows by itself, whatever the table does.
  const flags = ['--expose-gc', '--max-semi-space-size=1', '--input-type=module']
  const child = spawn(process.execPath, [...flags, '-e', preamble + code, module], {
    stdio: ['ignore', 'pipe', 'inherit']
  })
  let output = ''
  for await (const chunk of child.stdout) output += String(chunk)
  return JSON.parse(output) as T
}

for (const room of ['as they come', 'with room for all of them made beforehand']) {
  t.test(`a million take 30 bytes each of resident memory, and give them back: ${room}`, async (t) => {
    const { bytes, left } = await measure<{ bytes: number; left: number }>(`
    const rss = () => { gc(); return process.memoryUsage.rss() }
    // So that the code is compiled.
    const others = new Entries()
    for (let i = 0; i < 100_000; i++) add(others, i, i % 1000)
    while (!others.sweep(Infinity));
    const entries = new Entries()
    const before = rss()
    ${room === 'as they come' ? '' : `entries.reserve({ jti: ${MILLION / 2}, sid: ${MILLION / 2} })`}
    for (let i = 0; i < ${MILLION}; i++) add(entries, i, i % 1000)
    const full = rss()
    if (entries.size !== ${MILLION}) throw new Error(entries.size + ' entries')
    while (!entries.sweep(Infinity));
    console.log(JSON.stringify({ bytes: (full - before) / ${MILLION}, left: (rss() - before) / ${MILLION} }))`)
    t.comment(`${bytes.toFixed(1)} bytes each; ${left.toFixed(1)} once they have expired`)
    t.ok(bytes <= 30, `${bytes} bytes`)
    t.ok(left <= 5, `${left} bytes are left of each`)
  })
}

/** The longest that one addition and one sweep took, in milliseconds. */
interface Longest {
  add: number
  sweep: number
}

// Seen: 4 to 9 ms and 7 to 15, where a Map takes 53 and 540. The machine may be slower at any time, for both.
t.test('no addition stops the process for a third of what a Map does, no sweep for a twentieth', async (t) => {
  const [entries, map]: Longest[] = Array.from({ length: 2 }, () => ({ add: Infinity, sweep: Infinity }))
  // The threads of V8 are counted too: the best of three is the code's.
  for (let attempt = 0; attempt < 3; attempt++) {
    const run = await measure<{ entries: Longest; map: Longest }>(`
      const longest = { entries: { add: 0, sweep: 0 }, map: { add: 0, sweep: 0 } }
      const timed = (of, name, run) => {
        const [began, cpu] = [performance.now(), process.cpuUsage()]
        const result = run()
        const wall = performance.now() - began
        // Where another process had the processor, that was not the table's time.
        const { user, system } = process.cpuUsage(cpu)
        longest[of][name] = Math.max(longest[of][name], Math.min(wall, (user + system) / 1000))
        return result
      }
      // All of them expire at once.
      const entries = new Entries()
      for (let i = 0; i < ${MILLION}; i++) timed('entries', 'add', () => add(entries, 1, 1000))
      while (!timed('entries', 'sweep', () => entries.sweep(1_000_000)));
      if (entries.size > 0) throw new Error('not all were dropped')

      const map = new Map()
      for (let i = 0; i < ${MILLION}; i++) {
        const id = [random(), random(), random(), random()].map((word) => (word >>> 0).toString(16)).join('')
        timed('map', 'add', () => map.set(id, 1000))
      }
      timed('map', 'sweep', () => {
        for (const [id, second] of map) if (second <= 1_000_000) map.delete(id)
      })
      console.log(JSON.stringify(longest))`)
    t.comment(run)
    for (const name of ['add', 'sweep'] as const) {
      entries![name] = Math.min(entries![name], run.entries[name])
      map![name] = Math.min(map![name], run.map[name])
    }
  }
  t.ok(entries!.add < map!.add / 3, `${entries!.add} ms, a Map ${map!.add}`)
  t.ok(entries!.sweep < map!.sweep / 20, `${entries!.sweep} ms, a Map ${map!.sweep}`)
})
