import { effect, signal } from '@preact/signals'

/** `auto` is what the system prefers. */
export type Theme = 'auto' | 'light' | 'dark'
export const THEMES: readonly Theme[] = ['auto', 'light', 'dark']

const KEY = 'console-theme'
const kept = localStorage.getItem(KEY)

export const theme = signal<Theme>(THEMES.find((one) => one === kept) ?? 'auto')

effect(() => {
  document.documentElement.dataset['theme'] = theme.value
  localStorage.setItem(KEY, theme.value)
})
