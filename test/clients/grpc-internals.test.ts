import {once} from 'node:events'
import http2 from 'node:http2'
import type {AddressInfo} from 'node:net'
import {connectivityState, type Metadata, Metadata as Sent, type StatusObject} from '@grpc/grpc-js'
import test, {type ExecutionContext} from 'ava'
import {type FaultServer, startFaultServer} from '../../local/faults/server.ts'
import {openChannel} from '../../src/clients/connections/connecting.ts'
import {
  forgetMessage,
  keepMessagesBeforeFailure,
  prefixSize,
  progressOf,
  sendInPlace,
  sessionOf,
  streamOf,
  withRoom,
} from '../../src/clients/connections/grpc-internals.ts'
import {readConfig} from '../../src/core/config.ts'

// Fails when an upgrade of grpc-js changes the internals that grpc-internals.ts uses.

async function connected(t: ExecutionContext, server: Pick<FaultServer, 'url' | 'close'>) {
  const channel = openChannel(
    readConfig({BACKEND_URL: server.url, BACKEND_AUDIENCE: 'none'}).backendOf('any'),
    () => {},
  )
  t.teardown(async () => {
    channel.close()
    await server.close()
  })
  for (let state = channel.getConnectivityState(true); state !== connectivityState.READY; ) {
    await new Promise<void>((resolve, reject) =>
      channel.watchConnectivityState(state, Date.now() + 20_000, (error) => (error ? reject(error) : resolve())),
    )
    state = channel.getConnectivityState(false)
  }
  return channel
}

type Channel = Awaited<ReturnType<typeof connected>>

function call(channel: Channel) {
  const wire = channel.createCall('/ping.PingService/Send', Date.now() + 20_000, null, null, null)
  const end = new Promise<StatusObject>((resolve) => {
    const ignore = (_: Metadata) => {}
    wire.start(new Sent(), {onReceiveMetadata: ignore, onReceiveMessage: () => {}, onReceiveStatus: resolve})
  })
  wire.sendMessageWithContext({}, Buffer.alloc(0))
  wire.halfClose()
  wire.startRead()
  return {wire, end}
}

test("a connected channel has a session, which answers a PING and has the peer's limit of streams", async (t) => {
  const channel = await connected(t, await startFaultServer({maxStreams: 7}))
  await new Promise(process.nextTick)
  const session = sessionOf(channel)
  t.is(session?.remoteSettings.maxConcurrentStreams, 7)
  await new Promise<void>((resolve, reject) => session!.ping((error) => (error ? reject(error) : resolve())))
})

test('a call is made once, and reports how far it got and on which stream', async (t) => {
  const server = await startFaultServer()
  const channel = await connected(t, server)
  server.next({kind: 'refuse'}, {kind: 'reset'})
  const refused = call(channel)
  t.is(progressOf(await refused.end), 'REFUSED')
  t.is(server.executions.length, 0)
  t.is(streamOf(refused.wire), 1)
  t.is(progressOf(await call(channel).end), 'PROCESSED')
  const answered = call(channel)
  t.is((await answered.end).code, 0)
  t.is(streamOf(answered.wire), 5)
})

test('a call that has been answered forgets its message', async (t) => {
  const wire = (await connected(t, await startFaultServer())).createCall(
    '/ping.PingService/Send',
    Date.now() + 20_000,
    null,
    null,
    null,
  )
  const {promise: end, resolve} = Promise.withResolvers<StatusObject>()
  const kept = () => [wire, (wire as unknown as {child: object}).child].map((each) => Object(each).pendingMessage)
  let before: unknown[] = []
  wire.start(new Sent(), {
    onReceiveMetadata: (_: Metadata) => {},
    onReceiveMessage: () => {
      before = kept()
      forgetMessage(wire)
    },
    onReceiveStatus: resolve,
  })
  wire.sendMessageWithContext({}, Buffer.from('\x0a\x01a', 'latin1'))
  wire.halfClose()
  wire.startRead()
  t.is((await end).code, 0)
  // Without one of them, an upgrade of grpc-js has made forgetMessage() unnecessary.
  t.true(before.some(Boolean))
  t.deepEqual(kept(), [null, null])
})

test('a call delivers all messages before its error, to a slow reader too', async (t) => {
  const server = http2.createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  server.on('stream', (stream) => {
    stream.respond({':status': 200, 'content-type': 'application/grpc'}, {waitForTrailers: true})
    stream.on('wantTrailers', () => stream.sendTrailers({'grpc-status': '10', 'grpc-message': 'Late', 'x-tail': 'a'}))
    stream.end(Buffer.from('\0\0\0\0\x01a\0\0\0\0\x01b\0\0\0\0\x01c', 'latin1'))
  })
  const {port} = server.address() as AddressInfo
  const channel = await connected(t, {url: `http://127.0.0.1:${port}`, close: async () => void server.close()})
  await new Promise(process.nextTick)
  const wire = channel.createCall('/ping.PingService/Send', Date.now() + 20_000, null, null, null)
  const messages: string[] = []
  const header = Promise.withResolvers<void>()
  const end = new Promise<StatusObject>((resolve) => {
    wire.start(new Sent(), {
      onReceiveMetadata: () => {
        keepMessagesBeforeFailure(wire)
        header.resolve()
      },
      onReceiveMessage: (message: Buffer) => {
        messages.push(String(message))
        setImmediate(() => wire.startRead())
      },
      onReceiveStatus: resolve,
    })
  })
  wire.halfClose()
  await header.promise
  // The trailers have arrived by then too.
  await new Promise<void>((resolve, reject) => sessionOf(channel)!.ping((error) => (error ? reject(error) : resolve())))
  wire.startRead()
  const {code, details, metadata} = await end
  t.deepEqual(messages, ['a', 'b', 'c'])
  t.deepEqual([code, details, metadata.get('x-tail')], [10, 'Late', ['a']])
})

test('a message with room before it is sent from where it is, with one prefix', async (t) => {
  const server = http2.createServer()
  const received = new Promise<Buffer>((resolve) => {
    server.on('stream', async (stream: http2.ServerHttp2Stream) => {
      const bytes = Buffer.concat(await Array.fromAsync(stream as AsyncIterable<Buffer>))
      stream.respond({':status': 200, 'content-type': 'application/grpc', 'grpc-status': '0'}, {endStream: true})
      resolve(bytes)
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const channel = await connected(t, {url, close: async () => void server.close()})
  const wire = channel.createCall('/a/b', Date.now() + 20_000, null, null, null)
  const end = new Promise<StatusObject>((resolve) => {
    wire.start(new Sent(), {onReceiveMetadata: () => {}, onReceiveMessage: () => {}, onReceiveStatus: resolve})
  })
  const buffer = Buffer.from(`${'-'.repeat(prefixSize)}message`)
  const message = withRoom(buffer.subarray(prefixSize))
  t.false(sendInPlace(wire, {}, message), 'the call has no stream yet')
  await new Promise<void>((resolve) => wire.sendMessageWithContext({callback: () => resolve()}, Buffer.from('first')))
  t.false(sendInPlace(wire, {}, Buffer.from('without room')))
  await new Promise<void>((resolve) => t.true(sendInPlace(wire, {callback: resolve}, message)))
  wire.halfClose()
  t.is((await received).toString('latin1'), '\0\0\0\0\x05first\0\0\0\0\x07message')
  t.is(buffer.toString('latin1'), '\0\0\0\0\x07message')
  wire.startRead()
  t.is((await end).code, 0)
})
