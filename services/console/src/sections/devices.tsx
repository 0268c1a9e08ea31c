import { computed, signal } from '@preact/signals'
import type { Answer } from '../ask.js'
import { askAs, isOver, logins, shortId, type Login } from '../login.js'
import { Button } from '../parts/button.js'
import { Outcome } from '../parts/outcome.js'
import { isWatching } from '../refusals.js'
import { language, words } from '../words/words.js'

/** A login, as `GET /me/sessions` lists it. */
interface Device {
  id: string
  createdAt: string
  userAgent: string | null
  current: boolean
  /** It has ended since it was listed; it is crossed out, and nothing below it moves. */
  ended?: boolean
}

const devices = signal<readonly Device[]>([])
/** Whose they are: the `sub` of who asked. */
let owner: string | undefined
const failure = signal<Answer | undefined>(undefined)

/** A login of this page that may still ask. */
const anybody = computed<Login | undefined>(
  () => Object.values(logins).find(({ value }) => value && !value.ended && !isOver(value))?.value
)

const isKnownToHaveEnded = (id: string): boolean =>
  Object.values(logins).some(({ value }) => value?.sid === id && value.ended)

/** Asks for the list, as whoever is still logged in: what has ended is crossed out, and what is new comes last. */
export async function listDevices(): Promise<void> {
  const login = anybody.value
  if (login === undefined) {
    devices.value = devices.value.map((device) => ({ ...device, ended: device.ended || isKnownToHaveEnded(device.id) }))
    return
  }
  const answer = await askAs(login.token, 'GET', '/me/sessions')
  // Then whoever else is logged in may know.
  if (answer.code === 'TOKEN_REVOKED') return listDevices()
  failure.value = answer.status === 200 ? undefined : answer
  if (answer.status !== 200) return
  // With another name in the form, the next login is somebody else's.
  if (login.sub !== owner) devices.value = []
  owner = login.sub
  const found = (answer.body['sessions'] ?? []) as Device[]
  const listed = devices.value.map((device) => found.find(({ id }) => id === device.id) ?? { ...device, ended: true })
  devices.value = [...listed, ...found.filter(({ id }) => !devices.value.some((device) => device.id === id))]
}

/** Asks anew, without those that have ended. */
async function listAnew(): Promise<void> {
  devices.value = []
  await listDevices()
}

const browserOf = (id: string): string | undefined =>
  Object.entries(logins).find(([, { value }]) => value?.sid === id)?.[0]

interface Ending {
  end: (watched: Login, send: () => Promise<Answer>, isEnded: (login: Login) => boolean) => Promise<Answer>
}

/** The logins of this user, wherever they are, and how to end them from here. */
export function Devices({ end }: Ending) {
  const { revocation } = words.value
  const asker = anybody.value
  const isBusy = isWatching.value
  const time = (date: string): string =>
    new Intl.DateTimeFormat(language.value, { timeStyle: 'medium' }).format(new Date(date))

  const endOne = async (id: string): Promise<void> => {
    const { token } = asker!
    const send = (): Promise<Answer> => askAs(token, 'DELETE', `/me/sessions/${id}`)
    const isEnded = ({ sid }: Login): boolean => sid === id
    const held = Object.values(logins).find(({ value }) => value?.sid === id)?.value
    // Where the page has no token of that session there is nothing to watch.
    if (held) return void (await end(held, send, isEnded))
    const answer = await send()
    await listDevices()
    if (answer.status !== 200) failure.value = answer
  }
  const endAll = async (): Promise<void> => {
    const { sub, token } = asker!
    const { status } = await end(
      asker!,
      () => askAs(token, 'DELETE', '/me/sessions'),
      (login) => login.sub === sub
    )
    if (status === 200 && owner === sub) devices.value = devices.value.map((device) => ({ ...device, ended: true }))
  }

  return (
    <div class="card devices">
      <h3>{revocation.devices}</h3>
      <p class="quiet">{revocation.devicesText}</p>
      <ul>
        {devices.value.length === 0 && <li class="quiet">{revocation.noDevices}</li>}
        {devices.value.map(({ id, createdAt, current, ended }) => {
          const browser = browserOf(id)
          return (
            <li key={id} data-session={ended ? 'ended' : id} class={ended ? 'ended' : ''}>
              <code>{shortId(id)}</code>
              <b>{browser === undefined ? revocation.elsewhere : revocation.browser(browser)}</b>
              <span class="quiet">
                {revocation.device(time(createdAt))}
                {ended ? ` · ${revocation.ended}` : current && ` · ${revocation.current}`}
              </span>
              <Button
                class="small"
                off={isBusy || ended === true}
                aria-label={revocation.endOf(shortId(id))}
                onClick={() => void endOne(id)}
              >
                {revocation.end}
              </Button>
            </li>
          )
        })}
      </ul>
      <div class="buttons">
        <Button off={asker === undefined} onClick={() => void listAnew()}>
          {revocation.list}
        </Button>
        <Button off={asker === undefined || isBusy} onClick={() => void endAll()}>
          {revocation.everywhere}
        </Button>
        {failure.value && <Outcome answer={failure.value} />}
      </div>
    </div>
  )
}
