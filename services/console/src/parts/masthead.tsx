import { theme, THEMES } from '../theme.js'
import { chooseLanguage, language, LANGUAGES, words, type Language } from '../words/words.js'

const SECTIONS = ['anatomy', 'hops', 'revocation', 'storage', 'lanes'] as const

/** Where to go, and in which language and colours. */
export function Masthead() {
  const { brand, nav, settings } = words.value
  return (
    <header>
      <a class="brand" href="#page">
        <span class="mark" aria-hidden="true">
          <i />
          <i />
          <i />
        </span>
        {brand}
      </a>
      <nav aria-label={nav.label}>
        {SECTIONS.map((id) => (
          <a key={id} href={`#${id}`}>
            {nav[id]}
          </a>
        ))}
        <a href="/docs">{nav.docs}</a>
      </nav>
      <div class="settings">
        <label>
          <span class="unseen">{settings.language}</span>
          <select
            name="language"
            value={language.value}
            onChange={({ currentTarget }) => chooseLanguage(currentTarget.value as Language)}
          >
            {Object.entries(LANGUAGES).map(([code, name]) => (
              <option key={code} value={code} lang={code} selected={code === language.value}>
                {name}
              </option>
            ))}
          </select>
        </label>
        <label>
          <span class="unseen">{settings.theme}</span>
          <select
            name="theme"
            value={theme.value}
            onChange={({ currentTarget }) =>
              (theme.value = THEMES.find((one) => one === currentTarget.value) ?? 'auto')
            }
          >
            {THEMES.map((one) => (
              <option key={one} value={one} selected={one === theme.value}>
                {settings.themes[one]}
              </option>
            ))}
          </select>
        </label>
      </div>
    </header>
  )
}
