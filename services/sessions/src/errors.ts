import createError from '@fastify/error'

export const SessionMissing = createError('SESSION_MISSING', 'There is no session cookie', 401)
/** Also where another server knows it: this one has no way to tell. */
export const SessionUnknown = createError('SESSION_UNKNOWN', 'This server knows no such session', 401)
export const SessionStoreUnavailable = createError(
  'SESSION_STORE_UNAVAILABLE',
  'The store of sessions does not answer: try again',
  503
)
