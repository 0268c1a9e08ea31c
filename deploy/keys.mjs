#!/usr/bin/env node
// npm run keys: edits the key ring. Where the file of the ring is named (--file, JWT_KEYS_FILE), here; without, the ring that
// docker compose keeps in a volume, in a container of the cluster. What it does: services/api/src/keys.ts
import { spawn, spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import process from 'node:process'
import { fileURLToPath, URL } from 'node:url'

const words = process.argv.slice(2)
const program = fileURLToPath(new URL('../services/api/dist/keys.js', import.meta.url))
const inRoot = fileURLToPath(new URL('..', import.meta.url))

const isAbout = (...options) => words.some((word) => options.includes(word.split('=')[0]))
const here = isAbout('--file') || process.env.JWT_KEYS_FILE || (isAbout('--help', '-h') && existsSync(program))
if (here && !existsSync(program)) end(`${program} is missing; build it first (npm run build)`)

// Compose would make the volumes of a cluster that nobody has started.
if (!here && spawnSync('docker', ['compose', 'ps', '--all', '--quiet'], { cwd: inRoot }).stdout?.length === 0)
  end('docker compose has no cluster here: start it (docker compose up -d), or name the ring with --file')

const [command, args] = here
  ? [process.execPath, [program]]
  : ['docker', ['compose', '--progress', 'quiet', 'run', '--rm', '--no-deps', 'keys']]
const child = spawn(command, [...args, ...words], { stdio: 'inherit', ...(!here && { cwd: inRoot }) })
// The terminal tells the child too; it decides.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal))
child.once('error', (error) => {
  const hint = error.code === 'ENOENT' ? ': without Docker, name the ring with --file' : ''
  end(`${command} cannot be started (${error.code})${hint}`)
})
child.once('exit', (code) => process.exit(code ?? 1))

function end(message) {
  process.stderr.write(`npm run keys: ${message}\n`)
  process.exit(1)
}
