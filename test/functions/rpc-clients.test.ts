import {execFile} from 'node:child_process'
import {createHash} from 'node:crypto'
import {mkdtempSync, rmSync, symlinkSync, writeFileSync} from 'node:fs'
import type {IncomingMessage} from 'node:http'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {promisify} from 'node:util'
import {Code, ConnectError, createClient, type Transport} from '@connectrpc/connect'
import {compressionGzip, createConnectTransport, createGrpcWebTransport} from '@connectrpc/connect-node'
import {Metadata, status} from '@grpc/grpc-js'
import test, {type ExecutionContext} from 'ava'
import {StatusError} from '../../local/grpc/status-error.ts'
import {detail} from '../../src/core/fault.ts'
import {BadRequestSchema} from '../../src/gen/google/rpc/error_details_pb.js'
import {startApp} from '../helpers/app.ts'
import {stepsIn} from '../helpers/commands.ts'
import {type Any, type Served, silence, startServed} from './gateway-services.ts'
import {ask} from './rpc-client.ts'

// Connect's own clients, connected to the gateway by HTTP/1.1.

const root = join(import.meta.dirname, '../..')

let app: Served
/** With AUTH=jwt, and an API key. */
let guarded: Served
/** With a rate limit of one request an hour. */
let limited: Served
const folder = mkdtempSync(join(tmpdir(), 'keys-'))
test.before(async () => {
  app = await startServed({protos: {'pure.proto': pure}, echoes: ['pure.Pure']})
  limited = await startServed({env: {RATE_LIMIT: '1/1h'}})
  const keys = join(folder, 'keys')
  writeFileSync(
    keys,
    `${createHash('sha256').update('k').digest('hex')} partner served.Echo/Whole,served.Streams/Down\n`,
  )
  guarded = await startServed({
    protos: {'pure.proto': pure},
    echoes: ['pure.Pure'],
    env: {AUTH: 'jwt', AUTH_API_KEYS: keys, AUTH_PUBLIC: 'served.Streams/Up'},
  })
})
test.afterEach.always(async (t) => {
  await app.quiet(t)
  await guarded.quiet(t)
  await limited.quiet(t)
})
test.after.always(async () => {
  await app?.close()
  await guarded?.close()
  await limited?.close()
  rmSync(folder, {recursive: true})
})

const pure = `syntax = "proto3";
package pure;
import "every/every.proto";
service Pure {
  rpc Get(every.Every) returns (every.Every) { option idempotency_level = NO_SIDE_EFFECTS; }
}`

const gzip = {
  sendCompression: compressionGzip,
  acceptCompression: [compressionGzip],
  compressMinBytes: 0,
}

const transports: Readonly<Record<string, (baseUrl: string) => Transport>> = {
  'Connect in JSON': (baseUrl) => createConnectTransport({baseUrl, httpVersion: '1.1', useBinaryFormat: false}),
  'Connect in protobuf': (baseUrl) => createConnectTransport({baseUrl, httpVersion: '1.1', useBinaryFormat: true}),
  'Connect in gzip': (baseUrl) => createConnectTransport({baseUrl, httpVersion: '1.1', ...gzip}),
  'gRPC-Web in JSON': (baseUrl) => createGrpcWebTransport({baseUrl, httpVersion: '1.1', useBinaryFormat: false}),
  'gRPC-Web in protobuf': (baseUrl) => createGrpcWebTransport({baseUrl, httpVersion: '1.1', useBinaryFormat: true}),
  'gRPC-Web in gzip': (baseUrl) => createGrpcWebTransport({baseUrl, httpVersion: '1.1', ...gzip}),
}

function clientOf(served: Served, service: string, transport: (baseUrl: string) => Transport): Any {
  return createClient(served.schema.registry.getService(service)!, transport(served.url('')))
}

async function* given(...messages: Any[]) {
  yield* messages
}

async function failure(t: ExecutionContext, work: Promise<unknown>): Promise<ConnectError> {
  return (await t.throwsAsync(work, {instanceOf: ConnectError}))!
}

for (const [name, transport] of Object.entries(transports)) {
  test.serial(`${name}: calls of all kinds`, async (t) => {
    const echo = clientOf(app, 'served.Echo', transport)
    const streams = clientOf(app, 'served.Streams', transport)
    const text = 'é'.repeat(1000)
    t.like(await echo.whole({name: text, int64Value: 9007199254740993n}), {name: text, int64Value: 9007199254740993n})
    t.deepEqual((await streams.up(given({name: 'a'}, {name: text}))).names, ['a', text])
    const down = await Array.fromAsync<Any>(streams.down({int32Value: 3, name: text}))
    t.deepEqual(
      down.map(({int32Value}) => int32Value),
      [1, 2, 3],
    )
    const both = await Array.fromAsync<Any>(streams.both(given({name: 'a'}, {name: 'b'})))
    t.deepEqual(
      both.map((message) => message.name),
      ['a', 'b'],
    )
  })

  test.serial(`${name}: metadata in both directions`, async (t) => {
    let sent: Metadata | undefined
    using _ = app.echo.handle({
      whole(request, context) {
        sent = context.metadata
        const header = new Metadata()
        header.set('x-head', 'h')
        context.sendHeader(header)
        context.trailer.set('x-tail-bin', Buffer.from([255, 0]))
        return request
      },
    })
    const seen: {head?: string | null; tail?: string | null} = {}
    await clientOf(app, 'served.Echo', transport).whole(
      {},
      {
        headers: {'x-mine': 'm', 'x-mine-bin': '/wA'},
        onHeader: (headers: Headers) => {
          seen.head = headers.get('x-head')
        },
        onTrailer: (trailers: Headers) => {
          seen.tail = trailers.get('x-tail-bin')
        },
      },
    )
    t.like(sent!.getMap(), {'x-mine': 'm', 'x-mine-bin': Buffer.from([255, 0])})
    t.deepEqual(seen, {head: 'h', tail: '/wA'})
  })

  test.serial(`${name}: an error, with its details and metadata, before and after the first message`, async (t) => {
    const fail = (context: Any): never => {
      context.trailer.set('x-tail', 'a')
      throw new StatusError(status.FAILED_PRECONDITION, 'Not yet: 50 % é', [
        detail(BadRequestSchema, {fieldViolations: [{field: 'name'}]}),
      ])
    }
    using _ = app.echo.handle({whole: (_request, context) => fail(context)})
    using __ = app.streams.handle({
      async *down(_request, context) {
        yield {name: 'a'}
        fail(context)
      },
    })
    const got: string[] = []
    const read = async () => {
      for await (const message of clientOf(app, 'served.Streams', transport).down({})) got.push(message.name)
    }
    for (const work of [clientOf(app, 'served.Echo', transport).whole({}), read()]) {
      const error = await failure(t, work)
      t.is(error.code, Code.FailedPrecondition)
      t.is(error.rawMessage, 'Not yet: 50 % é')
      t.is(error.metadata.get('x-tail') ?? error.metadata.get('trailer-x-tail'), 'a')
      t.is(error.findDetails(BadRequestSchema as Any).length, 1)
    }
    t.deepEqual(got, ['a'])
  })

  test.serial(`${name}: a timeout, and a client that leaves, cancel the call`, async (t) => {
    using _ = app.streams.handle({
      async *down(_request, context) {
        yield {name: 'a'}
        yield await silence(context)
      },
    })
    const streams = clientOf(app, 'served.Streams', transport)
    const all = Array.fromAsync(streams.down({}, {timeoutMs: 300}))
    t.is((await failure(t, all)).code, Code.DeadlineExceeded)
    await app.backend.idle()
    const left = app.streams.next()
    const caller = new AbortController()
    const reading = (async () => {
      for await (const _message of streams.down({}, {signal: caller.signal})) caller.abort()
    })()
    t.is((await failure(t, reading)).code, Code.Canceled)
    await (await left).cancelled
  })

  test.serial(`${name}: a stream that is cut is an error`, async (t) => {
    const next = app.streams.next()
    using _ = app.streams.handle({
      async *down(_request, context) {
        yield {name: 'a'}
        yield await silence(context)
      },
    })
    const reading = Array.fromAsync(clientOf(app, 'served.Streams', transport).down({}))
    const {cancelled} = await next
    app.server.closeAllConnections()
    await failure(t, reading)
    await cancelled
  })

  test.serial(`${name}: a caller without credentials or permission gets an error of the protocol`, async (t) => {
    const echo = clientOf(guarded, 'served.Echo', transport)
    const streams = clientOf(guarded, 'served.Streams', transport)
    const key = {headers: {'x-api-key': 'k'}}
    const calls = guarded.backend.log.length
    for (const [work, code] of [
      [echo.whole({}), Code.Unauthenticated],
      [Array.fromAsync(streams.down({})), Code.Unauthenticated],
      [echo.body({}, key), Code.PermissionDenied],
      [Array.fromAsync(streams.both(given({}), key)), Code.PermissionDenied],
    ] as const) {
      t.is((await failure(t, work)).code, code)
    }
    t.is(guarded.backend.log.length, calls)
    using _ = guarded.echo.handle({
      whole: (_request, {metadata}) => ({names: metadata.get('x-api-key').map(String)}),
    })
    t.deepEqual((await echo.whole({}, key)).names, [], 'the key is for us alone')
    t.deepEqual((await streams.up(given({name: 'a'}))).names, ['a'], 'what is public needs no proof')
  })

  test.serial(`${name}: a caller above the rate limit gets an error of the protocol`, async (t) => {
    const echo = clientOf(limited, 'served.Echo', transport)
    await echo.whole({}).catch(() => {})
    const calls = limited.backend.log.length
    const error = await failure(t, echo.whole({}))
    t.is(error.code, Code.ResourceExhausted)
    t.truthy(error.metadata.get('retry-after'))
    const down = Array.fromAsync(clientOf(limited, 'served.Streams', transport).down({}))
    t.is((await failure(t, down)).code, Code.ResourceExhausted)
    t.is(limited.backend.log.length, calls)
  })
}

test.serial('a caller without credentials cannot find out whether a path has a method', async (t) => {
  const version = {'connect-protocol-version': '1'}
  const types = ['application/json', 'application/proto', 'application/connect+json', 'application/grpc-web+proto']
  types.push('application/grpc', 'application/connect+xml', 'image/png', '')
  const requests: {method?: string; query?: string; headers?: Record<string, string>}[] = [
    ...types.flatMap((type) => [
      {headers: {...(type && {'content-type': type})}},
      {headers: {...(type && {'content-type': type}), ...version}},
      {method: 'PUT', headers: {...(type && {'content-type': type})}},
    ]),
    {method: 'GET', query: '?connect=v1&encoding=json&message=%7B%7D'},
    {method: 'GET', query: '?connect=v1'},
    {method: 'GET'},
    {method: 'DELETE'},
  ]
  for (const {query = '', ...request} of requests) {
    const seen = []
    for (const method of ['served.Echo/Nope', 'served.Echo/Whole', 'served.Streams/Down', 'pure.Pure/Get']) {
      const {status, headers, text} = await ask(guarded.url(''), {...request, path: `/${method}${query}`})
      const named = ['content-type', 'www-authenticate', 'allow', 'accept-post'].map((name) => headers.get(name))
      seen.push(JSON.stringify([status, ...named, text.replaceAll(method, '')]))
    }
    t.is(new Set(seen).size, 1, `${JSON.stringify(request)}${query}\n${seen.join('\n')}`)
    t.regex(seen[0]!, /^\[401,|grpc-status: 16|unauthenticated/)
  }
})

test.serial('the Connect client of docs/clients.md prints what it was sent', async (t) => {
  const own = await startApp()
  t.teardown(() => own.close())
  const place = mkdtempSync(join(tmpdir(), 'client-'))
  t.teardown(() => rmSync(place, {recursive: true}))
  for (const name of ['node_modules', 'src']) symlinkSync(join(root, name), join(place, name))
  const {path, text} = stepsIn('docs/clients.md').find((step) => step.kind === 'file')!
  writeFileSync(join(place, 'package.json'), '{"type": "module"}')
  writeFileSync(join(place, path), text.replace('http://localhost:8080', own.url('')))
  const {stdout} = await promisify(execFile)(process.execPath, [path], {cwd: place})
  t.is(stdout, 'hi\n')
})

test.serial('Connect: a client that uses GET where a method has no side effects', async (t) => {
  const methods: (string | undefined)[] = []
  const note = ({method}: IncomingMessage) => methods.push(method)
  app.server.on('request', note)
  t.teardown(() => app.server.off('request', note))
  const get = (useBinaryFormat: boolean) => (baseUrl: string) =>
    createConnectTransport({baseUrl, httpVersion: '1.1', useHttpGet: true, useBinaryFormat})
  for (const isBinary of [false, true]) {
    t.like(await clientOf(app, 'pure.Pure', get(isBinary)).get({name: 'a b+é'}), {name: 'a b+é'})
    t.like(await clientOf(app, 'served.Echo', get(isBinary)).whole({name: 'a'}), {name: 'a'})
  }
  t.deepEqual(methods, ['GET', 'POST', 'GET', 'POST'])
})
