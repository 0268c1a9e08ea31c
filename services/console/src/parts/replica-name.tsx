import { colourOfReplica, shortName } from '../replicas.js'

/** A replica by its name and its colour, which is the same wherever it is named. */
export function ReplicaName({ name }: { name: string }) {
  const colour = colourOfReplica(name)
  return (
    <span class={`replica${colour === undefined ? '' : ` colour-${colour}`}`} lang="en" title={name}>
      {shortName(name)}
    </span>
  )
}
