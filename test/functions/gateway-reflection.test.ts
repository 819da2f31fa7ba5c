import {createHash} from 'node:crypto'
import {mkdtempSync, rmSync, writeFileSync} from 'node:fs'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {PassThrough} from 'node:stream'
import {clone, type DescFile, toBinary} from '@bufbuild/protobuf'
import {BinaryReader, BinaryWriter, WireType} from '@bufbuild/protobuf/wire'
import {type FileDescriptorProto, FileDescriptorProtoSchema} from '@bufbuild/protobuf/wkt'
import {Server, ServerCredentials, type ServerDuplexStream} from '@grpc/grpc-js'
import test, {type ExecutionContext} from 'ava'
import {pino} from 'pino'
import {type Backend, startBackend} from '../../local/grpc/backend.ts'
import {gateway} from '../../src/functions/gateway.ts'
import {PingService} from '../../src/gen/ping/ping_pb.js'
import {advance} from '../clients/clock.ts'
import {runtimeOf} from '../clients/runtime.ts'
import {type App, type AppOptions, startApp} from '../helpers/app.ts'
import {buildSchema} from './gateway-schema.ts'
import {connectMcp, eras} from './mcp-client.ts'

const reflection = {GATEWAY_SCHEMA: 'reflection', BACKEND_AUDIENCE: ''}

async function appFor(t: ExecutionContext, url: string, {env, ...options}: AppOptions = {}): Promise<App> {
  const app = await startApp({target: 'gateway', env: {...reflection, BACKEND_URL: url, ...env}, ...options})
  t.teardown(() => app.close())
  return app
}

async function backendFor(t: ExecutionContext, port?: number): Promise<Backend> {
  const backend = await startBackend({...(port && {port})})
  t.teardown(() => backend.close())
  return backend
}

const statusOf = async (app: App, path: string, init?: RequestInit) => (await fetch(app.url(path), init)).status

/** The number of reflection calls that `backend` has had. */
const asked = ({log}: Backend) => log.filter(({method}) => String(method).includes('ServerReflection')).length

test.serial('the first request fetches the schema, all that wait share it, and later ones fetch nothing', async (t) => {
  const backend = await backendFor(t)
  const app = await appFor(t, backend.url)
  t.is(asked(backend), 0)
  const paths = ['/api/ping?message=hi', '/openapi.json', '/nope', '/api/ping?message=hi']
  t.deepEqual(await Promise.all(paths.map((path) => statusOf(app, path))), [200, 200, 404, 200])
  const once = asked(backend)
  t.is(once, 2, 'a call for its services, and one for their files')
  const document = await (await fetch(app.url('/openapi.json'))).json()
  t.deepEqual(Object.keys((document as {paths: object}).paths), ['/api/ping', '/api/ping:upstream', '/api/repos'])
  const headers = {'content-type': 'application/json', 'connect-protocol-version': '1'}
  t.is(await statusOf(app, '/ping.PingService/Send', {method: 'POST', headers, body: '{}'}), 200, 'by Connect, too')
  t.is(asked(backend), once)
  await app.quiet(t)
})

/** A server with only `version` of reflection, which answers with each file without its imports. */
async function reflecting(
  t: ExecutionContext,
  files: readonly FileDescriptorProto[],
  {version = 'v1', services = files.flatMap((file) => file.service.map(({name}) => `${file.package}.${name}`))} = {},
): Promise<string> {
  const server = new Server()
  const answer = (request: Buffer): Buffer => {
    const reader = new BinaryReader(request)
    const [no] = reader.tag()
    const text = reader.string()
    const writer = new BinaryWriter().tag(no === 7 ? 6 : 4, WireType.LengthDelimited).fork()
    if (no === 7) {
      for (const name of services)
        writer.tag(1, WireType.LengthDelimited).fork().tag(1, WireType.LengthDelimited).string(name).join()
      return Buffer.from(writer.join().finish())
    }
    const has = ({name, package: scope, service}: FileDescriptorProto) =>
      no === 3 ? name === text : service.some((one) => `${scope}.${one.name}` === text)
    const file = files.find(has)
    if (file)
      return Buffer.from(
        writer.tag(1, WireType.LengthDelimited).bytes(toBinary(FileDescriptorProtoSchema, file)).join().finish(),
      )
    const failure = new BinaryWriter().tag(7, WireType.LengthDelimited).fork().tag(1, WireType.Varint).int32(5)
    return Buffer.from(failure.tag(2, WireType.LengthDelimited).string('Not here').join().finish())
  }
  const path = `/grpc.reflection.${version}.ServerReflection/ServerReflectionInfo`
  const codec = {requestDeserialize: (bytes: Buffer) => bytes, responseSerialize: (bytes: Buffer) => bytes}
  server.addService(
    {
      info: {
        path,
        requestStream: true,
        responseStream: true,
        requestSerialize: codec.responseSerialize,
        responseDeserialize: codec.requestDeserialize,
        ...codec,
      },
    },
    {
      info(call: ServerDuplexStream<Buffer, Buffer>) {
        call.on('data', (request: Buffer) => call.write(answer(request)))
        call.on('end', () => call.end())
      },
    },
  )
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) =>
      error ? reject(error) : resolve(port),
    )
  })
  t.teardown(() => server.forceShutdown())
  return `http://127.0.0.1:${port}`
}

function filesOf(file: DescFile): FileDescriptorProto[] {
  return [file.proto, ...file.dependencies.flatMap(filesOf)]
}

test.serial('v1alpha works too, and missing imports are fetched', async (t) => {
  const app = await appFor(t, await reflecting(t, filesOf(PingService.file), {version: 'v1alpha'}))
  t.is(await statusOf(app, '/api/ping?message=hi'), 501, 'there is no service behind it')
  t.is(await statusOf(app, '/openapi.json'), 200)
})

test.serial('a backend that is down is 503, and the next request tries again', async (t) => {
  const first = await startBackend()
  const {port} = new URL(first.url)
  await first.close()
  const app = await appFor(t, first.url)
  for (const path of ['/api/ping', '/openapi.json', '/nope']) {
    const refused = await fetch(app.url(path))
    t.is(refused.status, 503, path)
    t.true(Number(refused.headers.get('retry-after')) > 0)
    t.is(
      ((await refused.json()) as {error: {details: {reason: string}[]}}).error.details[0]?.reason,
      'SCHEMA_UNAVAILABLE',
    )
  }
  t.is(await statusOf(app, '/health/live'), 200)
  await backendFor(t, Number(port))
  t.is(await statusOf(app, '/api/ping?message=hi'), 200)
})

test.serial('a backend without server reflection is 503, and the log says so', async (t) => {
  const written = new PassThrough()
  const log = pino({messageKey: 'message'}, written)
  const app = await appFor(t, await reflecting(t, filesOf(PingService.file), {version: 'v9'}), {log})
  t.is(await statusOf(app, '/api/ping'), 503)
  t.regex(String(written.read()), /has no server reflection/)
})

test.serial('a service that a backend lists without its file is left out, and the log says so', async (t) => {
  const written = new PassThrough()
  const log = pino({messageKey: 'message'}, written)
  const services = ['ping.Gone', 'ping.PingService']
  const app = await appFor(t, await reflecting(t, filesOf(PingService.file), {services}), {log})
  t.is(await statusOf(app, '/api/ping'), 501)
  t.regex(String(written.read()), /without giving their descriptors: ping\.Gone"/)
})

test.serial('a backend that has no file for an import is 503, and the log says so', async (t) => {
  const written = new PassThrough()
  const log = pino({messageKey: 'message'}, written)
  const app = await appFor(t, await reflecting(t, [PingService.file.proto]), {log})
  t.is(await statusOf(app, '/api/ping'), 503)
  t.regex(String(written.read()), /does not give \\"google\/api\/annotations\.proto/)
})

test.serial('a schema of more than 64 MiB is not read to its end', async (t) => {
  const large = Array.from({length: 24}, (_, index) => {
    const file = clone(FileDescriptorProtoSchema, PingService.file.proto)
    // Each imports the next one, so that each takes a call of its own: a call has a deadline.
    const dependency = [`large${index + 1}.proto`]
    return Object.assign(file, {name: `large${index}.proto`, dependency, service: [], messageType: []})
  })
  const main = clone(FileDescriptorProtoSchema, PingService.file.proto)
  main.dependency = ['large0.proto']
  // A name that nobody reads.
  for (const file of large) file.syntax = 'x'.repeat(3 * 1024 * 1024)
  const written = new PassThrough()
  const log = pino({messageKey: 'message'}, written)
  const app = await appFor(t, await reflecting(t, [main, ...large]), {log})
  t.is(await statusOf(app, '/api/ping'), 503)
  t.regex(String(written.read()), /Its schema has more than 67108864 bytes/)
})

test.serial('services of gRPC itself are not served', async (t) => {
  const backend = await backendFor(t)
  const written = new PassThrough()
  const log = pino({messageKey: 'message'}, written)
  const app = await appFor(t, backend.url, {env: {GATEWAY_DEFAULT_BINDINGS: 'true'}, log})
  const init = {method: 'POST', headers: {'content-type': 'application/json'}, body: '{}'}
  t.is(await statusOf(app, '/api/ping?message=hi'), 200)
  t.is(await statusOf(app, '/grpc.health.v1.Health/Check', init), 404)
  t.is(
    await statusOf(app, '/grpc.health.v1.Health/Check', {...init, headers: {'content-type': 'application/proto'}}),
    404,
  )
  t.notRegex(String(written.read()), /without giving their descriptors/)
})

test.serial('several backends are asked, each for the services that are configured for it', async (t) => {
  const [main, own] = [await backendFor(t), await backendFor(t)]
  const app = await appFor(t, main.url, {env: {BACKEND_URL_REPO: own.url}})
  t.is(await statusOf(app, '/api/ping?message=hi'), 200)
  const body = '{"context": {"creatorId": "me", "name": "a"}} {"data": "aGVsbG8="}'
  t.is(
    await statusOf(app, '/api/repos', {method: 'POST', body, headers: {'content-type': 'application/x-ndjson'}}),
    200,
  )
  const called = ({log}: Backend) =>
    log.map(({method}) => String(method)).filter((method) => !method.includes('Reflection'))
  t.deepEqual([called(main), called(own)], [['/ping.PingService/Send'], ['/Repo/CreateRepo']])
})

test.serial('two backends with different files of one name are an error that names both', async (t) => {
  const other = clone(FileDescriptorProtoSchema, PingService.file.proto)
  other.service[0]!.name = 'Other'
  const [one, two] = [
    await reflecting(t, filesOf(PingService.file)),
    await reflecting(t, [other, ...filesOf(PingService.file).slice(1)]),
  ]
  const written = new PassThrough()
  const log = pino({messageKey: 'message'}, written)
  const app = await appFor(t, one, {env: {BACKEND_URL_OTHER: two}, log})
  const refused = await fetch(app.url('/api/ping'))
  t.is(refused.status, 503)
  const text = await refused.text()
  t.regex(text, /SCHEMA_UNSERVABLE/)
  t.false(text.includes('127.0.0.1'), 'callers learn nothing of it')
  t.true(String(written.read()).includes(`${one} and ${two} have two different files \\"${other.name}\\"`))
})

test.serial('nothing is open until the schema is known, and then the paths of AUTH_PUBLIC', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'reflection-'))
  t.teardown(() => rmSync(folder, {recursive: true}))
  const keys = join(folder, 'keys')
  writeFileSync(keys, `${createHash('sha256').update('secret').digest('hex')} tester ping.PingService/SendUpstream\n`)
  const first = await startBackend()
  const {port} = new URL(first.url)
  await first.close()
  const app = await appFor(t, first.url, {
    env: {AUTH: 'jwt', AUTH_API_KEYS: keys, AUTH_PUBLIC: 'ping.PingService/Send'},
  })
  const key = {headers: {'x-api-key': 'secret'}}
  t.is(await statusOf(app, '/api/ping?message=hi'), 401)
  t.is(await statusOf(app, '/openapi.json'), 401)
  t.is(await statusOf(app, '/nope'), 401)
  await backendFor(t, Number(port))
  t.is(await statusOf(app, '/api/ping?message=hi'), 200)
  t.is(await statusOf(app, '/api/ping:upstream?message=hi'), 401)
  t.is(await statusOf(app, '/api/ping:upstream?message=hi', key), 200)
  t.is(await statusOf(app, '/api/repos', {...key, method: 'POST'}), 403, 'the key is not for it')
  t.is(await statusOf(app, '/openapi.json'), 401)
})

test.serial("the error of a backend that is down has the format of the request's protocol", async (t) => {
  const backend = await startBackend()
  await backend.close()
  const app = await appFor(t, backend.url, {env: {MCP: 'true'}})
  const path = '/ping.PingService/Send'
  const version = {'connect-protocol-version': '1'}
  const post = async (path: string, type: string, headers = {}) => {
    const response = await fetch(app.url(path), {method: 'POST', headers: {...headers, 'content-type': type}, body: ''})
    t.is(response.headers.get('retry-after'), '1')
    return {status: response.status, text: await response.text()}
  }
  const unary = await post(path, 'application/json', version)
  t.deepEqual([unary.status, JSON.parse(unary.text).code], [503, 'unavailable'])
  const stream = await post(path, 'application/connect+json')
  t.deepEqual([stream.status, JSON.parse(stream.text.slice(5)).error.code], [200, 'unavailable'])
  const web = await post(path, 'application/grpc-web+proto')
  t.is(web.status, 200)
  t.regex(web.text, /grpc-status: 14/)
  const mcp = await post('/mcp', 'application/json')
  t.like(JSON.parse(mcp.text), {jsonrpc: '2.0', error: {code: -32000}})
  const rest = await post(path, 'application/json')
  t.deepEqual([rest.status, JSON.parse(rest.text).error.status], [503, 'UNAVAILABLE'])
})

test.serial('agents get the tools of the backends, whose schema the first request fetches', async (t) => {
  const first = await startBackend()
  const {port} = new URL(first.url)
  await first.close()
  const app = await appFor(t, first.url, {env: {MCP: 'true'}})
  await t.throwsAsync(connectMcp(app.url('/mcp')), {message: /503|UNAVAILABLE/})
  await backendFor(t, Number(port))
  for (const era of eras) {
    await using client = await connectMcp(app.url('/mcp'), era)
    const {tools} = await client.listTools()
    t.true(tools.some(({name}) => name === 'PingService_Send'))
    const {structuredContent} = await client.callTool({name: 'PingService_Send', arguments: {message: 'hi'}})
    t.like(structuredContent, {pong: {message: 'hi'}})
  }
})

test.serial(
  'an old schema is fetched again, and so is one that seems to be old; the last one is used if that fails',
  async (t) => {
    const backend = await startBackend()
    const {port} = new URL(backend.url)
    const written = new PassThrough()
    const log = pino({messageKey: 'message', level: 'warn'}, written)
    const app = await appFor(t, backend.url, {env: {GATEWAY_SCHEMA_MAX_AGE_SECONDS: '60'}, log})
    const ping = () => statusOf(app, '/api/ping?message=hi')
    t.is(await ping(), 200)
    const once = asked(backend)
    advance(59_000)
    t.is(await ping(), 200)
    t.is(asked(backend), once)
    advance(2000)
    t.is(await ping(), 200)
    t.is(asked(backend), 2 * once)
    t.is(await statusOf(app, '/nope'), 404)
    t.is(await ping(), 200)
    t.is(asked(backend), 2 * once, 'not at once')
    advance(11_000)
    t.is(await ping(), 200)
    t.is(asked(backend), 3 * once)
    await backend.close()
    advance(61_000)
    const failures = () => String(written.read() ?? '').match(/The schema could not be updated/g)?.length ?? 0
    failures()
    t.is(await statusOf(app, '/nope'), 404)
    t.is(await statusOf(app, '/openapi.json'), 200)
    t.is(await statusOf(app, '/nope'), 404)
    t.is(failures(), 1, 'they are not asked with each request')
    advance(11_000)
    t.is(await statusOf(app, '/openapi.json'), 200)
    t.is(failures(), 1)
    await backendFor(t, Number(port))
  },
)

test.serial(
  'a method that its backend has no more, and a new one, are seen by the next request after it',
  async (t) => {
    const proto = (more: string) => `syntax = "proto3";
    package a;
    import "google/api/annotations.proto";
    message M {}
    service S { rpc One(M) returns (M) { option (google.api.http) = {get: "/one"}; } ${more} }`
    using old = buildSchema({'a.proto': proto('')})
    using young = buildSchema({
      'a.proto': proto('rpc Two(M) returns (M) { option (google.api.http) = {get: "/two"}; }'),
    })
    const files = filesOf(old.registry.getFile('a.proto')!)
    const app = await appFor(t, await reflecting(t, files))
    t.is(await statusOf(app, '/two'), 404)
    files[0] = young.registry.getFile('a.proto')!.proto
    advance(11_000)
    t.is(await statusOf(app, '/two'), 501)
    files[0] = old.registry.getFile('a.proto')!.proto
    advance(11_000)
    t.is(await statusOf(app, '/two'), 404)
    files[0] = young.registry.getFile('a.proto')!.proto
    advance(11_000)
    const headers = {'content-type': 'application/json', 'connect-protocol-version': '1'}
    t.is(await statusOf(app, '/a.S/Two', {method: 'POST', headers, body: '{}'}), 501, 'by Connect')
    files[0] = old.registry.getFile('a.proto')!.proto
    advance(11_000)
    t.is(await statusOf(app, '/two'), 404)
  },
)

test('impossible combinations are refused at start', (t) => {
  const made = (env: Record<string, string>) => gateway(runtimeOf({GATEWAY_SCHEMA: 'reflection', ...env}))
  t.throws(() => made({}), {message: /^BACKEND_URL is not set/})
  t.throws(() => made({BACKEND_URL: 'http://localhost:1', GATEWAY_DESCRIPTORS: 'x'}), {
    message: /^GATEWAY_SCHEMA="reflection"/,
  })
  t.notThrows(() => made({BACKEND_URL: 'http://localhost:1'}))
})
