import type { ClientBase, Pool } from 'pg'
import { SESSION_REVOKED_SECONDS, type Revocation } from './denylist.js'
import type { Entries } from './entries.js'
import { newUuidWords, spellUuid, type UuidWords } from './uuid-words.js'

/** An UPDATE of sessions that ends them, to which `RETURNING` is added. */
export interface Ending {
  /** Of the statement: each connection has it parsed and planned once, which is half of what it costs. */
  name: string
  text: string
  values: unknown[]
}

/** The end of an INSERT: what is on record stays for the longer of the two times. */
const KEEP_LONGER = `
  ON CONFLICT (kind, id) DO UPDATE SET expires_at = greatest(revocations.expires_at, excluded.expires_at)
  RETURNING kind, id, expires_at AS "expiresAt"`

/**
 * Ends sessions and writes the durable record of what that revokes, in one statement: either both have happened or neither.
 * Safe to repeat.
 *
 * @param others what is to be revoked beside the sessions, if there are any
 * @returns what is on record now and has to be published; nothing where there was no session
 */
export async function endAndRecord(
  client: Pick<ClientBase, 'query'>,
  { name, text, values }: Ending,
  others: readonly Revocation[] = []
): Promise<Revocation[]> {
  const [seconds, kinds, ids, times] = [1, 2, 3, 4].map((n) => `$${values.length + n}`)
  const { rows } = await client.query<Revocation>({
    name,
    text: `WITH ended AS (${text} RETURNING id, ended_at)
     INSERT INTO revocations (kind, id, expires_at)
     SELECT * FROM unnest(${kinds}::text[], ${ids}::uuid[], ${times}::timestamptz[]) WHERE EXISTS (SELECT FROM ended)
     UNION ALL
     SELECT 'sid', id, ended_at + make_interval(secs => ${seconds}) FROM ended
     ${KEEP_LONGER}`,
    values: [
      ...values,
      SESSION_REVOKED_SECONDS,
      others.map(({ kind }) => kind),
      others.map(({ id }) => id),
      others.map(({ expiresAt }) => expiresAt)
    ]
  })
  return rows
}

/**
 * Writes the durable record of what is revoked although there is no session to end: its row is gone, with its user's, or in a
 * Postgres that came back in an older state.
 *
 * @returns what is on record now and has to be published
 */
export async function recordAlone(
  client: Pick<ClientBase, 'query'>,
  revocations: readonly Revocation[]
): Promise<Revocation[]> {
  const { rows } = await client.query<Revocation>(
    `INSERT INTO revocations (kind, id, expires_at) SELECT * FROM unnest($1::text[], $2::uuid[], $3::timestamptz[])
     ${KEEP_LONGER}`,
    [
      revocations.map(({ kind }) => kind),
      revocations.map(({ id }) => id),
      revocations.map(({ expiresAt }) => expiresAt)
    ]
  )
  return rows
}

/** Revocations at a time: few enough not to hold up Redis, or the event loop, for more than a few milliseconds. */
export const PAGE = 500

/** The same where nothing is made of them but numbers. */
const PACKED_PAGE = 2500

/** A row: the id, the time in microseconds since 2000, and whether it is a session. */
const ROW_BYTES = 25
const YEAR_2000 = Date.UTC(2000, 0, 1)

/**
 * Everything on record that has not expired, in pages of one value each: to make a row of each takes Postgres and this
 * process several times as long. What is recorded meanwhile may be missing.
 *
 * In the order in which they expire, so that a page begins where the last one ended, whatever else there is. A revocation
 * that is recorded again moves on, if at all, and so is not missed.
 */
async function* pagesOfRecord(pg: Pick<Pool, 'query'>, limit: number): AsyncGenerator<Buffer> {
  let last = ['-infinity', '', '00000000-0000-0000-0000-000000000000']
  for (;;) {
    const { rows } = await pg.query<{ packed: Buffer | null; until: string }>(
      `SELECT max(expires_at)::text AS until, string_agg(
         uuid_send(id) || timestamptz_send(expires_at) || CASE kind WHEN 'sid' THEN '\\x01'::bytea ELSE '\\x00' END, '') AS packed
       FROM (
         SELECT kind, id, expires_at FROM revocations
         WHERE expires_at > now() AND (expires_at, kind, id) > ($1::timestamptz, $2::text, $3::uuid)
         ORDER BY expires_at, kind, id LIMIT ${limit}
       ) AS page`,
      last
    )
    const packed = rows[0]?.packed ?? Buffer.alloc(0)
    if (packed.length > 0) yield packed
    if (packed.length < limit * ROW_BYTES) return
    const at = packed.length - ROW_BYTES
    last = [rows[0]!.until, kindAt(packed, at), packed.toString('hex', at, at + 16)]
  }
}

/**
 * A standby may lack the latest of what has been acknowledged, so what it has is not the record.
 *
 * @throws Error
 */
async function requirePrimary(pg: Pick<Pool, 'query'>): Promise<void> {
  const { rows } = await pg.query<{ standby: boolean }>('SELECT pg_is_in_recovery() AS standby')
  if (rows[0]?.standby) throw new Error('Postgres is a standby, which may lack the latest revocations')
}

const kindAt = (packed: Buffer, at: number): Revocation['kind'] => (packed[at + 24] === 1 ? 'sid' : 'jti')

/** @param onRevocation the words are another's when it returns; the time is in milliseconds since 1970 */
function readPage(
  packed: Buffer,
  onRevocation: (kind: Revocation['kind'], words: UuidWords, expiresAt: number) => void
): void {
  const words = newUuidWords()
  for (let at = 0; at < packed.length; at += ROW_BYTES) {
    for (let word = 0; word < 4; word++) words[word] = packed.readUInt32BE(at + 4 * word)
    const microseconds = packed.readInt32BE(at + 16) * 2 ** 32 + packed.readUInt32BE(at + 20)
    onRevocation(kindAt(packed, at), words, YEAR_2000 + microseconds / 1000)
  }
}

/** Adds everything on record that has not expired, in turns of the event loop that take a few milliseconds. */
export async function readRecord(pg: Pick<Pool, 'query'>, entries: Entries): Promise<void> {
  await requirePrimary(pg)
  const { rows } = await pg.query<Record<Revocation['kind'], number>>(
    `SELECT count(*) FILTER (WHERE kind = 'jti')::int AS jti, count(*) FILTER (WHERE kind = 'sid')::int AS sid
     FROM revocations WHERE expires_at > now()`
  )
  if (rows[0]) entries.reserve(rows[0])
  const pages = pagesOfRecord(pg, PACKED_PAGE)
  let next = pages.next()
  for (;;) {
    const page = await next
    if (page.done) return
    // While this one is read Postgres makes the next; that it fails is heard of in the next turn.
    next = pages.next()
    next.catch(() => undefined)
    readPage(page.value, (kind, words, expiresAt) => void entries.addWords(kind, words, expiresAt))
  }
}

/** The same as objects, in pages for Redis. */
export async function* liveRevocations(pg: Pick<Pool, 'query'>): AsyncGenerator<Revocation[]> {
  await requirePrimary(pg)
  for await (const packed of pagesOfRecord(pg, PAGE)) {
    const page: Revocation[] = []
    readPage(packed, (kind, words, expiresAt) =>
      page.push({ kind, id: spellUuid(words), expiresAt: new Date(Math.ceil(expiresAt)) })
    )
    yield page
  }
}
