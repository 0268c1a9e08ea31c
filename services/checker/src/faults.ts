import type { Cluster, Need, Target } from './cluster.js'
import type { Load } from './load.js'
import type { Stock } from './stock.js'

export interface Scene {
  cluster: Cluster
  load: Load
  stock: Stock
  leaseMs: number
  /** One replica, by the seed: where one of them is enough. */
  victim: Target
  /** How often what is over in a moment is done again. */
  times: number
  /** Says that it begins. What is refused from now on may be the fault's. */
  strike: () => void
  /** Says that nothing is wrong any more. */
  heal: () => void
  wait: (ms: number) => Promise<void>
  /** Until every replica is ready, or a while has passed. */
  recovered: () => Promise<void>
}

export interface Fault {
  /** For `--faults`. */
  name: string
  title: string
  /** Whether the short form has it. */
  quick?: true
  needs?: Need[]
  /** Who may answer 503, or not at all, until it has recovered. */
  fails: 'nobody' | 'struck' | 'everybody'
  struck?: (scene: Pick<Scene, 'cluster' | 'victim'>) => Target[]
  /** Codes of 401 by who is struck that are no mistake. */
  allowed?: string[]
  /**
   * It starts processes on the machine that all the others run on, and takes their time: a replica that says so at once is
   * no failure, for a balancer asks another.
   */
  crowded?: true
  /** From the heal until every replica is ready, in milliseconds. */
  recoversWithinMs: number
  run: (scene: Scene) => Promise<void>
}

const victim = ({ victim }: { victim: Target }): Target[] => [victim]
const lined = ({ cluster }: { cluster: Cluster }): Target[] => [cluster.lined]

/** A replica whose connection hangs finds out by its time-outs, and connects anew. */
const AFTER_SILENCE_MS = 3000

/** Behind Redis' clock, or ahead of it, by so many seconds. */
const MINUTE = 60

/** Everything that can be done to a cluster. Each is done while tokens are probed and revoked, and most of all right after the strike. */
export const faults: Fault[] = [
  {
    name: 'none',
    title: 'none',
    quick: true,
    fails: 'nobody',
    recoversWithinMs: 0,
    async run({ load, strike, heal, wait, times }) {
      strike()
      await load.burst(10 * times, 1000)
      await wait(700)
      heal()
    }
  },
  {
    name: 'kill',
    title: 'a replica is killed, and started again',
    quick: true,
    fails: 'struck',
    struck: victim,
    recoversWithinMs: 6000,
    async run({ cluster, load, victim, strike, heal, wait }) {
      await load.burst(6, 200)
      strike()
      await cluster.killReplica(victim.name)
      await load.burst(8, 400)
      await wait(300)
      heal()
    }
  },
  {
    name: 'stop',
    title: 'a replica stands still, shorter and longer than its lease, and goes on',
    quick: true,
    fails: 'struck',
    struck: victim,
    recoversWithinMs: AFTER_SILENCE_MS,
    async run({ cluster, load, victim, leaseMs, strike, heal, wait, times }) {
      strike()
      for (const ms of [leaseMs / 2, leaseMs * 1.2, leaseMs * 2.5, 1500, 3500].slice(0, 2 + times)) {
        await cluster.stopReplica(victim.name)
        await Promise.all([load.burst(6, ms * 0.8), wait(ms)])
        await cluster.continueReplica(victim.name)
        await wait(500)
      }
      heal()
    }
  },
  {
    name: 'scale-up',
    title: 'replicas are added while there is a burst of revocations, and leave',
    needs: ['scale'],
    fails: 'struck',
    struck: () => [
      { name: 'api-new-1', url: '' },
      { name: 'api-new-2', url: '' }
    ],
    crowded: true,
    recoversWithinMs: 3000,
    async run({ cluster, load, strike, heal, wait }) {
      strike()
      const added = await Promise.all([cluster.addReplica(), cluster.addReplica()])
      let starting = true
      const ready = Promise.allSettled(added.map((one) => one.ready)).then(() => (starting = false))
      while (starting) await load.burst(1, 40)
      await ready
      await Promise.all(added.map((one) => one.ready))
      await load.burst(10, 300)
      await wait(500)
      for (const { replica } of added) await cluster.removeReplica(replica.name)
      heal()
    }
  },
  {
    name: 'redis-restart',
    title: 'Redis is killed, and comes back with its data',
    needs: ['redis-process'],
    fails: 'everybody',
    recoversWithinMs: 3000,
    async run({ cluster, load, strike, heal, wait, recovered, times }) {
      for (let i = 0; i < times; i++) {
        strike()
        await cluster.killRedis()
        await load.burst(6, 500)
        await cluster.startRedis()
        heal()
        await Promise.all([load.burst(8, 400), wait(500)])
        await recovered()
      }
    }
  },
  {
    name: 'redis-wiped',
    title: 'Redis is killed, and comes back empty',
    quick: true,
    needs: ['redis-process'],
    fails: 'everybody',
    recoversWithinMs: 4000,
    async run({ cluster, load, strike, heal, wait, recovered, times }) {
      for (let i = 0; i < times; i++) {
        strike()
        await Promise.all([cluster.killRedis(), load.burst(4, 20)])
        await cluster.startRedis({ empty: true })
        heal()
        await Promise.all([load.burst(12, 600), wait(700)])
        await recovered()
      }
    }
  },
  {
    name: 'redis-flushed',
    title: 'FLUSHALL, and no connection ends',
    quick: true,
    fails: 'everybody',
    recoversWithinMs: 3000,
    async run({ cluster, load, strike, heal, wait, times }) {
      for (let i = 0; i < 2 * times; i++) {
        strike()
        await Promise.all([load.burst(4, 10), cluster.redis('FLUSHALL')])
        heal()
        await Promise.all([load.burst(6, 200), wait(900)])
      }
    }
  },
  {
    name: 'redis-behind',
    title: 'Redis comes back empty, its clock a minute behind; then a replica is cut off',
    quick: true,
    needs: ['redis-process', 'redis-clock', 'line'],
    fails: 'everybody',
    recoversWithinMs: 8000,
    async run({ cluster, load, leaseMs, strike, heal, wait, recovered }) {
      await load.burst(6, 200)
      // Nobody revokes meanwhile: whatever a replica remembers of the old Redis, it remembers still when this one is believed.
      load.rest()
      strike()
      await cluster.killRedis()
      await cluster.startRedis({ empty: true, clock: -MINUTE })
      await recovered()
      await wait(1300)
      await cutWhileRevoking({ cluster, load, leaseMs, wait })
      await cluster.mendLine()
      load.revokeSteadily()
      await recovered()
      // And forward again, by a restart with its data: ids must not go back.
      await cluster.killRedis()
      await cluster.startRedis()
      heal()
      await load.burst(6, 300)
    }
  },
  {
    name: 'redis-rolled-back',
    title: 'Redis comes back as it was some seconds ago',
    needs: ['redis-process'],
    fails: 'everybody',
    recoversWithinMs: 3000,
    async run({ cluster, load, strike, heal, wait, recovered }) {
      await cluster.copyRedis()
      await load.burst(15, 800)
      await wait(300)
      strike()
      await cluster.killRedis()
      await cluster.startRedis({ copy: true })
      heal()
      await Promise.all([load.burst(10, 500), wait(700)])
      await recovered()
    }
  },
  {
    name: 'redis-paused',
    title: 'Redis stands still, shorter and longer than a lease, and goes on',
    quick: true,
    needs: ['redis-process'],
    fails: 'everybody',
    recoversWithinMs: AFTER_SILENCE_MS,
    async run({ cluster, load, leaseMs, strike, heal, wait, times }) {
      for (const ms of [leaseMs / 2, leaseMs * 2, 1500, leaseMs * 0.9].slice(0, 1 + times)) {
        strike()
        await cluster.stopRedis()
        await Promise.all([load.burst(6, ms * 0.9), wait(ms)])
        await cluster.continueRedis()
        heal()
        await Promise.all([load.burst(4, 100), wait(800)])
      }
    }
  },
  {
    name: 'redis-full',
    title: 'Redis is full, and has room again',
    fails: 'everybody',
    needs: ['redis-process'],
    recoversWithinMs: 3000,
    async run({ cluster, load, strike, heal, wait }) {
      strike()
      await cluster.redis('CONFIG', 'SET', 'maxmemory', '1')
      await Promise.all([load.burst(8, 400), wait(1500)])
      await cluster.redis('CONFIG', 'SET', 'maxmemory', '0')
      heal()
      await load.burst(6, 200)
    }
  },
  {
    name: 'cut',
    title: 'nothing passes between one replica and Redis, and nobody is told',
    quick: true,
    needs: ['line'],
    fails: 'struck',
    struck: lined,
    recoversWithinMs: AFTER_SILENCE_MS,
    async run({ cluster, load, leaseMs, strike, heal, wait, recovered, times }) {
      for (let i = 0; i < times; i++) {
        strike()
        await cutWhileRevoking({ cluster, load, leaseMs, wait })
        await cluster.mendLine()
        heal()
        await load.burst(2, 50)
        await recovered()
      }
    }
  },
  {
    name: 'slow',
    title: 'everything between one replica and Redis takes 150 ms, each way',
    quick: true,
    needs: ['slow-line'],
    fails: 'struck',
    struck: lined,
    recoversWithinMs: AFTER_SILENCE_MS,
    async run({ cluster, load, strike, heal, wait, times }) {
      strike()
      await cluster.slowLine(150)
      await load.burst(15 * times, 1000 * times)
      await wait(500)
      await cluster.slowLine(0)
      heal()
    }
  },
  {
    name: 'clocks',
    title: 'two clocks are set a minute ahead and a minute behind, and one of these replicas is started anew',
    needs: ['replica-clock'],
    fails: 'struck',
    struck: ({ cluster: { replicas } }) => replicas.slice(0, 2),
    // Tokens of the last minutes are not yet issued for a clock that is behind.
    allowed: ['TOKEN_INVALID'],
    recoversWithinMs: 6000,
    async run({ cluster, load, strike, heal, wait, recovered }) {
      const [ahead, behind] = cluster.replicas.slice(0, 2) as [Target, Target]
      strike()
      await Promise.all([
        cluster.setClock(ahead.name, MINUTE),
        cluster.setClock(behind.name, -MINUTE),
        load.burst(12, 1200)
      ])
      await load.burst(8, 400)
      await cluster.killReplica(behind.name)
      await load.burst(6, 400)
      await recovered()
      await load.burst(8, 500)
      await wait(300)
      await Promise.all([cluster.setClock(ahead.name, 0), cluster.setClock(behind.name, 0), load.burst(12, 1200)])
      heal()
    }
  },
  {
    name: 'expiring',
    title: 'what is about to expire is revoked; a replica a minute behind asks Redis, which forgets it',
    needs: ['scale', 'replica-clock'],
    fails: 'everybody',
    // By the other clocks; and what was issued just now is not yet issued for this one.
    allowed: ['TOKEN_EXPIRED', 'TOKEN_INVALID'],
    recoversWithinMs: 3000,
    async run({ cluster, load, stock, strike, heal, wait }) {
      strike()
      const { replica, ready } = await cluster.addReplica({ mode: 'direct' })
      await ready
      await cluster.setClock(replica.name, -MINUTE)
      load.rest()
      const expiresInSeconds = 6
      load.put(await stock.expiring(10, expiresInSeconds))
      await load.burst(10, 1000)
      await wait((expiresInSeconds + 4) * 1000)
      await cluster.removeReplica(replica.name)
      load.revokeSteadily()
      heal()
    }
  },
  {
    name: 'clock-jumps',
    title: 'a clock is set half an hour forward, and back',
    needs: ['replica-clock'],
    fails: 'struck',
    struck: victim,
    // For half an hour from now every token has expired.
    allowed: ['TOKEN_EXPIRED'],
    recoversWithinMs: 4000,
    async run({ cluster, load, victim, strike, heal, wait }) {
      strike()
      await Promise.all([cluster.setClock(victim.name, 30 * MINUTE), load.burst(8, 1000)])
      // Longer than what has expired is kept.
      await Promise.all([load.burst(6, 400), wait(1500)])
      await Promise.all([cluster.setClock(victim.name, 0), load.burst(8, 1000)])
      heal()
      await load.burst(4, 200)
    }
  },
  {
    name: 'postgres-down',
    title: 'Postgres is stopped, and started again',
    needs: ['postgres-process'],
    // It is not on the path of a request that only presents a token.
    fails: 'nobody',
    recoversWithinMs: 6000,
    async run({ cluster, load, strike, heal, wait }) {
      strike()
      await cluster.killPostgres()
      await Promise.all([load.burst(8, 600), wait(1200)])
      await cluster.startPostgres()
      heal()
      await load.burst(6, 300)
    }
  },
  {
    name: 'flushed-and-cut',
    title: 'a replica is cut off, and Redis is emptied in the same moment',
    quick: true,
    needs: ['line'],
    fails: 'everybody',
    recoversWithinMs: AFTER_SILENCE_MS,
    async run({ cluster, load, leaseMs, strike, heal, wait, recovered, times }) {
      for (let i = 0; i < times; i++) {
        strike()
        await cluster.cutLine()
        await cluster.redis('FLUSHALL')
        await Promise.all([load.burst(10, leaseMs * 0.6), wait(leaseMs * 2)])
        await cluster.mendLine()
        heal()
        await recovered()
      }
    }
  },
  {
    name: 'flushed-while-stopped',
    title: 'a replica stands still, tokens are revoked, Redis is emptied, and it goes on',
    quick: true,
    fails: 'everybody',
    recoversWithinMs: AFTER_SILENCE_MS,
    async run({ cluster, load, victim, leaseMs, strike, heal, wait, recovered, times }) {
      for (let i = 0; i < times; i++) {
        strike()
        await cluster.stopReplica(victim.name)
        await Promise.all([load.burst(10, leaseMs), wait(leaseMs * 2.5)])
        await cluster.redis('FLUSHALL')
        await cluster.continueReplica(victim.name)
        heal()
        await Promise.all([load.burst(4, 100), wait(700)])
        await recovered()
      }
    }
  },
  {
    name: 'wiped-while-stopped',
    title: 'a replica stands still, tokens are revoked, Redis comes back empty, and it goes on',
    needs: ['redis-process'],
    fails: 'everybody',
    recoversWithinMs: 5000,
    async run({ cluster, load, victim, leaseMs, strike, heal, wait, recovered }) {
      strike()
      await cluster.stopReplica(victim.name)
      await Promise.all([load.burst(10, leaseMs), wait(leaseMs * 2.5)])
      await cluster.killRedis()
      await Promise.all([cluster.startRedis({ empty: true }), load.burst(4, 50)])
      await cluster.continueReplica(victim.name)
      heal()
      await Promise.all([load.burst(10, 500), wait(700)])
      await recovered()
    }
  },
  {
    name: 'restarted-without-postgres',
    title: 'Postgres is down while Redis comes back with its data, and a replica is started anew',
    needs: ['redis-process', 'postgres-process'],
    fails: 'everybody',
    recoversWithinMs: 8000,
    async run({ cluster, load, victim, strike, heal, wait }) {
      strike()
      await cluster.killPostgres()
      await cluster.killRedis()
      await cluster.startRedis()
      await Promise.all([load.burst(4, 300), wait(700)])
      await cluster.killReplica(victim.name)
      await wait(2500)
      await cluster.startPostgres()
      heal()
      await load.burst(8, 400)
    }
  },
  {
    name: 'flushed-without-postgres',
    title: 'a replica stands still, tokens are revoked, Postgres goes down, Redis is emptied, and it goes on',
    needs: ['postgres-process'],
    fails: 'everybody',
    recoversWithinMs: 8000,
    async run({ cluster, load, victim, leaseMs, strike, heal, wait }) {
      strike()
      await cluster.stopReplica(victim.name)
      await Promise.all([load.burst(10, leaseMs), wait(leaseMs * 2.5)])
      await cluster.killPostgres()
      await cluster.redis('FLUSHALL')
      await cluster.continueReplica(victim.name)
      // Nobody can fill Redis meanwhile.
      await wait(2000)
      await cluster.startPostgres()
      heal()
      await load.burst(8, 400)
    }
  },
  {
    name: 'wiped-without-postgres',
    title: 'Postgres is down while Redis comes back empty',
    needs: ['redis-process', 'postgres-process'],
    fails: 'everybody',
    recoversWithinMs: 8000,
    async run({ cluster, load, strike, heal, wait }) {
      strike()
      await cluster.killPostgres()
      await cluster.killRedis()
      await cluster.startRedis({ empty: true })
      await Promise.all([load.burst(4, 300), wait(1500)])
      await cluster.startPostgres()
      heal()
      await load.burst(8, 400)
    }
  }
]

/** Cuts the line, and revokes for as long as the replica behind it may still have a lease, and a little longer. */
async function cutWhileRevoking({
  cluster,
  load,
  leaseMs,
  wait
}: Pick<Scene, 'cluster' | 'load' | 'leaseMs' | 'wait'>): Promise<void> {
  await cluster.cutLine()
  await Promise.all([load.burst(12, leaseMs * 0.8), wait(leaseMs * 2 + 200)])
}
