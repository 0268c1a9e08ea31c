import fastifyPostgres from '@fastify/postgres'
import fp from 'fastify-plugin'
import pg from 'pg'
import { Gauge, type Registry } from 'prom-client'

/** Connections of one replica. Replicas × this stays below Postgres' max_connections, 100 where nobody changed it. */
const POOL_SIZE = 8

/** The pool of connections to Postgres, with a bound on everything that can wait. */
export const postgres = fp<{ url: string }>(
  async (app, { url }) => {
    await app.register(fastifyPostgres, {
      connectionString: url,
      max: POOL_SIZE,
      connectionTimeoutMillis: 2000,
      // A connection costs more than a query: it is kept through a quiet minute.
      idleTimeoutMillis: 60_000,
      statement_timeout: 2000,
      lock_timeout: 1000,
      idle_in_transaction_session_timeout: 5000,
      // The others are kept by the server. This one is for a server that is there and says nothing.
      query_timeout: 2500
    })
    const lost = (error: Error): void => app.log.warn({ err: error }, 'lost a connection to Postgres')
    // Each of the two ends the process where nobody listens: the pool speaks for a connection that is idle, and only the
    // connection itself for one that is in a transaction. What it was doing is rejected all the same.
    app.pg.pool.on('error', lost)
    app.pg.pool.on('connect', (client) => client.on('error', lost))
    watch(app.pg.pool, app.metricsRegistry)
  },
  { name: 'postgres', dependencies: ['metrics'] }
)

/** What the pool says of itself, asked when it is scraped. */
function watch(pool: pg.Pool, registry: Registry): void {
  const registers = [registry]
  new Gauge({
    name: 'postgres_pool_connections',
    help: 'Connections to Postgres, by whether somebody uses them (or opens them)',
    labelNames: ['state'],
    registers,
    collect() {
      this.set({ state: 'busy' }, pool.totalCount - pool.idleCount)
      this.set({ state: 'idle' }, pool.idleCount)
    }
  })
  new Gauge({
    name: 'postgres_pool_waiting',
    help: 'Who waits for a connection to Postgres',
    registers,
    collect() {
      this.set(pool.waitingCount)
    }
  })
  new Gauge({ name: 'postgres_pool_max_connections', help: 'The most there can be', registers }).set(POOL_SIZE)
}

/**
 * Classes of SQLSTATE that say "not now": connection, resources, operator intervention, a lock, a time-out, a deadlock; and a
 * standby, which takes no writes before it has been promoted, and ends a query that is in the way of what it is sent.
 */
const UNAVAILABLE = /^(08...|53...|57...|55P03|25P03|40P01|40001|25006)$/

/** Whether an error means that the database cannot serve at the moment, which is no fault of the request. */
export function isPostgresUnavailable(error: Error & { code?: string; syscall?: string }): boolean {
  // A name with several addresses, each of which was tried.
  if (error instanceof AggregateError) return (error.errors as Error[]).every(isPostgresUnavailable)
  if (error instanceof pg.DatabaseError) return UNAVAILABLE.test(error.code ?? '')
  // pg's own errors have no code, only these words; those of the socket have the failing call.
  return (
    /^(timeout exceeded when trying to connect|Query read timeout|Connection terminated|Client has encountered a connection error)/.test(
      error.message
    ) || /^(connect|read|write|getaddrinfo)$/.test(error.syscall ?? '')
  )
}
