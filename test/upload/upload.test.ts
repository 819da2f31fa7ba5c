import {readFileSync} from 'node:fs'
import {join} from 'node:path'
import type {Message} from '@bufbuild/protobuf'
import test from 'ava'
import {pattern} from '../../local/samples.ts'
import {Repo} from '../../src/gen/repo_pb.js'
import {ConfigError, Fault, type UploadMethod, type UploadOptions, upload} from '../../src/index.ts'
import {checkWire} from '../../src/transcoding/rpc/wire-check.ts'
import {ValueCount} from '../../src/transcoding/value-count.ts'
import {framer, headroom} from '../../src/upload/frame.ts'
import type {BytesField, MessageField} from '../../src/upload/options.ts'
import {planOf} from '../../src/upload/plan.ts'
import {buildSchema} from '../functions/gateway-schema.ts'
import {type Any, HeldService} from '../functions/gateway-services.ts'
import {type App, startApp} from '../helpers/app.ts'

const MiB = 1024 * 1024
const schema = buildSchema({
  'files.proto': readFileSync(join(import.meta.dirname, 'protos/files.proto'), 'utf8'),
  'groups.proto': `
    syntax = "proto2";
    package files.v1;
    message GroupRequest {
      optional group Part = 1 {
        optional bytes data = 2;
      }
    }
    message GroupReply {}
    service Groups {
      rpc Put(stream GroupRequest) returns (GroupReply);
    }`,
})
const desc = schema.registry.getService('files.v1.Files')!
const methods = desc.method as Readonly<Record<string, UploadMethod>>

/** All messages that the service got. The bytes are in `bytes`. */
const got: Any[] = []
const bytes: Uint8Array[] = []

/** Accepts all messages; `data` returns the bytes of a message. */
const taking =
  (data: (request: Any) => Uint8Array, reply: (size: bigint) => Any) => async (requests: AsyncIterable<Any>) => {
    got.length = bytes.length = 0
    for await (const request of requests) {
      got.push(request)
      bytes.push(Buffer.from(data(request) ?? []))
    }
    return reply(BigInt(Buffer.concat(bytes).length))
  }
const stored = (size: bigint) => ({stored: size, state: 'KEPT'})
const usual = {
  put: taking(({part}) => (part.case === 'content' ? part.value : undefined), stored),
  write: taking(
    ({data}) => data,
    (committedSize) => ({committedSize}),
  ),
  wrap: taking(({piece}) => piece?.data, stored),
  plain: taking(({data}) => data, stored),
  get: (request: Any) => request,
}

const files = new HeldService(desc, usual as never)
let app: App
test.before(async () => {
  app = await startApp({backend: {services: [files]}, env: {UPLOAD_BUCKETS: 'files'}})
  app.storage.createBucket('files')
})
test.afterEach.always((t) => app.quiet(t))
test.after.always(async () => {
  await app.close()
  schema[Symbol.dispose]()
})

const put = {
  method: methods.put!,
  context: 'info',
  required: ['filePath', 'owner.team'],
  sizeOf: (reply: Any) => reply.stored,
} satisfies UploadOptions
const write = {
  method: methods.write!,
  required: ['resource_name'],
  fields: ({offset, last}) => ({writeOffset: BigInt(offset), finishWrite: last}),
  sizeOf: (reply: Any) => reply.committedSize,
} as UploadOptions
const wrap = {method: methods.wrap!, data: 'piece.data', sizeOf: (reply: Any) => reply.stored} satisfies UploadOptions
const plain = {method: methods.plain!, sizeOf: (reply: Any) => reply.stored} satisfies UploadOptions

/** The response of an upload function with `options` to a POST. */
async function ask(options: UploadOptions, path: string, init: RequestInit = {}) {
  const served = await app.serve(upload(app.runtime, options))
  try {
    const response = await fetch(served.url + path, {method: 'POST', ...init})
    return {status: response.status, json: (await response.json()) as Any}
  } finally {
    await served.close()
  }
}

const job = (object: string, context: object = {}, more: object = {}): RequestInit => ({
  headers: {'content-type': 'application/json'},
  body: JSON.stringify({bucket: 'files', object, context, ...more}),
})
const raw = (body: string | Uint8Array<ArrayBuffer>): RequestInit => ({
  headers: {'content-type': 'application/octet-stream'},
  body,
})
const context = {filePath: 'a/b', owner: {team: 'x', quota: 7}, labels: ['l', 'm']}

test.serial('the bytes of an object are sent in the bytes field, whatever its number, after the context', async (t) => {
  const all = Buffer.concat([...pattern(MiB + 7)])
  await app.storage.put('files', 'one.bin', all)
  const {status, json} = await ask(put, '/', job('one.bin', context))
  t.deepEqual([status, json], [200, {stored: String(all.length), state: 'KEPT'}])
  t.is(got[0].part.case, 'info')
  t.like(got[0].part.value, context)
  t.deepEqual(
    bytes.map(({length}) => length),
    [0, ...Array(4).fill(MiB / 4), 7],
  )
  t.true(Buffer.concat(bytes).equals(all))
})

test.serial(
  'the context of a body that is itself uploaded is in the query: nested, repeated, by either name',
  async (t) => {
    const query = '?owner=ignored&file_path=a/b&owner.team=x&owner.quota=7&labels=l&labels=m&trace=1&filePath=other'
    const {status} = await ask(put, `/${query}`, raw('some bytes'))
    t.is(status, 200)
    t.like(got[0].part.value, context)
    t.is(Buffer.concat(bytes).toString(), 'some bytes')
    const untyped = await ask(put, '/?filePath=a&owner.team=x', {body: new TextEncoder().encode('no type')})
    t.is(untyped.status, 200)
    t.is(Buffer.concat(bytes).toString(), 'no type')
  },
)

for (const {title, init, path = '/', field} of [
  {title: 'a job without a required field', init: job('x', {filePath: 'a'}), field: 'context.owner.team'},
  {title: 'a job without context', init: job('x', undefined), field: 'context.filePath'},
  {title: 'an empty required field', init: job('x', {filePath: '', owner: {team: 'x'}}), field: 'context.filePath'},
  {title: 'a context of another shape', init: job('x', {filePath: 7}), field: 'context.filePath'},
  {title: 'an unknown field', init: job('x', {size: 7}), field: 'context.size'},
  {title: 'a body without a required parameter', init: raw('x'), path: '/?filePath=a', field: 'owner.team'},
  {title: 'a parameter of another type', init: raw('x'), path: '/?owner.quota=many', field: 'owner.quota'},
] as const) {
  test.serial(`${title} is answered with 400 that names ${field}, and nothing is sent`, async (t) => {
    const calls = app.backend.log.length
    const {status, json} = await ask(put, path, init)
    t.is(status, 400)
    t.is(json.error.details[0].fieldViolations[0].field, field)
    t.is(app.backend.log.length, calls)
  })
}

for (const [size, chunks] of [
  [0, [[0n, true, 0]]],
  [5, [[0n, true, 5]]],
  [10, [[0n, true, 10]]],
  [
    25,
    [
      [0n, false, 10],
      [10n, false, 10],
      [20n, true, 5],
    ],
  ],
] as const) {
  test.serial(`each message of ${size} bytes has its own fields in addition to its bytes`, async (t) => {
    const {status, json} = await ask({...write, chunkBytes: 10}, '/?resourceName=r', raw('x'.repeat(size)))
    t.deepEqual([status, Number(json.committedSize ?? 0)], [200, size])
    t.is(got[0].resourceName, 'r')
    t.deepEqual(
      got.slice(1).map(({writeOffset, finishWrite, data}) => [writeOffset, finishWrite, data.length]),
      chunks as never,
    )
  })
}

test.serial('fields that need more room than is reserved before the bytes are sent too', async (t) => {
  const resourceName = 'r'.repeat(1000)
  const {status} = await ask(
    {...write, fields: () => ({resourceName})} as UploadOptions,
    '/?resourceName=r',
    raw('abc'),
  )
  t.is(status, 200)
  t.like(got[1], {resourceName})
  t.is(Buffer.concat(bytes).toString(), 'abc')
})

test.serial('bytes inside another message are framed twice, and the other fields are kept', async (t) => {
  const fields = () => ({piece: {note: 'n'}})
  for (const size of [1, 127, 128, 300, 20_000]) {
    const body = Buffer.concat([...pattern(size)])
    const {status} = await ask({...wrap, fields} as UploadOptions, '/?name=w', raw(body))
    t.is(status, 200)
    t.is(got[0].name, 'w')
    t.is(got[1].piece.note, 'n')
    t.true(Buffer.concat(bytes).equals(body), String(size))
  }
})

for (const options of [put, wrap, plain] satisfies UploadOptions[]) {
  const {method, data} = planOf(options)
  test(`a frame of ${data.name} is encoded as ${method.input.typeName}, for readers that check wire types`, (t) => {
    for (const size of [0, 1, 127, 128, 20_000]) {
      const bytes = new Uint8Array(headroom + size).subarray(headroom)
      t.notThrows(() => checkWire(method.input, framer(data)(bytes), new ValueCount()), String(size))
    }
  })
}

test.serial('a request with only bytes has no first message', async (t) => {
  const {status} = await ask(plain, '/', raw('abc'))
  t.is(status, 200)
  t.deepEqual(bytes.map(String), ['abc'])
})

test.serial('a context that is the request itself cannot contain the bytes', async (t) => {
  const {status, json} = await ask(write, '/', job('x', {resourceName: 'r', data: 'AAAA'}))
  t.is(status, 400)
  t.is(json.error.details[0].fieldViolations[0].field, 'context.data')
})

test.serial('the first message can be changed, by the known facts about the content, or left out', async (t) => {
  const first: UploadOptions['first'] = (message: Any, {size}, {id}) => {
    message.part.value.labels.push(`${size} of ${typeof id}`)
    return message
  }
  await ask({...put, first}, '/?filePath=a&owner.team=x', raw('abc'))
  t.deepEqual(got[0].part.value.labels, ['3 of string'])
  await ask({...put, first: () => undefined}, '/?filePath=a&owner.team=x', raw('abc'))
  t.deepEqual(bytes.map(String), ['abc'])
})

test.serial('a reply with another size is DATA_LOSS; without sizeOf the size is not checked', async (t) => {
  using _ = files.handle({
    async put(requests) {
      for await (const _ of requests as AsyncIterable<Any>);
      return {stored: 2n}
    },
  })
  const path = '/?filePath=a&owner.team=x'
  const {status, json} = await ask(put, path, raw('abc'))
  t.deepEqual([status, json.error.status], [502, 'DATA_LOSS'])
  t.is((await ask({...put, sizeOf: undefined}, path, raw('abc'))).status, 200)
})

test.serial('a reply before the end of the bytes is DATA_LOSS, also without sizeOf', async (t) => {
  await app.storage.put('files', 'big.bin', pattern(32 * MiB))
  using _ = files.handle({put: () => ({})})
  const {status, json} = await ask({...put, sizeOf: undefined}, '/', job('big.bin', context))
  t.deepEqual([status, json.error.status], [502, 'DATA_LOSS'])
})

test.serial('verify refuses a reply that does not prove the upload', async (t) => {
  const verify: UploadOptions['verify'] = ({state}: Any, {size, crc32c}) => {
    throw new Fault('ABORTED', `${state} ${size} ${crc32c}`)
  }
  const {crc32c} = await app.storage.put('files', 'x', 'abc')
  const {status, json} = await ask({...put, verify}, '/', job('x', context))
  t.deepEqual([status, json.error.message], [409, `KEPT 3 ${crc32c}`])
})

test.serial('bytes that differ from those in Storage are not sent to their end', async (t) => {
  await app.storage.put('files', 'corrupt.bin', pattern(MiB))
  using _ = app.storage.fault({flipAt: MiB - 3, times: Number.POSITIVE_INFINITY})
  const {status, json} = await ask(put, '/', job('corrupt.bin', context))
  t.deepEqual([status, json.error.status], [502, 'DATA_LOSS'])
  t.true(Buffer.concat(bytes).length < MiB, 'the last bytes were held back')
})

test.serial('more than maxBytes is refused before anything is sent', async (t) => {
  await app.storage.put('files', 'four', 'four')
  const calls = app.backend.log.length
  for (const [path, init] of [
    ['/', job('four', context)],
    ['/?filePath=a&owner.team=x', raw('four')],
  ] as const) {
    const {status, json} = await ask({...put, maxBytes: 3}, path, init)
    t.deepEqual([status, json.error.status], [400, 'OUT_OF_RANGE'])
    if (path === '/') t.is(json.error.message, 'Object "four" has 4 bytes: files.v1.Files/Put takes 3 at most')
  }
  t.is(app.backend.log.length, calls)
  t.is((await ask({...put, maxBytes: 4}, '/', job('four', context))).status, 200)
})

test.serial('two functions of one runtime have their own buckets', async (t) => {
  await app.storage.put('others', 'x', 'abc')
  t.is((await ask(put, '/', job('x', context, {bucket: 'others'}))).status, 403)
  t.is((await ask({...put, buckets: ['others']}, '/', job('x', context, {bucket: 'others'}))).status, 200)
})

for (const {title, options, message} of [
  {
    title: 'a method of another kind',
    options: {method: methods.get as never},
    message: 'Cannot upload to files.v1.Files/Get: expected a method that takes a stream and answers once',
  },
  {
    title: 'a field that is none',
    options: {...put, data: 'contents'},
    message: 'Cannot upload to files.v1.Files/Put: "contents": files.v1.PutRequest has no field "contents"',
  },
  {
    title: 'a field that is not bytes',
    options: {...put, data: 'info'},
    message: 'Cannot upload to files.v1.Files/Put: "info": expected a field of bytes',
  },
  {
    title: 'repeated bytes',
    options: {...put, data: 'others'},
    message: 'Cannot upload to files.v1.Files/Put: "others": expected a field of bytes',
  },
  {
    title: 'no name where two fields are bytes',
    options: {method: methods.wrap!},
    message: 'Cannot upload to files.v1.Files/Wrap: expected "data" to be one of piece.data, signature',
  },
  {
    title: 'bytes inside a group',
    options: {method: schema.registry.getService('files.v1.Groups')!.method.put as UploadMethod, data: 'part.data'},
    message: 'Cannot upload to files.v1.Groups/Put: "part.data" is inside a group',
  },
  {
    title: 'a context that is no message',
    options: {...put, context: 'content'},
    message:
      'Cannot upload to files.v1.Files/Put: "content": expected a message of files.v1.PutRequest for the context',
  },
  {
    title: 'a required field that is none',
    options: {...put, required: ['owner.name']},
    message: 'Cannot upload to files.v1.Files/Put: "owner.name": files.v1.Owner has no field "name"',
  },
] satisfies {title: string; options: UploadOptions; message: string}[]) {
  test(`${title} stops the start`, (t) => {
    t.throws(() => upload(app.runtime, options), {instanceOf: ConfigError, message})
  })
}

test('the names of fields are typed by the generated schema', (t) => {
  const method = Repo.method.createRepo
  const typed = <M extends UploadMethod>(options: UploadOptions<M>) => options
  typed({method, data: 'data', context: 'context', sizeOf: ({size}) => size})
  // @ts-expect-error: not bytes
  typed({method, data: 'context'})
  // @ts-expect-error: not a message
  typed({method, context: 'data'})
  // @ts-expect-error: no field of the reply
  typed({method, sizeOf: (reply) => reply.bytes})
  type Piece = Message<'Piece'> & {data: Uint8Array; note: string}
  type Wrap = Message<'Wrap'> & {
    name: string
    piece?: Piece
    part: {case: 'content'; value: Uint8Array} | {case: 'info'; value: Piece} | {case: undefined; value?: undefined}
  }
  const bytesFields: BytesField<Wrap>[] = ['piece.data', 'content', 'info.data']
  // @ts-expect-error: not bytes
  bytesFields.push('piece.note')
  const messageFields: MessageField<Wrap>[] = ['piece', 'info']
  // @ts-expect-error: not a message
  messageFields.push('content')
  t.is(bytesFields.length + messageFields.length, 7)
})
