import { parentPort, workerData } from 'node:worker_threads'
import { startLine } from '@one-secret/local'

/** What the line's owner asks for; each is answered with nothing once it has been done. */
export type LineRequest = { do: 'cut' } | { do: 'mend' } | { do: 'slow'; ms: number }

// In a thread of its own: what passes must not wait for the checker's probes.
const line = await startLine(workerData as string)
parentPort!.on('message', (request: LineRequest) => {
  if (request.do === 'cut') line.cut()
  else if (request.do === 'mend') line.mend()
  else line.slow(request.ms)
  parentPort!.postMessage(undefined)
})
parentPort!.postMessage(line.url)
