import {create} from '@bufbuild/protobuf'
import {type Any as AnyMessage, AnySchema, anyPack} from '@bufbuild/protobuf/wkt'
import {Metadata, status} from '@grpc/grpc-js'
import test from 'ava'
import {StatusError} from '../../local/grpc/status-error.ts'
import {ConfigError, readConfig} from '../../src/core/config.ts'
import {metadataOptions} from '../../src/gateway/metadata.ts'
import {
  BadRequestSchema,
  DebugInfoSchema,
  ErrorInfoSchema,
  RetryInfoSchema,
} from '../../src/gen/google/rpc/error_details_pb.js'
import {httpStatus} from '../../src/http/response/failure.ts'
import type {Response} from '../http/connection.ts'
import {type Any, type Served, startServed} from './gateway-services.ts'

let app: Served
test.before(async () => {
  app = await startServed()
})
test.afterEach.always((t) => app.quiet(t))
test.after.always(() => app.close())

test('keys that no caller may set are refused at start, whatever GATEWAY_METADATA says', (t) => {
  const {gateway} = readConfig({
    BACKEND_URL: 'http://localhost:1',
    GATEWAY_METADATA: 'x-tenant,X-Goog-Iap-Jwt-Assertion cookie',
  })
  t.throws(() => metadataOptions(gateway), {
    instanceOf: ConfigError,
    message: /^GATEWAY_METADATA: no caller may set "x-goog-iap-jwt-assertion", "cookie": expected /,
  })
})

/** The metadata that a request with `headers` sends to the service. */
async function metadataOf(headers: Record<string, string>): Promise<Metadata> {
  const call = app.echo.next()
  await app.send('GET /whole', {headers})
  return (await call).context.metadata
}

test.serial('request headers to metadata: an allow list', async (t) => {
  const allowed = {
    'x-request-id': 'mine',
    traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
    tracestate: 'a=b',
    'x-cloud-trace-context': '105445aa7843bc8bf206b12000100000/1;o=1',
    'accept-language': 'de, en;q=0.5',
  }
  const metadata = await metadataOf({...allowed, 'x-other': 'a', accept: 'application/json', referer: 'b'})
  for (const [name, value] of Object.entries(allowed)) t.deepEqual(metadata.get(name), [value], name)
  for (const name of ['x-other', 'accept', 'referer']) t.deepEqual(metadata.get(name), [], name)
})

test.serial('grpc-metadata-* is forwarded without the prefix, -bin as bytes', async (t) => {
  const metadata = await metadataOf({
    'grpc-metadata-request-id': 'a',
    'Grpc-Metadata-Two': 'b, c',
    'grpc-metadata-key-bin': '_wA, AQ==',
    'grpc-metadata-empty': '',
  })
  t.deepEqual(metadata.get('request-id'), ['a'])
  t.deepEqual(metadata.get('two'), ['b, c'])
  t.deepEqual(metadata.get('key-bin'), [Buffer.from([0xff, 0]), Buffer.from([1])])
})

test.serial('never cookies, authorization, grpc-* or hop-by-hop headers, with or without the prefix', async (t) => {
  const refused = {
    cookie: 'a=b',
    authorization: 'Bearer mine',
    'x-serverless-authorization': 'Bearer mine',
    'grpc-accept-encoding': 'mine',
    'grpc-encoding': 'mine',
    te: 'mine',
    'proxy-authorization': 'mine',
    'keep-alive': 'mine',
    'user-agent': 'mine',
    'content-type': 'application/json',
    host: 'mine',
    'http2-settings': 'mine',
    upgrade: 'mine',
  }
  const prefixed = Object.entries(refused).map(([name, value]) => [`grpc-metadata-${name}`, value])
  const {upgrade: _, ...plain} = refused
  const metadata = await metadataOf({...plain, ...Object.fromEntries(prefixed)})
  t.regex(String(metadata.get('authorization')), /^Bearer ey/, 'our own ID token')
  for (const [name, values] of Object.entries(metadata.toJSON())) {
    t.false(String(values).includes('mine'), name)
    t.false(name.startsWith('grpc-metadata-'), name)
  }
  t.deepEqual(metadata.get('cookie'), [])
})

test.serial('never a header that Connection names as hop-by-hop', async (t) => {
  const metadata = await metadataOf({
    connection: 'close, Accept-Language, Grpc-Metadata-Hop',
    'accept-language': 'de',
    'grpc-metadata-hop': 'a',
    'grpc-metadata-end': 'b',
  })
  t.deepEqual([metadata.get('accept-language'), metadata.get('hop'), metadata.get('end')], [[], [], ['b']])
})

test.serial('never headers of front ends, nor those that Connection names, with the prefix', async (t) => {
  const forged = [
    ...['x-goog-authenticated-user-email', 'x-goog-iap-jwt-assertion', 'x-endpoint-api-userinfo', 'x-real-ip'],
    ...['x-apigateway-api-userinfo', 'x-forwarded-for', 'forwarded', 'x-envoy-external-address', 'x-hop'],
    ...['expect', 'content-encoding', 'transfer-encoding', 'x-serverless-authorization'],
  ]
  const headers = Object.fromEntries(forged.map((name) => [`grpc-metadata-${name}`, 'mine']))
  const metadata = await metadataOf({...headers, connection: 'close, X-Hop', 'grpc-metadata-x-tenant': 'a'})
  t.deepEqual(metadata.get('x-tenant'), ['a'])
  for (const [name, values] of Object.entries(metadata.toJSON())) t.false(String(values).includes('mine'), name)
})

for (const [name, value] of [
  ['grpc-metadata-key-bin', '***'],
  ['grpc-metadata-key-bin', 'A'],
  ['grpc-metadata-key', '\xe9'],
  ['grpc-metadata-k!', 'a'],
] as const) {
  test.serial(`a header that metadata cannot hold is 400: ${name}: ${value}`, async (t) => {
    const calls = app.backend.log.length
    const response = await app.send('GET /whole', {headers: {[name]: value}})
    t.is(response.status, 400)
    t.is(response.json.error.details[0].fieldViolations[0].field, name)
    t.is(app.backend.log.length, calls)
  })
}

test.serial('an id or a trace that metadata cannot hold does not fail the request', async (t) => {
  for (const name of ['x-request-id', 'traceparent', 'tracestate', 'x-cloud-trace-context']) {
    const response = await app.send('GET /whole', {headers: {[name]: '\xe9'}})
    t.is(response.status, 200)
    t.regex(response.headers.get('x-request-id') ?? '', /^[\da-f-]{36}$/)
  }
})

test.serial("the request id is in the service's record, and in the answer", async (t) => {
  for (const line of ['GET /whole', 'GET /down?int32_value=1', 'POST /up', 'POST /both']) {
    const response = await app.send(line, {headers: {'x-request-id': `mine ${line.length}`.replace(' ', '-')}})
    t.is(response.headers.get('x-request-id'), `mine-${line.length}`)
    t.is(app.backend.log.at(-1)?.requestId, `mine-${line.length}`)
  }
  const made = (await app.send('GET /whole')).headers.get('x-request-id')
  t.is(app.backend.log.at(-1)?.requestId, made)
})

/** Metadata with `a: value`, a binary value, and a cookie. */
function some(value: string): Metadata {
  const metadata = new Metadata()
  metadata.add('a', value)
  metadata.add('key-bin', Buffer.from([0xff]))
  metadata.add('set-cookie', 'no')
  return metadata
}

test.serial('response metadata to grpc-metadata-*, trailers of unary calls to grpc-trailer-*', async (t) => {
  const answer = (_: Any, context: Any) => {
    context.sendHeader(some('head'))
    context.trailer.merge(some('tail'))
    return {}
  }
  using _ = app.echo.handle({whole: answer})
  using __ = app.streams.handle({up: answer})
  for (const line of ['GET /whole', 'POST /up']) {
    const {status, headers} = await app.send(line)
    t.is(status, 200)
    t.is(headers.get('grpc-metadata-a'), 'head')
    t.is(headers.get('grpc-metadata-key-bin'), '/w==')
    t.is(headers.get('grpc-trailer-a'), 'tail')
    t.is(headers.get('grpc-trailer-key-bin'), '/w==')
    const names = [...headers.keys()].filter((name) => /^grpc-|cookie/.test(name))
    t.deepEqual(names.sort(), ['grpc-metadata-a', 'grpc-metadata-key-bin', 'grpc-trailer-a', 'grpc-trailer-key-bin'])
  }
})

test.serial('response metadata of a stream, whose trailers arrive too late for a header', async (t) => {
  using _ = app.streams.handle({
    async *down(_request: Any, context: Any) {
      context.sendHeader(some('head'))
      context.trailer.merge(some('tail'))
      yield {}
    },
  })
  const {headers} = await app.send('GET /down')
  t.is(headers.get('grpc-metadata-a'), 'head')
  t.deepEqual(
    [...headers.keys()].filter((name) => name.startsWith('grpc-trailer-')),
    [],
  )
})

const failures = {
  'a call': (_: Any, context: Any) => {
    context.sendHeader(some('head'))
    context.trailer.merge(some('tail'))
    throw new StatusError(status.ABORTED, 'Late')
  },
  'a call that has no header': (_: Any, context: Any) => {
    context.trailer.merge(some('tail'))
    throw new StatusError(status.ABORTED, 'Soon')
  },
}

for (const [what, fail] of Object.entries(failures)) {
  test.serial(`${what} that fails has its metadata and trailers`, async (t) => {
    const failing = async function* (_: Any, context: Any) {
      yield fail(_, context)
    }
    using _ = app.echo.handle({whole: fail})
    using __ = app.streams.handle({up: fail, down: failing, both: failing})
    using ___ = app.bytes.handle({down: failing})
    // The header starts the response of a stream, so these methods would have status 200.
    const begun = what === 'a call' ? [] : ['GET /down', 'POST /both']
    for (const line of ['GET /whole', 'POST /up', 'GET /bytes:down', ...begun]) {
      const {status, headers} = await app.send(line)
      t.is(status, 409)
      const names = [...headers.keys()].filter((name) => /^grpc-|cookie/.test(name)).sort()
      const head = ['grpc-metadata-a', 'grpc-metadata-key-bin']
      t.deepEqual(names, [...(what === 'a call' ? head : []), 'grpc-trailer-a', 'grpc-trailer-key-bin'], line)
      if (what === 'a call') t.is(headers.get('grpc-metadata-a'), 'head')
      t.is(headers.get('grpc-trailer-a'), 'tail')
      t.is(headers.get('grpc-trailer-key-bin'), '/w==')
    }
  })
}

test.serial('several values of a key are several headers', async (t) => {
  using _ = app.echo.handle({
    whole(_request: Any, context: Any) {
      const header = new Metadata()
      header.add('a', 'b')
      header.add('a', 'c')
      context.sendHeader(header)
      return {}
    },
  })
  t.is((await fetch(app.url('/whole'))).headers.get('grpc-metadata-a'), 'b, c')
})

test.serial('several binary values of a key are several headers, of a failure too', async (t) => {
  let fails = false
  using _ = app.echo.handle({
    whole(_request: Any, context: Any) {
      const metadata = new Metadata()
      for (const byte of [1, 2, 3]) metadata.add('key-bin', Buffer.from([byte]))
      context.sendHeader(metadata)
      context.trailer.merge(metadata)
      if (fails) throw new StatusError(status.ABORTED, 'Late')
      return {}
    },
  })
  for (const expected of [200, 409]) {
    fails = expected !== 200
    const response = await fetch(app.url('/whole'))
    t.is(response.status, expected)
    for (const name of ['grpc-metadata-key-bin', 'grpc-trailer-key-bin'])
      t.is(response.headers.get(name), 'AQ==, Ag==, Aw==', `${expected} ${name}`)
  }
})

// Errors

// 499 would say that the caller hung up, but this caller waits for the answer.
for (const [name, http] of Object.entries({...httpStatus, CANCELLED: 502}).filter(([name]) => name !== 'OK')) {
  test.serial(`${name} of the service is ${http} in the shape of AIP-193`, async (t) => {
    const fail = () => {
      throw new StatusError(status[name as keyof typeof status], 'As the service says')
    }
    using _ = app.echo.handle({whole: fail})
    const response = await app.send('GET /whole')
    t.is(response.status, http)
    t.deepEqual(response.json, {error: {code: http, message: 'As the service says', status: name, details: []}})
    t.is(response.headers.get('www-authenticate'), http === 401 ? 'Bearer realm="grpc-functions"' : undefined)
  })
}

/** The response to a failed call with these details. */
async function failing(t: {is(a: unknown, b: unknown): void}, ...details: AnyMessage[]): Promise<Response> {
  using _ = app.echo.handle({
    whole() {
      throw new StatusError(status.RESOURCE_EXHAUSTED, 'Enough', details)
    },
  })
  const response = await app.send('GET /whole')
  t.is(response.status, 429)
  return response
}

test.serial('details are JSON with their types; RetryInfo is Retry-After too', async (t) => {
  const response = await failing(
    t,
    anyPack(ErrorInfoSchema, create(ErrorInfoSchema, {reason: 'QUOTA', domain: 'a.b', metadata: {c: 'd'}})),
    anyPack(BadRequestSchema, create(BadRequestSchema, {fieldViolations: [{field: 'f', description: 'g'}]})),
    anyPack(RetryInfoSchema, create(RetryInfoSchema, {retryDelay: {seconds: 2n, nanos: 500_000_000}})),
  )
  t.is(response.headers.get('retry-after'), '3')
  t.deepEqual(response.json.error.details, [
    {'@type': 'type.googleapis.com/google.rpc.ErrorInfo', reason: 'QUOTA', domain: 'a.b', metadata: {c: 'd'}},
    {'@type': 'type.googleapis.com/google.rpc.BadRequest', fieldViolations: [{field: 'f', description: 'g'}]},
    {'@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay: '2.500s'},
  ])
})

test.serial(
  'details of a type that the gateway does not know and invalid ones are kept; DebugInfo is removed',
  async (t) => {
    const value = Buffer.from('0a0161', 'hex')
    const response = await failing(
      t,
      create(AnySchema, {typeUrl: 'type.googleapis.com/no.Such', value}),
      anyPack(DebugInfoSchema, create(DebugInfoSchema, {detail: 'secret'})),
      create(AnySchema, {typeUrl: 'elsewhere.example/google.rpc.DebugInfo', value}),
      create(AnySchema, {typeUrl: 'type.googleapis.com/google.rpc.ErrorInfo', value: Buffer.from([0xff])}),
    )
    t.deepEqual(response.json.error.details, [
      {'@type': 'type.googleapis.com/no.Such', value: 'CgFh'},
      {'@type': 'type.googleapis.com/google.rpc.ErrorInfo', value: '/w=='},
    ])
    t.false(response.text.includes('secret'))
  },
)

/** A detail of a served type for which no code is generated; it contains a DebugInfo, which no caller may see. */
function served(): AnyMessage {
  const every = app.schema.registry.getMessage('every.Every')!
  const debug = anyPack(DebugInfoSchema, create(DebugInfoSchema, {detail: 'secret'}))
  return anyPack(every, create(every, {name: 'a', int64Value: 5n, any: debug}))
}

const servedJson = {'@type': 'type.googleapis.com/every.Every', name: 'a', int64Value: '5'}

test.serial('details of a served type are JSON, without the DebugInfo in them', async (t) => {
  const response = await failing(t, served())
  t.deepEqual(response.json.error.details, [servedJson])
  t.notRegex(response.text, /secret/)
  t.notRegex([...response.headers.values()].join(), /every\.Every/)
})

for (const [type, pattern] of [
  ['application/x-ndjson', /^(\{"error".*)$/m],
  ['text/event-stream', /^event: error\n(?:id: .*\n)?data: (.*)$/m],
] as const) {
  test.serial(`${type} that fails late has its details too`, async (t) => {
    using _ = app.streams.handle({
      async *down() {
        yield {}
        throw new StatusError(status.ABORTED, 'Late', [served()])
      },
    })
    const {text} = await app.send('GET /down', {headers: {accept: type}})
    t.deepEqual(JSON.parse(pattern.exec(text)?.[1] ?? '').error.details, [servedJson])
  })
}

test.serial('a stream that fails late has its details', async (t) => {
  using _ = app.streams.handle({
    async *down() {
      yield {}
      const info = create(ErrorInfoSchema, {reason: 'LATE', domain: 'a.b'})
      throw new StatusError(status.ABORTED, 'Late', [anyPack(ErrorInfoSchema, info)])
    },
  })
  const {text} = await app.send('GET /down')
  t.is(JSON.parse(text.split('\n')[1] ?? '').error.details[0].reason, 'LATE')
})

test.serial('an exception of a service that is not a status does not reach the caller', async (t) => {
  using _ = app.echo.handle({
    whole() {
      throw new Error('secret')
    },
  })
  const response = await app.send('GET /whole')
  t.is(response.status, 500)
  t.false(response.text.includes('secret'))
})

test.serial('an answer that cannot be encoded as JSON is 500', async (t) => {
  using _ = app.echo.handle({whole: () => ({any: {typeUrl: 'type.googleapis.com/no.Such'}})})
  t.is((await app.send('GET /whole')).status, 500)
})

// Deadlines

for (const [name, value] of [
  ['grpc-timeout', '1'],
  ['grpc-timeout', '123456789S'],
  ['grpc-timeout', '-1S'],
  ['x-server-timeout', 'soon'],
  ['x-server-timeout', '-1'],
  ['x-server-timeout', ''],
] as const) {
  test.serial(`a malformed deadline is 400: ${name}: "${value}"`, async (t) => {
    const response = await app.send('GET /whole', {headers: {[name]: value}})
    t.is(response.status, 400)
    t.is(response.json.error.details[0].fieldViolations[0].field, name)
  })
}

test.serial('the shorter of two deadlines applies', async (t) => {
  const call = app.echo.next()
  const before = Date.now()
  await app.send('GET /whole', {headers: {'grpc-timeout': '20S', 'x-server-timeout': '5'}})
  const deadline = Number((await call).context.deadline)
  t.true(deadline >= before + 4999 && deadline <= Date.now() + 5001, `${deadline - before} ms`)
})
