import { render } from 'preact'
import { startHeartbeat } from './heartbeat.js'
import { Page } from './page.js'
import { readStarted } from './started.js'
import { lookAtLoad } from './stores.js'
import './theme.js'

render(<Page />, document.getElementById('page')!)
performance.mark('interactive')
startHeartbeat()
void readStarted()
void lookAtLoad()
