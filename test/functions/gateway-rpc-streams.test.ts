import {once} from 'node:events'
import {gunzipSync, gzipSync} from 'node:zlib'
import {create, fromBinary, toBinary} from '@bufbuild/protobuf'
import {Metadata, status} from '@grpc/grpc-js'
import test from 'ava'
import {StatusError} from '../../local/grpc/status-error.ts'
import {detail} from '../../src/core/fault.ts'
import {BadRequestSchema} from '../../src/gen/google/rpc/error_details_pb.js'
import {settled} from '../helpers/settled.ts'
import {connectTo} from '../http/connection.ts'
import {open} from './gateway-client.ts'
import {type Any, type Served, silence, startServed} from './gateway-services.ts'
import {ask, envelope, envelopesIn, type RpcRequest, received, streamIn, write} from './rpc-client.ts'

// The envelopes of Connect's streams and of gRPC-Web, byte by byte.

let app: Served
test.before(async () => {
  app = await startServed({env: {GATEWAY_MAX_BODY_BYTES: '4000', GATEWAY_MAX_BODY_VALUES: '100'}})
})
test.afterEach.always((t) => app.quiet(t))
test.after.always(() => app.close())

const send = (request: RpcRequest) => ask(app.url(''), request)
const every = (fields: Any) => {
  const desc = app.schema.registry.getMessage('every.Every')!
  return Buffer.from(toBinary(desc, create(desc, fields)))
}
const fieldsOf = (bytes: Uint8Array): Any => fromBinary(app.schema.registry.getMessage('every.Every')!, bytes)

const up = '/served.Streams/Up'
const down = '/served.Streams/Down'
const both = '/served.Streams/Both'

/** How each protocol encodes messages, and how its last envelope reports the end of the stream. */
const protocols = {
  'application/connect+json': {json: true, compression: 'connect', ok: {}, code: (end: Any) => end.error?.code},
  'application/connect+proto': {json: false, compression: 'connect', ok: {}, code: (end: Any) => end.error?.code},
  'application/grpc-web+json': {json: true, compression: 'grpc', ok: {'grpc-status': '0'}, code: grpcCode},
  'application/grpc-web+proto': {json: false, compression: 'grpc', ok: {'grpc-status': '0'}, code: grpcCode},
  'application/grpc-web': {json: false, compression: 'grpc', ok: {'grpc-status': '0'}, code: grpcCode},
} as const

const codes = new Map([
  ['2', 'unknown'],
  ['3', 'invalid_argument'],
  ['4', 'deadline_exceeded'],
  ['8', 'resource_exhausted'],
  ['10', 'aborted'],
  ['12', 'unimplemented'],
  ['13', 'internal'],
])
function grpcCode(end: Any): string | undefined {
  return codes.get(end['grpc-status'])
}

for (const [type, {json, compression, ok, code}] of Object.entries(protocols)) {
  const written = (fields: Any) => (json ? Buffer.from(JSON.stringify(fields)) : every(fields))
  const read = (data: Buffer): Any => (json ? JSON.parse(data.toString()) : fieldsOf(data))
  const headers = {'content-type': type}
  const encoding = compression === 'connect' ? 'connect-content-encoding' : 'grpc-encoding'
  const accepted = compression === 'connect' ? 'connect-accept-encoding' : 'grpc-accept-encoding'

  test.serial(`${type}: streams of all kinds`, async (t) => {
    const names = ['a', '', 'c']
    const body = Buffer.concat(names.map((name) => envelope(written({name}))))
    const sum = await send({path: up, headers, body})
    t.is(sum.status, 200)
    t.is(sum.headers.get('content-type'), type)
    t.is(sum.headers.get('content-length'), String(sum.bytes.length))
    const {
      messages: [only],
      end,
    } = streamIn(sum.bytes)
    t.deepEqual(read(only!.data).names, names)
    t.deepEqual(end, ok)
    const counted = streamIn((await send({path: down, headers, body: envelope(written({int32Value: 3}))})).bytes)
    t.deepEqual(
      counted.messages.map(({data}) => read(data).int32Value),
      [1, 2, 3],
    )
    t.deepEqual(counted.end, ok)
    const echoed = streamIn((await send({path: both, headers, body})).bytes)
    t.deepEqual(
      echoed.messages.map(({data}) => read(data).name ?? ''),
      names,
    )
    t.deepEqual(echoed.end, ok)
    const none = streamIn((await send({path: down, headers, body: envelope(written({}))})).bytes)
    t.deepEqual(none, {messages: [], end: ok})
    t.deepEqual(streamIn((await send({path: up, headers})).bytes).end, ok)
  })

  test.serial(`${type}: messages are decompressed, and compressed for callers that accept it`, async (t) => {
    const name = 'a'.repeat(2000)
    const body = Buffer.concat([
      envelope(gzipSync(written({name})), 1),
      envelope(written({name: 'b'})),
      envelope('', 1),
      envelope(gzipSync(written({name: 'c'})), 1),
    ])
    const {headers: got, bytes} = await send({
      path: both,
      headers: {...headers, [encoding]: 'gzip', [accepted]: 'gzip'},
      body,
    })
    t.is(got.get(encoding), 'gzip')
    const {messages, end} = streamIn(bytes)
    t.deepEqual(
      messages.map(({flags}) => flags),
      [1, 0, 0, 0],
    )
    t.deepEqual(
      messages.map(({flags, data}) => read(flags ? gunzipSync(data) : data).name ?? ''),
      [name, 'b', '', 'c'],
    )
    t.deepEqual(end, ok)
  })

  test.serial(
    `${type}: an error is in the last envelope, after the messages before it, with trailers and details`,
    async (t) => {
      using _ = app.streams.handle({
        async *down(_request, {trailer}) {
          yield {name: 'a'}
          yield {name: 'b'}
          trailer.set('x-tail', '1')
          trailer.set('x-tail-bin', Buffer.from([255]))
          throw new StatusError(status.ABORTED, 'Später: 100%', [detail(BadRequestSchema, {})])
        },
      })
      const {whole, headers: got, bytes} = await send({path: down, headers, body: envelope(written({}))})
      t.true(whole)
      t.is(got.get('content-type'), type)
      const {messages, end} = streamIn(bytes)
      t.deepEqual(
        messages.map(({data}) => read(data).name),
        ['a', 'b'],
      )
      t.is(code(end), 'aborted')
      if (compression === 'connect') {
        t.is(end.error.message, 'Später: 100%')
        t.is(end.error.details[0].type, 'google.rpc.BadRequest')
        t.deepEqual(end.metadata, {'x-tail': ['1'], 'x-tail-bin': ['/w']})
      } else {
        t.is(end['grpc-message'], 'Sp%C3%A4ter: 100%25')
        t.false(end['grpc-status-details-bin'].includes('='))
        t.like(end, {'x-tail': '1', 'x-tail-bin': '/w'})
      }
    },
  )

  for (const [title, path, body, more, expected] of [
    ['unknown flags', up, () => envelope(written({}), 4), {}, 'invalid_argument'],
    ['an end of stream', up, () => envelope('{}', 2), {}, 'invalid_argument'],
    ['trailers', up, () => envelope('a: b\r\n', 128), {}, 'invalid_argument'],
    ['a compressed message and no word of how', up, () => envelope(gzipSync('{}'), 1), {}, 'internal'],
    ['an unknown compression', up, () => envelope(written({})), {[encoding]: 'br'}, 'unimplemented'],
    ['gzip that is none', up, () => envelope('{}', 1), {[encoding]: 'gzip'}, 'invalid_argument'],
    ['a length beyond the limit', up, () => Buffer.from([0, 0xff, 0xff, 0xff, 0xff]), {}, 'resource_exhausted'],
    ['a message beyond the limit', up, () => envelope(written({name: 'a'.repeat(4001)})), {}, 'resource_exhausted'],
    [
      'gzip beyond the limit',
      up,
      () => envelope(gzipSync(Buffer.alloc(100_000)), 1),
      {[encoding]: 'gzip'},
      'resource_exhausted',
    ],
    ['too many values', up, () => envelope(written({numbers: Array(101).fill(1)})), {}, 'invalid_argument'],
    ['trailing garbage', up, () => Buffer.concat([envelope(written({})), Buffer.from('abc')]), {}, 'invalid_argument'],
    ['a coding of the whole body', up, () => envelope(written({})), {'content-encoding': 'gzip'}, 'unknown'],
    [
      'garbage behind its only message',
      down,
      () => Buffer.concat([envelope(written({})), Buffer.from('abc')]),
      {},
      'invalid_argument',
    ],
    ['no message', down, () => Buffer.alloc(0), {}, 'unimplemented'],
    ['two messages', down, () => Buffer.concat([envelope(written({})), envelope(written({}))]), {}, 'unimplemented'],
  ] as const) {
    test.serial(`${type}: a request with ${title} is refused`, async (t) => {
      const {status, whole, headers: got, bytes} = await send({path, headers: {...headers, ...more}, body: body()})
      t.is(status, 200)
      t.true(whole)
      t.is(got.get('content-type'), type)
      const {messages, end} = streamIn(bytes)
      t.deepEqual(messages, [])
      t.is(code(end), expected)
    })
  }

  test.serial(`${type}: a request that is compressed as a whole is 415 where nothing is called yet`, async (t) => {
    const sent = {...headers, 'content-encoding': 'gzip'}
    const {status, headers: got} = await send({path: down, headers: sent, body: envelope(written({}))})
    t.is(status, 415)
    t.is(got.get('accept-encoding'), 'identity')
  })

  test.serial(`${type}: a request that ends inside a message is refused, wherever it ends`, async (t) => {
    const body = Buffer.concat([envelope(written({name: 'a'})), envelope(written({name: 'b'}))])
    const first = envelope(written({name: 'a'})).length
    for (let length = 1; length < body.length; length++) {
      const {bytes} = await send({path: up, headers, body: body.subarray(0, length)})
      t.is(code(streamIn(bytes).end), length === first ? undefined : 'invalid_argument', String(length))
    }
  })

  test.serial(`${type}: each message is forwarded as soon as it arrives, and so is each answer`, async (t) => {
    await using request = await open(app.url(''), {method: 'POST', path: both, headers})
    const cut = envelope(written({name: 'one'}))
    for (const byte of cut) request.write(Uint8Array.of(byte))
    await request.connection.until(/one/)
    request.write(envelope(written({name: 'two'})))
    await request.connection.until(/two/)
    request.end()
    const {messages, end} = streamIn((await received(request.connection)).bytes)
    t.is(messages.length, 2)
    t.deepEqual(end, ok)
  })

  test.serial(`${type}: the head is sent with the backend's metadata, before any message`, async (t) => {
    using _ = app.streams.handle({
      async *down(_request, context) {
        const header = new Metadata()
        header.set('x-early', 'yes')
        context.sendHeader(header)
        yield await silence(context)
      },
    })
    const next = app.streams.next()
    await using connection = await connectTo(app.url(''))
    write(connection, {path: down, headers, body: envelope(written({}))})
    await connection.until(/x-early: yes/)
    const {cancelled} = await next
    connection.socket.destroy()
    await cancelled
    t.pass()
  })

  test.serial(`${type}: the timeout of a caller ends a stream that has begun, in a well-formed way`, async (t) => {
    using _ = app.streams.handle({
      async *down(_request, context) {
        yield {name: 'a'}
        yield await silence(context)
      },
    })
    const timeout: Record<string, string> =
      compression === 'connect' ? {'connect-timeout-ms': '300'} : {'grpc-timeout': '300m'}
    const {whole, bytes} = await send({path: down, headers: {...headers, ...timeout}, body: envelope(written({}))})
    t.true(whole)
    const {messages, end} = streamIn(bytes)
    // On a busy machine there may be no message.
    t.true(messages.every(({data}) => read(data).name === 'a'))
    t.is(code(end), 'deadline_exceeded')
    await app.backend.idle()
  })
}

test.serial('gRPC-Web: a unary call is answered with a message and trailers', async (t) => {
  const headers = {'content-type': 'application/grpc-web+proto', 'x-grpc-web': '1'}
  const {bytes} = await send({path: '/served.Echo/Whole', headers, body: envelope(every({name: 'a'}))})
  const {messages, end} = streamIn(bytes)
  t.deepEqual(
    messages.map(({data}) => fieldsOf(data).name),
    ['a'],
  )
  t.deepEqual(end, {'grpc-status': '0'})
})

test.serial('gRPC-Web: a body in base64 is read wherever it is cut, and answered in base64', async (t) => {
  const headers = {'content-type': 'application/grpc-web-text', accept: 'application/grpc-web-text'}
  const text = envelope(every({name: 'ab'})).toString('base64') + envelope(every({name: 'c'})).toString('base64')
  await using request = await open(app.url(''), {method: 'POST', path: both, headers})
  for (const char of text) request.write(char)
  request.end()
  const response = await request.response()
  t.is(response.headers.get('content-type'), 'application/grpc-web-text')
  const parts = response.text.match(/[^=]+=*/g)!
  const {messages, end} = streamIn(Buffer.concat(parts.map((part) => Buffer.from(part, 'base64'))))
  t.deepEqual(
    messages.map(({data}) => fieldsOf(data).name),
    ['ab', 'c'],
  )
  t.deepEqual(end, {'grpc-status': '0'})
  const broken = await send({path: up, headers, body: 'AAAA!'})
  const [only] = envelopesIn(Buffer.from(broken.text, 'base64'))
  t.regex(only!.data.toString(), /^grpc-status: 3\r\n/)
})

test.serial(
  'gRPC-Web: an unknown method is UNIMPLEMENTED, and another content type or HTTP method is an HTTP error',
  async (t) => {
    const headers = {'content-type': 'application/grpc-web'}
    const nowhere = await send({path: '/served.Echo/Nope', headers, body: envelope()})
    t.is(nowhere.status, 200)
    t.is(streamIn(nowhere.bytes).end['grpc-status'], '12')
    t.is((await send({path: up, headers: {'content-type': 'application/grpc-web+thrift'}, body: ''})).status, 415)
    t.is((await send({method: 'PUT', path: up, headers, body: ''})).status, 405)
  },
)

test.serial('a caller who leaves in the middle of a stream cancels the call', async (t) => {
  const next = app.streams.next()
  using _ = app.streams.handle({
    async *down(_request, context) {
      for (let count = 0; count < 500; count++) yield {name: 'x'.repeat(2000), int32Value: count}
      yield await silence(context)
    },
  })
  await using connection = await connectTo(app.url(''))
  write(connection, {path: down, headers: {'content-type': 'application/connect+proto'}, body: envelope()})
  await connection.until(/x{2000}/)
  const {cancelled} = await next
  connection.socket.destroy()
  await cancelled
  t.pass()
})

test.serial('an error after a slow stream of compressed messages loses none of them', async (t) => {
  using _ = app.streams.handle({
    async *down() {
      for (let count = 0; count < 20; count++) yield {name: 'x'.repeat(1500)}
      throw new StatusError(status.ABORTED, 'Late')
    },
  })
  // Each message is compressed while the next ones and the error arrive.
  const headers = {'content-type': 'application/connect+json', 'connect-accept-encoding': 'gzip'}
  const {messages, end} = streamIn((await send({path: down, headers, body: envelope('{}')})).bytes)
  t.is(messages.length, 20)
  t.is(end.error.code, 'aborted')
})

const MiB = 2 ** 20
const filler = 'x'.repeat(64 * 1024)

test.serial(
  'a service that reads nothing stops the reading of the request, and a caller that reads nothing the service',
  async (t) => {
    const large = await startServed()
    t.teardown(() => large.close())
    const headers = {'content-type': 'application/connect+proto'}
    const gate = Promise.withResolvers<void>()
    let taken = 0
    let made = 0
    using _ = large.streams.handle({
      async up(requests) {
        await gate.promise
        for await (const {name} of requests) taken += name.length
        return {int32Value: taken}
      },
      async *down() {
        for (; made < 64 * MiB; made += filler.length) yield {name: filler}
      },
    })
    await using request = await open(large.url(''), {method: 'POST', path: up, headers})
    const {socket} = request.connection
    const message = envelope(every({name: filler}))
    let sent = 0
    const sending = (async () => {
      for (; sent < 64 * MiB; sent += filler.length) if (!request.write(message)) await once(socket, 'drain')
      request.end()
    })()
    const accepted = await settled(() => sent - socket.writableLength)
    t.true(accepted < 24 * MiB, `${accepted} bytes were taken from the caller, none of which the service took`)
    gate.resolve()
    await sending
    const {messages} = streamIn((await received(request.connection)).bytes)
    t.is(fieldsOf(messages[0]!.data).int32Value, 64 * MiB)

    await using slow = await connectTo(large.url(''))
    slow.socket.pause()
    write(slow, {path: down, headers, body: envelope()})
    const before = await settled(() => made)
    t.true(before > 0 && before < 24 * MiB, `${before} bytes were made, none of which the caller read`)
    slow.socket.destroy()
    await large.backend.idle()
    await large.quiet(t)
  },
)
