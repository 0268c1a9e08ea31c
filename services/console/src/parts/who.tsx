import type { Answer } from '../ask.js'
import { words } from '../words/words.js'
import { ReplicaName } from './replica-name.js'

/** Who gave the answer: a replica, the balancer by itself, or nobody. */
export function Who({ answer: { servedBy, status } }: { answer: Pick<Answer, 'servedBy' | 'status'> }) {
  if (servedBy !== undefined) return <ReplicaName name={servedBy} />
  return <span>{status === 0 ? words.value.answer.nobody : words.value.answer.balancer}</span>
}
