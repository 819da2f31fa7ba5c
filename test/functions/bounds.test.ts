import type {IncomingHttpHeaders} from 'node:http'
import test from 'ava'
import {startStack} from '../../local/stack.ts'
import {type Child, startChild} from '../http/child.ts'
import {exchange} from './gateway-client.ts'
import {type Schema, servedSchema} from './gateway-schema.ts'

/** The longest error response that we write, and the longest log line of its request, in bytes. */
const mostAnswer = 4096
const mostLine = 4096

let schema: Schema
let stack: Awaited<ReturnType<typeof startStack>>
let app: Child

test.before(async () => {
  schema = servedSchema()
  stack = await startStack()
  // All bodies are sent at the same time.
  const limits = {GATEWAY_MAX_DECODING_BYTES: String(256 * 1024 * 1024)}
  const env = {...stack.env, ...limits, GATEWAY_DESCRIPTORS: schema.path, UPLOAD_BUCKETS: 'samples'}
  app = await startChild('app', env)
})
test.after.always(async () => {
  await app?.[Symbol.asyncDispose]()
  await stack?.[Symbol.asyncDispose]()
  schema?.[Symbol.dispose]()
})

/** Values almost as long as the limits of bodies and of headers allow. */
const long = 'x'.repeat(900_000)
const header = 'x'.repeat(12_000)
const json = (value: unknown) => ({headers: {'content-type': 'application/json'}, body: JSON.stringify(value)})
const body = (type: string, text: string) => ({headers: {'content-type': type}, body: text})
const part = (head: string) => `--b\r\nContent-Disposition: form-data; ${head}\r\n\r\nv\r\n--b--\r\n`
const job = (more: object) => json({bucket: 'samples', object: 'o', context: {creatorId: 'me', name: 'it'}, ...more})

interface More {
  readonly headers?: Readonly<IncomingHttpHeaders>
  readonly body?: string
}

const requests: [title: string, line: string, more: More, status: number][] = [
  ['an unknown key', 'POST /whole', json({[long]: 1}), 400],
  ['an unknown key of escapes', 'POST /whole', json({['\u0001'.repeat(150_000)]: 1}), 400],
  ['an unknown key of emoji', 'POST /whole', json({['🎈'.repeat(200_000)]: 1}), 400],
  ['an unknown key below', 'POST /whole', json({child: {child: {[long]: 1}}}), 400],
  ['an unknown key of another function', 'POST /ping', json({[long]: 1}), 400],
  ['an unknown extension', 'POST /whole', json({[`[${long}]`]: 1}), 400],
  ['a wrong key of a map', 'POST /whole', json({childMap: {[long]: {}}}), 400],
  ['a wrong value below a key of a map', 'POST /whole', json({longMap: {[long]: 'a'}}), 400],
  ['an unknown key below a key of a map', 'POST /whole', json({childMap: {1: {child: {[long]: 1}}}}), 400],
  ['null in a map', 'POST /whole', json({labels: {[long]: null}}), 400],
  [
    'a key twice',
    'POST /whole',
    body('application/json', `{"${long.slice(0, 4e5)}":1,"${long.slice(0, 4e5)}":2}`),
    400,
  ],
  ['the name of an enum', 'POST /whole', json({color: long}), 400],
  ['a number', 'POST /whole', json({int32Value: long}), 400],
  ['digits', 'POST /whole', body('application/json', `{"int32Value": ${'9'.repeat(900_000)}}`), 400],
  ['a time', 'POST /whole', json({time: long}), 400],
  ['a type', 'POST /whole', json({any: {'@type': long}}), 400],
  ['a key of an Any', 'POST /whole', json({any: {'@type': 'type.googleapis.com/every.Child', [long]: 1}}), 400],
  [
    'a key beside the value of an Any',
    'POST /whole',
    json({any: {'@type': 'x/google.protobuf.Empty', [long]: 1}}),
    400,
  ],
  ['no JSON', 'POST /whole', body('application/json', `${long}`), 400],
  ['no JSON at the end', 'POST /whole', body('application/json', `{"name": "${long}"}x`), 400],
  ['a string without an end', 'POST /whole', body('application/json', `{"name": "${long}`), 400],
  ['a name of a form', 'POST /whole', body('application/x-www-form-urlencoded', `${long}=1`), 400],
  ['a value of a form', 'POST /whole', body('application/x-www-form-urlencoded', `int32_value=${long}`), 400],
  ['an escape of a form', 'POST /whole', body('application/x-www-form-urlencoded', `name=%zz${long}`), 400],
  ['an escape of a name of a form', 'POST /whole', body('application/x-www-form-urlencoded', `%zz${long}=1`), 400],
  ['a name of a part', 'POST /whole', body('multipart/form-data; boundary=b', part(`name="${header}"`)), 400],
  ['a required field of proto2', 'POST /old', json({[long]: 1}), 400],
  ['a bucket', 'POST /upload', job({bucket: long}), 403],
  ['an object', 'POST /upload', job({object: long}), 400],
  ['an object that there may be', 'POST /upload', job({object: 'x'.repeat(1024)}), 404],
  ['a generation', 'POST /upload', job({generation: long}), 400],
  ['a path', `GET /${header}`, {}, 404],
  ['a path of another method', `PATCH /one/${header}`, {}, 405],
  ['an escape in a path', `GET /one/%zz${header}`, {}, 400],
  ['a value in a path', `GET /typed/${header}/1/true/RED/AAAA/1/2024-01-01T00:00:00Z`, {}, 400],
  ['a name in a query', `GET /whole?${header}=1`, {}, 400],
  ['a name below in a query', `GET /whole?child.${header}=1`, {}, 400],
  ['a name of many levels in a query', `GET /whole?${'child.'.repeat(90)}nope=1`, {}, 400],
  ['a value in a query', `GET /whole?int32_value=${header}`, {}, 400],
  ['an escape in a query', `GET /whole?name=%zz${header}`, {}, 400],
  ['an escape in a name of a query', `GET /whole?%zz${header}=1`, {}, 400],
  ['many parameters', `GET /whole?${'a=1&'.repeat(3000)}`, {}, 400],
  ['a parameter of another function', `GET /ping?upstream=${header}`, {}, 400],
  ['a Content-Type', 'POST /whole', {headers: {'content-type': header}, body: '{}'}, 415],
  ['a Content-Encoding', 'POST /whole', {headers: {'content-encoding': header}, body: '{}'}, 415],
  ['an Accept', 'GET /whole', {headers: {accept: header}}, 406],
  ['a grpc-timeout', 'GET /whole', {headers: {'grpc-timeout': header}}, 400],
  ['an x-server-timeout', 'GET /whole', {headers: {'x-server-timeout': header}}, 400],
  ['the name of a header', 'GET /whole', {headers: {[`grpc-metadata-${header}!`]: 'a'}}, 400],
  ['the value of a header', 'GET /whole', {headers: {'grpc-metadata-a-bin': `!${header}`}}, 400],
  ['a User-Agent', 'GET /nowhere', {headers: {'user-agent': header}}, 404],
  [
    'a Referer',
    'GET /nowhere',
    {headers: {referer: `http://here/${header.slice(0, 6000)}?${header.slice(0, 6000)}`}},
    404,
  ],
  ['an X-Forwarded-For', 'GET /nowhere', {headers: {'x-forwarded-for': header}}, 404],
  ['a trace', 'GET /nowhere', {headers: {traceparent: header}}, 404],
]

async function ask(line: string, more: More) {
  const [method = '', path = ''] = line.split(' ')
  const id = crypto.randomUUID()
  const response = await exchange(app.url, {
    method,
    path,
    ...more,
    headers: {...more.headers, 'x-request-id': id} as never,
  })
  const record = await app.out.match(
    new RegExp(`"httpRequest":.*"requestId":"${id}"|"requestId":"${id}".*"httpRequest":`),
  )
  return {response, record}
}

for (const [title, line, more, status] of requests) {
  test(`${title} of excessive length: answer and record stay short`, async (t) => {
    const {response, record} = await ask(line, more)
    t.is(response.status, status, response.text.slice(0, 500))
    t.true(Buffer.byteLength(response.text) < mostAnswer, `${response.text.length}`)
    t.true(Buffer.byteLength(record) < mostLine, `${record.length}`)
    const {error} = response.json
    t.true(error.message.isWellFormed())
    t.regex(JSON.parse(record).message, /^[A-Z]+ \/.* \d{3} in \d+ ms: ./)
  })
}

test.serial('a message of a backend stays short, and details that do not fit are left out', async (t) => {
  const held = stack.backend!.ping.next()
  const asked = ask('GET /ping?message=hi', {})
  const call = await held
  const any = (value: Uint8Array) => ({
    $typeName: 'google.protobuf.Any' as const,
    typeUrl: 'type.googleapis.com/a.B',
    value,
  })
  call.fail(5, '\u0001'.repeat(8000), [any(Buffer.alloc(30_000)), any(Buffer.from('short'))])
  const {response, record} = await asked
  t.is(response.status, 404)
  t.true(Buffer.byteLength(response.text) < 64 * 1024, `${response.text.length}`)
  t.true(Buffer.byteLength(record) < 32 * 1024, `${record.length}`)
  t.deepEqual(
    response.json.error.details.map(({value}: {value: string}) => Buffer.from(value, 'base64').toString()),
    ['short'],
  )
})
