import { Type, type Static } from 'typebox'
import { MAX_ACCESS_TOKEN_TTL_SECONDS } from '../key-ring.js'
import type { AccessClaims } from '../tokens.js'

/** What is taken back: one token by its `jti`, or by its `sid` a session with every access token it ever got. */
export interface Revocation {
  kind: 'jti' | 'sid'
  id: string
  /** From when on nobody needs to remember it, for every token it concerns has expired on every clock. */
  expiresAt: Date
}

/** What a client is told when a revocation is final. */
export const Receipt = Type.Object(
  {
    revoked: Type.Array(Type.Object({ kind: Type.Enum(['jti', 'sid']), id: Type.String() })),
    acknowledgedBy: Type.Array(Type.String(), {
      description: 'The replicas that confirmed it; empty where each asks Redis at every request'
    }),
    waitedMs: Type.Number({ description: 'How long the call waited for the replicas' }),
    boundMs: Type.Number({ description: 'How long it would have waited at the most' })
  },
  { description: 'From now on no replica accepts what has been revoked' }
)
export type Receipt = Static<typeof Receipt>

/** The one thing a stateless token cannot do, being taken back, kept apart from everything else. */
export interface Denylist {
  /**
   * Whether the token, or its session, has been revoked.
   *
   * @throws RevocationUnknown (503) where that cannot be told within its bound; never guesses
   */
  isRevoked(token: { jti: string; sid: string }): boolean | Promise<boolean>
  /**
   * Makes revocations that are already recorded in Postgres known to every replica. Once it resolves, no replica
   * accepts a token that they concern. Safe to repeat.
   *
   * @throws RevocationPending (503)
   */
  publish(revocations: readonly Revocation[]): Promise<Receipt>
  /** Whether it can answer at the moment: false where Redis is there but has lost its data, which it then mends. */
  isReady(): Promise<boolean>
}

/**
 * How much longer than its token a revocation is remembered. A clock may run behind another by this much and still
 * not meet a token that has not expired for it, with a revocation that has.
 */
export const CLOCK_SKEW_SECONDS = 120

/**
 * How long the end of a session is remembered. Counts on the longest life of a token that can be configured, not on the one
 * that is: an earlier configuration may have issued. The end is by the clock of Postgres, the token's by that of whoever
 * issued it, and that may be ahead by as much.
 */
export const SESSION_REVOKED_SECONDS = MAX_ACCESS_TOKEN_TTL_SECONDS + 2 * CLOCK_SKEW_SECONDS

const inSeconds = (epochSeconds: number): Date => new Date(epochSeconds * 1000)

export const revocationOfToken = ({ jti, exp }: AccessClaims): Revocation => ({
  kind: 'jti',
  id: jti,
  expiresAt: inSeconds(exp + CLOCK_SKEW_SECONDS)
})

/** Of a session that ended at that moment. */
export const revocationOfSession = (sid: string, endedAt: Date): Revocation => ({
  kind: 'sid',
  id: sid,
  expiresAt: inSeconds(endedAt.getTime() / 1000 + SESSION_REVOKED_SECONDS)
})
