import {once} from 'node:events'
import type {AddressInfo} from 'node:net'
import {createServer} from 'node:net'
import test from 'ava'
import {startBackend} from '../../local/grpc/backend.ts'
import {startStorage} from '../../local/storage/server.ts'
import {inChild} from './child.ts'
import {faultOf} from './life.ts'
import {runtimeOf} from './runtime.ts'

test.serial('Storage that never recovers is asked seven times, and then given up', async (t) => {
  const server = await startStorage()
  const runtime = runtimeOf({STORAGE_EMULATOR_HOST: server.url})
  t.teardown(async () => {
    runtime.close()
    await server.close()
  })
  server.createBucket('b')
  await server.put('b', 'o', 'x')
  const before = server.requests.length
  using _ = server.fault({kind: 'metadata', status: 503, times: Number.POSITIVE_INFINITY})
  const version = runtime.storage.versionOf(new AbortController().signal, {bucket: 'b', object: 'o'})
  const fault = await faultOf(t, version)
  t.is(fault.code, 'UNAVAILABLE')
  t.is(server.requests.length - before, 7)
})

for (const name of ['http_proxy', 'grpc_proxy', 'https_proxy']) {
  test.serial(`a plaintext backend is reached without ${name}, which gets nothing to read`, async (t) => {
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
