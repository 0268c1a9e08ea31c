import { defineConfig } from 'vite'

/** Where `npm run dev` finds a cluster: `npm start` in another terminal. */
const cluster = 'http://localhost:8080'

export default defineConfig({
  // Beside the api's own paths: all that the page takes of this origin is `/` and what is below this.
  base: '/console/',
  build: {
    outDir: 'dist/page',
    target: ['chrome123', 'firefox120', 'safari17.5'],
    // All of it is one small file; what would be inlined as data is refused by the page's own policy.
    assetsInlineLimit: 0,
    modulePreload: false,
    reportCompressedSize: false
  },
  server: {
    proxy: Object.fromEntries(
      ['/users', '/auth', '/me', '/whoami', '/health', '/lanes', '/docs', '/openapi.json', '/console/started.json'].map(
        (path) => [path, { target: cluster, changeOrigin: false }]
      )
    )
  }
})
