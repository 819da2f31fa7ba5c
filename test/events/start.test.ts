import test from 'ava'
import {requestOf, stepsIn} from '../helpers/commands.ts'
import {interrupt, npmRun} from '../helpers/start.ts'

test('with npm start an object that is put into Storage is uploaded, as docs/events.md says', async (t) => {
  const requests = stepsIn('docs/events.md').flatMap((step) =>
    step.kind === 'command' && step.text.startsWith('curl ') ? [step.text] : [],
  )
  t.is(requests.length, 2)
  const started = npmRun(t, 'start', {PORT: '0'})
  const storage = (await started.line(/^storage /)).replace(/^storage +/, '')
  const url = (await started.line(/^ready /)).slice('ready '.length)
  for (const request of requests) {
    const {path, init} = requestOf(request.replace('$STORAGE', storage))
    const logged = started.line(/POST \/finalized 200/, started.lines.length)
    const response = await fetch(path.startsWith('/') ? url + path : path, init)
    t.is(response.status, 200, await response.text())
    await logged
  }
  interrupt(started)
  t.is(await started.exited, 0)
})
