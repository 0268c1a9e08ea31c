import fastifyJwt, { type JWT } from '@fastify/jwt'
import fastify from 'fastify'
import fp from 'fastify-plugin'
import { Counter, Gauge } from 'prom-client'
import { fingerprintOf, type KeyRing } from '../key-ring.js'
import { createRefreshTokens, type RefreshTokens } from '../refresh-tokens.js'
import { createTokens, TOKEN_TYPE, type KeySigner, type Tokens } from '../tokens.js'
import { watchKeyRing } from '../watch-key-ring.js'

declare module 'fastify' {
  interface FastifyInstance {
    /** Of the key ring in use. Another one after it was exchanged: not to be kept. */
    readonly tokens: Tokens
    /** Of the key ring in use. Another one after it was exchanged: not to be kept. */
    readonly refreshTokens: RefreshTokens
    /** Reads the file of the key ring at once; says in the log what came of it. Never rejects. */
    reloadKeyRing: () => Promise<void>
  }
}

interface TokenOptions {
  keyRing: KeyRing
  /** Where the ring is looked for again; without it the ring stays as it is. */
  keyRingFile: string | undefined
  issuer: string
  audience: string
  replicaName: string
  refreshTokenTtlSeconds: number
}

/** The key ring, in the one place that holds it. It is exchanged as a whole, between two requests. */
export const tokens = fp<TokenOptions>(
  async (app, { keyRing, keyRingFile, issuer, audience, replicaName, refreshTokenTtlSeconds }) => {
    const registers = [app.metricsRegistry]
    const keys = new Gauge({
      name: 'jwt_key_info',
      help: 'The keys of the ring in use: 1 for each',
      labelNames: ['kid', 'use', 'fingerprint'],
      registers
    })
    const failures = new Counter({
      name: 'jwt_key_ring_reload_failures_total',
      help: 'Looks at the file of the key ring, one a second, that found no good ring: the one in use stays',
      registers
    })
    new Gauge({
      name: 'refresh_token_ttl_seconds',
      help: 'How long a refresh token lives at the most, and so a key that has signed one',
      registers
    }).set(refreshTokenTtlSeconds)

    let inUse: { tokens: Tokens; refreshTokens: RefreshTokens; ring: KeyRing }
    async function use(ring: KeyRing): Promise<void> {
      const signers = await createSigners(ring)
      inUse = {
        tokens: createTokens({ issuer, audience, replicaName, signers }),
        refreshTokens: createRefreshTokens(ring),
        ring
      }
      keys.reset()
      for (const [place, key] of ring.entries()) {
        keys.set({ kid: key.kid, use: place === 0 ? 'signs' : 'verifies', fingerprint: fingerprintOf(key) }, 1)
      }
    }
    await use(keyRing)
    app.decorate('tokens', { getter: () => inUse.tokens })
    app.decorate('refreshTokens', { getter: () => inUse.refreshTokens })

    if (keyRingFile === undefined) {
      app.decorate('reloadKeyRing', async () => {
        app.log.warn('the key ring came from JWT_KEYS in the environment: only a restart takes another one')
      })
      return
    }
    const watch = watchKeyRing({
      file: keyRingFile,
      ring: keyRing,
      use,
      onFailure: () => failures.inc(),
      log: app.log
    })
    app.addHook('onClose', () => watch.close())
    app.decorate('reloadKeyRing', async () => {
      await watch.look()
      app.log.info({ kids: inUse.ring.map(({ kid }) => kid) }, 'the key ring has been looked at; the first key signs')
    })
  },
  { name: 'tokens', dependencies: ['metrics'] }
)

/**
 * Each key gets an instance of @fastify/jwt of its own, under a namespace: its signer and its verifier are then built
 * once, with one key and one algorithm, and called directly. Together they live in a small Fastify that serves nothing,
 * because the app takes no more plugins once it is ready.
 */
async function createSigners(ring: KeyRing): Promise<[KeySigner, ...KeySigner[]]> {
  const carrier = fastify()
  for (const { kid, secret } of ring) {
    await carrier.register(fastifyJwt, {
      namespace: namespaceOf(kid),
      secret,
      sign: { algorithm: 'HS256', kid, header: { alg: 'HS256', typ: TOKEN_TYPE } },
      verify: { algorithms: ['HS256'], checkTyp: TOKEN_TYPE, ignoreExpiration: true }
    })
  }
  await carrier.ready()
  const instances = carrier.jwt as unknown as Record<string, JWT>
  return ring.map(({ kid }): KeySigner => {
    const jwt = instances[namespaceOf(kid)]!
    return { sign: (claims) => jwt.sign(claims), verify: (token) => jwt.verify(token) }
  }) as [KeySigner, ...KeySigner[]]
}

/** Prefixed, for a kid is the operator's and a namespace becomes the name of a property. */
const namespaceOf = (kid: string): string => `key ${kid}`
