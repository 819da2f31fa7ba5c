import {create} from '@bufbuild/protobuf'
import {anyPack} from '@bufbuild/protobuf/wkt'
import test from 'ava'
import {PongSchema} from '../../src/gen/ping/ping_pb.js'
import {admissionOf} from '../../src/http/admission.ts'
import {type App, startApp} from '../helpers/app.ts'
import {connectTo} from '../http/connection.ts'

let app: App
test.before(async () => {
  app = await startApp({target: 'ping'})
})
test.afterEach.always((t) => app.quiet(t))
test.after.always(() => app.close())

const json = {'content-type': 'application/json'}

test.serial('100 cold concurrent pings are all answered and make one token fetch', async (t) => {
  const answers = await Promise.all(Array.from({length: 100}, (_, i) => fetch(app.url(`/?message=${i}`))))
  const pongs = await Promise.all(answers.map((answer) => answer.json() as Promise<{pong: {message: string}}>))
  t.true(answers.every(({status}) => status === 200))
  t.deepEqual(
    pongs.map(({pong}) => pong.message),
    Array.from({length: 100}, (_, i) => String(i)),
  )
  t.is(app.metadata.identityRequests.length, 1)
  t.is(app.metadata.identityRequests[0]?.audience, app.backend.url)
})

test.serial('GET and POST answer the Response in proto3 JSON', async (t) => {
  const before = Date.now()
  const got = await app.ask(t, '/?message=hi')
  t.is(got.status, 200)
  t.is(got.headers.get('content-type'), 'application/json; charset=utf-8')
  t.deepEqual(Object.keys(got.json.pong), ['index', 'message', 'receivedOn'])
  t.is(got.json.pong.message, 'hi')
  const receivedOn = Date.parse(got.json.pong.receivedOn)
  t.true(receivedOn >= before && receivedOn <= Date.now())
  const posted = await app.ask(t, '/', {method: 'POST', headers: json, body: '{"message": "yo"}'})
  t.is(posted.json.pong.message, 'yo')
  t.is(posted.json.pong.index, got.json.pong.index + 1)
})

test.serial('?upstream=true calls SendUpstream', async (t) => {
  const calls = app.backend.log.length
  t.is((await app.ask(t, '/?message=up&upstream=true')).json.pong.message, 'up')
  t.true(app.backend.log.slice(calls).some(({method}) => method.endsWith('/SendUpstream')))
})

for (const {title, path = '/', init, status, field} of [
  {
    title: 'an unknown field',
    init: {method: 'POST', headers: json, body: '{"messge": "x"}'},
    status: 400,
    field: 'messge',
  },
  {
    title: 'a field of another type',
    init: {method: 'POST', headers: json, body: '{"message": 5}'},
    status: 400,
    field: 'message',
  },
  {title: 'malformed JSON', init: {method: 'POST', headers: json, body: '{"message": '}, status: 400, field: 'body'},
  {title: 'an unclear flag', path: '/?upstream=maybe', init: {}, status: 400, field: 'upstream'},
  {
    title: 'a body of 2 MiB',
    init: {method: 'POST', headers: json, body: 'x'.repeat(2 ** 21)},
    status: 413,
    field: 'body',
  },
]) {
  test.serial(`${title} is answered with ${status} that names it`, async (t) => {
    const answer = await app.ask(t, path, init)
    t.is(answer.status, status)
    t.is(answer.json.error.code, status)
    t.is(answer.json.error.status, 'INVALID_ARGUMENT')
    t.is(answer.json.error.details[0].fieldViolations[0].field, field)
  })
}

test.serial('another method is answered with 405 and Allow', async (t) => {
  const answer = await app.ask(t, '/', {method: 'DELETE'})
  t.is(answer.status, 405)
  t.is(answer.headers.get('allow'), 'GET, HEAD, OPTIONS, POST')
})

test.serial('HEAD is answered as GET, without a body', async (t) => {
  await using connection = await connectTo(app.url(''))
  const [got, head] = [[] as string[], [] as string[]]
  for (const [method, length] of [
    ['GET', got],
    ['HEAD', head],
  ] as const) {
    connection.send(`${method} /?message=hi HTTP/1.1\nHost: test\n\n`)
    const {status, headers} = await connection.response(method)
    t.is(status, 200)
    length.push(headers.get('content-length') ?? 'none')
  }
  t.deepEqual(head, got)
  t.regex(head[0] ?? '', /^[1-9]/)
  t.is(connection.rest, '', 'no body follows the answer to HEAD')
})

test.serial('the request id is accepted or generated, sent to the backend and returned', async (t) => {
  const given = await app.ask(t, '/?message=a', {headers: {'x-request-id': 'mine-1'}})
  t.is(given.headers.get('x-request-id'), 'mine-1')
  t.is(app.backend.log.at(-1)?.requestId, 'mine-1')
  const made = (await app.ask(t, '/?message=a')).headers.get('x-request-id')
  t.regex(made ?? '', /^[\da-f-]{36}$/)
  t.is(app.backend.log.at(-1)?.requestId, made ?? undefined)
})

test.serial('the bytes of a request are not counted while its call runs', async (t) => {
  const call = app.backend.ping.next()
  const answer = app.ask(t, '/', {method: 'POST', headers: json, body: '{"message": "hi"}'})
  const held = await call
  t.is(admissionOf(app.runtime).bytes, 0)
  held.answer({message: 'hi'})
  t.is((await answer).status, 200)
})

test.serial('ping cancels the backend call when its caller hangs up', async (t) => {
  const call = app.backend.ping.next()
  const caller = new AbortController()
  const response = fetch(app.url('/?message=hi'), {signal: caller.signal})
  const {cancelled} = await call
  caller.abort()
  await t.throwsAsync(response, {name: 'AbortError'})
  await t.notThrowsAsync(cancelled)
})

test.serial('an error of the service reaches the caller with its status, message and details', async (t) => {
  const call = app.backend.ping.next()
  const answer = app.ask(t, '/?message=hi')
  const own = anyPack(PongSchema, create(PongSchema, {message: 'hi', receivedOn: {seconds: 1n}}))
  ;(await call).fail(9, 'Not in this state', [own])
  const {status, json} = await answer
  t.is(status, 400)
  t.is(json.error.status, 'FAILED_PRECONDITION')
  t.is(json.error.message, 'Not in this state')
  t.deepEqual(json.error.details, [
    {'@type': 'type.googleapis.com/ping.Pong', message: 'hi', receivedOn: '1970-01-01T00:00:01Z'},
  ])
})

test.serial('an answer of 8 MiB arrives, one above 32 MiB is an error of ours', async (t) => {
  for (const [size, status] of [
    [8, 200],
    [33, 502],
  ] as const) {
    const call = app.backend.ping.next()
    const answer = app.ask(t, '/?message=hi')
    ;(await call).answer({message: 'x'.repeat(size * 1024 * 1024)})
    const {status: got, json} = await answer
    t.is(got, status)
    if (status === 502) t.is(json.error.details[0].reason, 'ANSWER_TOO_LARGE')
  }
})
