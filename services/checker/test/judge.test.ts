import t from 'tap'
import type { Commands, Exchange, History, Mark, Memory } from '../src/history.js'
import { judge, type Invariant } from '../src/judge.js'

/** A fault that strikes api-2 from 100 to 200, and is over at 300; the record ends at 1000. */
function period(over: Partial<Extract<Mark, { event: 'begin' }>> = {}): History {
  const begin: Mark = {
    type: 'mark',
    at: 0,
    event: 'begin',
    fault: 'a fault',
    fails: 'struck',
    struck: ['api-2'],
    allowed: [],
    crowded: false,
    recoversWithinMs: 100,
    ...over
  }
  return [
    begin,
    { type: 'mark', at: 100, event: 'strike' },
    { type: 'mark', at: 200, event: 'heal' },
    { type: 'mark', at: 300, event: 'recovered' },
    { type: 'mark', at: 1000, event: 'end', load: 2 }
  ]
}

type Told = Partial<Omit<Exchange, 'type' | 'began' | 'ended'>>

const probe = (began: number, ended: number, told: Told = {}): Exchange => ({
  type: 'exchange',
  purpose: 'probe',
  token: 7,
  replica: 'api-1',
  status: 200,
  began,
  ended,
  ...told
})
const revoked = { status: 401, code: 'TOKEN_REVOKED' }
const unknown = { status: 503, code: 'REVOCATION_UNKNOWN' }

/** The revocation of tokens 7 and 8, by token 7. */
const logout = (began: number, ended: number, told: Told = {}): History => [
  { type: 'revocation', id: 1, kind: 'logout', tokens: [7, 8] },
  probe(began, ended, { purpose: 'revoke', revocation: 1, ...told })
]

const commands = (over: Partial<Commands> = {}): Commands => ({
  type: 'commands',
  probes: 1000,
  checks: { local: 1000, direct: 0, stale: 0, refused: 0 },
  redis: { idle: { xread: 50, eval: 100, hset: 50, info: 1 }, probed: { xread: 100, eval: 200, hset: 100, info: 1 } },
  idleMs: 1000,
  probedMs: 2000,
  replicas: 3,
  postgres: 0,
  ...over
})
const withRedis = (probed: Record<string, number>): Partial<Commands> => ({
  redis: { idle: commands().redis.idle, probed: { ...commands().redis.probed, ...probed } }
})
const memory = (over: Partial<Memory> = {}): Memory => ({
  type: 'memory',
  replica: 'api-1',
  added: 500,
  before: 20,
  peak: 520,
  after: 20,
  ...over
})
const times = (count: number, one: (i: number) => Exchange): Exchange[] =>
  Array.from({ length: count }, (_, i) => one(i))

const wrong: [string, Invariant, History][] = [
  ['a token is accepted on a request that began after its logout', 'R1', [...logout(10, 20), probe(20.1, 21)]],
  ['the other token of the session is', 'R1', [...logout(10, 20), probe(500, 501, { token: 8 })]],
  [
    'a token is accepted after the second logout, where the first was a 503',
    'R1',
    [...logout(10, 20, unknown), logout(30, 40)[1]!, probe(41, 42)]
  ],
  [
    'a revoked token ends another session',
    'R1',
    [
      ...logout(10, 20),
      { type: 'revocation', id: 4, kind: 'end-one', tokens: [9] },
      probe(30, 40, { purpose: 'revoke', revocation: 4 })
    ]
  ],
  [
    'a token is accepted after an old refresh token has been refused',
    'R1',
    [
      { type: 'revocation', id: 2, kind: 'theft', tokens: [9] },
      probe(10, 20, {
        purpose: 'revoke',
        revocation: 2,
        token: undefined as unknown as number,
        status: 401,
        code: 'REFRESH_TOKEN_REUSED'
      }),
      probe(30, 31, { token: 9 })
    ]
  ],
  ['a token is refused as revoked, which nobody did', 'R2', [probe(50, 51, revoked)]],
  ['a token is refused as revoked before anybody tried to', 'R2', [probe(50, 51, revoked), ...logout(52, 60)]],
  ['a probe is answered with a 500', 'answers', [probe(50, 51, { status: 500, code: 'INTERNAL' })]],
  ['a live token is refused as invalid', 'answers', [probe(50, 51, { status: 401, code: 'TOKEN_INVALID' })]],
  ['a logout is answered with a 404', 'answers', logout(10, 20, { status: 404, code: 'NOT_FOUND' })],
  ['a replica that was not struck fails', 'availability', times(20, (i) => probe(150 + i, 160 + i, unknown))],
  [
    'replicas have no time though nothing is started beside them',
    'availability',
    times(20, (i) => probe(150 + i, 160 + i, { status: 503, code: 'OVERLOADED' }))
  ],
  [
    'fifteen requests in a thousand fail',
    'availability',
    [...times(990, (i) => probe(i, i + 1)), ...times(15, () => probe(950, 951, unknown))]
  ],
  [
    'a replica that was struck fails long after it has recovered',
    'availability',
    times(20, (i) => probe(500 + i, 501 + i, { ...unknown, replica: 'api-2' }))
  ],
  [
    'it takes too long until all are ready',
    'availability',
    [{ type: 'mark', at: 200 + 100 + 3001, event: 'recovered' }]
  ],
  [
    'a password is refused at the first attempt to change it',
    'answers',
    [
      { type: 'revocation', id: 3, kind: 'change-password', tokens: [9] },
      probe(10, 20, { purpose: 'revoke', revocation: 3, status: 401, code: 'CREDENTIALS_INVALID' })
    ]
  ],
  [
    'no revocation is ever acknowledged',
    'availability',
    [1, 2, 3, 4, 5].flatMap((id): History => [
      { type: 'revocation', id, kind: 'logout', tokens: [id] },
      probe(10 * id, 10 * id + 5, {
        purpose: 'revoke',
        revocation: id,
        token: id,
        status: 503,
        code: 'REVOCATION_PENDING'
      })
    ])
  ],
  ['a replica is never ready again', 'availability', [{ type: 'mark', at: 999, event: 'not-recovered', why: 'api-2' }]],
  ['each probe is a command at Redis', 'R3', [commands(withRedis({ mget: 1000 }))]],
  ['each probe is one more of a command that there is anyhow', 'R3', [commands(withRedis({ eval: 1200 }))]],
  ['the log is read for each probe', 'R3', [commands(withRedis({ xread: 1100, eval: 2200, hset: 1100 }))]],
  ['Postgres is asked', 'R3', [commands({ postgres: 1 })]],
  [
    'nobody answers from the copy',
    'R3',
    [commands({ ...withRedis({ mget: 1000 }), checks: { local: 0, direct: 1000, stale: 0, refused: 0 } })]
  ],
  ['nobody follows the log', 'R3', [commands({ redis: { idle: {}, probed: {} } })]],
  ['what has expired is still held', 'R4', [memory({ after: 21 })]],
  ['what has not expired is not held', 'R4', [memory({ peak: 519 })]]
]

for (const [what, invariant, history] of wrong) {
  t.test(`${invariant}: ${what}`, async (t) => {
    const { violations, rows } = judge([...period(), ...history])
    t.same([...new Set(violations.map((one) => one.invariant))], [invariant])
    t.equal(violations[0]?.fault, 'a fault')
    t.equal(rows[0]?.violations, violations.length)
  })
}

const right: [string, History, Partial<Extract<Mark, { event: 'begin' }>>?][] = [
  [
    'a token is accepted on a request that began before its logout was acknowledged',
    [...logout(10, 20), probe(19, 30)]
  ],
  ['a token is accepted after a logout that was a 503', [...logout(10, 20, unknown), probe(30, 31)]],
  ['a token is refused while its logout is under way', [...logout(10, 20), probe(9, 11, revoked)]],
  ['a token is refused after a logout whose client left', [...logout(10, 11, { status: 0 }), probe(30, 31, revoked)]],
  ['a logout is repeated, with the token that it revoked', [...logout(10, 20), logout(30, 40)[1]!]],
  ['a logout is repeated, and refused', [...logout(10, 20), logout(30, 40, revoked)[1]!]],
  ['a replica that was struck fails', times(20, (i) => probe(150 + i, 160 + i, { ...unknown, replica: 'api-2' }))],
  [
    'replicas have no time while others are started beside them',
    times(20, (i) => probe(150 + i, 160 + i, { status: 503, code: 'OVERLOADED' })),
    { crowded: true }
  ],
  ['a request that met the strike is not answered', times(20, () => probe(90, 110, { status: 0, replica: 'api-2' }))],
  ['one request in some hundreds fails', [...times(900, (i) => probe(i, i + 1)), probe(950, 951, unknown)]],
  [
    'a replica says what its clock makes it say',
    [probe(150, 151, { replica: 'api-2', status: 401, code: 'TOKEN_EXPIRED' })],
    { allowed: ['TOKEN_EXPIRED'] }
  ],
  ['probes are answered from the copy', [commands()]],
  [
    'replicas without a lease look up, and say so',
    [commands({ ...withRedis({ mget: 90 }), checks: { local: 910, direct: 90, stale: 0, refused: 0 } })]
  ],
  ['what has expired is gone', [memory()]],
  [
    'a machine is busy with something else',
    [
      ...times(990, (i) => probe(i, i + 1)),
      ...times(15, () => probe(950, 951, unknown)),
      { type: 'mark', at: 1000, event: 'end', load: 6 }
    ]
  ],
  [
    'the password was changed by an attempt that was not answered',
    [
      { type: 'revocation', id: 3, kind: 'change-password', tokens: [9] },
      probe(10, 20, { purpose: 'revoke', revocation: 3, status: 0 }),
      probe(30, 40, { purpose: 'revoke', revocation: 3, status: 401, code: 'CREDENTIALS_INVALID' })
    ]
  ]
]

for (const [what, history, over] of right) {
  t.test(`nothing is wrong where ${what}`, async (t) => {
    t.same(judge([...period(over), ...history]).violations, [])
  })
}

t.test('a row counts, and tells how long a token still worked', async (t) => {
  const { rows, probes } = judge([
    ...period(),
    ...logout(10, 60),
    probe(5, 12),
    probe(33, 40),
    probe(61, 62, revoked),
    probe(150, 160, { ...unknown, replica: 'api-2' }),
    probe(150, 160, { status: 0, code: 'ECONNRESET', replica: 'api-2' }),
    { type: 'revocation', id: 2, kind: 'logout', tokens: [9] },
    probe(70, 75, { purpose: 'revoke', revocation: 2, token: 9, ...unknown })
  ])
  t.equal(probes, 5)
  t.same(rows, [
    {
      fault: 'a fault',
      acknowledged: 1,
      refused: 1,
      probes: { accepted: 2, denied: 1, unknown: 1, failed: 1 },
      worstPropagationMs: 23,
      logoutP50Ms: 50,
      logoutWorstMs: 50,
      violations: 0
    }
  ])
})
