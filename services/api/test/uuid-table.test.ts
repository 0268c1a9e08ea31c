import { randomUUID } from 'node:crypto'
import fc from 'fast-check'
import t from 'tap'
import { Arena } from '../src/denylist/arena.js'
import { Entries } from '../src/denylist/entries.js'
import { seededHash, UuidTable, type Hash } from '../src/denylist/uuid-table.js'
import { newUuidWords, parseUuid, spellUuid } from '../src/denylist/uuid-words.js'

t.test('a UUID is read and spelled; nothing else is one', async (t) => {
  const words = newUuidWords()
  t.equal(parseUuid('01234567-89ab-cdef-fedc-ba9876543210', words), true)
  t.strictSame([...words], [0x01234567, 0x89abcdef, 0xfedcba98, 0x76543210])
  fc.assert(fc.property(fc.uuid(), (id) => parseUuid(id, words) && spellUuid(words) === id))
  fc.assert(fc.property(fc.uuid(), (id) => parseUuid(id.toUpperCase(), words) && spellUuid(words) === id))

  const id = randomUUID()
  // Each place in turn, so that none is left out.
  for (let i = 0; i < id.length; i++) {
    for (const other of ['g', ' ', '-', '/', ':', '@', '`', '\0', 'ı', '\uff11', '\ud800', 'a']) {
      const changed = id.slice(0, i) + other + id.slice(i + 1)
      const isOne = /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/.test(changed)
      t.equal(parseUuid(changed, words), isOne, JSON.stringify(changed))
    }
  }
  for (const other of ['', id.slice(1), `${id}0`, id.replaceAll('-', '')]) t.equal(parseUuid(other, words), false)
})

t.test('what is no UUID is never there, and adding it says nothing', async (t) => {
  const entries = new Entries()
  for (const id of ['', 'old', `${randomUUID()} `]) {
    t.equal(entries.add({ kind: 'jti', id, expiresAt: new Date(Date.now() + 1000) }), false)
    t.equal(entries.has('jti', id), false)
  }
  t.equal(entries.size, 0)
})

t.test('it expires with the end of its second, and not before', async (t) => {
  const entries = new Entries()
  const id = randomUUID()
  t.equal(entries.add({ kind: 'sid', id, expiresAt: new Date(10_001) }), true)
  t.equal(entries.add({ kind: 'sid', id, expiresAt: new Date(99_000) }), false)
  t.equal(entries.has('jti', id), false, 'a sid is not a jti')
  t.strictSame([...entries], [{ kind: 'sid', id, expiresAt: new Date(11_000) }])
  t.equal(entries.sweep(10_999), true)
  t.equal(entries.has('sid', id), true)
  entries.sweep(11_000)
  t.equal(entries.has('sid', id), false)
  t.equal(entries.size, 0)
})

/** Hashes by which all UUIDs are neighbours, up to those by which nearly none are. */
const HASHES: Record<string, Hash> = {
  'the same hash': () => 0xfffffffe,
  'one of three homes, at the end of a shard and at its beginning': (a) => [0xffffff, 0xfffffe, 0][a % 3]!,
  'the same shard and the same bits beside the handle': (a, b) => ((a ^ b) << 6) & 0xffffff,
  'a home that says nothing, and different bits beside the handle': (_a, _b, _c, d) => d & 63,
  'hashes of their own': seededHash(7)
}

for (const [name, hash] of Object.entries(HASHES)) {
  t.test(`the same as a Map, where UUIDs have ${name}`, async () => {
    // Few UUIDs, so that they meet again; they differ in one word, or in all.
    const id = fc.nat(40).map((n) => {
      const word = (n * 0x9e3779b1) >>> 0
      return spellUuid(Uint32Array.from({ length: 4 }, (_, i) => (n % 5 === i || n % 5 === 4 ? word : 0)) as never)
    })
    const step = fc.oneof(
      { weight: 8, arbitrary: fc.record({ is: fc.constant('add'), id, second: fc.nat(20) }) },
      { weight: 1, arbitrary: fc.record({ is: fc.constant('sweep'), id, second: fc.nat(20) }) },
      { weight: 2, arbitrary: fc.record({ is: fc.constant('has'), id, second: fc.constant(0) }) }
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
        const [table, map] = [new UuidTable(hash), new Map<string, number>()]
        for (const { is, id, second } of steps) {
          if (is === 'add') {
            if (table.add(id, second) === map.has(id)) return false
            if (!map.has(id)) map.set(id, second)
          } else if (is === 'sweep') {
            while (!table.sweep(second * 1000));
            for (const [id, until] of map) if (until <= second) map.delete(id)
          } else if (table.has(id) !== map.has(id)) return false
        }
        const isSame = [...map.keys()].every((id) => table.has(id)) && table.size === map.size
        const sorted = (pairs: Iterable<[string, number]>): string => JSON.stringify([...pairs].sort())
        return isSame && sorted(table) === sorted(map)
      }),
      { numRuns: 150 }
    )
  })
}

t.test('room that is made beforehand changes nothing else', async (t) => {
  const table = new UuidTable()
  const ids = Array.from({ length: 3000 }, () => randomUUID() as string)
  for (const id of ids.slice(0, 1000)) table.add(id, 1)
  table.reserve(300_000)
  for (const id of ids.slice(1000)) table.add(id, 2)
  table.reserve(10)
  t.equal(table.size, 3000)
  t.ok(ids.every((id) => table.has(id)))
  while (!table.sweep(1000));
  t.strictSame([ids.filter((id) => table.has(id)).length, table.size], [2000, 2000])
})

t.test('what is given back is taken again, the first before the last', async (t) => {
  const arena = new Arena()
  const handles = Array.from({ length: 50_000 }, () => arena.take())
  t.equal(new Set(handles).size, handles.length)
  t.equal(Math.min(...handles), 1)
  for (const handle of [40_000, 7, 20_000]) arena.giveBack(handle)
  t.strictSame([arena.take(), arena.take(), arena.take(), arena.take()], [7, 20_000, 40_000, 50_001])
})

t.test('thousands come and go, and each is found for as long as it is there', async (t) => {
  // In one shard of the index, which so grows and shrinks.
  const hash = seededHash()
  const table = new UuidTable((...words) => hash(...words) & 0xffffff)
  const seconds = Array.from({ length: 60 }, () => Array.from({ length: 1500 }, () => randomUUID()))
  for (const [second, ids] of seconds.entries()) {
    if (!ids.every((id) => table.add(id, second + 10))) t.fail(`added at ${second}`)
    while (!table.sweep(second * 1000));
    // Those of the last ten seconds.
    t.equal(table.size, Math.min(second + 1, 10) * 1500)
    for (const [i, earlier] of seconds.slice(0, second + 1).entries()) {
      if (earlier.filter((id) => table.has(id)).length !== (i > second - 10 ? 1500 : 0)) t.fail(`${i} at ${second}`)
    }
  }
  while (!table.sweep(Infinity));
  t.equal(table.size, 0)
  t.strictSame([...table], [])
})

t.test('whoever walks meets what has neither come nor gone, whatever happens meanwhile', async (t) => {
  const table = new UuidTable()
  const ids = (count: number) => Array.from({ length: count }, () => randomUUID() as string)
  const [going, staying] = [ids(1000), ids(1000)]
  for (const id of going) table.add(id, 1)
  for (const id of staying) table.add(id, 5)
  const seen = new Map<string, number>()
  for (const [id, second] of table) {
    seen.set(id, second)
    if (seen.size !== 10) continue
    // Their places are taken by others.
    while (!table.sweep(1000));
    for (const other of ids(2000)) table.add(other, 7)
    for (const other of ids(1000)) table.add(other, 1)
  }
  t.ok(staying.every((id) => seen.get(id) === 5))
  t.equal([...seen.values()].filter((second) => second === 7).length, 0)
  t.equal([...seen].filter(([id, second]) => second === 1 && !going.includes(id)).length, 0)
})
