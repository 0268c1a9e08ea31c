/** Who says what a claim means (RFC 7519 §4): the RFC itself, IANA's registry, or those who use it among themselves. */
export type ClaimKind = 'registered' | 'public' | 'private'

/** The claims of this api's tokens, in the order in which they stand there. */
export const CLAIMS = ['iss', 'aud', 'sub', 'sid', 'jti', 'scope', 'replica', 'iat', 'exp'] as const
export type Claim = (typeof CLAIMS)[number]

export const KIND_OF: Record<Claim, ClaimKind> = {
  iss: 'registered',
  aud: 'registered',
  sub: 'registered',
  sid: 'public',
  jti: 'registered',
  scope: 'public',
  replica: 'private',
  iat: 'registered',
  exp: 'registered'
}

/** The parameters of the header (RFC 7515 §4.1). */
export const HEADER_PARAMETERS = ['alg', 'kid', 'typ'] as const
export type HeaderParameter = (typeof HEADER_PARAMETERS)[number]
