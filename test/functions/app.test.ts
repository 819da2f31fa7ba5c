import {once} from 'node:events'
import {type IncomingMessage, request} from 'node:http'
import {text} from 'node:stream/consumers'
import test from 'ava'
import {type App, startApp} from '../helpers/app.ts'

let app: App
test.before(async () => {
  app = await startApp()
  await app.storage.put('samples', 'hello.txt', 'hello')
})
test.afterEach.always((t) => app.quiet(t))
test.after.always(() => app.close())

test.serial('all functions are behind one entry point', async (t) => {
  t.is((await app.ask(t, '/ping?message=hi')).json.pong.message, 'hi')
  t.is((await app.ask(t, '/health')).json.status, 'SERVING')
  const body = JSON.stringify({bucket: 'samples', object: 'hello.txt', context: {creatorId: 'me', name: 'x'}})
  const headers = {'content-type': 'application/json'}
  t.is((await app.ask(t, '/upload', {method: 'POST', headers, body})).json.size, 5)
})

test.serial('the deployed function answers for any host', async (t) => {
  const sent = request(app.url('/ping?message=hi'), {headers: {host: 'api.example.com'}}).end()
  const [response] = (await once(sent, 'response')) as [IncomingMessage]
  t.is(response.statusCode, 200)
  t.is(JSON.parse(await text(response)).pong.message, 'hi')
})

test.serial('a probe gets an answer that no cache keeps, by GET and by HEAD', async (t) => {
  for (const method of ['GET', 'HEAD']) {
    const {status, text, headers} = await app.ask(t, '/health/live', {method})
    t.deepEqual([status, text], [200, method === 'GET' ? '{"status":"SERVING"}' : ''])
    t.is(headers.get('cache-control'), 'no-store')
  }
  t.is((await app.ask(t, '/health/live', {method: 'POST'})).status, 404)
})

test.serial('a trace of the caller reaches the backend, with all of its headers', async (t) => {
  const headers = {
    traceparent: '00-0123456789abcdef0123456789abcdef-fedcba9876543210-01',
    tracestate: 'vendor=a,other=b',
    'x-cloud-trace-context': '0123456789abcdef0123456789abcdef/1;o=1',
  }
  for (const path of ['/ping?message=hi', '/api/ping?message=hi']) {
    const call = app.backend.ping.next()
    const answer = app.ask(t, path, {headers})
    const {metadata, answer: go} = await call
    go()
    t.is((await answer).status, 200)
    t.deepEqual(Object.fromEntries(Object.keys(headers).map((name) => [name, metadata.get(name)[0]])), headers)
  }
})

for (const [escaped, path] of [
  ['/heal%74h', '/health'],
  ['/%70%69%6e%67', '/ping'],
  ['/openapi%2Ejson', '/openapi.json'],
  ['/%61pi/ping?message=hi', '/api/ping?message=hi'],
] as const) {
  test.serial(`${escaped} is ${path}`, async (t) => {
    const [one, other] = [await app.ask(t, escaped), await app.ask(t, path)]
    t.is(one.status, 200)
    t.deepEqual(Object.keys(one.json), Object.keys(other.json))
  })
}

for (const path of [
  '/',
  '/pin',
  '/ping/',
  '/pings',
  '/ping%2F',
  '/%2570ing',
  '/constructor',
  '/favicon.ico',
  '//ping',
]) {
  test.serial(`${path} is 404 in the format of all errors`, async (t) => {
    const answer = await app.ask(t, path)
    t.is(answer.status, 404)
    t.is(answer.headers.get('content-type'), 'application/json; charset=utf-8')
    t.is(answer.json.error.code, 404)
    t.is(answer.json.error.status, 'NOT_FOUND')
    t.is(answer.json.error.details[0].reason, 'NO_SUCH_PATH')
  })
}
