import { fileURLToPath } from 'node:url'

// From services/local/src and services/local/dist alike.
const fromRoot = (path: string): string => fileURLToPath(new URL(`../../../${path}`, import.meta.url))

/** The one template of the balancer. */
export const nginxTemplate = fromRoot('nginx/nginx.conf.template')

/** A replica. */
export const apiServer = fromRoot('services/api/dist/server.js')

/** Brings the database to the newest schema, and exits. */
export const apiMigrate = fromRoot('services/api/dist/migrate.js')
