import {once} from 'node:events'
import {createServer} from 'node:http'
import type {AddressInfo} from 'node:net'
import {gunzipSync, gzipSync} from 'node:zlib'
import test from 'ava'

import {json, ndjson} from '../../src/http/response/reply.ts'
import type {Scope} from '../../src/http/scope.ts'
import {type App, startApp} from '../helpers/app.ts'
import {connectTo} from './connection.ts'

let app: App
test.before(async () => {
  app = await startApp()
})
test.afterEach.always((t) => app.quiet(t))
test.after.always(() => app.close())

/** The parts of a request that the function saw. */
const seen = ({method, path, rawQuery}: Scope) => ({method, path, rawQuery})

const types = [
  undefined,
  'application/json',
  'application/json; charset=utf-8',
  'application/cloudevents+json',
  'application/x-www-form-urlencoded',
  'multipart/form-data; boundary=x',
  'text/plain',
  'application/octet-stream',
  'image/png',
  'nonsense',
]

for (const type of types) {
  test.serial(`a body of ${type ?? 'no type'} reaches the function chunk by chunk, as it is sent`, async (t) => {
    const first = Promise.withResolvers<string>()
    const {url} = await app.serve(async (scope) => {
      const pieces: string[] = []
      for await (const piece of scope.body) {
        pieces.push(String(piece))
        first.resolve(String(piece))
      }
      return json({pieces, contentType: scope.contentType ?? null})
    })
    await using connection = await connectTo(url)
    connection.send(
      [
        'POST / HTTP/1.1',
        'Host: test',
        ...(type ? [`Content-Type: ${type}`] : []),
        'Content-Length: 8',
        '',
        '{"a"',
      ].join('\n'),
    )
    t.is(await first.promise, '{"a"')
    connection.send(':1}%')
    t.deepEqual((await connection.response()).json, {pieces: ['{"a"', ':1}%'], contentType: type ?? null})
  })
}

test.serial('a body is answered chunk by chunk while it is still being sent', async (t) => {
  const {url} = await app.serve(({body}) =>
    ndjson(
      (async function* () {
        for await (const piece of body) yield JSON.stringify(String(piece))
      })(),
    ),
  )
  await using connection = await connectTo(url)
  connection.send('POST / HTTP/1.1\nHost: test\nContent-Type: text/plain\nTransfer-Encoding: chunked\n\n3\none\n')
  await connection.until(/"one"/)
  connection.send('3\ntwo\n')
  await connection.until(/"two"/)
  connection.send('0\n\n')
  t.is((await connection.response()).text, '"one"\n"two"\n')
})

test.serial('a compressed body reaches the function unchanged, and is not buffered', async (t) => {
  const bomb = gzipSync(Buffer.alloc(64 * 1024 * 1024))
  const {url} = await app.serve(async (scope) => {
    if (scope.path === '/whole') return {body: await scope.bytes()}
    const pieces = await Array.fromAsync(scope.body)
    return {body: Buffer.concat(pieces)}
  })
  const init = {
    method: 'POST',
    headers: {'content-encoding': 'gzip', 'content-type': 'application/json'},
    body: bomb,
  }
  const echoed = Buffer.from(await (await fetch(url, init)).arrayBuffer())
  t.true(echoed.equals(bomb))
  t.is(gunzipSync(echoed).length, 64 * 1024 * 1024)
  const whole = await fetch(`${url}/whole`, init)
  t.is(whole.status, 415)
  t.deepEqual(
    ((await whole.json()) as {error: {details: {fieldViolations: unknown}[]}}).error.details[0]?.fieldViolations,
    [{field: 'content-encoding', description: 'The body is encoded with "gzip": expected no content coding'}],
  )
})

test.serial('a body whose Content-Encoding is identity is read', async (t) => {
  const {url} = await app.serve(async (scope) => ({body: await scope.bytes()}))
  const response = await fetch(url, {method: 'POST', headers: {'content-encoding': 'Identity'}, body: 'abc'})
  t.is(await response.text(), 'abc')
})

for (const type of types.slice(1)) {
  test.serial(`malformed JSON, sent as ${type}, reaches the function unchanged`, async (t) => {
    const {url} = await app.serve(async (scope) => ({body: await scope.bytes()}))
    await using connection = await connectTo(url)
    connection.send(`POST / HTTP/1.1\nHost: test\nContent-Type: ${type}\nContent-Length: 6\n\n{"a": `)
    const {status, text} = await connection.response()
    t.deepEqual([status, text], [200, '{"a": '])
  })
}

test.serial('the functions answer malformed JSON with JSON', async (t) => {
  const {status, json, headers} = await app.ask(t, '/ping', {
    method: 'POST',
    headers: {'content-type': 'application/json'},
    body: '{"a": ',
  })
  t.is(status, 400)
  t.is(json.error.status, 'INVALID_ARGUMENT')
  t.is(headers.get('content-type'), 'application/json; charset=utf-8')
})

for (const [target, path, rawQuery] of [
  ['/', '/', ''],
  ['/%', '/%', ''],
  ['/%zz', '/%zz', ''],
  ['/%2F..%2f', '/%2F..%2f', ''],
  ['/a/../b', '/a/../b', ''],
  ['/heal%74h', '/health', ''],
  ['/%41%5a%61%7A%30%39%2d%2E%5f%7e', '/AZaz09-._~', ''],
  ['/%40%5B%60%7B%2F%3A%25%20%252d', '/%40%5B%60%7B%2F%3A%25%20%252d', ''],
  ['/a?b=%61', '/a', 'b=%61'],
  ['/favicon.ico', '/favicon.ico', ''],
  ['/favicon.ico/more', '/favicon.ico/more', ''],
  ['/robots.txt', '/robots.txt', ''],
  ['//x', '//x', ''],
  ['//evil.com/x', '//evil.com/x', ''],
  ['/a?b=%', '/a', 'b=%'],
  ['/a?', '/a', ''],
  ['/a?b?c', '/a', 'b?c'],
  ['/?x', '/', 'x'],
  ['/a:b@c', '/a:b@c', ''],
  ['http://there/a/b?c=d', '/a/b', 'c=d'],
  ['HTTPS://there:8080', '/', ''],
  ['http://there?c=d', '/', 'c=d'],
  ['/http://there/a', '/http://there/a', ''],
] as const) {
  test.serial(
    `${target} reaches the function with the path ${path}${rawQuery && ` and the query ${rawQuery}`}`,
    async (t) => {
      const {url} = await app.serve((scope) => json(seen(scope)))
      await using connection = await connectTo(url)
      connection.get(target)
      const {status, text} = await connection.response()
      t.is(status, 200)
      t.deepEqual(JSON.parse(Buffer.from(text, 'latin1').toString()), {method: 'GET', path, rawQuery})
    },
  )
}

for (const method of ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'PROPFIND', 'QUERY']) {
  test.serial(`${method} reaches the function`, async (t) => {
    const {url} = await app.serve((scope) => json(seen(scope)))
    await using connection = await connectTo(url)
    connection.send(`${method} /path HTTP/1.1\nHost: test\nContent-Length: 0\n\n`)
    t.deepEqual((await connection.response()).json, {method, path: '/path', rawQuery: ''})
  })
}

test.serial('a caller that expects 100 Continue gets it', async (t) => {
  const {url} = await app.serve(async (scope) => ({body: await scope.bytes()}))
  await using connection = await connectTo(url)
  connection.send('POST / HTTP/1.1\nHost: test\nContent-Type: text/plain\nContent-Length: 3\nExpect: 100-continue\n\n')
  t.is((await connection.response()).status, 100)
  connection.send('abc')
  t.is((await connection.response()).text, 'abc')
})

test.serial(
  "Node's own limit of 300 s for a request does not end one whose function has a longer deadline",
  async (t) => {
    await app.ask(t, '/health')
    t.is(
      app.server.requestTimeout,
      3_600_000,
      'the longest that Cloud Run allows: the deadline of the request ends it before',
    )
  },
)

test.serial('another server in the same process is not affected', async (t) => {
  const server = createServer(({url, headers}, response) => response.end(`${url} ${headers['content-type']}`))
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const limit = server.requestTimeout
  await using connection = await connectTo(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
  connection.send('POST /path HTTP/1.1\nHost: test\nContent-Type: text/plain\nContent-Length: 0\nConnection: close\n\n')
  t.is((await connection.response()).text, '/path text/plain')
  t.is(server.requestTimeout, limit)
  server.close()
  await once(server, 'close')
})

test.serial('OPTIONS * is answered for the server, without a call of the function', async (t) => {
  let calls = 0
  const {url} = await app.serve(() => json({calls: ++calls}))
  await using connection = await connectTo(url)
  connection.send('OPTIONS * HTTP/1.1\nHost: test\n\n')
  const {status, text} = await connection.response()
  t.deepEqual([status, text, calls], [204, '', 0])
  connection.get('/')
  t.deepEqual((await connection.response()).json, {calls: 1})
})
