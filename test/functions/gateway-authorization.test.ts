import test from 'ava'
import {type App, startApp} from '../helpers/app.ts'

let app: App
test.before(async () => {
  app = await startApp({target: 'gateway', env: {GATEWAY_FORWARD_AUTHORIZATION: 'true'}})
})
test.afterEach.always((t) => app.quiet(t))
test.after.always(() => app.close())

test.serial('authorization goes to the backend when asked for, and our ID token beside it', async (t) => {
  const next = app.backend.ping.next()
  const answer = app.ask(t, '/api/ping?message=hi', {headers: {authorization: 'Bearer mine'}})
  const call = await next
  t.deepEqual(call.metadata.get('authorization'), ['Bearer mine'])
  call.answer()
  t.is((await answer).status, 200, 'the IAM check took the ID token')
})

test.serial('authorization with the prefix of metadata is no second credential', async (t) => {
  const next = app.backend.ping.next()
  const headers = {authorization: 'Bearer mine', 'grpc-metadata-authorization': 'Bearer other'}
  const answer = app.ask(t, '/api/ping?message=hi', {headers})
  const call = await next
  t.deepEqual(call.metadata.get('authorization'), ['Bearer mine'])
  call.answer()
  await answer
})

test.serial('a request without one carries our ID token where it always is', async (t) => {
  const next = app.backend.ping.next()
  const answer = app.ask(t, '/api/ping?message=hi')
  const call = await next
  t.regex(String(call.metadata.get('authorization')), /^Bearer ey/)
  call.answer()
  await answer
})
