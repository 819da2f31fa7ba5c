import {once} from 'node:events'
import {readFileSync} from 'node:fs'
import {type IncomingMessage, request} from 'node:http'
import {join} from 'node:path'
import {inspect} from 'node:util'
import {Metadata, status} from '@grpc/grpc-js'
import {Validator} from '@seriousme/openapi-schema-validator'
import test from 'ava'
import {StatusError} from '../../local/grpc/status-error.ts'
import {readConfig} from '../../src/core/config.ts'
import {ownDialect} from '../../src/core/dialect.ts'
import {presets} from '../../src/core/presets.ts'
import {settings} from '../../src/core/settings.ts'
import {connectTo} from '../http/connection.ts'
import {type Served, startServed} from './gateway-services.ts'

let go: Served
let envoy: Served
let mixed: Served
test.before(async () => {
  go = await startServed({env: {GATEWAY_PRESET: 'grpc-gateway'}})
  envoy = await startServed({env: {GATEWAY_PRESET: 'envoy'}})
  const set = {
    GATEWAY_STREAMS: 'ndjson',
    GATEWAY_FIELD_NAMES: 'proto',
    GATEWAY_ENUMS: 'number',
    GATEWAY_ZERO_VALUES: 'print',
  }
  mixed = await startServed({env: {GATEWAY_PRESET: 'google', ...set}})
})
test.afterEach.always(async (t) => {
  for (const app of [go, envoy, mixed]) await app.quiet(t)
})
test.after.always(() => Promise.all([go, envoy, mixed].map((app) => app.close())))

const json = {'content-type': 'application/json'}
const form = {'content-type': 'application/x-www-form-urlencoded'}

test.serial('grpc-gateway: fields that are not set are written, as null if they can be absent', async (t) => {
  const answer = (await go.send('GET /whole?name=a&child.name=b&maybe_name=')).json
  t.like(answer, {
    name: 'a',
    flag: false,
    int64Value: '0',
    color: 'COLOR_UNSPECIFIED',
    maybeName: '',
    time: null,
    any: null,
  })
  t.deepEqual([answer.names, answer.labels], [[], {}])
  t.deepEqual(answer.child, {name: 'b', age: 0, longId: '0', child: null})
  t.false('maybeNumber' in answer, 'an optional scalar')
  t.false('choiceText' in answer, 'a member of a oneof')
  const body = '{"children": [{"age": 1}], "childMap": {"1": {}}, "struct": {"a": 1}, "any": {}}'
  const deep = (await go.send('POST /whole', {headers: json, body})).json
  t.deepEqual(deep.children, [{name: '', age: 1, longId: '0', child: null}])
  t.deepEqual(deep.childMap, {1: {name: '', age: 0, longId: '0', child: null}})
  t.deepEqual([deep.struct, deep.any], [{a: 1}, {}])
  const older = (await go.send('POST /old', {headers: json, body: '{"id": "a"}'})).json
  t.is(older.count, null, 'a field of proto2 has presence')
})

test.serial('grpc-gateway: a response_body that is not set', async (t) => {
  t.is((await go.send('POST /response/child', {headers: json})).text, 'null')
  t.is((await go.send('POST /response/names', {headers: json})).text, '[]')
  const child = await go.send('POST /response/child', {headers: json, body: '{"child": {}}'})
  t.deepEqual(child.json, {name: '', age: 0, longId: '0', child: null})
})

test.serial('grpc-gateway: streams are lines of results with the content type application/json', async (t) => {
  for (const headers of [{}, {accept: 'application/json'}, {accept: '*/*'}] as Record<string, string>[]) {
    const {text, headers: answered} = await go.send('GET /down/name?int32_value=2&name=x', {headers})
    t.is(answered.get('content-type'), 'application/json')
    t.is(text, '{"result":"x"}\n{"result":"x"}\n')
  }
  const events = await go.send('GET /down/name?int32_value=1&name=x', {headers: {accept: 'text/event-stream'}})
  t.regex(events.text, /data: "x"\n/)
  using _ = go.streams.handle({
    async *down() {
      yield {name: 'a'}
      throw new StatusError(status.ABORTED, 'Late')
    },
  })
  const failed = await go.send('GET /down/name')
  t.false(failed.whole)
  t.is(failed.text, '{"result":"a"}\n{"error":{"code":10,"message":"Late","details":[]}}\n')
})

test.serial('grpc-gateway: errors are a google.rpc.Status, and 501 if a path has other methods', async (t) => {
  const other = await go.send('POST /one/a')
  t.deepEqual([other.status, other.json.code, other.headers.get('allow')], [501, 12, 'GET, HEAD, OPTIONS'])
  t.is((await go.send('GET /nope')).status, 404)
  const preflight = {origin: 'https://x.example', 'access-control-request-method': 'POST'}
  t.is((await go.send('OPTIONS /one/a', {headers: preflight})).status, 204)
})

test.serial('grpc-gateway: unknown fields and parameters, and those that the path sets, are ignored', async (t) => {
  t.like((await go.send('GET /one/a?nope=1&name=b&flag=true')).json, {name: 'a', flag: true})
  t.like((await go.send('PUT /whole/a?flag=true', {headers: json, body: '{"nope": 1, "int32Value": 2}'})).json, {
    name: 'a',
    flag: false,
    int32Value: 2,
  })
  t.is((await go.send('GET /one/a?flag=maybe')).status, 400, 'not what is known and wrong')
})

test.serial('grpc-gateway and Envoy: booleans in path and query are read as in Go and C++', async (t) => {
  for (const app of [go, envoy]) {
    for (const text of ['1', 't', 'T', 'TRUE', 'True', 'true', 'y', 'yes']) {
      t.true((await app.send(`GET /one/a?flag=${text}`)).json.flag, text)
      t.true((await app.send(`GET /typed/1/1/${text}/RED/AA/1/2020-01-01T00:00:00Z`)).json.flag, text)
      t.true((await app.send(`GET /one/a?boolWrapper=${text}`)).json.boolWrapper, text)
    }
    for (const text of ['0', 'f', 'F', 'FALSE', 'n', 'NO']) {
      t.false((await app.send(`GET /one/a?boolWrapper=${text}`)).json.boolWrapper, text)
    }
    for (const text of ['', '2', '+1', 'on', '01', ' 1', 'truee']) {
      t.is((await app.send(`GET /one/a?flag=${encodeURIComponent(text)}`)).status, 400, text)
    }
    t.is((await app.send('PUT /whole/a', {headers: json, body: '{"flag": "1"}'})).status, 400, 'JSON is JSON')
  }
})

test.serial('grpc-gateway: entries of maps in the query', async (t) => {
  const found = await go.send('GET /whole?labels[a]=1&labels[b]=&long_map[x]=5&color_map[true]=RED&labels[__proto__]=p')
  const {labels, longMap, colorMap} = found.json
  t.deepEqual(Object.entries(labels), [
    ['a', '1'],
    ['b', ''],
    ['__proto__', 'p'],
  ])
  t.deepEqual([longMap, colorMap], [{x: '5'}, {true: 'RED'}])
  for (const query of [
    'long_map[x]=y',
    'child_map[1]=x',
    'color_map[maybe]=RED',
    'labels[a]=1&labels[a]=2',
    'name[a]=b',
  ]) {
    t.is((await go.send(`GET /whole?${query}`)).status, 400, query)
  }
})

test.serial('grpc-gateway: a form is a query if the rule takes no body, and also reaches rules of GET', async (t) => {
  const posted = await go.send('POST /one/a?flag=true', {
    headers: form,
    body: 'int32_value=5&names=x+y&names=%C3%A9\u00fc',
  })
  t.like(posted.json, {name: 'a', flag: true, int32Value: 5})
  t.deepEqual(posted.json.names, ['x y', 'éü'])
  const put = await go.send('POST /whole/a', {
    headers: {...form, 'x-http-method-override': 'delete'},
    body: 'int32_value=6',
  })
  t.like(put.json, {name: 'a', int32Value: 6})
  t.is((await go.send('POST /one/a', {headers: form, body: 'int32_value=x'})).status, 400)
  t.is((await go.send('POST /one/a', {headers: {...form, 'x-http-method-override': 'PATCH'}, body: ''})).status, 501)
  t.is((await go.send('POST /one/a', {headers: {...json, 'x-http-method-override': 'GET'}, body: ''})).status, 501)
})

test.serial('grpc-gateway: a body of any type is JSON, and ignored if the rule takes none', async (t) => {
  for (const type of [undefined, 'text/plain', 'application/x-www-form-urlencoded', 'application/octet-stream']) {
    const headers: Record<string, string> = type ? {'content-type': type} : {}
    t.is((await go.send('POST /whole', {headers, body: '{"name": "a"}'})).json.name, 'a', type)
  }
  t.is((await go.send('GET /one/a', {headers: json, body: '{"name": "b"}'})).json.name, 'a')
  t.is((await go.send('POST /bytes', {headers: {'content-type': 'image/png'}, body: 'PNG'})).text, 'PNG')
})

test.serial('grpc-gateway: the path is decoded before it is routed', async (t) => {
  t.is((await go.send('GET /many/shelves%2F1/books/2%253A%C3%A9')).json.name, 'shelves/1/books/2%3Aé')
  t.is((await go.send('GET /one/a%2Fb')).status, 404)
  t.is((await go.send('GET /one/%zz')).status, 400)
})

test.serial('grpc-gateway: invalid metadata is dropped', async (t) => {
  const call = go.echo.next()
  const headers = {
    'grpc-metadata-a+b': 'x',
    'grpc-metadata-city': 'Gj\u00f8vik',
    'grpc-metadata-x-bin': '!',
    'grpc-metadata-ok': 'yes',
  }
  t.is((await go.send('GET /one/a', {headers})).status, 200)
  const {metadata} = (await call).context
  t.deepEqual([metadata.get('ok'), metadata.get('city'), metadata.get('x-bin')], [['yes'], [], []])
})

test.serial('grpc-gateway: metadata of an answer sets its status and its headers', async (t) => {
  using _ = go.echo.handle({
    paths(input, context) {
      const header = new Metadata()
      header.set('x-http-code', '202')
      context.sendHeader(header)
      context.trailer.set('foo', 'bar')
      return input
    },
  })
  t.is((await go.send('GET /one/a')).status, 202)
  const asked = request(go.url('/one/a'), {headers: {te: 'trailers', connection: 'close, te'}}).end()
  const [response] = (await once(asked, 'response')) as [IncomingMessage]
  await response.toArray()
  t.deepEqual([response.statusCode, response.trailers], [202, {'grpc-trailer-foo': 'bar'}])
})

test.serial('grpc-gateway: trailers are HTTP trailers, for callers who ask for them', async (t) => {
  using _ = go.echo.handle({
    paths(input, context) {
      context.trailer.set('foo', 'bar')
      if (input.name === 'gone') throw new StatusError(status.NOT_FOUND, 'Not here')
      return input
    },
  })
  const trailersFor = async (te: string | undefined, path = '/one/a') => {
    const asked = request(go.url(path), {headers: te ? {te, connection: 'close, te'} : {}}).end()
    const [response] = (await once(asked, 'response')) as [IncomingMessage]
    const text = Buffer.concat(await response.toArray()).toString()
    const {name, code} = JSON.parse(text)
    return {name: name ?? code, header: response.headers['grpc-trailer-foo'], trailers: response.trailers}
  }
  t.deepEqual(await trailersFor('trailers'), {name: 'a', header: undefined, trailers: {'grpc-trailer-foo': 'bar'}})
  t.deepEqual(await trailersFor(undefined), {name: 'a', header: undefined, trailers: {}})
  const failed = {name: status.NOT_FOUND, header: undefined}
  t.deepEqual(await trailersFor('trailers', '/one/gone'), {...failed, trailers: {'grpc-trailer-foo': 'bar'}})
  t.deepEqual(await trailersFor(undefined, '/one/gone'), {...failed, trailers: {}})
  await using connection = await connectTo(go.url(''))
  for (const [path, code] of [
    ['/one/a', 200],
    ['/one/gone', 404],
  ] as const) {
    connection.socket.write(`GET ${path} HTTP/1.0\r\nConnection: keep-alive, te\r\nTE: trailers\r\n\r\n`)
    const response = await connection.response()
    t.deepEqual([response.status, response.headers.has('trailer')], [code, false], 'HTTP/1.0 has no chunks')
  }
})

test.serial('grpc-gateway: the description is valid OpenAPI, and describes these differences', async (t) => {
  const document = (await go.send('GET /openapi.json')).json
  t.true((await new Validator().validate(document)).valid)
  const {content} = document.paths['/down'].get.responses[200]
  t.deepEqual(Object.keys(content), ['application/json', 'application/x-ndjson', 'text/event-stream'])
  t.deepEqual(content['application/json'].schema.items.required, ['result'])
  const {time, maybeName} = document.components.schemas['every.Every'].properties
  t.true(JSON.stringify(time).includes('null'))
  t.is(maybeName.type, 'string')
})

test.serial(
  'envoy: arrays without Accept, unknown fields but no unknown parameters, reserved escapes stay',
  async (t) => {
    const stream = await envoy.send('GET /down/name?int32_value=2&name=x')
    t.is(stream.headers.get('content-type'), 'application/json')
    t.deepEqual(stream.json, ['x', 'x'])
    t.is((await envoy.send('GET /down/name?int32_value=1', {headers: {accept: 'application/x-ndjson'}})).text, '""\n')
    t.is((await envoy.send('POST /whole', {headers: json, body: '{"nope": 1}'})).status, 200)
    t.is((await envoy.send('GET /whole?nope=1')).status, 400)
    t.is((await envoy.send('GET /many/shelves/a%2Fb%3A/books/%C3%A9')).json.name, 'shelves/a%2Fb%3A/books/é')
    t.is((await envoy.send('GET /one/a%3A')).json.name, 'a:')
    const other = await envoy.send('POST /one/a')
    t.deepEqual([other.status, other.json.code], [404, 5])
    t.is((await envoy.send('OPTIONS /one/a')).status, 204)
    t.deepEqual((await envoy.send('PATCH /whole/a/1', {headers: json, body: '{"age": 2}'})).json, {
      name: 'a',
      int64Value: '1',
      child: {age: 2},
    })
  },
)

test.serial('variables have priority over a preset: proto names, numbers, zero values, lines', async (t) => {
  const answer = (await mixed.send('GET /whole?color=RED&maybe_name=a&child.long_id=5')).json
  t.like(answer, {color: 1, maybe_name: 'a', int64_value: '0', colors: [], child: {name: '', long_id: '5'}})
  t.false('time' in answer)
  t.is((await mixed.send('POST /response/color', {headers: json})).text, '0')
  t.is(
    (await mixed.send('POST /response/int64_value', {headers: json, body: '{"int64Value": 3, "color": 2}'})).text,
    '"3"',
  )
  t.is((await mixed.send('GET /down/name?int32_value=1')).text, '""\n')
  const refused = await mixed.send('GET /one/a?nope=1')
  t.deepEqual([refused.status, refused.json.error.status], [400, 'INVALID_ARGUMENT'])
  t.is((await mixed.send('POST /one/a')).status, 404)
  const document = (await mixed.send('GET /openapi.json')).json
  t.true((await new Validator().validate(document)).valid)
  t.true('maybe_name' in document.components.schemas['every.Every'].properties)
  t.deepEqual(document.components.schemas['every.Color'].enum, [0, 1, 2])
})

test('every value of a preset is a value of its switch, other than the default, and the gateway supports it', (t) => {
  const own = readConfig({BACKEND_URL: 'http://localhost:1'}).gateway
  t.like(own, {...ownDialect})
  for (const [name, switches] of Object.entries(presets)) {
    const {gateway} = readConfig({BACKEND_URL: 'http://localhost:1', GATEWAY_PRESET: name})
    const different = Object.keys(own).filter((key) => inspect(own[key as never]) !== inspect(gateway[key as never]))
    t.is(different.length, Object.keys(switches).length, name)
    const asked = readConfig({
      BACKEND_URL: 'http://localhost:1',
      GATEWAY_PRESET: name,
      GATEWAY_ERRORS: 'aip',
      GATEWAY_STREAMS: '',
    })
    t.is(asked.gateway.errors, 'aip')
    t.is(asked.gateway.streams, gateway.streams, 'an empty variable is not set')
  }
  t.throws(() => readConfig({GATEWAY_PRESET: 'esp'}), {
    message: /^GATEWAY_PRESET="esp": expected one of grpc-gateway, envoy, google/,
  })
})

test('docs/migrating.md has the switches of each preset', (t) => {
  const guide = readFileSync(join(import.meta.dirname, '../../docs/migrating.md'), 'utf8')
  const names = Object.keys(presets) as (keyof typeof presets)[]
  const rows = [...guide.matchAll(/^\| `(GATEWAY_\w+)` \| (.*) \|$/gm)].map(([, name = '', cells = '']) => [
    name,
    ...cells.split(' | '),
  ])
  const all = [...new Set(names.flatMap((name) => Object.keys(presets[name])))] as (keyof typeof settings)[]
  const valueIn = (preset: object, name: string) => {
    const value = (preset as Record<string, string>)[name]
    return value === undefined ? '' : `\`${value}\``
  }
  t.deepEqual(
    rows.sort(),
    all
      .map((name) => [
        name,
        `\`${(settings[name] as {default: string}).default}\``,
        ...names.map((one) => valueIn(presets[one], name)),
      ])
      .sort(),
  )
})
