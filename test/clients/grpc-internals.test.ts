import {connectivityState, type Metadata, Metadata as Sent, type StatusObject} from '@grpc/grpc-js'
import test, {type ExecutionContext} from 'ava'
import {type FaultServer, startFaultServer} from '../../local/faults/server.ts'
import {openChannel} from '../../src/clients/connecting.ts'
import {progressOf, sessionOf, streamOf} from '../../src/clients/grpc-internals.ts'
import {readConfig} from '../../src/core/config.ts'

// Fails when an upgrade of grpc-js changes what grpc-internals.ts rests on.

async function connected(t: ExecutionContext, server: FaultServer) {
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

test('a channel that is connected has a session, whose peer takes a PING and tells its limit', async (t) => {
  const channel = await connected(t, await startFaultServer({maxStreams: 7}))
  await new Promise(process.nextTick)
  const session = sessionOf(channel)
  t.is(session?.remoteSettings.maxConcurrentStreams, 7)
  await new Promise<void>((resolve, reject) => session!.ping((error) => (error ? reject(error) : resolve())))
})

test('a call is made once, and says how far it got and on which stream', async (t) => {
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
