import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Cluster } from './cluster.js'

/** Replaces every replica, one after the other. */
const rollCommand = `kill -USR2 ${process.pid}`

/** Edits the key ring; undefined where there is no file of it. Asks the replicas, which are written down beside a ring of our own. */
function keysCommand({ keyRingFile, replicas }: Cluster): string | undefined {
  if (keyRingFile === undefined) return undefined
  const written = existsSync(join(dirname(keyRingFile), 'replicas'))
  const where = written ? '' : ` --replicas ${replicas.map(({ url }) => url).join()}`
  return `npm run keys -- --file ${quote(keyRingFile)}${where}`
}

/** For a shell. */
const quote = (word: string): string => (/^[\w./-]+$/.test(word) ? word : `'${word.replaceAll("'", String.raw`'\''`)}'`)

/** Text in columns as wide as they need to be; the last one is not padded. */
function columns(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? []
  return rows
    .map((row) => `  ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  ')}`.trimEnd())
    .join('\n')
}

/** Which part was chosen, and why. */
export function formatTable({ balancer, postgres, redis, replicas, pools }: Cluster): string {
  const kind = (part: { kind: string; version?: string }): string => `${part.kind} ${part.version ?? ''}`.trim()
  return columns([
    ['Balancer', kind(balancer), balancer.reason],
    ['Replicas', `${replicas.length} × api`, replicas.map(({ name, url }) => `${name} ${url}`).join(', ')],
    ...Object.entries(pools ?? {}).flatMap(([name, servers]) =>
      name === 'api' ? [] : [['', `${servers.length} × ${name}`, 'for the comparison']]
    ),
    ['Postgres', kind(postgres), postgres.reason],
    ['Redis', kind(redis), redis.reason]
  ])
}

/** Where it is, and what to try. */
export function formatExamples(cluster: Cluster): string {
  const { url } = cluster.balancer
  const host = new URL(url).host.replace(/^127\.0\.0\.1/, 'localhost')
  const keys = keysCommand(cluster)
  const credentials = `'{"username":"ada","password":"correct horse battery staple"}'`
  const json = `-H 'content-type: application/json' -d ${credentials}`
  const bearer = `-H "authorization: Bearer $token"`
  return [
    `Ready at ${url}. Look at it in a browser, at http://${host}, or try:`,
    '',
    `curl -s ${host}/users ${json}`,
    `token=$(curl -s ${host}/auth/login ${json} | cut -d'"' -f4)`,
    `curl -si ${host}/whoami ${bearer}      # repeat: X-Served-By changes, the token does not`,
    `curl -s -X POST ${host}/auth/logout ${bearer}`,
    `curl -si ${host}/whoami ${bearer}      # 401 on every replica`,
    ...(cluster.pools === undefined
      ? []
      : [
          '',
          `curl -s -c jar ${host}/lanes/memory/auth/login ${json}`,
          `for i in 1 2 3; do curl -s -b jar ${host}/lanes/memory/whoami; done      # one server knows you; the other lanes are in docs/lesson.md`
        ]),
    '',
    `${rollCommand}      # replaces every replica of the api, one after the other, while the others serve`,
    ...(keys === undefined ? [] : [`${keys}      # replaces the secret, in steps: add, sign, drop`]),
    '',
    'Ctrl-C stops it all.'
  ].join('\n')
}

/** One line for a program that started the launcher with --json. The URLs are complete, with their passwords. */
export function formatJson(cluster: Cluster): string {
  const { balancer, postgres, redis, replicas } = cluster
  return JSON.stringify({
    pid: process.pid,
    roll: rollCommand,
    keys: keysCommand(cluster),
    balancer: balancer.url,
    balancerKind: balancer.kind,
    replicas: replicas.map(({ name, pid, url }) => ({ name, pid, url })),
    postgres: { kind: postgres.kind, url: postgres.url },
    redis: { kind: redis.kind, url: redis.url }
  })
}
