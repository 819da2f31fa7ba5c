import {create} from '@bufbuild/protobuf'
import {anyPack, EmptySchema} from '@bufbuild/protobuf/wkt'
import test from 'ava'
import {Fault} from '../../src/core/fault.ts'
import {BadRequestSchema} from '../../src/gen/google/rpc/error_details_pb.js'
import {Base64Reader, base64Body} from '../../src/transcoding/rpc/base64-body.ts'
import {endFrame} from '../../src/transcoding/rpc/ends.ts'
import {connectError, rpcError, statusTrailers} from '../../src/transcoding/rpc/errors.ts'
import {FrameSplitter, framed, joined} from '../../src/transcoding/rpc/frames.ts'
import {readGetRequest} from '../../src/transcoding/rpc/get-request.ts'
import {responseForm, rpcForm} from '../../src/transcoding/rpc/media.ts'
import {checkWire} from '../../src/transcoding/rpc/wire-check.ts'
import {ValueCount} from '../../src/transcoding/value-count.ts'

const taken = () => {}
const bytes = (text: string) => new TextEncoder().encode(text)
const texts = (frames: readonly {data: Uint8Array}[]) => frames.map(({data}) => new TextDecoder().decode(data))

const violation = anyPack(BadRequestSchema, create(BadRequestSchema, {fieldViolations: [{field: 'a'}]}))

test('an error keeps its details, unless its code comes from an HTTP status', (t) => {
  const invalid = rpcError(new Fault('INVALID_ARGUMENT', 'no', {details: [violation]}))
  t.deepEqual([invalid.code, invalid.details.length], ['INVALID_ARGUMENT', 1])
  const large = rpcError(new Fault('INVALID_ARGUMENT', 'too large', {http: 413, details: [violation]}))
  t.deepEqual([large.code, large.details.length], ['RESOURCE_EXHAUSTED', 0])
  const missing = new Fault('NOT_FOUND', 'no')
  t.deepEqual([rpcError(missing).code, rpcError(missing, false).code], ['NOT_FOUND', 'UNIMPLEMENTED'])
})

test('a cancelled call is "canceled" in Connect, other codes are in lower case', (t) => {
  t.like(connectError(rpcError(new Fault('CANCELLED', 'no'))), {code: 'canceled', message: 'no'})
  t.like(connectError(rpcError(new Fault('DEADLINE_EXCEEDED', 'no'))), {code: 'deadline_exceeded'})
})

test('a message is percent-encoded in trailers, details are base64 without padding', (t) => {
  t.deepEqual(statusTrailers(undefined), [['grpc-status', '0']])
  const error = rpcError(new Fault('ABORTED', 'a\nb\u0001 100% é~', {details: [violation]}))
  const [status, message, details] = statusTrailers(error)
  t.deepEqual(status, ['grpc-status', '10'])
  t.deepEqual(message, ['grpc-message', 'a%0Ab%01 100%25 %C3%A9~'])
  t.regex(details?.[1] ?? '', /^[A-Za-z0-9+/]+$/)
})

test('envelopes are the same wherever the bytes are cut', (t) => {
  const body = joined([framed(0, bytes('one')), framed(1, bytes('')), framed(0, bytes('three'))])
  for (let first = 0; first <= body.length; first++) {
    for (let second = first; second <= body.length; second++) {
      const splitter = new FrameSplitter(taken)
      const parts = [body.subarray(0, first), body.subarray(first, second), body.subarray(second)]
      const frames = parts.flatMap((part) => splitter.push(part))
      splitter.end()
      t.deepEqual(texts(frames), ['one', '', 'three'])
      t.deepEqual(
        frames.map(({flags}) => flags),
        [0, 1, 0],
      )
    }
  }
})

test('a message that is longer than its first buffer is whole', (t) => {
  const data = Uint8Array.from({length: 50_000}, (_, index) => index % 251)
  const body = framed(0, data)
  const splitter = new FrameSplitter(taken)
  const frames: Uint8Array[] = []
  for (let start = 0; start < body.length; start += 1000) {
    frames.push(...splitter.push(body.subarray(start, start + 1000)).map((frame) => frame.data))
  }
  t.is(frames.length, 1)
  t.is(Buffer.compare(frames[0]!, data), 0)
})

test('a body that ends inside an envelope is refused, wherever it ends', (t) => {
  const body = framed(0, bytes('abc'))
  for (let length = 1; length < body.length; length++) {
    const splitter = new FrameSplitter(taken)
    splitter.push(body.subarray(0, length))
    t.is(splitter.held, length)
    t.throws(() => splitter.end(), {message: /ends within a message/})
  }
})

test('an envelope is checked by its prefix, and buffers only what has arrived', (t) => {
  const seen: [number, number][] = []
  const splitter = new FrameSplitter((...prefix) => seen.push(prefix))
  splitter.push(new Uint8Array([7, 0xff, 0xff, 0xff, 0xff, 1, 2]))
  t.deepEqual(seen, [[7, 0xffffffff]])
  t.is(splitter.held, 7)
})

test('a message of 500 levels is taken, and one of 501 refused', (t) => {
  // Groups in an unknown field, of the number 1000.
  const nested = (levels: number) => Buffer.from('c33e'.repeat(levels - 1) + 'c43e'.repeat(levels - 1), 'hex')
  t.notThrows(() => checkWire(EmptySchema, nested(500), new ValueCount()))
  t.throws(() => checkWire(EmptySchema, nested(501), new ValueCount()), {
    message: 'Cannot read the message: it is not a google.protobuf.Empty: it nests deeper than 500 levels',
  })
})

test('base64 is read wherever it is cut, and may contain padding in the middle', (t) => {
  const body = joined([base64Body(bytes('a')), base64Body(bytes('bc')), base64Body(bytes('def'))])
  for (let cut = 0; cut <= body.length; cut++) {
    const reader = new Base64Reader()
    const read = joined([reader.push(body.subarray(0, cut)), reader.push(body.subarray(cut))])
    reader.end()
    t.deepEqual(read, bytes('abcdef'))
  }
})

for (const text of ['a', 'YWI=YQ', '====', 'YQ==YQ=', 'YWJj!', 'YQ===', '=YWJ', 'Y W=']) {
  test(`"${text}" is not a valid body in base64`, (t) => {
    t.throws(() => {
      const reader = new Base64Reader()
      reader.push(bytes(text))
      reader.end()
    })
  })
}

for (const [request, accept, response] of [
  ['application/grpc-web', undefined, 'application/grpc-web'],
  ['application/grpc-web+proto', '*/*', 'application/grpc-web+proto'],
  ['application/grpc-web-text', 'application/grpc-web-text', 'application/grpc-web-text'],
  ['application/grpc-web-text+proto', 'application/grpc-web+proto', 'application/grpc-web+proto'],
  ['application/grpc-web+json', 'application/grpc-web-text', 'application/grpc-web-text+json'],
  ['Application/JSON; charset="utf-8"', 'application/grpc-web-text', 'application/json'],
] as const) {
  test(`${request} with Accept: ${accept} is answered as ${response}`, (t) => {
    t.is(responseForm(rpcForm(request)!, accept).type, response)
  })
}

for (const type of ['', 'application/json; charset=latin1', 'application/connect', 'application/grpc', 'text/json']) {
  test(`"${type}" is not a content type of RPC`, (t) => t.is(rpcForm(type), undefined))
}

test('a message in a query can be any bytes', (t) => {
  const {message} = readGetRequest('connect=v1&encoding=proto&message=%00%ff+%2B')
  t.deepEqual([...message], [0, 255, 0x20, 0x2b])
})

test('the end of a stream has all values of a name, whatever the name', (t) => {
  const trailers = [
    ['x-tail', '1'],
    ['x-tail', '2'],
    ['__proto__', '3'],
  ] as const
  const end = Buffer.from(endFrame('connect', undefined, trailers))
    .subarray(5)
    .toString()
  t.is(end, '{"metadata":{"x-tail":["1","2"],"__proto__":["3"]}}')
  const lines = Buffer.from(endFrame('grpcweb', undefined, trailers))
    .subarray(5)
    .toString()
  t.regex(lines, /x-tail: 1\r\nx-tail: 2\r\n__proto__: 3\r\n$/)
})

test('the message of a GET has no envelope', (t) => {
  for (const encoding of ['connect+proto', 'connect+json', 'grpc-web'])
    t.throws(() => readGetRequest(`encoding=${encoding}&message=`), {message: /expected json or proto/})
})

test('gRPC-Web answers in base64 only a caller that accepts nothing else of it', (t) => {
  const form = rpcForm('application/grpc-web-text+proto')!
  const typeFor = (accept?: string) => responseForm(form, accept).type
  t.is(typeFor(), 'application/grpc-web-text+proto')
  t.is(typeFor('application/grpc-web-text'), 'application/grpc-web-text+proto')
  t.is(typeFor('application/grpc-web, application/grpc-web-text'), 'application/grpc-web+proto')
})
