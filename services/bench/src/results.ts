import type { BehindNginx } from './behind-nginx.js'
import type { FormName } from './forms.js'
import type { GrowthRow } from './growth.js'
import type { Measurement } from './measure.js'

/** How it was measured. */
export interface Conditions {
  date: string
  /** The machine, and the versions. */
  description: string
  quick: boolean
  rounds: number
  seconds: number
  /** Requests a second of the steady part. */
  rate: number
}

/** Everything that is reported, and that somebody else may want to look at. */
export interface FormResults extends Conditions {
  /** What asked at saturation. */
  client: string
  forms: readonly FormName[]
  measurements: readonly Measurement[]
}

export interface GrowthResults extends Conditions {
  rows: readonly GrowthRow[]
}

export interface NginxResults extends Conditions {
  nginx: BehindNginx
}
