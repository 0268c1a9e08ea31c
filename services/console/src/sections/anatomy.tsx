import { CLAIMS, HEADER_PARAMETERS, KIND_OF, type ClaimKind } from '../claims.js'
import { EXAMPLE } from '../example.js'
import { current, isExpired } from '../login.js'
import { ExpiresIn } from '../parts/expires-in.js'
import { TokenText } from '../parts/token-text.js'
import { partsOf, readPart } from '../token.js'
import { language, words } from '../words/words.js'
import { Tamper, lastChange } from './tamper.js'
import { Thief } from './thief.js'

const KINDS: readonly ClaimKind[] = ['registered', 'public', 'private']

const asTime = (seconds: number): string =>
  new Intl.DateTimeFormat(language.value, { dateStyle: 'medium', timeStyle: 'medium' }).format(seconds * 1000)

/** What is in a token, for anybody to read. */
export function Anatomy() {
  const { anatomy } = words.value
  const login = current.value
  const token = login?.token ?? EXAMPLE
  const parts = partsOf(token)
  const header = readPart(parts.header) ?? {}
  const payload = readPart(parts.payload) ?? {}

  return (
    <section id="anatomy" aria-labelledby="anatomy-heading">
      <h2 id="anatomy-heading">{anatomy.heading}</h2>
      <p>{anatomy.text}</p>
      <figure
        class={`whole-token${login === undefined ? ' example' : ''}${isExpired.value || login?.ended ? ' dead' : ''}`}
        aria-label={anatomy.tokenLabel}
      >
        <TokenText token={token} change={login && lastChange.value?.from === token ? lastChange.value : undefined} />
        <figcaption>
          {login === undefined ? anatomy.example : login.ended ? anatomy.ended : <ExpiresIn login={login} />}
        </figcaption>
      </figure>

      <div class="parts">
        <div class="decoded header">
          <h3>{anatomy.parts.header}</h3>
          <p class="quiet">{anatomy.partsText.header}</p>
          <dl class="claims">
            {HEADER_PARAMETERS.map((name) => (
              <div key={name}>
                <dt>
                  <code>{name}</code>
                </dt>
                <dd>
                  <code class="value">{login ? String(header[name]) : '…'}</code>
                  <span>{anatomy.header[name]}</span>
                </dd>
              </div>
            ))}
          </dl>
        </div>
        <div class="decoded payload">
          <h3>{anatomy.parts.payload}</h3>
          <p class="quiet">{anatomy.partsText.payload}</p>
          <dl class="claims">
            {CLAIMS.map((name) => (
              <div key={name}>
                <dt>
                  <code>{name}</code>
                  <span class={`kind ${KIND_OF[name]}`}>{anatomy.kinds[KIND_OF[name]]}</span>
                </dt>
                <dd>
                  <code class="value">{login ? String(payload[name]) : '…'}</code>
                  <span>
                    {anatomy.claims[name]}
                    {(name === 'iat' || name === 'exp') && login && `: ${asTime(Number(payload[name]))}`}
                  </span>
                </dd>
              </div>
            ))}
          </dl>
        </div>
        <div class="decoded signature">
          <h3>{anatomy.parts.signature}</h3>
          <p class="quiet">{anatomy.partsText.signature}</p>
          <p class="formula">
            HMAC(<span class="part header">{anatomy.parts.header}</span>.
            <span class="part payload">{anatomy.parts.payload}</span>, <i class="secret" aria-hidden="true" />
            <span class="unseen">secret</span>)
          </p>
          <h3>{anatomy.kindsHeading}</h3>
          <dl class="kinds">
            {KINDS.map((kind) => (
              <div key={kind}>
                <dt>
                  <span class={`kind ${kind}`}>{anatomy.kinds[kind]}</span>
                </dt>
                <dd>{anatomy.kindsText[kind]}</dd>
              </div>
            ))}
          </dl>
        </div>
      </div>
      <Tamper />
      <Thief />
    </section>
  )
}
