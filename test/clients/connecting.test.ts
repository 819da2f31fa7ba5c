import {once} from 'node:events'
import type {Socket} from 'node:net'
import {connectivityState} from '@grpc/grpc-js'
import test from 'ava'
import {startBackend} from '../../local/grpc/backend.ts'
import {openCalls} from '../../src/clients/calls.ts'
import {openChannel} from '../../src/clients/connections/connecting.ts'
import {servingStatus} from '../../src/clients/health.ts'
import {readConfig} from '../../src/core/config.ts'
import {httpStatusOf} from '../../src/http/response/failure.ts'
import {runningTimers} from '../helpers/timers.ts'
import {FullServer} from './full-server.ts'
import {faultOf, reasonOf, TestLife} from './life.ts'
import {runtimeOf} from './runtime.ts'
import {SilentServer} from './silent-server.ts'

const runtime = runtimeOf({BACKEND_CONNECT_TIMEOUT_SECONDS: '0.2'})

let life: TestLife
let server: SilentServer
test.beforeEach(async () => {
  life = new TestLife()
  server = await SilentServer.start()
})
test.afterEach.always(async (t) => {
  await life.quiet(t)
  t.deepEqual({calls: openCalls(), timers: runningTimers()}, {calls: 0, timers: []})
  runtime.channels.close()
  await server[Symbol.asyncDispose]()
})

function check(url: string, timeout = Number.POSITIVE_INFINITY): Promise<string> {
  const backend = readConfig({BACKEND_URL: url, BACKEND_AUDIENCE: 'none'}).backendOf('any')
  return servingStatus(runtime, life, backend, timeout)
}

/**
 * What `ask` gives once an attempt has reached the server, and the server's end of it. On a busy machine a connect deadline may pass
 * before its attempt begins.
 */
async function reaching<T>(ask: () => Promise<T>): Promise<{given: T; socket: Socket}> {
  const before = server.accepted
  const connected = server.next()
  for (;;) {
    const given = await ask()
    if (server.accepted > before) return {given, socket: await connected}
  }
}

async function closed(socket: Socket): Promise<void> {
  if (!socket.closed) await once(socket, 'close')
}

for (const [title, urlOf] of [
  ['accepts the connection and never speaks HTTP/2', (port: number) => `http://127.0.0.1:${port}`],
  ['accepts the connection and never speaks TLS', (port: number) => `https://localhost:${port}`],
] as const) {
  test.serial(`a server that ${title} is UNAVAILABLE at the connect deadline`, async (t) => {
    const url = urlOf(server.port)
    const {given: fault, socket} = await reaching(() => faultOf(t, check(url)))
    t.is(httpStatusOf(fault), 503)
    t.like(fault, {
      code: 'UNAVAILABLE',
      message: 'The backend of grpc.health.v1.Health.Check cannot be reached: no connection within 0.2 s',
    })
    t.is(httpStatusOf(fault), 503)
    t.is(reasonOf(fault), 'BACKEND_CONNECT_TIMEOUT')
    t.true(fault.hint?.startsWith(`no connection to ${url} within the connect deadline of 0.2 s`))
    await closed(socket)
  })
}

test.serial('after the connect deadline the next call connects anew', async (t) => {
  const backend = await startBackend()
  t.teardown(() => backend.close())
  const url = `http://127.0.0.1:${server.port}`
  t.is(reasonOf(await faultOf(t, check(url))), 'BACKEND_CONNECT_TIMEOUT')
  server.passTo(backend.port)
  // On a busy machine further attempts may time out too: what counts is that one succeeds in the end.
  let answer = ''
  while (!answer) {
    answer = await check(url).catch((error) => {
      t.is(reasonOf(error), 'BACKEND_CONNECT_TIMEOUT')
      return ''
    })
  }
  t.is(answer, 'SERVING')
})

test.serial('each channel to a backend has its own connection', async (t) => {
  const backend = await startBackend()
  const target = readConfig({BACKEND_URL: backend.url, BACKEND_AUDIENCE: 'none'}).backendOf('any')
  const sockets: Socket[] = []
  const channels = [1, 2].map(() => openChannel(target, (socket) => sockets.push(socket)))
  t.teardown(async () => {
    for (const channel of channels) channel.close()
    await backend.close(0)
  })
  for (const channel of channels) {
    while (channel.getConnectivityState(true) !== connectivityState.READY) await new Promise(setImmediate)
  }
  t.is(sockets.length, 2)
})

test.serial('calls that wait for the same connection all fail, and the connection is closed', async (t) => {
  const url = `http://127.0.0.1:${server.port}`
  const ask = () => Promise.all(Array.from({length: 20}, () => faultOf(t, check(url))))
  const {given: faults, socket} = await reaching(ask)
  t.deepEqual(new Set(faults.map(reasonOf)), new Set(['BACKEND_CONNECT_TIMEOUT']))
  await closed(socket)
  while (server.open > 0) await new Promise(setImmediate)
  t.pass()
})

const onLinux = process.platform === 'linux' ? test.serial : test.serial.skip

onLinux('an address that drops packets is UNAVAILABLE at the connect deadline', async (t) => {
  await using full = await FullServer.start()
  const fault = await faultOf(t, check(`http://127.0.0.1:${full.port}`))
  t.is(reasonOf(fault), 'BACKEND_CONNECT_TIMEOUT')
})

test.serial(
  'a call whose own deadline comes first is DEADLINE_EXCEEDED, and says that there was no connection',
  async (t) => {
    const url = `http://127.0.0.1:${server.port}`
    const fault = await faultOf(t, check(url, 20))
    t.is(httpStatusOf(fault), 504)
    t.like(fault, {code: 'DEADLINE_EXCEEDED'})
    t.regex(fault.hint ?? '', new RegExp(`^Still not connected to ${url} after `))
  },
)
