import { effect, signal } from '@preact/signals'
import { read, write } from './site-data.js'

/** `auto` is what the system prefers. */
export type Theme = 'auto' | 'light' | 'dark'
export const THEMES: readonly Theme[] = ['auto', 'light', 'dark']

const KEY = 'console-theme'
const kept = read('local', KEY)

export const theme = signal<Theme>(THEMES.find((one) => one === kept) ?? 'auto')

effect(() => {
  document.documentElement.dataset['theme'] = theme.value
  write('local', KEY, theme.value)
})
