import {once} from 'node:events'
import {syncBuiltinESMExports} from 'node:module'
import type {AddressInfo} from 'node:net'
import {createServer} from 'node:net'
import timers from 'node:timers/promises'
import test from 'ava'
import {startBackend} from '../../local/grpc/backend.ts'
import {startStorage} from '../../local/storage/server.ts'
import {Backoff} from '../../src/clients/storage/backoff.ts'
import {Fault} from '../../src/core/fault.ts'
import {inChild} from './child.ts'
import {faultOf} from './life.ts'
import {runtimeOf} from './runtime.ts'

/** The pauses that our code has asked for, in ms. Each ends at once. */
const pauses: number[] = []
const {setTimeout: wait} = timers
timers.setTimeout = (ms, ...rest) => {
  pauses.push(ms!)
  return wait(0, ...rest)
}
syncBuiltinESMExports()

test.serial('Storage that never recovers gets seven attempts', async (t) => {
  const server = await startStorage()
  const runtime = runtimeOf({STORAGE_EMULATOR_HOST: server.url})
  t.teardown(async () => {
    runtime.close()
    await server.close()
  })
  server.createBucket('b')
  await server.put('b', 'o', 'x')
  for (const [retryAfter, least, most] of [
    [undefined, [50, 100, 200, 400, 800, 1600], [100, 200, 400, 800, 1600, 3200]],
    [1, [1000, 1000, 1000, 1000, 1000, 1600], [1000, 1000, 1000, 1000, 1600, 3200]],
    [3600, Array(6).fill(5000), Array(6).fill(5000)],
  ] as const) {
    const before = server.requests.length
    pauses.length = 0
    using _ = server.fault({kind: 'metadata', status: 503, retryAfter, times: Number.POSITIVE_INFINITY})
    const version = runtime.storage.versionOf(new AbortController().signal, {bucket: 'b', object: 'o'})
    t.is((await faultOf(t, version)).code, 'UNAVAILABLE')
    t.is(server.requests.length - before, 7)
    t.is(pauses.length, 6)
    for (const [index, ms] of pauses.entries()) t.true(ms >= least[index]! && ms <= most[index]!, `${pauses}`)
  }
})

test.serial('a caller who hung up gets that as the reason, whatever has failed', async (t) => {
  const reason = new Fault('CANCELLED', 'The caller hung up')
  const failed = new Backoff('Asking failed').failed(new Fault('NOT_FOUND', 'None'), AbortSignal.abort(reason))
  t.is(await faultOf(t, failed), reason)
})

for (const name of ['http_proxy', 'grpc_proxy', 'https_proxy']) {
  test.serial(`a plaintext backend is called without ${name}, which gets no bytes`, async (t) => {
    const backend = await startBackend()
    let connections = 0
    const proxy = createServer((socket) => {
      connections++
      socket.destroy()
    }).listen(0, '127.0.0.1')
    await once(proxy, 'listening')
    t.teardown(async () => {
      proxy.close()
      await backend.close(0)
    })
    const env = {[name]: `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`}
    const {value} = await inChild({env, arg: backend.url}, async (url) => {
      const {createClient} = await import('../../src/clients/service-client.ts')
      const {PingService} = await import('../../src/gen/ping/ping_pb.js')
      const {TestLife} = await import('./life.ts')
      const {runtimeOf} = await import('./runtime.ts')
      const runtime = runtimeOf({BACKEND_URL: url, BACKEND_AUDIENCE: 'none'})
      const {pong} = await createClient(runtime, PingService).send(new TestLife({timeout: 10_000}), {message: 'hi'})
      runtime.close()
      return pong?.message
    })
    t.is(value, 'hi')
    t.is(connections, 0)
  })
}
