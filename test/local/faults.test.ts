import {spawn} from 'node:child_process'
import {once} from 'node:events'
import http2 from 'node:http2'
import {create, fromBinary, toBinary} from '@bufbuild/protobuf'
import {Client, credentials, Metadata, type ServiceError, status} from '@grpc/grpc-js'
import test, {type ExecutionContext} from 'ava'
import {freeze, thaw} from '../../local/faults/freeze.ts'
import {startProxy} from '../../local/faults/proxy.ts'
import {startFaultServer} from '../../local/faults/server.ts'
import {RequestSchema, ResponseSchema} from '../../src/gen/ping/ping_pb.js'

const path = '/ping.PingService/Send'
let count = 0

/** A client of plain grpc-js, so that our own client cannot hide what the rig does. */
function clientOf(t: ExecutionContext, port: number) {
  const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure(), {
    'grpc.use_local_subchannel_pool': 1,
    'grpc.enable_retries': 0,
    'grpc.initial_reconnect_backoff_ms': 10,
    'grpc.max_reconnect_backoff_ms': 10,
  })
  t.teardown(() => client.close())
  return (message: string, deadline = 20_000) =>
    new Promise<string>((resolve, reject) => {
      const metadata = new Metadata()
      metadata.set('x-request-id', `${message}-${++count}`)
      client.makeUnaryRequest(
        path,
        (text: string) => Buffer.from(toBinary(RequestSchema, create(RequestSchema, {message: text}))),
        (bytes) => fromBinary(ResponseSchema, bytes).pong?.message ?? '',
        message,
        metadata,
        {deadline: Date.now() + deadline},
        (error, answer) => (error ? reject(error) : resolve(answer!)),
      )
    })
}

async function rig(t: ExecutionContext, options: Parameters<typeof startFaultServer>[0] = {}) {
  const server = await startFaultServer(options)
  const proxy = await startProxy({target: () => server.port})
  t.teardown(async () => {
    await proxy.close()
    await server.close()
  })
  return {server, proxy, ask: clientOf(t, proxy.port)}
}

const codeOf = (error: unknown) => (error as ServiceError).code

test('the proxy forwards everything, and counts it', async (t) => {
  const {proxy, ask, server} = await rig(t)
  t.is(await ask('hello'), 'hello')
  const [connection] = proxy.connections
  t.true(connection!.toServer.forwarded > 0 && connection!.toClient.forwarded > 0)
  t.is(connection!.toServer.received, connection!.toServer.forwarded)
  t.deepEqual([proxy.accepted, server.connections.accepted, server.executions.length], [1, 1, 1])
})

test('a silent drop keeps the sockets open and forwards nothing; one direction can be dropped alone', async (t) => {
  const {proxy, ask, server} = await rig(t)
  await ask('before')
  const [connection] = proxy.connections
  proxy.drop({directions: ['toClient']})
  const seen = connection!.toClient.forwarded
  t.is(codeOf(await t.throwsAsync(ask('lost', 300))), status.DEADLINE_EXCEEDED)
  t.is(server.executions.length, 2, 'the request still arrives')
  t.is(connection!.toClient.forwarded, seen)
  proxy.drop()
  t.is(codeOf(await t.throwsAsync(ask('lost', 300))), status.DEADLINE_EXCEEDED)
  t.is(server.executions.length, 2)
  t.is(proxy.connections.length, 1)
})

test('a later connection is not dropped unless configured', async (t) => {
  const {proxy, ask, server} = await rig(t)
  await ask('first')
  proxy.drop()
  t.is(await clientOf(t, proxy.port)('second'), 'second')
  t.is(server.executions.length, 2)
})

test('dead connections stay dead when later connections are forwarded again', async (t) => {
  const {proxy, ask, server} = await rig(t)
  await ask('first')
  proxy.drop({later: true})
  proxy.forward({open: false})
  t.is(codeOf(await t.throwsAsync(ask('lost', 300))), status.DEADLINE_EXCEEDED)
  t.is(await clientOf(t, proxy.port)('second'), 'second')
  t.is(server.executions.length, 2)
})

test('FIN, RST and a cut after a number of bytes end a connection; the next one works', async (t) => {
  const {proxy, ask} = await rig(t)
  for (const end of [() => proxy.fin(), () => proxy.reset(), () => proxy.cutAfter(0, 'reset', 'toServer')]) {
    await ask('before')
    const [connection] = proxy.connections
    end()
    if (proxy.connections.includes(connection!)) await t.throwsAsync(ask('cut'))
    await connection!.closed
    t.is(await ask('after'), 'after')
  }
})

test('a refused connection looks like a server that is down', async (t) => {
  const {proxy, ask} = await rig(t)
  proxy.refuse()
  t.is(codeOf(await t.throwsAsync(ask('down'))), status.UNAVAILABLE)
  proxy.forward()
  t.is(await clientOf(t, proxy.port)('up'), 'up')
})

test('the server treats each call as configured, and records each execution', async (t) => {
  const {server, ask} = await rig(t)
  server.next({kind: 'refuse'})
  t.is(codeOf(await t.throwsAsync(ask('refused'))), status.UNAVAILABLE)
  t.is(server.executions.length, 0)
  server.next({kind: 'reset'}, {kind: 'reset', messages: 1}, {kind: 'http', status: 429}, {kind: 'stall'})
  t.is(codeOf(await t.throwsAsync(ask('reset'))), status.INTERNAL)
  t.is(codeOf(await t.throwsAsync(ask('reset after a message'))), status.INTERNAL)
  t.is(codeOf(await t.throwsAsync(ask('no gRPC'))), status.UNAVAILABLE)
  t.is(codeOf(await t.throwsAsync(ask('stalled', 200))), status.DEADLINE_EXCEEDED)
  server.next({kind: 'status', code: status.ABORTED, message: 'again, please'})
  t.like(await t.throwsAsync(ask('status')), {code: status.ABORTED, details: 'again, please'})
  t.is(server.executions.length, 4)
  t.deepEqual(server.doubles, [])
})

test('after a GOAWAY the next call goes to another connection', async (t) => {
  const {server, ask} = await rig(t)
  await ask('first')
  server.goaway()
  // A call that was sent before the GOAWAY arrived is refused.
  t.is(await ask('second').catch(() => ask('second')), 'second')
  t.is(server.connections.accepted, 2)
})

/** Resolves with the error code of `stream` when it has closed. */
async function closed(stream: http2.ClientHttp2Stream): Promise<number | undefined> {
  stream.on('error', () => {}).resume()
  return await new Promise((resolve) => stream.on('close', () => resolve(stream.rstCode)))
}

/** Begins a request of /ping.PingService/Send without ending it. */
function begin(session: http2.ClientHttp2Session, id: string): http2.ClientHttp2Stream {
  return session.request({':method': 'POST', ':path': path, 'content-type': 'application/grpc', 'x-request-id': id})
}

test('a call that a GOAWAY says was not executed is not, even if it arrives while the GOAWAY is sent', async (t) => {
  let ends = false
  const answer = new Uint8Array()
  const {server} = await rig(t, {
    methods: {
      '/ping.PingService/Send': () => {
        if (ends) server.goaway()
        return [answer]
      },
    },
  })
  const said = new Map<string, number>()
  const sessions = Array.from({length: 30}, (_, index) => {
    const session = http2.connect(server.url)
    session.on('error', () => {}).on('goaway', (_code, lastStream) => said.set(String(index), lastStream))
    t.teardown(() => session.destroy())
    return session
  })
  const callAll = (round: string) =>
    Promise.all(sessions.map((session, index) => closed(begin(session, `${round}${index}`).end())))
  await callAll('first-')
  ends = true
  await callAll('')
  t.is(said.size, 30)
  const executed = new Set(server.executions.map(({requestId}) => requestId))
  t.true([...said].every(([id, lastStream]) => lastStream >= 3 || !executed.has(id)))
})

test('a GOAWAY with the last executed stream refuses the others', async (t) => {
  const {server} = await rig(t)
  const session = http2.connect(server.url)
  t.teardown(() => session.destroy())
  t.is(await closed(begin(session, 'executed').end()), http2.constants.NGHTTP2_NO_ERROR)
  const stream = begin(session, 'begun')
  while (server.calls.open === 0) await new Promise(setImmediate)
  server.goaway({lastStream: 'executed'})
  stream.end()
  t.is(await closed(stream), http2.constants.NGHTTP2_REFUSED_STREAM)
  t.deepEqual(
    server.executions.map(({requestId}) => requestId),
    ['executed'],
  )
})

test('a hard stop ends connections even if their other end is silent', async (t) => {
  const {server, proxy, ask} = await rig(t)
  await ask('before')
  proxy.drop()
  server.goaway()
  await server.restart({hard: true})
  t.is(server.connections.open, 0)
})

test('the server gives up a connection after closeAfter calls, and nothing is lost', async (t) => {
  const {server, ask} = await rig(t, {closeAfter: 2})
  for (let call = 0; call < 6; call++) t.is(await ask('again'), 'again')
  t.true(server.connections.accepted >= 3)
})

test('no more streams are open than maxStreams allows', async (t) => {
  const {server, ask} = await rig(t, {maxStreams: 3})
  await ask('warm')
  server.treatment = {kind: 'answer', ms: 20}
  await Promise.all(Array.from({length: 12}, () => ask('many')))
  t.is(server.calls.most, 3)
})

test('a restart keeps the port; calls in flight are answered by a graceful restart', async (t) => {
  const {server, ask} = await rig(t)
  server.treatment = {kind: 'answer', ms: 50}
  await ask('warm')
  const {port} = server
  const open = ask('in flight')
  while (server.calls.open === 0) await new Promise(setImmediate)
  await server.restart()
  t.is(await open, 'in flight')
  t.is(server.port, port)
  t.is(await ask('after'), 'after')
  await server.restart({hard: true})
  // A call that begins before the client has read the end of its connection is lost with it.
  t.is(await ask('after a hard one').catch(() => ask('after a hard one')), 'after a hard one')
})

test('a frozen process does nothing until it is thawed', async (t) => {
  const child = spawn(process.execPath, ['-e', "process.stdin.on('data', (text) => process.stdout.write(text))"])
  t.teardown(() => child.kill('SIGKILL'))
  child.stdin.write('a')
  await once(child.stdout, 'data')
  await freeze(child)
  let answered = false
  const answer = once(child.stdout, 'data').then(() => {
    answered = true
  })
  child.stdin.write('b')
  for (let turns = 0; turns < 50; turns++) await new Promise(setImmediate)
  t.false(answered)
  await thaw(child)
  await answer
  t.true(answered)
})
