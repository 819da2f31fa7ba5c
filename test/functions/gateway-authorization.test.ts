import test from 'ava'
import {type App, startApp} from '../helpers/app.ts'

let app: App
test.before(async () => {
  app = await startApp({target: 'gateway', env: {GATEWAY_FORWARD_AUTHORIZATION: 'true'}})
})
test.afterEach.always((t) => app.quiet(t))
test.after.always(() => app.close())

test.serial('authorization is forwarded if configured, and our ID token in its own header', async (t) => {
  const next = app.backend.ping.next()
  const answer = app.ask(t, '/api/ping?message=hi', {headers: {authorization: 'Bearer mine'}})
  const call = await next
  t.deepEqual(call.metadata.get('authorization'), ['Bearer mine'])
  call.answer()
  t.is((await answer).status, 200, 'the IAM check took the ID token')
})

test.serial('authorization with the metadata prefix is not forwarded', async (t) => {
  const next = app.backend.ping.next()
  const headers = {authorization: 'Bearer mine', 'grpc-metadata-authorization': 'Bearer other'}
  const answer = app.ask(t, '/api/ping?message=hi', {headers})
  const call = await next
  t.deepEqual(call.metadata.get('authorization'), ['Bearer mine'])
  call.answer()
  await answer
})

test.serial('a caller without authorization does not get ours', async (t) => {
  const next = app.backend.ping.next()
  const answer = app.ask(t, '/api/ping?message=hi')
  const call = await next
  t.deepEqual(call.metadata.get('authorization'), [])
  t.regex(String(call.metadata.get('x-serverless-authorization')), /^Bearer ey/)
  call.answer()
  t.is((await answer).status, 200, 'the IAM check took the ID token')
})

for (const [title, headers] of [
  ['with authorization of its own', {authorization: 'Bearer mine'}],
  ['without', {}],
] as const) {
  test.serial(`after a request ${title} whose ID token was rejected, the next one sends a new token`, async (t) => {
    t.is((await app.ask(t, '/api/ping?message=hi', {headers})).status, 200)
    const tokens = app.metadata.identityRequests.length
    const iam = app.backend.iam!
    // The front end takes every token for expired, and each new token is another one.
    iam.now = () => {
      app.metadata.lifetimeSeconds++
      return Date.now() + 7_200_000
    }
    t.is((await app.ask(t, '/api/ping?message=hi', {headers})).json.error.details[0].reason, 'BACKEND_UNAUTHENTICATED')
    iam.now = Date.now
    t.is((await app.ask(t, '/api/ping?message=hi', {headers})).status, 200)
    // One for the second attempt of the failed request, one for the next request.
    t.is(app.metadata.identityRequests.length, tokens + 2)
  })
}
