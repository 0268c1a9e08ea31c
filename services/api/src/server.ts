import { buildApp } from './app.js'
import { serve } from './serve.js'

await serve(buildApp, (app) => app.reloadKeyRing())
