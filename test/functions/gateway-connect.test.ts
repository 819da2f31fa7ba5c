import {mkdtempSync, rmSync, writeFileSync} from 'node:fs'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {gunzipSync, gzipSync} from 'node:zlib'
import {create, fromBinary, toBinary} from '@bufbuild/protobuf'
import {Metadata, status} from '@grpc/grpc-js'
import test from 'ava'
import {StatusError} from '../../local/grpc/status-error.ts'
import {detail} from '../../src/core/fault.ts'
import {BadRequestSchema, DebugInfoSchema} from '../../src/gen/google/rpc/error_details_pb.js'
import {connectTo} from '../http/connection.ts'
import {type Any, type Served, silence, startServed} from './gateway-services.ts'
import {ask, envelope, type RpcRequest, received, write} from './rpc-client.ts'

// Connect's unary calls, byte by byte.

const pure = `syntax = "proto3";
package pure;
import "every/every.proto";
service Pure {
  rpc Get(every.Every) returns (every.Every) { option idempotency_level = NO_SIDE_EFFECTS; }
  rpc Set(every.Every) returns (every.Every);
}`

let app: Served
test.before(async () => {
  app = await startServed({
    protos: {'pure.proto': pure},
    echoes: ['pure.Pure'],
    env: {GATEWAY_MAX_BODY_BYTES: '4000', GATEWAY_MAX_BODY_VALUES: '100', CORS_ORIGINS: 'https://app.example'},
  })
})
test.afterEach.always((t) => app.quiet(t))
test.after.always(() => app.close())

const whole = '/served.Echo/Whole'
const json = {'content-type': 'application/json', 'connect-protocol-version': '1'}
const proto = {'content-type': 'application/proto'}

const send = (request: RpcRequest) => ask(app.url(''), request)
const every = (fields: Any) => {
  const desc = app.schema.registry.getMessage('every.Every')!
  return Buffer.from(toBinary(desc, create(desc, fields)))
}
const fieldsOf = (bytes: Uint8Array): Any => fromBinary(app.schema.registry.getMessage('every.Every')!, bytes)
const callsOf = () => app.backend.log.length

test.serial('a unary call in JSON is answered in JSON, with or without a rule', async (t) => {
  for (const path of [whole, '/served.Plain/One']) {
    const {status, headers, text} = await send({path, headers: json, body: '{"name":"a"}'})
    t.is(status, 200, text)
    t.is(headers.get('content-type'), 'application/json')
    t.is(text, '{"name":"a"}')
  }
})

test.serial('a unary call in protobuf is forwarded unchanged, including unknown fields', async (t) => {
  const body = Buffer.concat([every({name: 'a', numbers: [1, 2]}), Buffer.from([0xfa, 0x3f, 0x01, 0x78])])
  const {status, headers, bytes} = await send({path: whole, headers: proto, body})
  t.is(status, 200)
  t.is(headers.get('content-type'), 'application/proto')
  t.like(fieldsOf(bytes), {name: 'a', numbers: [1, 2]})
  t.true(bytes.includes(Buffer.from([0xfa, 0x3f, 0x01, 0x78])))
})

test.serial('JSON without Connect-Protocol-Version is REST, if REST has the path', async (t) => {
  const {'connect-protocol-version': _, ...headers} = json
  const rest = await send({path: '/served.Plain/One', headers, body: '{"nope":1}'})
  t.is(rest.status, 400)
  t.is(rest.json.error.status, 'INVALID_ARGUMENT')
  const connect = await send({path: '/served.Plain/One', headers: json, body: '{"nope":1}'})
  t.is(connect.status, 400)
  t.is(connect.json.code, 'invalid_argument')
  for (const more of [headers, {}]) {
    const none = await send({path: whole, headers: more, body: '{}'})
    t.is(none.status, 404)
    t.regex(none.json.error.message, /Connect-Protocol-Version: 1/)
  }
})

test.serial('bodies are decompressed, and answers compressed for callers that accept it', async (t) => {
  const name = 'a'.repeat(2000)
  const headers = {...json, 'content-encoding': 'gzip', 'accept-encoding': 'br, gzip'}
  const {status, headers: got, bytes} = await send({path: whole, headers, body: gzipSync(JSON.stringify({name}))})
  t.is(status, 200)
  t.is(got.get('content-encoding'), 'gzip')
  t.is(got.get('vary'), 'origin, accept-encoding')
  t.deepEqual(JSON.parse(gunzipSync(bytes).toString()), {name})
  const plain = await send({
    path: whole,
    headers: {...json, 'accept-encoding': 'gzip;q=0'},
    body: JSON.stringify({name}),
  })
  t.is(plain.headers.get('content-encoding'), undefined)
  t.deepEqual(plain.json, {name})
})

test.serial('a message above the limit is refused, however small it is compressed', async (t) => {
  const calls = callsOf()
  const large = every({name: 'a'.repeat(4001)})
  for (const [headers, body] of [
    [proto, large],
    [{...proto, 'content-encoding': 'gzip'}, gzipSync(large)],
    [{...json, 'content-encoding': 'gzip'}, gzipSync(JSON.stringify({name: 'a'.repeat(1_000_000)}))],
  ] as const) {
    const {status, json} = await send({path: whole, headers, body})
    t.is(status, 429)
    t.is(json.code, 'resource_exhausted')
  }
  t.is(callsOf(), calls)
})

test.serial('a message with too many values is refused in either codec', async (t) => {
  const calls = callsOf()
  for (const [headers, body] of [
    [json, JSON.stringify({numbers: Array(101).fill(1)})],
    [proto, every({numbers: Array(101).fill(1)})],
    [proto, every({names: Array(101).fill('')})],
    [proto, every({children: Array(101).fill({})})],
    [proto, every({labels: Object.fromEntries(Array.from({length: 40}, (_, index) => [index, 'a']))})],
  ] as const) {
    const {status, json} = await send({path: whole, headers, body})
    t.is(status, 400)
    t.regex(json.message, /more than 100 values/)
  }
  t.is(callsOf(), calls)
})

for (const [title, body] of [
  ['an unfinished varint', Buffer.from([0x08, 0x80])],
  ['a field longer than the message', Buffer.from([0x0a, 0x05, 0x61])],
  ['the field number 0', Buffer.from([0x00, 0x00])],
  ['a group that does not end', Buffer.from([0x0b])],
  ['a group that has not begun', Buffer.from([0x0c])],
  ['nested groups without an end', Buffer.alloc(3000, 0x0b)],
  ['a number of 11 bytes', Buffer.concat([Buffer.from([0x30]), Buffer.alloc(10, 0x80), Buffer.from([0])])],
  ['another type than the schema has', Buffer.from([0x0d, 1, 2, 3, 4])],
  ['packed numbers that are cut', Buffer.from([0xba, 0x01, 0x02, 0x01, 0x80])],
  ['text that is not UTF-8', Buffer.from([0x0a, 0x01, 0xff])],
] as const) {
  test.serial(`a message with ${title} is refused before the backend sees it`, async (t) => {
    const calls = callsOf()
    const {status, json} = await send({path: whole, headers: proto, body})
    t.is(status, 400)
    t.is(json.code, 'invalid_argument')
    t.is(callsOf(), calls)
  })
}

test.serial('a message of proto2 needs its required field in either codec', async (t) => {
  const calls = callsOf()
  for (const [headers, body] of [
    [json, '{}'],
    [proto, ''],
  ] as const) {
    const {status, json} = await send({path: '/served.Older/Old', headers, body})
    t.is(status, 400)
    t.regex(json.message, /"id": the field is required/)
  }
  t.is(callsOf(), calls)
  for (const [headers, body] of [
    [json, '{"id": "a"}'],
    [proto, Buffer.from([0x0a, 0x01, 0x61])],
  ] as const) {
    t.is((await send({path: '/served.Older/Old', headers, body})).status, 200)
  }
})

for (const [title, request, expected] of [
  ['another version of Connect', {headers: {...json, 'connect-protocol-version': '2'}}, [400, 'invalid_argument']],
  ['an unknown compression', {headers: {...json, 'content-encoding': 'br'}}, [501, 'unimplemented']],
  ['what is not gzip', {headers: {...json, 'content-encoding': 'gzip'}, body: '{}'}, [400, 'invalid_argument']],
  ['a malformed timeout', {headers: {...json, 'connect-timeout-ms': '1s'}}, [400, 'invalid_argument']],
  ['a timeout of 11 digits', {headers: {...json, 'connect-timeout-ms': '10000000000'}}, [400, 'invalid_argument']],
  ['no JSON', {headers: json, body: '{'}, [400, 'invalid_argument']],
  ['JSON that is not UTF-8', {headers: json, body: Buffer.from([0x22, 0xff, 0x22])}, [400, 'invalid_argument']],
  ['two messages', {headers: json, body: '{}{}'}, [400, 'invalid_argument']],
  ['bytes in metadata that are not base64', {headers: {...json, 'x-key-bin': '*'}}, [400, 'invalid_argument']],
] as const) {
  test.serial(`a unary call with ${title} is refused`, async (t) => {
    const calls = callsOf()
    const {status, headers, json} = await send({path: whole, body: '{}', ...request} as RpcRequest)
    t.deepEqual([status, json.code], expected as never)
    t.is(headers.get('content-type'), 'application/json')
    t.is(callsOf(), calls)
  })
}

test.serial('the error for an unknown compression lists the known ones', async (t) => {
  const {headers} = await send({path: whole, headers: {...json, 'content-encoding': 'zstd'}, body: '{}'})
  t.is(headers.get('accept-encoding'), 'gzip, identity')
})

test.serial('a content type that a method does not accept is 415, with those that it accepts', async (t) => {
  const unary = 'application/json, application/proto, application/grpc-web'
  for (const [path, type, accept] of [
    [whole, 'image/jpeg', unary],
    [whole, 'application/connect+json', unary],
    [whole, 'application/connect+thrift', unary],
    [whole, 'application/grpc', unary],
    [
      '/served.Streams/Down',
      'application/proto',
      'application/connect+json, application/connect+proto, application/grpc-web',
    ],
    ['/served.Plain/One', 'image/jpeg', 'application/json, application/x-www-form-urlencoded'],
    ['/served.Plain/One', 'application/connect+json', unary],
    ['/served.Streams/Down', 'application/json', 'application/connect+json'],
  ] as const) {
    const version = {'connect-protocol-version': '1'}
    const {status, headers} = await send({path, headers: {'content-type': type, ...version}, body: 'a'})
    t.is(status, 415, `${path} ${type}`)
    t.true(headers.get('accept-post')?.startsWith(accept), headers.get('accept-post'))
  }
})

test.serial('an unknown method, or another HTTP method, is refused as in Connect', async (t) => {
  const nowhere = await send({path: '/served.Echo/Nope', headers: proto, body: ''})
  t.is(nowhere.status, 404)
  t.is(nowhere.json.code, 'unimplemented')
  const verb = await send({method: 'PUT', path: whole, headers: proto, body: ''})
  t.is(verb.status, 405)
  t.is(verb.headers.get('allow'), 'OPTIONS, POST')
  t.is(verb.json.code, 'unknown')
  const rest = await send({method: 'PUT', path: '/served.Plain/One', headers: {'content-type': 'text/plain'}, body: ''})
  t.is(rest.status, 405)
  t.is(rest.json.error.status, 'UNIMPLEMENTED')
  for (const [path, allow] of [
    ['/served.Echo/Whole', 'OPTIONS, POST'],
    ['/pure.Pure/Get', 'GET, HEAD, OPTIONS, POST'],
  ] as const) {
    const put = await send({method: 'PUT', path, headers: proto, body: ''})
    t.deepEqual([put.status, put.headers.get('allow')], [405, allow], path)
    for (const headers of [undefined, proto]) {
      const options = await send({method: 'OPTIONS', path, ...(headers && {headers})})
      t.deepEqual([options.status, options.headers.get('allow')], [204, allow], path)
    }
  }
})

test.serial('GET calls methods without side effects, in either codec, and no others', async (t) => {
  const base64url = (bytes: Buffer) => bytes.toString('base64url')
  const large = JSON.stringify({name: 'a'.repeat(2000)})
  for (const [query, name] of [
    ['encoding=json&message=%7B%22name%22%3A%22a+b%22%7D', 'a b'],
    [`encoding=json&base64=1&message=${base64url(Buffer.from('{"name":"é"}'))}`, 'é'],
    [`message=${base64url(every({name: 'a'}))}&base64=1&encoding=proto&key=secret&other`, 'a'],
    ['encoding=proto&message=%0a%01%61', 'a'],
    [`encoding=json&compression=gzip&base64=1&message=${base64url(gzipSync(large))}`, 'a'.repeat(2000)],
  ]) {
    const response = await send({method: 'GET', path: `/pure.Pure/Get?connect=v1&${query}`})
    t.is(response.status, 200, response.text)
    const isJson = query!.includes('encoding=json')
    t.is(response.headers.get('content-type'), isJson ? 'application/json' : 'application/proto')
    t.is(isJson ? JSON.parse(response.bytes.toString()).name : fieldsOf(response.bytes).name, name)
  }
  const head = await send({method: 'HEAD', path: '/pure.Pure/Get?connect=v1&encoding=json&message={}'})
  t.is(head.status, 200)
  const set = await send({method: 'GET', path: '/pure.Pure/Set?connect=v1&encoding=json&message={}'})
  t.is(set.status, 405)
  t.is(set.headers.get('allow'), 'POST')
  t.is((await send({path: '/pure.Pure/Get', headers: json, body: '{"name":"a"}'})).status, 200)
})

for (const [title, query, expected] of [
  ['base64 that is none', 'encoding=json&base64=1&message=*', 400],
  ['base64 that is cut', 'encoding=json&base64=1&message=e30=a', 400],
  ['a percent sign alone', 'encoding=json&message=%2', 400],
  ['no message', 'encoding=json', 400],
  ['no encoding', 'message={}', 415],
  ['an unknown encoding', 'encoding=thrift&message={}', 415],
  ['a streaming encoding', 'encoding=connect%2Bjson&message={}', 415],
  ['an unknown compression', 'encoding=json&compression=br&message={}', 501],
  ['gzip that is none', 'encoding=json&compression=gzip&message={}', 400],
] as const) {
  test.serial(`GET with ${title} is refused`, async (t) => {
    const {status, json} = await send({method: 'GET', path: `/pure.Pure/Get?connect=v1&${query}`})
    t.is(status, expected)
    t.is(typeof json.code, 'string')
  })
}

test.serial('headers are metadata in both directions, except credentials and headers of front ends', async (t) => {
  let sent: Metadata | undefined
  using _ = app.echo.handle({
    whole(request, context) {
      sent = context.metadata
      const header = new Metadata()
      header.set('x-one', '1')
      header.set('x-bytes-bin', Buffer.from([255, 1]))
      header.set('content-language', 'fr')
      header.set('access-control-allow-origin', '*')
      header.set('set-cookie', 'a=b')
      context.sendHeader(header)
      context.trailer.set('x-last', '2')
      return request
    },
  })
  const refused = {
    cookie: 'mine',
    authorization: 'Bearer mine',
    'x-goog-iap-jwt-assertion': 'mine',
    'x-verified-claims-bin': 'bWluZQ',
    'x-serverless-authorization': 'mine',
    accept: 'mine/*',
    referer: 'https://mine.example/',
    'sec-ch-ua': 'mine',
    'grpc-encoding': 'mine',
    'x-server-timeout': '9',
  }
  const {headers} = await send({
    path: whole,
    headers: {
      ...json,
      ...refused,
      'x-plain': 'a',
      'x-key-bin': 'aGk',
      'x-city': 'Z\xfcrich',
      origin: 'https://app.example',
    },
    body: '{}',
  })
  const entries = sent!.getMap()
  t.like(entries, {'x-plain': 'a', 'x-key-bin': Buffer.from('hi')})
  for (const name of ['origin', 'x-city', 'connect-protocol-version']) t.false(name in entries, name)
  for (const [name, value] of Object.entries(entries)) t.false(String(value).includes('mine'), name)
  t.is(headers.get('x-one'), '1')
  t.is(headers.get('x-bytes-bin'), '/wE')
  t.is(headers.get('trailer-x-last'), '2')
  t.is(headers.get('access-control-allow-origin'), 'https://app.example')
  for (const name of ['set-cookie', 'content-language', 'grpc-accept-encoding']) t.false(headers.has(name), name)
})

test.serial('an error of a backend has its code, its details except for DebugInfo, and its metadata', async (t) => {
  using _ = app.echo.handle({
    whole(_request, {trailer}) {
      trailer.set('x-trailer', 't')
      throw new StatusError(status.NOT_FOUND, 'Not há', [
        detail(BadRequestSchema, {fieldViolations: [{field: 'a'}]}),
        detail(DebugInfoSchema, {detail: 'secret'}),
      ])
    },
  })
  const {status: http, headers, bytes} = await send({path: whole, headers: json, body: '{}'})
  t.is(http, 404)
  const error = JSON.parse(bytes.toString())
  t.like(error, {code: 'not_found', message: 'Not há'})
  t.is(error.details.length, 1)
  t.like(error.details[0], {type: 'google.rpc.BadRequest', debug: {fieldViolations: [{field: 'a'}]}})
  t.false(bytes.includes('secret'))
  t.is(headers.get('trailer-x-trailer'), 't')
})

test.serial('the timeout of a caller ends the call, and is sent to the backend', async (t) => {
  const deadlines: (Date | undefined)[] = []
  {
    using _ = app.echo.handle({
      whole(request, {deadline}) {
        deadlines.push(deadline)
        return request
      },
    })
    for (const timeout of [{'connect-timeout-ms': '20000'}, {}] as Record<string, string>[]) {
      t.is((await send({path: whole, headers: {...json, ...timeout}, body: '{}'})).status, 200)
    }
  }
  const [told, untold] = deadlines
  t.true(told!.getTime() <= Date.now() + 20_000)
  t.is(untold, undefined)
  using _ = app.echo.handle({whole: (_, context) => silence(context)})
  const {status: http, json: error} = await send({
    path: whole,
    headers: {...json, 'connect-timeout-ms': '50'},
    body: '{}',
  })
  t.is(http, 504)
  t.is(error.code, 'deadline_exceeded')
  // Fails if the call goes on.
  await app.backend.idle()
})

test.serial('a deadline of ours is applied here, and not sent to the backend', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'rules-'))
  t.teardown(() => rmSync(folder, {recursive: true}))
  const rules = join(folder, 'rules.yaml')
  writeFileSync(rules, 'backend: {rules: [{selector: served.Echo.Whole, deadline: 0.2}]}\n')
  const other = await startServed({env: {GATEWAY_RULES: rules}})
  t.teardown(() => other.close())
  const deadlines: (Date | undefined)[] = []
  using _ = other.echo.handle({
    whole(_request, context) {
      deadlines.push(context.deadline)
      return silence(context)
    },
  })
  // On a busy machine the deadline may pass before the backend is called.
  while (deadlines.length === 0) {
    const {json: error} = await ask(other.url(''), {path: whole, headers: json, body: '{}'})
    t.is(error.code, 'deadline_exceeded')
    await other.quiet(t)
  }
  t.deepEqual(deadlines, [undefined])
})

test.serial('GATEWAY_METADATA names the headers that go to the backend', async (t) => {
  const other = await startServed({env: {GATEWAY_METADATA: 'x-tenant'}})
  t.teardown(() => other.close())
  let sent: Metadata | undefined
  using _ = other.echo.handle({
    whole(request, {metadata}) {
      sent = metadata
      return request
    },
  })
  await ask(other.url(''), {path: whole, headers: {...json, 'x-tenant': 'a', 'x-other': 'b'}, body: '{}'})
  t.deepEqual([sent!.get('x-tenant'), sent!.get('x-other')], [['a'], []])
})

test.serial('a caller who hangs up cancels the call', async (t) => {
  const next = app.echo.next()
  using _ = app.echo.handle({whole: (_, context) => silence(context)})
  await using connection = await connectTo(app.url(''))
  write(connection, {path: whole, headers: json, body: '{}'})
  const {cancelled} = await next
  connection.socket.destroy()
  await cancelled
  t.pass()
})

test.serial('a page of a configured origin may call, and a page of another origin may not', async (t) => {
  const preflight = (origin: string, path = whole, method = 'POST') =>
    send({
      method: 'OPTIONS',
      path,
      headers: {
        origin,
        'access-control-request-method': method,
        'access-control-request-headers': 'connect-protocol-version,content-type,x-grpc-web',
      },
    })
  const allowed = await preflight('https://app.example')
  t.is(allowed.status, 204)
  t.is(allowed.headers.get('access-control-allow-methods'), 'OPTIONS, POST')
  t.is(allowed.headers.get('access-control-allow-headers'), 'connect-protocol-version,content-type,x-grpc-web')
  t.regex(
    (await preflight('https://app.example', '/pure.Pure/Get', 'GET')).headers.get('access-control-allow-methods')!,
    /GET/,
  )
  t.false((await preflight('https://evil.example')).headers.has('access-control-allow-origin'))
  const calls = callsOf()
  const sent = await send({path: whole, headers: {...json, origin: 'https://evil.example'}, body: '{}'})
  t.is(sent.status, 403)
  t.is(sent.json.code, 'permission_denied')
  t.is(callsOf(), calls)
  const read = await send({path: whole, headers: {...json, origin: 'https://app.example'}, body: '{}'})
  t.is(read.headers.get('access-control-expose-headers'), '*')
})

test.serial('two calls on a connection are answered in order', async (t) => {
  await using connection = await connectTo(app.url(''))
  write(connection, {path: whole, headers: json, body: '{"name":"a"}'})
  write(connection, {path: whole, headers: proto, body: every({name: 'b'})})
  t.is((await received(connection)).text, '{"name":"a"}')
  t.is(fieldsOf((await received(connection)).bytes).name, 'b')
})

/** Requests for the same method by each protocol, and for the document. The rows below have their statuses. */
const asked = {
  rest: {path: '/whole', headers: {'content-type': 'application/json'}, body: '{}'},
  bare: {path: whole, headers: {'content-type': 'application/json'}, body: '{}'},
  connect: {path: whole, headers: json, body: '{}'},
  proto: {path: whole, headers: proto, body: ''},
  grpcweb: {path: whole, headers: {'content-type': 'application/grpc-web'}, body: envelope()},
  document: {method: 'GET', path: '/openapi.json'},
} as const

for (const [protocols, expected] of [
  ['rest', {rest: 200, bare: 404, connect: 404, proto: 404, grpcweb: 404, document: 200}],
  ['connect', {rest: 404, bare: 200, connect: 200, proto: 200, grpcweb: 415, document: 404}],
  ['grpcweb', {rest: 404, bare: 404, connect: 404, proto: 415, grpcweb: 200, document: 404}],
  ['rest;grpcweb', {rest: 200, bare: 404, connect: 404, proto: 415, grpcweb: 200, document: 200}],
] as const) {
  test.serial(`GATEWAY_PROTOCOLS=${protocols} serves nothing else`, async (t) => {
    const other = await startServed({env: {GATEWAY_PROTOCOLS: protocols, GATEWAY_DEFAULT_BINDINGS: 'false'}})
    t.teardown(() => other.close())
    const statuses: Record<string, number> = {}
    for (const [name, request] of Object.entries(asked)) statuses[name] = (await ask(other.url(''), request)).status
    t.deepEqual(statuses, expected)
    await other.quiet(t)
  })
}

test.serial('GATEWAY_PROTOCOLS without connect serves no GET of Connect', async (t) => {
  const other = await startServed({
    protos: {'pure.proto': pure},
    echoes: ['pure.Pure'],
    env: {GATEWAY_PROTOCOLS: 'rest,grpcweb'},
  })
  t.teardown(() => other.close())
  const got = {method: 'GET', path: '/pure.Pure/Get?connect=v1&encoding=json&message={}'}
  t.is((await ask(app.url(''), got)).status, 200)
  const refused = await ask(other.url(''), got)
  t.deepEqual([refused.status, refused.headers.get('allow')], [405, 'OPTIONS, POST'])
})

test.serial('the same methods are served as by REST: those with a rule, unless others are configured', async (t) => {
  const other = await startServed({env: {GATEWAY_DEFAULT_BINDINGS: 'false'}})
  t.teardown(() => other.close())
  t.is((await ask(other.url(''), {path: whole, headers: json, body: '{}'})).status, 200)
  t.is((await ask(other.url(''), {path: '/served.Plain/One', headers: json, body: '{}'})).status, 404)
  const {paths} = (await ask(other.url(''), {method: 'GET', path: '/openapi.json'})).json
  t.deepEqual(
    Object.keys(paths).filter((path) => path.startsWith('/served.')),
    [],
  )
})
