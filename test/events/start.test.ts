import test from 'ava'
import {startFunctions} from '../../local/functions.ts'
import {requestOf, stepsIn} from '../helpers/commands.ts'
import {compileCache} from '../helpers/compile-cache.ts'
import {interrupt, runScript} from '../helpers/start.ts'

test('with npm start, an object that is put into Storage is uploaded, as docs/events.md says', async (t) => {
  const requests = stepsIn('docs/events.md').flatMap((step) =>
    step.kind === 'command' && step.text.startsWith('curl ') ? [step.text] : [],
  )
  t.is(requests.length, 2)
  const started = runScript(t, 'start', {PORT: '0'})
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

test('finalized runs as an event-driven function, as gcloud deploys it with a trigger', async (t) => {
  const functions = await startFunctions({
    target: 'finalized',
    port: 0,
    env: {
      ...compileCache,
      ...{
        BACKEND_URL: 'http://localhost:1',
        AUTH: 'iam',
        UPLOAD_CONTEXT: 'creatorId=x; name={object}',
        LOG_LEVEL: 'silent',
      },
      // Set by the platform for event functions.
      ...{K_SERVICE: 'finalized', FUNCTION_SIGNATURE_TYPE: 'cloudevent', CLOUD_RUN_TIMEOUT_SECONDS: '540'},
    },
    output: 'pipe',
  })
  t.teardown(async () => {
    functions.process.kill()
    await functions.exited
  })
  const headers = {
    ...{'ce-id': '1', 'ce-source': '//storage.googleapis.com/projects/_/buckets/b', 'ce-specversion': '1.0'},
    ...{'ce-type': 'google.cloud.storage.object.v1.finalized', 'content-type': 'application/json'},
  }
  const body = JSON.stringify({bucket: 'not-ours', name: 'it', generation: '1'})
  const response = await fetch(functions.url, {method: 'POST', headers, body})
  t.is(response.status, 200)
  t.regex(await response.text(), /BUCKET_NOT_ALLOWED/)
})
