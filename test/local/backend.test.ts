import {once} from 'node:events'
import http2 from 'node:http2'
import {createRequire} from 'node:module'
import {credentials, status} from '@grpc/grpc-js'
import test, {type ExecutionContext} from 'ava'
import {type BackendOptions, startBackend} from '../../local/grpc/backend.ts'
import {type CallContext, implement} from '../../local/grpc/implement.ts'
import {Health, HealthCheckResponse_ServingStatus as Serving} from '../../src/gen/health/v1/health_pb.js'
import {PingService} from '../../src/gen/ping/ping_pb.js'
import {Repo} from '../../src/gen/repo_pb.js'
import {certificateFor} from '../helpers/certificate.ts'
import {ask, begin, clientOf} from './caller.ts'
import {Kinds} from './kinds.ts'

const {send, sendUpstream} = PingService.method
const ping = '/ping.PingService/Send'

async function start(t: ExecutionContext, options: BackendOptions = {}) {
  const backend = await startBackend(options)
  const client = clientOf(backend.target)
  t.teardown(async () => {
    client.close()
    await backend.close(0)
  })
  return {backend, client}
}

async function sessionTo(t: ExecutionContext, url: string): Promise<http2.ClientHttp2Session> {
  const session = http2.connect(url)
  session.on('error', () => {})
  t.teardown(() => session.destroy())
  await once(session, 'remoteSettings')
  return session
}

test('Send answers with the message, counting from 1', async (t) => {
  const {client} = await start(t)
  for (const index of [1, 2, 3]) {
    const before = Date.now()
    const {replies} = await ask(client, send, [{message: `Hello, ${index} Wörld`}])
    t.like(replies, [{pong: {index, message: `Hello, ${index} Wörld`}}])
    const {seconds, nanos} = replies[0]?.pong?.receivedOn ?? {seconds: 0n, nanos: 0}
    const receivedOn = Number(seconds) * 1000 + nanos / 1e6
    t.true(receivedOn >= before && receivedOn <= Date.now())
  }
})

test('SendUpstream calls another backend, and forwards its error', async (t) => {
  const {backend: other} = await start(t)
  const {backend, client} = await start(t, {
    upstream: {target: other.target, credentials: credentials.createInsecure()},
  })
  t.like((await ask(client, sendUpstream, [{message: 'up'}])).replies, [{pong: {index: 1, message: 'up'}}])
  t.is(other.log[0]?.requestId, backend.log[0]?.requestId)
  t.deepEqual([backend.ping.count, other.ping.count], [0, 1])

  const next = other.ping.next()
  const failed = ask(client, sendUpstream, [{}])
  ;(await next).fail(status.RESOURCE_EXHAUSTED, 'no more', [])
  t.like((await failed).status, {code: status.RESOURCE_EXHAUSTED, details: 'no more'})

  const held = other.ping.next()
  const {call, status: end} = begin(client, sendUpstream)
  call.end({})
  const {cancelled} = await held
  call.cancel()
  await Promise.all([end, cancelled, backend.idle(), other.idle()])
})

test('a held ping shows its call, and is answered as the test says', async (t) => {
  const {backend, client} = await start(t)
  const next = backend.ping.next()
  const reply = ask(client, send, [{message: 'hold me'}], {metadata: {'x-request-id': 'id-3', 'x-more': 'yes'}})
  const call = await next
  t.is(call.request.message, 'hold me')
  t.is(call.method, ping)
  t.deepEqual(call.metadata.get('x-more'), ['yes'])
  t.is(backend.openCalls(), 1)
  call.answer({message: 'held'})
  t.like((await reply).replies, [{pong: {index: 1, message: 'held'}}])
  await backend.idle()
})

test('a held ping notices that its caller goes away', async (t) => {
  const {backend, client} = await start(t)
  const next = backend.ping.next()
  const {call, status: end} = begin(client, send)
  call.end({})
  const {cancelled} = await next
  call.cancel()
  t.is((await end).code, status.CANCELLED)
  await Promise.all([cancelled, backend.idle()])
})

test('each call leaves one record, with the id of its request', async (t) => {
  const records: string[] = []
  const {backend, client} = await start(t, {onCall: ({method, code}) => records.push(`${method} ${code}`)})
  await ask(client, send, [{}], {metadata: {'x-request-id': 'mine'}})
  await ask(client, send, [{}])
  t.like(backend.log, [
    {method: ping, code: 'OK', requestId: 'mine'},
    {method: ping, code: 'OK'},
  ])
  t.regex(backend.log[1]?.requestId ?? '', /^[0-9a-f-]{36}$/)
  t.true(backend.log.every(({latencyMs}) => Number.isFinite(latencyMs) && latencyMs >= 0))
  t.deepEqual(records, [`${ping} OK`, `${ping} OK`])
})

test('a method has a time limit, and its handler notices it', async (t) => {
  const {backend, client} = await start(t, {limits: {[ping]: 20}})
  const next = backend.ping.next()
  const reply = ask(client, send, [{}])
  const {cancelled, context} = await next
  await cancelled
  t.is(context.signal.reason.code, status.DEADLINE_EXCEEDED)
  t.is((await reply).status.code, status.DEADLINE_EXCEEDED)
  t.is(backend.log[0]?.code, 'DEADLINE_EXCEEDED')
  await backend.idle()
})

test('the time limit applies to all kinds, even if the caller reads nothing', async (t) => {
  const ends: (() => void)[] = []
  const handler = {
    one: (_: unknown, {signal}: CallContext) =>
      new Promise<never>((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
    async *down(_: unknown, {signal}: CallContext) {
      signal.addEventListener('abort', () => ends.shift()?.())
      for (;;) yield {filler: new Uint8Array(100_000)}
    },
  }
  const handlers = {one: handler.one, up: handler.one, down: handler.down, both: handler.down}
  const kinds = {implement: (options: object) => implement(Kinds, handlers as object, options)}
  const {backend} = await start(t, {limits: {'*': 20}, services: [kinds]})
  const session = await sessionTo(t, backend.url)
  for (const {name, methodKind} of Kinds.methods) {
    const path = `/test.Kinds/${name}`
    const cancelled = new Promise<void>((resolve) => ends.unshift(resolve))
    const stream = session.request({':method': 'POST', ':path': path, 'content-type': 'application/grpc'})
    stream.on('error', () => {})
    stream.end(Buffer.alloc(5))
    if (methodKind === 'unary' || methodKind === 'client_streaming') {
      const [headers] = await once(stream, 'response')
      t.is(headers['grpc-status'], '4', name)
    } else {
      await cancelled
      stream.close(http2.constants.NGHTTP2_CANCEL)
    }
    await backend.idle()
    t.is(backend.log.at(-1)?.code, 'DEADLINE_EXCEEDED', name)
  }
})

test("a caller's own deadline ends the handler too", async (t) => {
  const {backend, client} = await start(t)
  await ask(client, send, [{}])
  const next = backend.ping.next()
  let begun: Awaited<typeof next> | undefined
  next.then((call) => {
    begun = call
  })
  // On a busy machine a call's deadline can pass before it is sent: the first call that arrives counts.
  for (let timeout = 50; !begun; timeout *= 2) {
    const reply = await ask(client, send, [{}], {deadline: Date.now() + timeout})
    t.is(reply.status.code, status.DEADLINE_EXCEEDED)
  }
  t.true(begun.context.deadline instanceof Date)
  await begun.cancelled
  await backend.idle()
})

test('a backend has the configured windows and limit of streams', async (t) => {
  const {createServer} = createRequire(import.meta.url)('node:http2') as typeof http2
  const wide = await start(t)
  const narrow = await start(t, {window: 65535, maxStreams: 7})
  t.is((createRequire(import.meta.url)('node:http2') as typeof http2).createServer, createServer)
  for (const [backend, window, streams] of [
    [wide.backend, 4 * 1024 * 1024, 100],
    [narrow.backend, 65535, 7],
  ] as const) {
    const session = await sessionTo(t, backend.url)
    t.is(session.remoteSettings.initialWindowSize, window)
    t.is(session.remoteSettings.maxConcurrentStreams, streams)
    // The connection's window is announced right after the settings.
    await new Promise((resolve) => session.ping(resolve))
    t.is(session.state.remoteWindowSize, window)
  }
})

test('backends started at the same time are independent', async (t) => {
  const all = await Promise.all(Array.from({length: 5}, (_, index) => start(t, {maxStreams: index + 1})))
  for (const [index, {backend, client}] of all.entries()) {
    t.is((await ask(client, send, [{}])).status.code, status.OK)
    t.is((await sessionTo(t, backend.url)).remoteSettings.maxConcurrentStreams, index + 1)
    t.is(backend.log.length, 1)
  }
})

test('a port that is in use is an error', async (t) => {
  const {backend} = await start(t)
  await t.throwsAsync(startBackend({port: backend.port}), {code: 'EADDRINUSE'})
})

test('an unknown method is UNIMPLEMENTED', async (t) => {
  const {client} = await start(t)
  t.is((await ask(client, Kinds.method.one!, [{}])).status.code, status.UNIMPLEMENTED)
})

test('health is reported for each service, can be watched, and is silent on request', async (t) => {
  const {backend, client} = await start(t)
  const {check, watch} = Health.method
  for (const service of ['', PingService.typeName, Repo.typeName]) {
    t.like((await ask(client, check, [{service}])).replies, [{status: Serving.SERVING}], service)
  }
  t.like((await ask(client, check, [{service: 'none'}])).status, {code: status.NOT_FOUND, details: 'unknown service'})

  const {call, status: end} = begin(client, watch, {deaf: true})
  call.end({service: PingService.typeName})
  const seen = call[Symbol.asyncIterator]()
  t.is((await seen.next()).value.status, Serving.SERVING)
  backend.health.set(PingService.typeName, 'NOT_SERVING')
  t.is((await seen.next()).value.status, Serving.NOT_SERVING)
  t.like((await ask(client, check, [{service: PingService.typeName}])).replies, [{status: Serving.NOT_SERVING}])
  call.cancel()
  await t.throwsAsync(seen.next())
  await end
  await backend.idle()

  backend.health.silence()
  const silent = begin(client, check)
  silent.call.end({})
  const asked = new Promise((resolve) => silent.call.once('finish', resolve))
  await asked
  silent.call.cancel()
  t.is((await silent.status).code, status.CANCELLED)
  backend.health.silence(false)
  t.is((await ask(client, check, [{}])).status.code, status.OK)
})

test('a backend over TLS answers, and calls itself', async (t) => {
  const certificate = certificateFor('localhost', '127.0.0.1')
  const backend = await startBackend({tls: certificate})
  const client = clientOf(backend.target, credentials.createSsl(Buffer.from(certificate.cert)))
  t.teardown(async () => {
    client.close()
    await backend.close(0)
  })
  t.regex(backend.url, /^https:\/\/localhost:\d+$/)
  t.like((await ask(client, sendUpstream, [{message: 'up'}])).replies, [{pong: {message: 'up'}}])
})

test('dropped connections are opened again', async (t) => {
  const {backend, client} = await start(t)
  const next = backend.ping.next()
  const broken = ask(client, send, [{}])
  const {cancelled} = await next
  t.is(backend.connections(), 1)
  backend.dropConnections()
  await cancelled
  t.is((await broken).status.code, status.UNAVAILABLE)
  await backend.idle()
  t.is((await ask(client, send, [{}])).status.code, status.OK)
  t.is(backend.connections(), 1)
})

test('close waits for calls in flight, and accepts no more', async (t) => {
  const {backend, client} = await start(t)
  const next = backend.ping.next()
  const reply = ask(client, send, [{}])
  const call = await next
  const closed = backend.close(60_000)
  const late = clientOf(backend.target)
  t.is((await ask(late, send, [{}])).status.code, status.UNAVAILABLE)
  late.close()
  call.answer()
  t.is((await reply).status.code, status.OK)
  await closed
  t.is(backend.connections(), 0)
})

test('close cancels calls that do not end', async (t) => {
  const {backend, client} = await start(t)
  const next = backend.ping.next()
  const reply = ask(client, send, [{}])
  const {cancelled} = await next
  await Promise.all([backend.close(0), cancelled])
  t.is((await reply).status.code, status.UNAVAILABLE)
  t.is(backend.openCalls(), 0)
})
