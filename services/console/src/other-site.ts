import script from './foreign-page.js?url'
import { credentials } from './login.js'

/** How long a frame may take to do its request, in milliseconds. */
const GIVE_UP_MS = 5_000

/**
 * Opens a page of another origin in a frame without a size, and has it try to log this browser out with its cookie. A sandbox without
 * `allow-same-origin` has an origin of its own, which is nobody's: its requests are cross-site, and it may not read an answer.
 *
 * @returns `opaque` where it sent its request and could not read the answer
 */
export function playOtherSite(): Promise<string> {
  return new Promise((resolve) => {
    const frame = document.createElement('iframe')
    frame.sandbox.add('allow-scripts')
    frame.hidden = true
    frame.title = 'another site'
    frame.srcdoc = `<!doctype html><script src="${script}"></script>`
    const finish = (answer: string): void => {
      removeEventListener('message', listen)
      clearTimeout(late)
      frame.remove()
      resolve(answer)
    }
    const listen = ({ source, data }: MessageEvent<{ otherSite?: string }>): void => {
      if (source === frame.contentWindow && typeof data.otherSite === 'string') finish(data.otherSite)
    }
    const late = setTimeout(() => finish('late'), GIVE_UP_MS)
    addEventListener('message', listen)
    document.body.append(frame)
  })
}

const quote = (text: string): string => `'${text.replaceAll("'", String.raw`'\''`)}'`

/**
 * The same where the browser does send the cookie, as an old one would, or for a page at another port: for a terminal, because a page
 * cannot say that it is another.
 */
export function otherSiteCommand(): string {
  const login = JSON.stringify({ ...credentials(), transport: 'cookie' })
  const { origin } = location
  return (
    `jar=$(mktemp); curl -s -c $jar ${origin}/auth/login --json ${quote(login)} && ` +
    `curl -s -b $jar -X POST ${origin}/auth/logout -H 'origin: https://elsewhere.example'`
  )
}
