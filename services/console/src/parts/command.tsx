import { useRef, useState } from 'preact/hooks'
import { commandsFor, noteOf, type Task } from '../commands.js'
import { started } from '../started.js'
import { words } from '../words/words.js'

/** How long it says that it was copied, in milliseconds. */
const SAID_MS = 2_000

/** One line for a terminal. */
export function Line({ command }: { command: string }) {
  const text = useRef<HTMLElement>(null)
  const [said, say] = useState<'copy' | 'copied' | 'selected'>('copy')
  const { commands } = words.value
  const copy = async (): Promise<void> => {
    try {
      await navigator.clipboard.writeText(command)
      say('copied')
    } catch {
      // Without https a page may not write there. What is selected can be copied by hand.
      getSelection()?.selectAllChildren(text.current!)
      say('selected')
    }
    setTimeout(() => say('copy'), SAID_MS)
  }
  return (
    <div class="command">
      <code ref={text}>{command}</code>
      <button type="button" class="small" aria-label={`${commands[said]}: ${command}`} onClick={() => void copy()}>
        {commands[said]}
      </button>
    </div>
  )
}

/** What the page cannot do itself, as what to type for it. */
export function Command({ task }: { task: Task }) {
  const { tasks, notes } = words.value.commands
  const note = noteOf(task, started.value)
  const lines = commandsFor(task, started.value)
  if (lines.length === 0) return null
  return (
    <div class="task" data-task={task}>
      <p>
        <b class="task-name">{tasks[task]}</b> {note && <span class="quiet">{notes[note]}</span>}
      </p>
      {lines.map((command) => (
        <Line key={command} command={command} />
      ))}
    </div>
  )
}
