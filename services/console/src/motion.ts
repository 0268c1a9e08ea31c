const reduced = matchMedia('(prefers-reduced-motion: reduce)')

/** Whether things may move. */
export const mayMove = (): boolean => !reduced.matches
