import { chmodSync, cpSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fastifyStatic from '@fastify/static'
import type { FastifyInstance } from 'fastify'
import { consolePage } from './paths.js'

/** How the cluster was started: it decides which commands the page shows. */
export type Started =
  | { with: 'docker compose' }
  | {
      with: 'npm start'
      /** Of the launcher, for `kill -USR2`. */
      pid: number
    }

/**
 * Lays out what a balancer serves as the page. A copy, because a build that comes later must not take away the files that an
 * open page names, and because nginx' workers are nobody, who may not read the home of whoever has cloned this.
 */
export function layOutConsole(folder: string, started: Started): void {
  cpSync(consolePage, folder, { recursive: true })
  writeFileSync(join(folder, 'started.json'), JSON.stringify(started))
  chmodSync(folder, 0o755)
}

/** As nginx/console.conf.template has it, word for word: a test compares the two. */
const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; " +
  "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

const headersOf: Record<'page' | 'asset' | 'started', Record<string, string>> = {
  page: {
    'cache-control': 'no-cache',
    'content-security-policy': POLICY,
    'x-content-type-options': 'nosniff',
    'referrer-policy': 'same-origin'
  },
  asset: { 'cache-control': 'public, max-age=31536000, immutable', 'x-content-type-options': 'nosniff' },
  started: { 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' }
}

/** What nginx/console.conf.template does: `/` and what the page needs. Any other method is for a replica. */
export async function serveConsole(app: FastifyInstance, folder: string): Promise<void> {
  await app.register(fastifyStatic, {
    root: folder,
    serve: false,
    cacheControl: false,
    // Only for what is there: an answer that there is no such file is not to be kept for a year.
    setHeaders(response, path) {
      const kind = path.endsWith('/index.html') ? 'page' : path.endsWith('/started.json') ? 'started' : 'asset'
      for (const [name, value] of Object.entries(headersOf[kind])) response.header(name, value)
    }
  })

  // In a hook, for the routes of `/` are all taken by what goes to the replicas.
  app.addHook('onRequest', async (request, reply) => {
    if (request.method !== 'GET' && request.method !== 'HEAD') return
    const path = request.url.replace(/\?.*$/s, '')
    if (path === '/') return reply.sendFile('index.html')
    const [, file] = /^\/console\/(started\.json|assets\/[\w.-]*)$/.exec(path) ?? []
    if (file !== undefined) return reply.sendFile(file)
  })
}
