import {fromJson, toBinary} from '@bufbuild/protobuf'
import test from 'ava'
import {admissionOf} from '../../src/http/admission.ts'
import {advance, stopClock} from '../clients/clock.ts'
import {settled} from '../helpers/settled.ts'
import type {Response} from '../http/connection.ts'
import {type OpenRequest, refused} from './gateway-client.ts'
import {type Seen, type Served, silence, startServed} from './gateway-services.ts'

const maxBytes = 60_000
const maxDecoding = 100_000
const maxRequests = 3
const page = {origin: 'https://page.example'}

let app: Served
test.before(async () => {
  app = await startServed({
    target: 'app',
    backend: {window: 65535},
    env: {
      GATEWAY_MAX_BODY_BYTES: String(maxBytes),
      GATEWAY_MAX_DECODING_BYTES: String(maxDecoding),
      MAX_CONCURRENT_REQUESTS: String(maxRequests),
      CORS_ORIGINS: page.origin,
    },
  })
})
test.afterEach((t) => app.quiet(t))
test.after.always(() => app.close())

const json = {'content-type': 'application/json'}

/** Waits until the instance buffers this many bytes of request bodies. */
async function held(expected: number | ((bytes: number) => boolean)): Promise<void> {
  const admission = admissionOf(app.runtime)
  const isThere = typeof expected === 'function' ? expected : (bytes: number) => bytes === expected
  while (!isThere(admission.bytes)) await new Promise(setImmediate)
}

/** Waits until no request is in progress. */
async function free(): Promise<void> {
  const admission = admissionOf(app.runtime)
  while (admission.requests > 0) await new Promise(setImmediate)
}

function isTooMuch(t: Parameters<typeof refused>[0], response: Response, reason: string, limit: number): void {
  refused(t, response, 429)
  t.is(response.headers.get('retry-after'), '1')
  const {status, details} = response.json.error
  t.is(status, 'RESOURCE_EXHAUSTED')
  t.deepEqual(details, [
    {
      '@type': 'type.googleapis.com/google.rpc.ErrorInfo',
      reason,
      domain: 'grpc-functions',
      metadata: {limit: String(limit)},
    },
    {'@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay: '1s'},
  ])
}

/** The beginning of a message, in `size` bytes. */
function begun(size: number): string {
  return `{"name":"${'a'.repeat(size - 9)}`
}

test.serial(
  'bodies that are being received leave no room for others, and do again when they have been forwarded',
  async (t) => {
    await using first = await app.begin('POST /whole', {headers: json})
    await using second = await app.begin('POST /whole', {headers: json})
    first.write(begun(50_000))
    second.write(begun(40_000))
    await held(90_000)
    const third = {headers: json, body: `${begun(11_000)}"}`}
    isTooMuch(t, await app.send('POST /whole', third), 'DECODING_BYTES_EXCEEDED', maxDecoding)
    t.is((await app.send('POST /whole', {headers: json, body: '{"name":"small"}'})).status, 200)
    t.is((await app.send('GET /health')).status, 200)
    first.write('"}')
    first.end()
    t.is((await first.response()).status, 200)
    t.is((await app.send('POST /whole', third)).status, 200)
    second.write('"}')
    second.end()
    t.is((await second.response()).status, 200)
  },
)

test.serial('bodies that arrive too slowly give way to others, but only if there is no room', async (t) => {
  t.teardown(stopClock())
  await using first = await app.begin('POST /whole', {headers: json})
  await using second = await app.begin('POST /up', {headers: json})
  first.write(begun(50_000))
  second.write(begun(45_000))
  await held(95_000)
  const third = {headers: json, body: `${begun(11_000)}"}`}
  // The second time is 5 s after the start, when both uploads would count as too slow, but for their grace period.
  for (const ms of [0, 4900]) {
    advance(ms)
    isTooMuch(t, await app.send('POST /whole', third), 'DECODING_BYTES_EXCEEDED', maxDecoding)
  }
  advance(10_000)
  t.is((await app.send('POST /whole', {headers: json, body: '{"name":"small"}'})).status, 200)
  await held(95_000)
  t.is((await app.send('POST /whole', third)).status, 200)
  for (const request of [first, second]) {
    const response = await request.response()
    refused(t, response, 429)
    t.is(response.json.error.details[0].reason, 'BODY_TOO_SLOW')
    t.is(response.headers.get('retry-after'), '1')
  }
})

test.serial('a body that makes no room but its own is not counted after it has ended', async (t) => {
  t.teardown(stopClock())
  await using slow = await app.begin('POST /whole', {headers: json})
  slow.write(begun(50_000))
  await held(50_000)
  advance(10_000)
  await using second = await app.begin('POST /whole', {headers: json})
  second.write(begun(45_000))
  await held(95_000)
  slow.write('a'.repeat(6000))
  t.is((await slow.response()).json.error.details[0].reason, 'BODY_TOO_SLOW')
  await held(45_000)
  second.write('"}')
  second.end()
  t.is((await second.response()).status, 200)
  t.is(admissionOf(app.runtime).bytes, 0)
})

test.serial('the only body may be larger than the limit for all bodies together', async (t) => {
  const headers = {'content-type': 'text/plain'}
  await using only = await app.begin('POST /upload?creatorId=me&name=n', {headers})
  only.write('a'.repeat(maxDecoding))
  only.write('a'.repeat(maxDecoding))
  only.end()
  const response = await only.response()
  t.is(response.status, 200, response.text)
})

test.serial('a body for which there is no room is refused before it is sent', async (t) => {
  await using first = await app.begin('POST /whole', {headers: json})
  first.write(begun(50_000))
  await held(50_000)
  const headers = {...json, 'content-length': '50001'}
  isTooMuch(t, await app.send('POST /whole', {headers}), 'DECODING_BYTES_EXCEEDED', maxDecoding)
})

test.serial('a partial message of a client stream counts too', async (t) => {
  const {promise: taken, resolve: take} = Promise.withResolvers<void>()
  using _ = app.streams.handle({
    async up(requests) {
      const names: string[] = []
      for await (const {name} of requests) if (names.push(name) === 2) take()
      return {names}
    },
  })
  await using first = await app.begin('POST /up', {headers: json})
  first.write(`{"name":"whole"}${begun(50_000)}`)
  await held((bytes) => bytes >= 50_000)
  await using second = await app.begin('POST /up', {headers: json})
  second.write(begun(50_001))
  isTooMuch(t, await second.response(), 'DECODING_BYTES_EXCEEDED', maxDecoding)
  first.write('"}')
  await taken
  t.is(await settled(() => admissionOf(app.runtime).bytes), 0, 'the room of what has been sent')
  first.end()
  t.deepEqual(
    (await first.response()).json.names.map((name: string) => name.length),
    [5, 50_000 - 9],
  )
})

/** Has the backend count the messages of a stream. It reads none before `open` resolves. */
function countOnce(open: Promise<void>): Disposable {
  return app.streams.handle({
    async up(requests) {
      await open
      let int32Value = 0
      for await (const _ of requests) int32Value++
      return {int32Value}
    },
  })
}

test.serial('a message of a stream counts until its backend reads it', async (t) => {
  const {promise: open, resolve: go} = Promise.withResolvers<void>()
  using _ = countOnce(open)
  await using stream = await app.begin('POST /up', {headers: json})
  const count = 20
  for (let sent = 0; sent < count; sent++) stream.write(`${begun(55_000)}"}`)
  stream.end()
  // The bytes that the backend reads are released; wait until no more are.
  let [last, same] = [-1, 0]
  while (same < 100) {
    await new Promise(setImmediate)
    const {bytes} = admissionOf(app.runtime)
    same = bytes === last && bytes > 50_000 ? same + 1 : 0
    last = bytes
  }
  const headers = {...json, 'content-length': '55000'}
  isTooMuch(t, await app.send('POST /whole', {headers}), 'DECODING_BYTES_EXCEEDED', maxDecoding)
  go()
  t.is((await stream.response()).json.int32Value, count)
})

/** A message in the envelope of a Connect stream. */
function framed(text: string): Uint8Array {
  const frame = Buffer.alloc(5 + text.length)
  frame.writeUInt32BE(text.length, 1)
  frame.write(text, 5)
  return frame
}

for (const [protocol, line, type, wire] of [
  ['REST', 'POST /up', 'application/json', (text: string) => text],
  ['Connect', 'POST /served.Streams/Up', 'application/connect+json', framed],
] as const) {
  test.serial(`a message counts while a small one follows it: ${protocol}`, async (t) => {
    const {promise: open, resolve: go} = Promise.withResolvers<void>()
    using _ = countOnce(open)
    await using stream = await app.begin(line, {headers: {'content-type': type}})
    const bytes = () => admissionOf(app.runtime).bytes
    let count = 0
    try {
      // The bytes that the backend reads are released; write until the rest stays.
      for (; (await settled(bytes)) < 50_000; count++) stream.write(wire(`${begun(55_000)}"}`))
      stream.write(wire('{}'))
      count++
      const left = await settled(bytes)
      t.true(left > 50_000, `${left} bytes`)
    } finally {
      go()
    }
    stream.end()
    const {text} = await stream.response()
    t.true(text.includes(`{"int32Value":${count}}`), text)
  })
}

test.serial('a message that waits for an ID token counts with its own size, not with that of its body', async (t) => {
  advance(2 * 60 * 60_000)
  const {promise: token, resolve: go} = Promise.withResolvers<void>()
  app.metadata.delay(token)
  await using request = await app.begin('POST /whole', {headers: json})
  try {
    const asked = app.metadata.nextIdentityRequest()
    const body = `{"value":[${Array(100).fill(1).join()}]}`
    request.write(body)
    request.end()
    await asked
    const every = app.schema.registry.getMessage('every.Every')!
    const {length} = toBinary(every, fromJson(every, JSON.parse(body)))
    t.true(length > 4 * body.length)
    t.is(admissionOf(app.runtime).bytes, length)
  } finally {
    app.metadata.recover()
    go()
  }
  t.is((await request.response()).status, 200)
})

test.serial('a message that has been sent to a slow backend leaves room for others', async (t) => {
  using _ = app.echo.handle({whole: (_request, context) => silence(context)})
  const body = `${begun(50_000)}"}`
  await using first = await app.begin('POST /whole', {headers: json})
  await using second = await app.begin('POST /whole', {headers: json})
  for (const request of [first, second]) {
    const call = app.echo.next()
    request.write(body)
    request.end()
    await call
  }
  await held(0)
  t.pass()
})

test.serial('a single body has only its own limit, even if it arrives in the smallest chunks', async (t) => {
  await using first = await app.begin('POST /whole', {headers: json})
  const body = `{"name":"${'a'.repeat(2000)}"}`
  for (const byte of body) first.write(byte)
  first.end()
  t.is((await first.response()).json.name.length, 2000)
})

for (const [function_, line, headers] of [
  ['ping', 'POST /ping', json],
  ['upload, for a job', 'POST /upload', json],
  ['upload, for a body of unknown length', 'POST /upload?creatorId=me&name=n', {'content-type': 'text/plain'}],
] as const) {
  test.serial(`${function_} accepts no body for which there is no room`, async (t) => {
    await using first = await app.begin('POST /whole', {headers: json})
    first.write(begun(50_000))
    await using second = await app.begin('POST /whole', {headers: json})
    second.write(begun(50_000))
    await held(100_000)
    await using third = await app.begin(line, {headers})
    third.write('{')
    isTooMuch(t, await third.response(), 'DECODING_BYTES_EXCEEDED', maxDecoding)
  })
}

test.serial(
  'the request of a stream is kept for a repeat until its first message, however long the stream lasts',
  async (t) => {
    const admission = admissionOf(app.runtime)
    const {promise: asked, resolve: go} = Promise.withResolvers<void>()
    using _ = app.streams.handle({
      async *down({name}, context) {
        await asked
        yield {name}
        await silence(context)
      },
    })
    const call = app.streams.next()
    await using request = await app.begin('POST /down', {headers: {...json, accept: 'text/event-stream'}})
    request.write(`${begun(20_000)}"}`)
    request.end()
    const {cancelled} = await call
    while (admission.kept === 0) await new Promise(setImmediate)
    t.true(admission.kept > 10_000)
    go()
    while (admission.kept > 0) await new Promise(setImmediate)
    t.deepEqual([admission.bytes, admission.requests], [0, 1])
    await request[Symbol.asyncDispose]()
    await cancelled
  },
)

test.serial('requests beyond MAX_CONCURRENT_REQUESTS are refused, but health checks and preflights', async (t) => {
  using _ = app.echo.handle({whole: (_request, context) => silence(context)})
  const open: [call: Seen, request: OpenRequest][] = []
  for (let count = 0; count < maxRequests; count++) {
    const call = app.echo.next()
    const request = await app.begin('POST /whole', {headers: json})
    request.end()
    open.push([await call, request])
  }
  for (const line of ['GET /one/a', 'GET /openapi.json', 'GET /ping', 'POST /upload', 'GET /nothing']) {
    isTooMuch(t, await app.send(line), 'CONCURRENT_REQUESTS_EXCEEDED', maxRequests)
  }
  for (const path of ['/health', '/health/live']) t.is((await app.send(`GET ${path}`)).status, 200, path)
  for (const path of ['/whole', '/upload', '/ping']) {
    const headers = {...page, 'access-control-request-method': 'POST'}
    t.is((await app.send(`OPTIONS ${path}`, {headers})).status, 204, path)
  }
  for (const [{cancelled}, request] of open) {
    await request[Symbol.asyncDispose]()
    await cancelled
  }
  await free()
  t.is((await app.send('GET /one/a')).status, 200)
})
