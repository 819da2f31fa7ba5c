import {create} from '@bufbuild/protobuf'
import {anyPack} from '@bufbuild/protobuf/wkt'
import {status} from '@grpc/grpc-js'
import {Validator} from '@seriousme/openapi-schema-validator'
import test from 'ava'
import {StatusError} from '../../local/grpc/status-error.ts'
import {streamTypes} from '../../src/transcoding/media.ts'
import {connectTo} from '../http/connection.ts'
import {textOf} from './gateway-formats.ts'
import {type Served, startServed} from './gateway-services.ts'

let app: Served
test.before(async () => {
  app = await startServed({
    env: {
      GATEWAY_ERRORS: 'status',
      GATEWAY_IGNORE_UNKNOWN: 'true',
      GATEWAY_DEFAULT_BINDINGS: 'false',
      GATEWAY_SERVICES: 'served.Echo, served.Plain,served.Streams',
      CORS_ORIGINS: '*',
      GATEWAY_UPDATE_MASK: 'off',
      GATEWAY_METADATA: 'X-Tenant; x-key-bin',
      OPENAPI_TITLE: 'A shop, over HTTP',
      OPENAPI_VERSION: '2.1-beta',
      OPENAPI_SERVERS: 'https://api.example.com/v2/; /v2',
      OPENAPI_SECURITY: 'bearer, header:x-api-key',
    },
  })
})
test.afterEach.always((t) => app.quiet(t))
test.after.always(() => app.close())

const json = {'content-type': 'application/json'}

test.serial('GATEWAY_ERRORS=status: errors are a google.rpc.Status', async (t) => {
  using _ = app.echo.handle({
    whole() {
      throw new StatusError(status.NOT_FOUND, 'Not here')
    },
  })
  const response = await app.send('GET /whole')
  t.is(response.status, 404)
  t.deepEqual(response.json, {code: 5, message: 'Not here', details: []})
  const ours = await app.send('GET /whole?flag=maybe')
  t.is(ours.status, 400)
  t.is(ours.json.code, 3)
  t.is(ours.json.details[0].fieldViolations[0].field, 'flag')
  const other = await app.send('POST /one/a')
  t.deepEqual([other.status, other.json.code, other.headers.get('allow')], [405, 12, 'GET, HEAD, OPTIONS'])
})

test.serial('GATEWAY_ERRORS=status: details of a served type are JSON, also of a stream that fails late', async (t) => {
  const child = app.schema.registry.getMessage('every.Child')!
  const details = [anyPack(child, create(child, {name: 'a', longId: 5n}))]
  const json = [{'@type': 'type.googleapis.com/every.Child', name: 'a', longId: '5'}]
  const fail = () => {
    throw new StatusError(status.ABORTED, 'No', details)
  }
  using _ = app.echo.handle({whole: fail})
  t.deepEqual((await app.send('GET /whole')).json.details, json)
  using _late = app.streams.handle({
    async *down() {
      yield {name: 'a'}
      fail()
    },
  })
  const {text} = await app.send('GET /down')
  t.deepEqual(JSON.parse(text.split('\n')[1] ?? '').error.details, json)
})

for (const type of streamTypes) {
  test.serial(`GATEWAY_ERRORS=status: ${type} that fails late`, async (t) => {
    using _ = app.streams.handle({
      async *down() {
        yield {name: 'a'}
        throw new StatusError(status.ABORTED, 'Late')
      },
    })
    const response = await app.send('GET /down', {headers: {accept: type}})
    t.false(response.whole)
    t.is(textOf(type, response), undefined)
    if (type !== 'application/json') {
      t.deepEqual(JSON.parse(/^(?:data: )?(\{"error".*)$/m.exec(response.text)?.[1] ?? ''), {
        error: {code: 10, message: 'Late', details: []},
      })
    }
  })
}

test.serial('GATEWAY_IGNORE_UNKNOWN=true: unknown JSON fields and query parameters are dropped', async (t) => {
  t.deepEqual((await app.send('GET /whole?name=a&nope=b&child.nope=c')).json, {name: 'a'})
  const body = '{"name":"a","nope":{"b":[1]},"child":{"nope":1}}'
  t.deepEqual((await app.send('POST /whole', {headers: json, body})).json, {name: 'a', child: {}})
  t.deepEqual((await app.send('POST /up', {headers: json, body: '{"name":"a","nope":1}'})).json, {names: ['a']})
  const form = {'content-type': 'application/x-www-form-urlencoded'}
  t.deepEqual((await app.send('POST /whole', {headers: form, body: 'name=a&nope=b'})).json, {name: 'a'})
  for (const line of ['GET /whole?color=BLUE', 'GET /whole?name=a&name=b', 'GET /whole?name.x=a']) {
    t.is((await app.send(line)).status, 400, line)
  }
})

test.serial('/openapi.json describes the configured behaviour', async (t) => {
  const {status, json: document} = await app.send('GET /openapi.json')
  t.is(status, 200)
  t.like(document.info, {title: 'A shop, over HTTP', version: '2.1-beta'})
  t.deepEqual(document.servers, [{url: 'https://api.example.com/v2'}, {url: '/v2'}])
  t.deepEqual(document.security, [{bearer: []}, {apiKey: []}])
  t.deepEqual(document.components.securitySchemes.apiKey, {type: 'apiKey', in: 'header', name: 'x-api-key'})
  t.deepEqual(document.components.schemas['error-response'].required, ['code', 'message'])
  t.false('additionalProperties' in document.components.schemas['every.Every'])
  t.deepEqual(await new Validator().validate(document), {valid: true})
})

test.serial('GATEWAY_DEFAULT_BINDINGS=false: methods without a rule are not served', async (t) => {
  t.is((await app.send('POST /served.Plain/One', {headers: json, body: '{}'})).status, 404)
})

test.serial('GATEWAY_SERVICES: no other service is served', async (t) => {
  t.is((await app.send('GET /old/a')).status, 404)
  t.is((await app.send('POST /bytes')).status, 404)
})

test.serial('GATEWAY_METADATA: callers set only these keys', async (t) => {
  const next = app.echo.next()
  const headers = {
    'Grpc-Metadata-X-Tenant': 'a',
    'grpc-metadata-x-key-bin': 'AQ==',
    'grpc-metadata-x-locale': 'b',
    'grpc-metadata-request-id': 'c',
    'x-tenant': 'd',
    'accept-language': 'de',
  }
  t.is((await app.send('GET /whole', {headers})).status, 200)
  const {metadata} = (await next).context
  t.deepEqual(metadata.get('x-tenant'), ['a'])
  t.deepEqual(metadata.get('x-key-bin'), [Buffer.from([1])])
  t.deepEqual([...metadata.get('x-locale'), ...metadata.get('request-id')], [])
  t.deepEqual(metadata.get('accept-language'), ['de'], 'what goes under its own name is not of the list')
})

test.serial('GATEWAY_UPDATE_MASK=off: a PATCH is forwarded unchanged', async (t) => {
  const {json: sent} = await app.send('PATCH /whole/a/1', {headers: json, body: '{"age":3}'})
  t.deepEqual(sent, {name: 'a', int64Value: '1', child: {age: 3}})
  const given = await app.send('PATCH /whole/a/1?mask=age', {headers: json, body: '{}'})
  t.deepEqual(given.json, {name: 'a', int64Value: '1', child: {}, mask: 'age'})
})

test.serial('CORS_ORIGINS=*: any page', async (t) => {
  const {headers} = await app.send('GET /whole', {headers: {origin: 'https://any.example'}})
  t.is(headers.get('access-control-allow-origin'), '*')
  t.false(headers.has('vary'))
  for (const page of [
    ['origin', 'https://any.example'],
    ['origin', 'null'],
    ['sec-fetch-site', 'cross-site'],
  ] as const) {
    const sent = await app.send('POST /one/a', {headers: Object.fromEntries([page])})
    t.not(sent.status, 403)
  }
})

test.serial('GATEWAY_ERRORS=status and CORS apply to errors before the gateway is called', async (t) => {
  const response = await app.send('GET /whole', {headers: {origin: 'https://page.example', 'x-server-timeout': 'soon'}})
  t.is(response.status, 400)
  t.is(response.json.code, 3)
  t.is(response.headers.get('access-control-allow-origin'), '*')
})

/** Errors from outside the gateway's handlers: from Node's parser, the check of the head, the limits and the router. */
const early: Readonly<Record<string, readonly [sent: string, http: number, code: number]>> = {
  'no HTTP': ['nonsense\n\n', 400, 3],
  'headers without end': [`GET /whole HTTP/1.1\nHost: test\nx: ${'x'.repeat(20_000)}\n\n`, 431, 3],
  CONNECT: ['CONNECT test:80 HTTP/1.1\nHost: test\n\n', 501, 12],
  'no Host': ['GET /whole HTTP/1.1\n\n', 400, 3],
  'an unknown expectation': ['GET /whole HTTP/1.1\nHost: test\nExpect: more\n\n', 417, 3],
  'a malformed deadline': ['GET /whole HTTP/1.1\nHost: test\ngrpc-timeout: soon\n\n', 400, 3],
  'a body that is too long': ['POST /whole HTTP/1.1\nHost: test\nContent-Length: 2000000000\n\n', 413, 3],
  'an unknown path': ['GET /nowhere HTTP/1.1\nHost: test\n\n', 404, 5],
  'a method without a rule': ['DELETE /whole HTTP/1.1\nHost: test\n\n', 405, 12],
  'a chunk that is none': ['POST /whole HTTP/1.1\nHost: test\nTransfer-Encoding: chunked\n\nnot one\n', 400, 3],
}
for (const [name, [sent, http, code]] of Object.entries(early)) {
  test.serial(`GATEWAY_ERRORS=status applies to ${name}: ${http}`, async (t) => {
    await using connection = await connectTo(app.url(''))
    connection.send(sent)
    const {status: answered, json: failure} = await connection.response()
    t.is(answered, http)
    t.like(failure, {code})
    t.deepEqual(Object.keys(failure as object), ['code', 'message', 'details'])
  })
}
