import fp from 'fastify-plugin'
import { Gauge, Histogram, type Registry } from 'prom-client'
import { countBy } from '../counts.js'
import { createBarriers } from '../denylist/barrier.js'
import type { Denylist, Revocation } from '../denylist/denylist.js'
import { createDirectDenylist } from '../denylist/direct.js'
import { startFollower, type Follower } from '../denylist/follower.js'
import { createLeasedDenylist, type Outage } from '../denylist/leased.js'
import { createPublish } from '../denylist/publish.js'
import { PRIMARY } from '../denylist/look-up.js'
import { newMember, REGISTRY } from '../denylist/registry.js'
import { checkFailover } from '../denylist/replicas-of-redis.js'
import { createRestore } from '../denylist/restore.js'
import { within } from '../within.js'

declare module 'fastify' {
  interface FastifyInstance {
    denylist: Denylist
  }
}

export interface DenylistOptions {
  mode: 'lease' | 'direct'
  replicaName: string
  /** How long a replica may answer from its own copy after Redis was heard, in milliseconds. */
  leaseMs: number
  outage: Outage
  /** Who may put one of Redis' replicas in its place, and the name they know it by. */
  sentinels: { host: string; port: number }[]
  primaryName: string
}

/**
 * How long a replica that starts waits for its first lease, in milliseconds. To load a million revocations takes two seconds,
 * and several times as long where Redis has just come back and is compared with the record, on a machine with much else to do.
 */
const FIRST_LEASE_MS = 30_000

export const denylist = fp<DenylistOptions>(
  async (app, { mode, replicaName, leaseMs, outage, sentinels, primaryName }) => {
    const hasReplicas = sentinels.length > 0
    if (hasReplicas) {
      const { wrong, unknown } = await checkFailover(app.redis, primaryName, sentinels)
      if (wrong.length > 0) throw new Error(`a failover of Redis could lose revocations: ${wrong.join('; ')}`)
      for (const reason of unknown) app.log.warn({ reason }, 'whether a failover of Redis is safe cannot be checked')
    }

    const registry = app.metricsRegistry
    const restores = countBy(registry, {
      name: 'denylist_restores_total',
      help: 'Times that this replica filled a Redis that had lost the denylist, or tried to',
      label: 'outcome',
      values: ['completed', 'failed']
    })
    let own: () => Iterable<Revocation> = () => []
    const restore = createRestore(app.pg.pool, app.redis, app.log, {
      own: () => own(),
      onEnd: (outcome) => restores[outcome]++
    })
    const waits = new Histogram({
      name: 'denylist_barrier_seconds',
      help: 'Time that a revocation waited until no replica could have a lease without knowing of it',
      buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2],
      registers: [registry]
    })
    const member = newMember(replicaName)
    // Where Redis has replicas an append waits for one of them, and whatever comes after it on the same connection would too.
    const appends = hasReplicas ? app.connectRedis('appends') : app.redis
    // As a write, which says at once whether this primary is cut off, and is left for the next Sentinel's if it is.
    const probe = (): void => void appends.set(PRIMARY, 1, 'PX', 1000).catch(() => undefined)
    if (hasReplicas) {
      appends.on('ready', probe)
      await within(FIRST_LEASE_MS, new Promise((resolve) => appends.once('ready', resolve)))
    }
    const isConnected = (): boolean => !hasReplicas || appends.status === 'ready'
    const barriers = createBarriers(appends, app.connectRedis('confirmations'), member)
    app.addHook('onClose', async () => barriers.close())
    const publish = createPublish({
      redis: appends,
      barriers,
      member,
      restore,
      hasReplicas,
      onPassed: (ms) => waits.observe(ms / 1000)
    })

    if (mode === 'direct') {
      const direct = createDirectDenylist({
        redis: app.redis,
        pg: app.pg.pool,
        publish,
        restore,
        hasReplicas,
        onMet: barriers.look,
        log: app.log
      })
      app.decorate('denylist', counted(direct, registry, isConnected))
      await direct.load()
      return
    }

    const follower = startFollower({
      redis: app.connectRedis('follower'),
      pg: app.pg.pool,
      member,
      leaseMs,
      restore,
      onOwnApplied: (view) => barriers.confirm(member, view),
      log: app.log
    })
    own = () => follower.entries
    const checks = countBy(registry, {
      name: 'denylist_checks_total',
      help: 'Tokens checked: by the own copy, by asking Redis, by a copy out of date, or refused for want of all three',
      label: 'by',
      values: ['local', 'direct', 'stale', 'refused']
    })
    observe(follower, registry)
    const leased = createLeasedDenylist({
      redis: app.redis,
      follower,
      publish,
      outage,
      hasReplicas,
      onCheck: (by) => checks[by]++,
      onMet: barriers.look
    })
    app.decorate('denylist', counted(leased, registry, isConnected))
    app.addHook('onClose', async () => {
      follower.close()
      // Nobody has to wait for this replica any more. Where Redis is down the next logout waits out its lease.
      await app.redis.hdel(REGISTRY, member).catch(() => undefined)
    })
    await within(FIRST_LEASE_MS, follower.ready).catch((cause: unknown) => {
      const why = follower.trouble ?? 'no reply'
      throw new Error(`the denylist was not there within ${FIRST_LEASE_MS / 1000} s: ${why}`, { cause })
    })
  },
  { name: 'denylist', dependencies: ['metrics', 'postgres', 'redis'] }
)

/** What can be read of a copy of the denylist: how large it is, how old, how often it was made anew. */
function observe(follower: Follower, registry: Registry): void {
  const gauge = (name: string, help: string, read: () => number): void => {
    new Gauge({
      name,
      help,
      registers: [registry],
      collect() {
        this.set(read())
      }
    })
  }
  gauge('denylist_entries', 'Revocations in the own copy that have not expired', () => follower.entries.size)
  gauge(
    'denylist_lease_age_seconds',
    'How far the own copy may be behind: the time since the last read that found it complete was sent',
    () => (follower.lease === undefined ? NaN : (performance.now() - follower.lease.sent.monotonic) / 1000)
  )
  gauge('denylist_reloads', 'Times that the own copy was loaded, the first included', () => follower.reloads)
}

/** The same denylist, which counts what it is asked, and is not ready without the connection that appends. */
function counted(denylist: Denylist, registry: Registry, isConnected: () => boolean): Denylist {
  const lookUps = countBy(registry, {
    name: 'denylist_lookups_total',
    help: 'Valid tokens looked up in the denylist; unknown: nobody could tell whether it is revoked',
    label: 'outcome',
    values: ['clear', 'revoked', 'unknown']
  })
  const publications = countBy(registry, {
    name: 'revocations_published_total',
    help: 'Calls that revoked something; pending: not every replica could be told, and the client was asked to repeat it',
    label: 'outcome',
    values: ['acknowledged', 'pending']
  })
  const told = (revoked: boolean): boolean => {
    lookUps[revoked ? 'revoked' : 'clear']++
    return revoked
  }
  const unknown = (error: unknown): never => {
    lookUps.unknown++
    throw error
  }

  return {
    isRevoked(token) {
      let answer
      try {
        answer = denylist.isRevoked(token)
      } catch (error) {
        return unknown(error)
      }
      // At once, where it is known at once.
      return typeof answer === 'boolean' ? told(answer) : answer.then(told, unknown)
    },
    async publish(revocations) {
      try {
        const receipt = await denylist.publish(revocations)
        publications.acknowledged++
        return receipt
      } catch (error) {
        publications.pending++
        throw error
      }
    },
    isReady: async () => isConnected() && denylist.isReady()
  }
}
