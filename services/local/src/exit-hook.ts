/**
 * What must be undone even when a process ends without calling `stop()`: an uncaught error, `process.exit()` in a test.
 * Only synchronous work is possible by then, so the hooks kill and remove; the orderly way is each part's own `stop()`.
 */
export interface ExitHook {
  /** Registers an undo step. Call what it returns once the step has been done in order. Steps run last to first. */
  add(undo: () => void): () => void
}

/** One listener on the process, however many steps it holds, gone as soon as there is none left. */
export function createExitHook(): ExitHook {
  const steps = new Set<() => void>()
  const run = (): void => {
    for (const undo of [...steps].reverse()) {
      try {
        undo()
      } catch {
        // The process is ending: the remaining steps matter more than this one's complaint.
      }
    }
  }

  return {
    add(undo) {
      if (steps.size === 0) process.once('exit', run)
      steps.add(undo)
      return () => {
        if (steps.delete(undo) && steps.size === 0) process.removeListener('exit', run)
      }
    }
  }
}
