import type { ButtonHTMLAttributes } from 'preact'

interface ButtonProps extends Omit<ButtonHTMLAttributes, 'onClick' | 'disabled'> {
  /** It cannot be pressed at the moment. */
  off?: boolean
  onClick?: () => void
}

/**
 * A button that keeps the focus while it is off: one that is `disabled` loses it, and whoever goes by keyboard would begin again at
 * the top of the page (WCAG 2.2, 2.4.3).
 */
export function Button({ off = false, onClick, ...rest }: ButtonProps) {
  return (
    <button
      type="button"
      {...rest}
      aria-disabled={off}
      onClick={(event) => {
        if (off) event.preventDefault()
        else onClick?.()
      }}
    />
  )
}
