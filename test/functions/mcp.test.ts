import {createHash} from 'node:crypto'
import {mkdtempSync, rmSync, writeFileSync} from 'node:fs'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {status} from '@grpc/grpc-js'
import test from 'ava'
import {StatusError} from '../../local/grpc/status-error.ts'
import {ConfigError, readConfig} from '../../src/core/config.ts'
import {toolMethods} from '../../src/gateway/mcp/selection.ts'
import {startIssuer, type TestIssuer} from '../auth/issuer.ts'
import {connectTo} from '../http/connection.ts'
import {buildSchema, servedSchema} from './gateway-schema.ts'
import {type Any, type Served, silence, startServed} from './gateway-services.ts'
import {connectMcp, eras} from './mcp-client.ts'

// The SDK's own client, connected to a gateway in front of real services.

const hinted = `syntax = "proto3";
package hinted;
import "every/every.proto";
import "google/api/annotations.proto";
import "grpc_functions/options.proto";
message Version { string etag = 1; }
service Versions { rpc Get(Version) returns (Version) { option (google.api.http) = {get: "/versions/{etag}"}; } }
service Hints {
  // Reads it. It changes nothing.
  rpc Read(every.Every) returns (every.Every) { option idempotency_level = NO_SIDE_EFFECTS; }
  rpc Put(every.Every) returns (every.Every) { option idempotency_level = IDEMPOTENT; }
  rpc Named(every.Every) returns (every.Every) { option (grpc_functions.tool) = {name: "by_option"}; }
  rpc Hidden(every.Every) returns (every.Every) { option (grpc_functions.tool) = {hidden: true}; }
}`
const protos = {'hinted.proto': hinted}
const echoes = ['hinted.Hints', 'hinted.Versions']
const env = {
  MCP: 'true',
  MCP_TOOLS: 'served.Echo, served.Streams/Down=count, hinted.Hints, hinted.Versions, served.Plain/One',
  CORS_ORIGINS: 'https://app.example',
  GATEWAY_SERVICES: 'hinted.Hints,hinted.Versions,served.Echo,served.Streams,served.Plain',
}

const start = {BACKEND_URL: 'http://localhost:1', AUTH: 'none'}

let app: Served
let issuer: TestIssuer
let closed: Served
test.before(async () => {
  app = await startServed({protos, echoes, env})
  issuer = await startIssuer()
  closed = await startServed({
    protos,
    echoes,
    env: {
      ...env,
      AUTH: 'jwt',
      AUTH_ISSUERS: `${issuer.url} audience=api`,
      AUTH_ALLOW: 'served.Echo email=nobody@example.com; served.Plain email=nobody@example.com',
    },
  })
})
test.afterEach.always((t) => Promise.all([app.quiet(t), closed.quiet(t)]))
test.after.always(() => Promise.all([app.close(), closed.close(), issuer.close()]))

const connect = (served: Served, ...how: Skip<Parameters<typeof connectMcp>>) => connectMcp(served.url('/mcp'), ...how)

type Skip<All extends unknown[]> = All extends [unknown, ...infer Others] ? Others : never

for (const era of eras) {
  test.serial(`${era}: tools are listed with the schemas of their messages`, async (t) => {
    await using client = await connect(app, era)
    const {tools} = await client.listTools()
    const tool = (name: string) => tools.find((one) => one.name === name)!
    t.deepEqual(tool('Hints_Read').annotations, {readOnlyHint: true, idempotentHint: true})
    t.deepEqual(tool('Hints_Put').annotations, {idempotentHint: true})
    t.regex(tool('Hints_Read').description!, /^Reads it/)
    t.truthy(tool('count'))
    t.truthy(tool('by_option'))
    t.false(tools.some(({name}) => /Hidden|Named/.test(name)))
    t.false(tools.some(({name}) => name === 'Streams_Up'))
    const {inputSchema} = tool('Echo_Whole')
    t.is(inputSchema.type, 'object')
    t.false(['oneOf', 'anyOf', 'allOf'].some((keyword) => keyword in inputSchema))
    const text = JSON.stringify(tools)
    t.notRegex(text, /components\/schemas/)
    // The schema of a recursive message refers to itself.
    t.like(inputSchema.properties, {child: {$ref: '#/$defs/every.Child-Input'}})
    t.like((inputSchema.$defs as Any)['every.Child-Input'].properties, {child: {$ref: '#/$defs/every.Child-Input'}})
  })

  test.serial(`${era}: a tool is called, and its answer is text and structured content`, async (t) => {
    await using client = await connect(app, era)
    const {structuredContent, content, isError} = await client.callTool({
      name: 'Echo_Whole',
      arguments: {name: 'a', int64Value: '9007199254740993', child: {name: 'b'}},
    })
    t.falsy(isError)
    t.deepEqual(structuredContent, {name: 'a', int64Value: '9007199254740993', child: {name: 'b'}})
    t.deepEqual(JSON.parse((content as Any)[0].text), structuredContent)
  })

  test.serial(`${era}: a call has the routing header of its rule's path`, async (t) => {
    const call = app.echo.next()
    await using client = await connect(app, era)
    await client.callTool({name: 'Echo_Paths', arguments: {name: 'a/b'}})
    t.deepEqual((await call).context.metadata.get('x-goog-request-params'), ['name=a%2Fb'])
  })

  test.serial(`${era}: errors are tool errors, with AIP-193's body`, async (t) => {
    using _ = app.echo.handle({
      whole: () => {
        throw new StatusError(status.NOT_FOUND, 'No such thing')
      },
    })
    await using client = await connect(app, era)
    const result = await client.callTool({name: 'Echo_Whole', arguments: {}})
    t.true(result.isError)
    t.like(JSON.parse((result.content as Any)[0].text), {
      error: {code: 404, status: 'NOT_FOUND', message: 'No such thing'},
    })
    const wrong = await client.callTool({name: 'Echo_Whole', arguments: {nope: 1}})
    t.like(JSON.parse((wrong.content as Any)[0].text), {error: {code: 400, status: 'INVALID_ARGUMENT'}})
    await t.throwsAsync(client.callTool({name: 'nowhere', arguments: {}}), {message: /no tool "nowhere"/})
  })

  test.serial(`${era}: messages of a stream are progress, and the result has all of them`, async (t) => {
    await using client = await connect(app, era)
    const seen: unknown[] = []
    const {structuredContent} = await client.callTool(
      {name: 'count', arguments: {int32Value: 3}},
      {onprogress: ({progress, message}) => seen.push([progress, JSON.parse(message!)])},
    )
    t.deepEqual(structuredContent, {messages: [{int32Value: 1}, {int32Value: 2}, {int32Value: 3}]})
    t.deepEqual(seen, [
      [1, {int32Value: 1}],
      [2, {int32Value: 2}],
      [3, {int32Value: 3}],
    ])
  })

  test.serial(`${era}: a GET with a name in its path is a resource`, async (t) => {
    await using client = await connect(app, era)
    const {resourceTemplates} = await client.listResourceTemplates()
    t.true(resourceTemplates.some(({uriTemplate}) => uriTemplate === 'api:///one/{name}'))
    const {contents} = await client.readResource({uri: 'api:///one/x%20y'})
    t.deepEqual(JSON.parse((contents[0] as Any).text), {name: 'x y'})
    await t.throwsAsync(client.readResource({uri: 'api:///nowhere/x'}))
  })
}

test.serial('an endless stream is cut at the limit of a result', async (t) => {
  const call = app.streams.next()
  using _ = app.streams.handle({
    async *down() {
      for (;;) yield {name: 'x'.repeat(100_000)}
    },
  })
  await using client = await connect(app)
  const {structuredContent} = await client.callTool({name: 'count', arguments: {}})
  t.like(structuredContent, {truncated: true})
  await (await call).cancelled
  t.pass()
})

test.serial('a call that its client cancels is cancelled at the backend', async (t) => {
  using _ = app.echo.handle({whole: (_: Any, context) => silence(context)})
  await using client = await connect(app)
  const call = app.echo.next()
  const caller = new AbortController()
  const result = client.callTool({name: 'Echo_Whole', arguments: {}}, {signal: caller.signal})
  const {cancelled} = await call
  caller.abort()
  await t.throwsAsync(result)
  await cancelled
})

test.serial('a caller without credentials gets 401, and is told where to log in', async (t) => {
  const response = await post(closed, {jsonrpc: '2.0', id: 1, method: 'tools/list', params: {}})
  t.is(response.status, 401)
  t.regex(
    response.headers.get('www-authenticate')!,
    /resource_metadata="http:.*\/\.well-known\/oauth-protected-resource"/,
  )
})

test.serial('nothing of a body is read or answered before its caller is verified', async (t) => {
  for (const body of [[], [{}], 'x', null, {method: 'nope'}]) t.is((await post(closed, body)).status, 401)
  t.is((await post(closed, {}, {authorization: 'Bearer x.y.z'})).status, 401)
  t.is((await fetch(closed.url('/mcp'), {headers: {connection: 'close'}})).status, 401)
  await using connection = await connectTo(closed.url('/'))
  connection.send('POST /mcp HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n')
  t.is((await connection.response()).status, 401)
})

test.serial('a caller is shown the tools that it may call, and cannot call others', async (t) => {
  await using client = await connect(closed, '2026-07-28', {authorization: `Bearer ${await issuer.token()}`})
  const names = (await client.listTools()).tools.map(({name}) => name)
  t.true(names.includes('Hints_Read'))
  t.false(names.includes('Echo_Whole'))
  t.like(await client.callTool({name: 'Hints_Read', arguments: {name: 'a'}}), {structuredContent: {name: 'a'}})
  await t.throwsAsync(client.callTool({name: 'Echo_Whole', arguments: {}}))
  const uris = (await client.listResourceTemplates()).resourceTemplates.map(({uriTemplate}) => uriTemplate)
  t.false(uris.includes('api:///one/{name}'))
})

test.serial('conditions of a request for MCP do not apply to the resource that it reads', async (t) => {
  await using client = await connect(app, '2026-07-28', {'if-none-match': '*'})
  const {contents} = await client.readResource({uri: 'api:///versions/x'})
  t.deepEqual(JSON.parse((contents[0] as Any).text), {etag: 'x'})
})

test.serial('a stream whose client hangs up is cancelled at the backend', async (t) => {
  using _ = app.streams.handle({
    async *down(_request: Any, context) {
      yield {name: 'a'}
      yield await silence(context)
    },
  })
  await using client = await connect(app)
  const call = app.streams.next()
  const caller = new AbortController()
  const result = client.callTool(
    {name: 'count', arguments: {}},
    {signal: caller.signal, onprogress: () => caller.abort()},
  )
  const {cancelled} = await call
  await t.throwsAsync(result)
  await cancelled
})

test.serial('keys of AUTH_API_KEYS are accepted, and RATE_LIMIT counts each of their requests', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'keys-'))
  t.teardown(() => rmSync(folder, {recursive: true}))
  const keys = join(folder, 'keys')
  const line = (key: string, name: string) =>
    `${createHash('sha256').update(key).digest('hex')} ${name} served.Echo/Whole,served.Streams/Down\n`
  writeFileSync(keys, line('one', 'first') + line('two', 'second'))
  const keyed = await startServed({
    protos,
    echoes,
    env: {...env, AUTH: 'jwt', AUTH_API_KEYS: keys, RATE_LIMIT: '5/1h'},
  })
  t.teardown(() => keyed.close())
  const statusFrom = async (work: Promise<unknown>) => ((await t.throwsAsync(work)) as Any).data?.status
  t.is(await statusFrom(connect(keyed)), 401)
  t.is(await statusFrom(connect(keyed, '2026-07-28', {'x-api-key': 'three'})), 401)
  await using client = await connect(keyed, '2026-07-28', {'x-api-key': 'one'})
  t.deepEqual((await client.listTools()).tools.map(({name}) => name).sort(), ['Echo_Whole', 'count'])
  const seen = keyed.echo.next()
  t.like(await client.callTool({name: 'Echo_Whole', arguments: {name: 'a'}}), {structuredContent: {name: 'a'}})
  t.deepEqual((await seen).context.metadata.get('x-api-key'), [], 'the key is for us alone')
  t.is(await statusFrom(client.callTool({name: 'Hints_Read', arguments: {}})), 403)
  await client.listTools()
  const calls = keyed.backend.log.length
  t.is(await statusFrom(client.callTool({name: 'Echo_Whole', arguments: {}})), 429)
  t.is(keyed.backend.log.length, calls)
  await using other = await connect(keyed, '2026-07-28', {'x-api-key': 'two'})
  t.falsy((await other.callTool({name: 'Echo_Whole', arguments: {}})).isError, 'another caller has its own')
  t.is(await statusFrom(other.readResource({uri: 'api:///versions/x'})), 403, 'a resource is its method')
})

test.serial('limits, origins and methods apply as everywhere', async (t) => {
  t.is((await fetch(app.url('/mcp'), {headers: {connection: 'close'}})).status, 405)
  const list = {jsonrpc: '2.0', id: 1, method: 'tools/list', params: {}}
  t.is((await post(app, list, {origin: 'https://evil.example'})).status, 403)
  t.is((await post(app, list, {origin: 'https://app.example'})).status, 200)
  const many = Array.from({length: 30_000}, () => 0)
  t.is((await post(app, {...list, params: {many}})).status, 400)
  t.is((await post(app, 'x'.repeat(2_000_000))).status, 413)
})

test.serial('an error before the request is read is a JSON-RPC error, with the body of REST', async (t) => {
  const list = {jsonrpc: '2.0', id: 1, method: 'tools/list', params: {}}
  for (const [served, body, status, code, name] of [
    [app, '{', 400, -32700, 'INVALID_ARGUMENT'],
    [app, '', 400, -32700, 'INVALID_ARGUMENT'],
    [app, '"\xff', 400, -32700, 'INVALID_ARGUMENT'],
    [app, '{"jsonrpc": "2.0", "id": 1, "id": 2}', 400, -32700, 'INVALID_ARGUMENT'],
    [app, JSON.stringify([list, list]), 400, -32600, 'INVALID_ARGUMENT'],
    [app, '"x"', 400, -32600, undefined],
    [app, ' '.repeat(2_000_000), 413, -32600, 'INVALID_ARGUMENT'],
    [closed, JSON.stringify(list), 401, -32000, 'UNAUTHENTICATED'],
  ] as const) {
    const response = await postText(served, body)
    t.is(response.status, status)
    t.regex(response.headers.get('content-type')!, /^application\/json/)
    const {jsonrpc, id, error} = (await response.json()) as Any
    t.deepEqual([jsonrpc, id, error.code], ['2.0', null, code])
    t.is(error.data?.error.status, name)
    if (name) t.deepEqual([error.data.error.code, error.data.error.message], [status, error.message])
  }
  t.is(
    (await fetch(app.url('/mcp'), {method: 'DELETE', headers: {connection: 'close'}})).headers.get('allow'),
    'OPTIONS, POST',
  )
})

test.serial('a URI that is malformed, or of a method that is no tool, is an error of the call', async (t) => {
  await using client = await connect(app)
  for (const uri of ['api:///one/%ff', 'api:///one/%', 'api:////', 'api:///up']) {
    await t.throwsAsync(client.readResource({uri}), {message: /There is no resource/})
  }
})

function post(served: Served, body: unknown, headers: Record<string, string> = {}): Promise<Response> {
  return postText(served, JSON.stringify(body), headers)
}

function postText(served: Served, body: string, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(served.url('/mcp'), {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
      connection: 'close',
      ...headers,
    },
    body,
  })
}

test('MCP_TOOLS with a method that is not served, or that takes a stream, is refused', (t) => {
  using schema = servedSchema(protos)
  const methods = [...schema.registry.files].flatMap(({services}) => services.flatMap(({methods}) => methods))
  const select = (text: string) => toolMethods(methods, readConfig({...start, MCP_TOOLS: text}).gateway.tools)
  t.throws(() => select('served.Ecko'), {message: /MCP_TOOLS: no service or method "served.Ecko".*served.Echo/})
  t.throws(() => select('served.Streams/Up'), {message: /takes a stream/})
  t.throws(() => select('served.Echo/Whole=a,served.Echo/Paths=a'), {message: /two methods have the name "a"/})
  t.throws(() => select('served.Echo/Whole=a b'))
  t.throws(() => select('served.Echo=all'), {message: /MCP_TOOLS="served.Echo=all": expected/})
  t.deepEqual(
    select('hinted.Hints/Hidden, hinted.Hints/Named=other').map(({name}) => name),
    ['other', 'Hints_Hidden'],
  )
  for (const {name} of toolMethods(methods, [])) t.regex(name, /^[\w-]{1,64}$/)
})

test('each tool has a name of its own, of at most 64 characters', (t) => {
  const verbose = `Get${'Very'.repeat(20)}Long`
  const shop = (name: string) => `syntax = "proto3";
    package ${name};
    message Name { string name = 1; }
    service Shop { rpc Get(Name) returns (Name); rpc ${verbose}A(Name) returns (Name); rpc ${verbose}B(Name) returns (Name); }
    service ${name === 'a' ? 'Own' : 'Other'} { rpc Get(Name) returns (Name); rpc Set(Name) returns (Name); }`
  using schema = buildSchema({'a.proto': shop('a'), 'b.proto': shop('b')})
  const methods = [...schema.registry.files].flatMap(({services}) => services.flatMap(({methods}) => methods))
  const named = (text: string) => {
    const rules = text === '' ? [] : readConfig({...start, MCP_TOOLS: text}).gateway.tools
    const tools = toolMethods(methods, rules)
    return Object.fromEntries(tools.map(({method, name}) => [`${method.parent.typeName}/${method.name}`, name]))
  }
  const all = named('')
  t.like(all, {
    'a.Shop/Get': 'a_Shop_Get',
    'b.Shop/Get': 'b_Shop_Get',
    'a.Own/Get': 'Own_Get',
    'b.Other/Get': 'Other_Get',
  })
  t.is(new Set(Object.values(all)).size, 10)
  for (const name of Object.values(all)) t.regex(name, /^[\w-]{1,64}$/)
  t.regex(all[`a.Shop/${verbose}B`]!, /^\w+VeryLongB$/, 'the end of a long name is its most specific part')
  t.deepEqual(named('a.Shop/Get'), {'a.Shop/Get': 'Shop_Get'}, 'only one of the services is there')
  t.deepEqual(named('a.Own, a.Own/Set=put'), {'a.Own/Get': 'Own_Get', 'a.Own/Set': 'put'})
  t.deepEqual(named('a.Own/Set=Own_Get, a.Own'), {'a.Own/Get': 'Own_Get_2', 'a.Own/Set': 'Own_Get'})
})

test('a name in a proto that clients would refuse is an error at start', (t) => {
  for (const name of ['two words', 'a/b', 'x'.repeat(65)]) {
    using schema = buildSchema({
      'named.proto': `syntax = "proto3";
        import "grpc_functions/options.proto";
        message Name { string name = 1; }
        service Named { rpc Get(Name) returns (Name) { option (grpc_functions.tool) = {name: "${name}"}; } }`,
    })
    t.throws(() => toolMethods(schema.registry.getService('Named')!.methods, []), {
      instanceOf: ConfigError,
      message: `Named/Get: (grpc_functions.tool) has the name "${name}": expected up to 64 letters, digits, _ and -`,
    })
  }
})
