import { Masthead } from './parts/masthead.js'
import { Troubles } from './parts/troubles.js'
import { Anatomy } from './sections/anatomy.js'
import { Hops } from './sections/hops.js'
import { Lanes } from './sections/lanes.js'
import { LogIn } from './sections/log-in.js'
import { Revocation } from './sections/revocation.js'
import { Storage } from './sections/storage.js'
import { words } from './words/words.js'

/** The table of contents. On a wide screen the hops stay beside the rest, for every other section sends requests too. */
export function Page() {
  return (
    <>
      <a class="skip" href="#anatomy">
        {words.value.skip}
      </a>
      <Masthead />
      <main>
        <div class="lead">
          <h1>{words.value.lead.heading}</h1>
          <p>{words.value.lead.text}</p>
        </div>
        <LogIn />
        <Anatomy />
        <Hops />
        <Revocation />
        <Storage />
        <Lanes />
      </main>
      <footer>
        <p>{words.value.footer}</p>
      </footer>
      <Troubles />
    </>
  )
}
