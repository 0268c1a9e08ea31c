import { effect } from '@preact/signals'
import { render } from 'preact'
import { startHeartbeat } from './heartbeat.js'
import { Page } from './page.js'
import { readStarted } from './started.js'
import { lookAtLoad } from './stores.js'
import './theme.js'
import { isServed } from './troubles.js'

render(<Page />, document.getElementById('page')!)
performance.mark('interactive')
startHeartbeat()
effect(() => void (isServed.value && readStarted()))
document.addEventListener('visibilitychange', () => void readStarted())
void lookAtLoad()
