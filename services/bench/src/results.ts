import type { FormName } from './forms.js'
import type { Measurement } from './measure.js'

/** Everything that is reported, and that somebody else may want to look at. */
export interface Results {
  date: string
  /** The machine, and the versions. */
  description: string
  /** What asked at saturation. */
  client: string
  quick: boolean
  forms: readonly FormName[]
  rounds: number
  seconds: number
  /** Requests a second of the steady part. */
  rate: number
  measurements: readonly Measurement[]
}
