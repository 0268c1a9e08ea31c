import { signal } from '@preact/signals'

/** How the cluster was started, as the balancer says; undefined where it does not. */
export type Started = { with: 'docker compose' } | { with: 'npm start'; pid: number }

export const started = signal<Started | undefined>(undefined)

/** Once more whenever the balancer is back, for it may be that of another start. */
export async function readStarted(): Promise<void> {
  try {
    const response = await fetch('/console/started.json', { cache: 'no-store' })
    started.value = response.ok ? ((await response.json()) as Started) : undefined
  } catch {
    // The page shows the commands for both then.
  }
}
