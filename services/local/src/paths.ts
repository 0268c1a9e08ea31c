import { fileURLToPath } from 'node:url'

// From services/local/src and services/local/dist alike.
const fromRoot = (path: string): string => fileURLToPath(new URL(`../../../${path}`, import.meta.url))

/** The one template of the balancer, and what it includes for the page and for a comparison. */
export const nginxTemplate = fromRoot('nginx/nginx.conf.template')
export const consoleTemplate = fromRoot('nginx/console.conf.template')
export const laneTemplates = ['upstreams.conf', 'locations.conf'].map((name) => ({
  name,
  path: fromRoot(`nginx/lanes/${name}.template`)
}))

/** The page, as Vite has built it. */
export const consolePage = fromRoot('services/console/dist/page')

/** A replica. */
export const apiServer = fromRoot('services/api/dist/bundle/server.js')

/** A server that keeps sessions. */
export const sessionsServer = fromRoot('services/sessions/dist/bundle/server.js')

/** Brings the database to the newest schema, and exits. */
export const apiMigrate = fromRoot('services/api/dist/migrate.js')
