import {execFile} from 'node:child_process'
import {once} from 'node:events'
import {createServer} from 'node:http'
import type {AddressInfo} from 'node:net'
import {json as readJson} from 'node:stream/consumers'
import {setTimeout as pause} from 'node:timers/promises'
import {promisify} from 'node:util'
import {status} from '@grpc/grpc-js'
import test, {type ExecutionContext} from 'ava'
import {pino} from 'pino'
import {createClient} from '../../src/clients/service-client.ts'
import {Fault} from '../../src/core/fault.ts'
import {prepareTelemetry, telemetry} from '../../src/core/telemetry/telemetry.ts'
import {PingService} from '../../src/gen/ping/ping_pb.js'
import {json} from '../../src/http/response/reply.ts'
import {type App, startApp} from '../helpers/app.ts'
import {connectTo} from '../http/connection.ts'

interface Attribute {
  readonly key: string
  readonly value: {readonly stringValue?: string; readonly intValue?: string | number}
}

interface Span {
  readonly name: string
  readonly kind: number
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId?: string
  readonly attributes: readonly Attribute[]
  readonly status: {readonly code?: number}
}

/** An OTLP receiver over HTTP, and what it has received of each signal. */
const spans: Span[] = []
const services = new Set<string>()
const metrics = new Map<
  string,
  {attributes: readonly Attribute[]; count?: string; sum?: number; asInt?: string | number; asDouble?: number}[]
>()
const receiver = createServer(async (request, response) => {
  // biome-ignore lint/suspicious/noExplicitAny: OTLP's JSON, of which a test looks at a little
  const body = (await readJson(request)) as any
  for (const {resource, scopeSpans} of body.resourceSpans ?? []) {
    services.add(String(attributesOf(resource)['service.name']))
    for (const scope of scopeSpans) spans.push(...scope.spans)
  }
  for (const {scopeMetrics} of body.resourceMetrics ?? []) {
    for (const scope of scopeMetrics) {
      for (const {name, sum, histogram} of scope.metrics) metrics.set(name, (sum ?? histogram).dataPoints)
    }
  }
  response.setHeader('content-type', 'application/json').end('{}')
}).listen(0, '127.0.0.1')

let app: App
let recipe: typeof import('../../docs/telemetry.ts')
const lines: Record<string, unknown>[] = []
const log = pino({messageKey: 'message', base: null}, {write: (line: string) => void lines.push(JSON.parse(line))})

test.before(async (t) => {
  if (!receiver.listening) await once(receiver, 'listening')
  t.is(prepareTelemetry(), undefined, 'without an SDK there is nothing to load')
  process.env.K_SERVICE = 'shop'
  process.env.OTEL_EXPORTER_OTLP_ENDPOINT = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}`
  recipe = await import('../../docs/telemetry.ts')
  app = await startApp({log, flush: () => recipe.flush(), env: {K_SERVICE: 'shop', K_REVISION: 'shop-1', AUTH: 'none'}})
})
test.beforeEach(async () => {
  await recipe.flush()
  spans.length = 0
  lines.length = 0
})
test.after.always(async () => {
  await app.close()
  await recipe.shutdown()
  receiver.close().closeAllConnections()
})

const traceId = '0af7651916cd43dd8448eb211c80319c'
const caller = 'b7ad6b7169203331'
const headers = {traceparent: `00-${traceId}-${caller}-01`}

function attributesOf({attributes}: {readonly attributes: readonly Attribute[]}): Record<string, unknown> {
  return Object.fromEntries(attributes.map(({key, value}) => [key, value.stringValue ?? Number(value.intValue)]))
}

/** The value of a counter's first data point. */
function firstOf(metric: string): number {
  const [point] = metrics.get(metric) ?? []
  return Number(point?.asInt ?? point?.asDouble)
}

/** The values of a histogram's point with this attribute. */
function pointOf(metric: string, [name, value]: readonly [name: string, value: unknown]) {
  const point = metrics.get(metric)?.find((one) => attributesOf(one)[name] === value)
  return {sum: point?.sum ?? 0, count: Number(point?.count ?? 0), attributes: point && attributesOf(point)}
}

function named(name: string): Span[] {
  return spans.filter((span) => span.name === name)
}

test.serial(
  'a request has a server span, its call a client span, and both have been sent before its answer',
  async (t) => {
    const next = app.backend.ping.next()
    const answer = fetch(app.url('/api/ping?message=secret'), {headers})
    const call = await next
    call.answer({message: 'hi'})
    const response = await answer
    t.is(response.status, 200)
    const [server] = named('GET /api/ping')
    const [client] = named('ping.PingService/Send')
    t.like(server, {kind: 2, traceId, parentSpanId: caller})
    t.like(client, {kind: 3, traceId, parentSpanId: server!.spanId})
    t.like(attributesOf(server!), {
      'http.request.method': 'GET',
      'http.route': '/api/ping',
      'http.response.status_code': 200,
      'http.response.body.size': Number(response.headers.get('content-length')),
      'url.path': '/api/ping',
      'url.scheme': 'http',
      'server.address': '127.0.0.1',
    })
    t.like(attributesOf(client!), {
      'rpc.system.name': 'grpc',
      'rpc.method': 'ping.PingService/Send',
      'rpc.response.status_code': 'OK',
      'rpc.grpc.status_code': 0,
    })
    t.false(JSON.stringify(spans).includes('secret'))
    t.is(call.metadata.get('traceparent')[0], `00-${traceId}-${client!.spanId}-01`)
    // The connection is started together with the token fetch, and may be ready first. Then no call waits for it.
    const waits = [...named('id token'), ...named('connection')]
    t.deepEqual([...new Set(waits.map(({parentSpanId}) => parentSpanId))], [client!.spanId])
    t.true(
      (metrics.get('http.server.request.duration') ?? []).some(
        (point) => attributesOf(point)['http.route'] === '/api/ping',
      ),
    )
    t.is(firstOf('grpc_functions.connections'), 1)
    t.deepEqual([...services], ['shop'])
    t.truthy(metrics.get('rpc.client.call.duration'))
    t.is(firstOf('http.server.active_requests'), 0)
  },
)

test.serial('a failed call is an error in both spans, and a record that Error Reporting collects', async (t) => {
  const next = app.backend.ping.next()
  const answer = fetch(app.url('/api/ping?message=secret'), {headers})
  ;(await next).fail(status.INTERNAL, 'broken')
  t.is((await answer).status, 500)
  t.is(named('GET /api/ping')[0]?.status.code, 2)
  t.like(attributesOf(named('ping.PingService/Send')[0]!), {
    'rpc.response.status_code': 'INTERNAL',
    'error.type': 'INTERNAL',
  })
  const [line] = lines.filter(({httpRequest}) => httpRequest)
  t.like(line, {
    '@type': 'type.googleapis.com/google.devtools.clouderrorreporting.v1beta1.ReportedErrorEvent',
    serviceContext: {service: 'shop', version: 'shop-1'},
  })
  t.regex(String(line?.stack_trace), /^Fault: broken\n {4}at .*\.ts:\d+/)
  t.false(JSON.stringify(line).includes('secret'))
})

test.serial('metrics count each request and call once, in seconds and bytes', async (t) => {
  const {url, close} = await app.serve(async (scope) => {
    const {pong} = await createClient(app.runtime, PingService).send(scope, {message: String(await scope.bytes())})
    return json({message: pong?.message ?? ''})
  })
  t.teardown(close)
  const of = (metric: string) => pointOf(metric, ['http.request.method', 'PUT'])
  const calls = () => pointOf('rpc.client.call.duration', ['rpc.response.status_code', 'OK'])
  const before = calls()
  const began = performance.now()
  const response = await fetch(url, {method: 'PUT', body: 'hi'})
  const length = (await response.text()).length
  const elapsed = (performance.now() - began) / 1000
  const request = of('http.server.request.duration')
  t.deepEqual([response.status, request.count], [200, 1])
  t.true(request.sum > 0 && request.sum <= elapsed, `${request.sum} s of ${elapsed} s`)
  t.is(of('http.server.request.body.size').sum, 2)
  t.is(of('http.server.response.body.size').sum, length)
  t.deepEqual(request.attributes, {
    'http.request.method': 'PUT',
    'url.scheme': 'http',
    'http.response.status_code': 200,
  })
  const call = calls()
  t.is(call.count, before.count + 1)
  t.true(call.sum > before.sum && call.sum - before.sum <= elapsed, `${call.sum - before.sum} s of ${elapsed} s`)
  t.false('error.type' in call.attributes!)
  t.like(attributesOf(named('ping.PingService/Send')[0]!), {
    'rpc.service': 'ping.PingService',
    'server.address': '127.0.0.1',
    'server.port': Number(new URL(app.backend.url).port),
  })
})

test.serial('a span has the scheme and the address of the caller as the front ends tell them', async (t) => {
  const other = await startApp({flush: () => recipe.flush(), env: {K_SERVICE: 'shop', AUTH: 'none', TRUSTED_HOPS: '1'}})
  t.teardown(() => other.close())
  const headers = {'x-forwarded-proto': 'https', 'x-forwarded-for': '203.0.113.9, 10.0.0.1', 'user-agent': 'tester'}
  await fetch(other.url('/health/live?key=secret'), {headers})
  const server = await onlySpan(t)
  t.like(attributesOf(server), {
    'url.scheme': 'https',
    'url.path': '/health/live',
    'client.address': '203.0.113.9',
    'user_agent.original': 'tester',
    'network.protocol.version': '1.1',
  })
  t.false('http.request.body.size' in attributesOf(server))
})

test.serial('a span has no fragment and no query of the request line', async (t) => {
  await using connection = await connectTo(app.url(''))
  connection.get('/nowhere#access_token=secret?key=secret')
  t.is((await connection.response()).status, 404)
  t.is(attributesOf(await onlySpan(t))['url.path'], '/nowhere')
  t.false(JSON.stringify(spans).includes('secret'))
})

test.serial('callers cannot create time series by their methods', async (t) => {
  t.is((await fetch(app.url('/nowhere'), {method: 'PROPFIND'})).status, 404)
  const [server] = named('HTTP')
  t.like(attributesOf(server!), {'http.request.method': '_OTHER', 'http.request.method_original': 'PROPFIND'})
  t.is(pointOf('http.server.request.duration', ['http.request.method', 'PROPFIND']).count, 0)
  t.is(pointOf('http.server.request.duration', ['http.request.method', '_OTHER']).count, 1)
})

for (const [url, port] of [
  ['http://there', 80],
  ['https://there', 443],
  ['https://there:8443', 8443],
] as const) {
  test.serial(`the port of ${url} in a span is ${port}`, async (t) => {
    const head = {host: undefined, userAgent: undefined, clientAddress: undefined, bodySize: undefined, headers: {}}
    const request = telemetry()!.request({...head, method: 'GET', path: '/', scheme: 'http', protocolVersion: '1.1'})!
    request.call({method: 'a.B/C', url})!.end('OK')
    request.end({status: 200, isFailure: false, bodySize: 0})
    await recipe.flush()
    t.like(attributesOf(named('a.B/C')[0]!), {'server.address': 'there', 'server.port': port})
  })
}

test.serial('an error of the caller is not an error of the span', async (t) => {
  t.is((await fetch(app.url('/nowhere'))).status, 404)
  const [server] = named('GET')
  t.is(server?.status.code ?? 0, 0)
  t.is(attributesOf(server!)['http.route'], undefined)
  t.false(lines.some((line) => '@type' in line))
})

test.serial('several calls of a request are all in its record, and children of its span', async (t) => {
  const ping = createClient(app.runtime, PingService)
  const served = await app.serve(async (scope) => {
    await Promise.all(['a', 'b', 'c'].map((message) => ping.send(scope, {message})))
    return json({})
  })
  t.teardown(served.close)
  t.is((await fetch(served.url)).status, 200)
  const [server] = named('GET')
  t.deepEqual(
    named('ping.PingService/Send').map(({parentSpanId}) => parentSpanId),
    Array(3).fill(server!.spanId),
  )
  const [line] = lines.filter(({httpRequest}) => httpRequest)
  t.is((line!.grpcCalls as unknown[]).length, 3)
})

test.serial('a flush that hangs or fails delays nobody, and is in the log', async (t) => {
  const hung = Promise.withResolvers<void>()
  const flushes = [() => hung.promise, () => Promise.reject(new Error('no collector'))]
  for (const flush of flushes) {
    const other = await startApp({log, flush})
    t.is((await fetch(other.url('/health/live'))).status, 200)
    t.true(lines.some(({message}) => /^flush\(\) /.test(String(message))))
    lines.length = 0
    await other.close()
  }
})

test.serial('after a flush that hung, requests do not wait until it has ended', async (t) => {
  const hung = Promise.withResolvers<void>()
  let flushes = 0
  const other = await startApp({
    log,
    flush: () => {
      flushes++
      return hung.promise
    },
  })
  t.teardown(() => other.close())
  const live = () => fetch(other.url('/health/live')).then((response) => response.text())
  await live()
  await live()
  t.is(flushes, 1)
  hung.resolve()
  await live()
  t.is(flushes, 2)
})

/** The only server span, once no request is in flight. */
async function onlySpan(t: ExecutionContext): Promise<Span> {
  await app.quiet(t)
  const servers = spans.filter(({kind}) => kind === 2)
  t.is(servers.length, 1)
  return servers[0]!
}

test.serial('a caller that hangs up ends both spans, once', async (t) => {
  await using connection = await connectTo(app.url(''))
  const next = app.backend.ping.next()
  connection.get('/api/ping?message=hi')
  const {cancelled} = await next
  connection.socket.destroy()
  await cancelled
  const server = await onlySpan(t)
  t.like(attributesOf(server), {'http.response.status_code': 499, 'http.response.body.size': 0})
  t.is(server.status.code ?? 0, 0)
  t.deepEqual(
    named('ping.PingService/Send').map((span) => attributesOf(span)['rpc.response.status_code']),
    ['CANCELLED'],
  )
})

test.serial('a deadline ends both spans, once', async (t) => {
  const next = app.backend.ping.next()
  const response = await fetch(app.url('/api/ping?message=hi'), {headers: {'x-server-timeout': '0.2'}})
  t.is(response.status, 504)
  await (await next).cancelled
  const server = await onlySpan(t)
  const size = Number(response.headers.get('content-length'))
  t.like(attributesOf(server), {
    'http.response.status_code': 504,
    'http.response.body.size': size,
    'error.type': 'DEADLINE_EXCEEDED',
  })
  t.is(named('ping.PingService/Send').length, 1)
})

test.serial('a stream that breaks is an error, although its status was 200', async (t) => {
  const served = await app.serve(() => ({body: broken()}))
  t.teardown(served.close)
  const response = await fetch(served.url)
  t.is(response.status, 200)
  await t.throwsAsync(response.text())
  const server = await onlySpan(t)
  t.like(attributesOf(server), {'http.response.status_code': 200, 'error.type': 'DATA_LOSS'})
  t.is(server.status.code, 2)
})

async function* broken(): AsyncGenerator<string> {
  yield 'begun'
  throw new Fault('DATA_LOSS', 'broken')
}

test.serial("the status is that of the response, in the caller's protocol", async (t) => {
  const next = app.backend.ping.next()
  const answer = fetch(app.url('/ping.PingService/Send'), {
    method: 'POST',
    headers: {'content-type': 'application/grpc-web+proto'},
    body: Buffer.alloc(5),
  })
  ;(await next).fail(status.INTERNAL, 'broken')
  t.is((await answer).status, 200)
  const server = await onlySpan(t)
  t.is(server.name, 'POST /ping.PingService/Send')
  t.like(attributesOf(server), {'http.response.status_code': 200, 'error.type': 'INTERNAL'})
  t.is(server.status.code, 2)
})

test.serial('a token that cannot be fetched is a part of the call that failed', async (t) => {
  const other = await startApp({flush: () => recipe.flush(), env: {K_SERVICE: 'shop', AUTH: 'none'}})
  t.teardown(() => other.close())
  other.metadata.fail(404, 1)
  t.is((await fetch(other.url('/api/ping?message=hi'))).status, 503)
  const [client] = named('ping.PingService/Send')
  t.deepEqual(
    named('id token').map(({parentSpanId}) => parentSpanId),
    [client!.spanId],
  )
})

test.serial('a retry is a child span of its call, and counted', async (t) => {
  const iam = app.backend.iam!
  await fetch(app.url('/api/ping?message=hi'))
  spans.length = 0
  const tokens = firstOf('grpc_functions.id_tokens')
  // The front end takes every token for expired.
  iam.now = () => Date.now() + 3_600_000
  t.teardown(() => (iam.now = Date.now))
  t.is((await fetch(app.url('/api/ping?message=hi'))).status, 502)
  const [client] = named('ping.PingService/Send')
  for (const part of ['retry', 'id token']) t.is(named(part)[0]?.parentSpanId, client!.spanId)
  t.is(named('retry').length, 1)
  t.is(firstOf('grpc_functions.id_tokens'), tokens + 1)
  const [retries] = metrics.get('grpc_functions.retries')!
  t.is(Number(retries?.asDouble ?? retries?.asInt), 1)
  t.like(attributesOf(retries!), {'rpc.method': 'ping.PingService/Send'})
})

test.serial('a connection that replaces a lost one is a reconnect', async (t) => {
  t.is((await fetch(app.url('/api/ping?message=hi'))).status, 200)
  const connections = firstOf('grpc_functions.connections')
  app.backend.dropConnections()
  t.is((await fetch(app.url('/api/ping?message=hi'))).status, 200)
  t.is(firstOf('grpc_functions.connections'), connections + 1)
  t.is(firstOf('grpc_functions.reconnects'), 1)
})

for (const method of ['end', 'setAttributes', 'updateName'] as const) {
  test.serial(`an SDK whose spans throw at ${method} fails no request`, async (t) => {
    const {trace} = await import('@opentelemetry/api')
    const prototype = Object.getPrototypeOf(trace.getTracer('own').startSpan('any'))
    const original = prototype[method]
    prototype[method] = () => {
      throw new Error('A processor failed')
    }
    t.teardown(() => (prototype[method] = original))
    t.is((await fetch(app.url('/api/ping?message=hi'))).status, 200)
    t.is(firstOf('http.server.active_requests'), 0)
  })
}

test.serial('the spans of a call whose propagator throws end too', async (t) => {
  const {propagation} = await import('@opentelemetry/api')
  const {inject} = propagation
  propagation.inject = () => {
    throw new Error('A propagator failed')
  }
  t.teardown(() => (propagation.inject = inject))
  const next = app.backend.ping.next()
  const answer = fetch(app.url('/api/ping?message=hi'), {headers})
  const {answer: go} = await next
  go()
  t.is((await answer).status, 200)
  t.is(named('ping.PingService/Send').length, 1)
})

test.serial('log lines belong to the span of their request', async (t) => {
  t.is((await fetch(app.url('/health/live'), {headers})).status, 200)
  const [line] = lines.filter(({httpRequest}) => httpRequest)
  const {traceId, spanId} = await onlySpan(t)
  t.is(line?.['logging.googleapis.com/trace'], `projects/${app.metadata.projectId}/traces/${traceId}`)
  t.is(line?.['logging.googleapis.com/spanId'], spanId)
})

test.serial("a function's own spans belong to the span of its request", async (t) => {
  const {trace} = await import('@opentelemetry/api')
  const served = await app.serve(async () => {
    await pause(0)
    trace.getTracer('own').startSpan('own work').end()
    return json({})
  })
  t.teardown(served.close)
  await (await fetch(served.url)).text()
  const [own] = named('own work')
  t.is(spans.filter(({kind, spanId}) => kind === 2 && spanId === own?.parentSpanId).length, 1)
  t.truthy(telemetry())
})

test('an API of OpenTelemetry that cannot be loaded is tried once, with one warning', async (t) => {
  const script = `
    import {registerHooks} from 'node:module'
    let attempts = 0
    registerHooks({
      resolve(name, context, next) {
        if (name !== '@opentelemetry/api') return next(name, context)
        attempts++
        throw new Error('no such package')
      },
    })
    globalThis[Symbol.for('opentelemetry.js.api.1')] = {}
    const {prepareTelemetry, telemetry} = await import('./src/core/telemetry/telemetry.ts')
    await prepareTelemetry()
    console.log(attempts, prepareTelemetry(), telemetry())`
  const {stdout, stderr} = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script], {
    cwd: `${import.meta.dirname}/../..`,
  })
  t.is(stdout, '1 undefined undefined\n')
  t.is(stderr.match(/Warning: OpenTelemetry cannot be used: Error: no such package/g)?.length, 1, stderr)
})
