import type { Answer } from '../ask.js'
import { shortId } from '../login.js'
import { words } from '../words/words.js'
import { Outcome } from './outcome.js'
import { ReplicaName } from './replica-name.js'

interface ReceiptBody {
  revoked: { kind: 'jti' | 'sid'; id: string }[]
  acknowledgedBy: string[]
  waitedMs: number
  boundMs: number
}

/** What a logout is answered with: what no replica accepts any more, and who has said so. */
export function Receipt({ answer }: { answer: Answer | undefined }) {
  const { revocation } = words.value
  if (answer === undefined) {
    return (
      <div class="receipt">
        <p class="quiet">{revocation.receiptEmpty}</p>
      </div>
    )
  }
  if (answer.status !== 200) {
    return (
      <div class="receipt">
        <Outcome answer={answer} />
      </div>
    )
  }
  const { revoked, acknowledgedBy, waitedMs, boundMs } = answer.body as unknown as ReceiptBody
  return (
    <dl class="receipt">
      <dt>{revocation.receiptRevoked}</dt>
      <dd>
        {revoked.map(({ kind, id }) => (
          <span key={id}>
            {revocation.kinds[kind]} <code>{shortId(id)}</code>
          </span>
        ))}
      </dd>
      <dt>{revocation.receiptBy}</dt>
      <dd>
        {acknowledgedBy.map((name) => (
          <ReplicaName key={name} name={name} />
        ))}
      </dd>
      <dt>{revocation.receiptWaited}</dt>
      <dd>
        {waitedMs.toFixed(1)} ms{' '}
        <span class="quiet">
          ({revocation.receiptBound} {boundMs} ms)
        </span>
      </dd>
    </dl>
  )
}
