import fp from 'fastify-plugin'
import { Counter, Gauge } from 'prom-client'
import { createPasswords, type Passwords } from '../passwords.js'

declare module 'fastify' {
  interface FastifyInstance {
    passwords: Passwords
  }
}

/** The thread that hashes, one for a replica. */
export const passwords = fp(
  async (app) => {
    const hashes = new Counter({
      name: 'password_hashes_total',
      help: 'Passwords handed to argon2, to be hashed or to be compared',
      registers: [app.metricsRegistry]
    })
    app.decorate(
      'passwords',
      createPasswords(() => hashes.inc())
    )
    new Gauge({
      name: 'password_hash_queue_length',
      help: 'Passwords that wait to be hashed or compared',
      registers: [app.metricsRegistry],
      collect() {
        this.set(app.passwords.queueLength())
      }
    })
    app.addHook('onClose', () => app.passwords.close())
  },
  { name: 'passwords', dependencies: ['metrics'] }
)
