import test from 'ava'
import {type App, startApp} from '../helpers/app.ts'
import {type Served, startServed} from './gateway-services.ts'

/** Two runtimes in one process, each with its own configuration, schema and backend. */
let foreign: Served
let ours: App
test.before(async () => {
  foreign = await startServed({env: {GATEWAY_ERRORS: 'status'}})
  ours = await startApp({target: 'gateway', env: {CORS_ORIGINS: 'https://app.example'}})
})
test.after.always(() => Promise.all([foreign.close(), ours.close()]))

test.serial('each gateway serves its own schema from its own backend', async (t) => {
  const callsOf = () => [foreign.backend.log.length, ours.backend.log.length]
  const [foreignBefore = 0, oursBefore = 0] = callsOf()
  t.is((await foreign.send('GET /whole?name=Ada')).json.name, 'Ada')
  t.deepEqual(callsOf(), [foreignBefore + 1, oursBefore])
  t.is((await ours.ask(t, '/api/ping?message=hi')).json.pong.message, 'hi')
  t.deepEqual(callsOf(), [foreignBefore + 1, oursBefore + 1])
  t.is((await foreign.send('GET /api/ping')).status, 404)
  t.is((await ours.ask(t, '/whole')).status, 404)
  t.deepEqual(callsOf(), [foreignBefore + 1, oursBefore + 1])
})

test.serial('the configuration of one does not affect the other', async (t) => {
  t.is((await foreign.send('GET /nope')).json.code, 5, 'a google.rpc.Status')
  t.is((await ours.ask(t, '/nope')).json.error.status, 'NOT_FOUND', 'the shape of AIP-193')
  const headers = {origin: 'https://app.example'}
  t.is((await ours.ask(t, '/api/ping', {headers})).headers.get('access-control-allow-origin'), headers.origin)
  t.is((await foreign.send('GET /whole', {headers})).headers.get('access-control-allow-origin'), undefined)
})

test.serial('closing one does not affect the other', async (t) => {
  foreign.runtime.close()
  t.is((await ours.ask(t, '/api/ping?message=still')).json.pong.message, 'still')
  t.is((await foreign.send('GET /whole?name=again')).json.name, 'again', 'a closed runtime opens what it is asked for')
})
