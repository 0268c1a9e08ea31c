import { computed, effect, signal } from '@preact/signals'
import { read, write } from '../site-data.js'
import { en } from './en.js'
import { ko } from './ko.js'

/** What a language must have words for. */
export type Words = typeof en

export type Language = 'en' | 'ko'

/** Each under its own name, so that whoever needs it can read it. */
export const LANGUAGES: Record<Language, string> = { en: 'English', ko: '한국어' }

const tables: Record<Language, Words> = { en, ko }

const KEY = 'console-language'

/** What was chosen last, or what the browser asks for. */
function firstLanguage(): Language {
  const chosen = read('local', KEY)
  if (chosen === 'en' || chosen === 'ko') return chosen
  return navigator.language.toLowerCase().startsWith('ko') ? 'ko' : 'en'
}

export const language = signal<Language>(firstLanguage())

/** The table of the language that was chosen. */
export const words = computed(() => tables[language.value])

export function chooseLanguage(chosen: Language): void {
  write('local', KEY, chosen)
  language.value = chosen
}

effect(() => {
  document.documentElement.lang = language.value
  document.title = words.value.title
})
