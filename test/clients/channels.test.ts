import {once} from 'node:events'
import {createSecureServer, type Http2SecureServer, type ServerHttp2Session} from 'node:http2'
import type {AddressInfo} from 'node:net'
import {createServer} from 'node:net'
import type {TLSSocket} from 'node:tls'
import {connectivityState} from '@grpc/grpc-js'
import test, {type ExecutionContext} from 'ava'
import {type Backend, startBackend} from '../../local/grpc/backend.ts'
import {startMetadataServer} from '../../local/identity/metadata.ts'
import {openCalls} from '../../src/clients/calls.ts'
import {openChannel} from '../../src/clients/connections/connecting.ts'
import {servingStatus} from '../../src/clients/health.ts'
import type {Backend as Target} from '../../src/core/config.ts'
import {readConfig} from '../../src/core/config.ts'
import {Fault} from '../../src/core/fault.ts'
import {type Certificate, certificateFor} from '../helpers/certificate.ts'
import {Folder, inChild} from './child.ts'
import {faultOf, TestLife} from './life.ts'
import {runtimeOf} from './runtime.ts'
import {SilentServer} from './silent-server.ts'

const runtime = runtimeOf({})
const {channels} = runtime

test.afterEach.always((t) => {
  channels.close()
  t.is(openCalls(), 0)
})

function target(url: string): Target {
  return readConfig({BACKEND_URL: url, BACKEND_AUDIENCE: 'none'}).backendOf('any')
}

function check(url: string, timeout = 10_000): Promise<string> {
  return servingStatus(runtime, new TestLife(), target(url), timeout)
}

async function started(t: ExecutionContext, options: Parameters<typeof startBackend>[0] = {}): Promise<Backend> {
  const backend = await startBackend(options)
  t.teardown(() => backend.close(0))
  return backend
}

test.serial('creating a runtime and a client opens nothing', async (t) => {
  let connections = 0
  const server = createServer(() => connections++).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => void server.close())
  const host = `127.0.0.1:${(server.address() as AddressInfo).port}`
  const env = {BACKEND_URL: `http://${host}`, GCE_METADATA_HOST: host, STORAGE_EMULATOR_HOST: `http://${host}`}
  const {value} = await inChild({env, arg: undefined}, async () => {
    const {createClient} = await import('../../src/clients/service-client.ts')
    const {PingService} = await import('../../src/gen/ping/ping_pb.js')
    const {runtimeOf} = await import('./runtime.ts')
    createClient(runtimeOf(process.env), PingService)
    // PipeWrap: the pipes over which the child talks to this process.
    return process.getActiveResourcesInfo().filter((kind) => kind !== 'PipeWrap')
  })
  t.deepEqual(value, [])
  t.is(connections, 0)
})

test.serial('a backend has one channel and one connection, made at the first call', async (t) => {
  const backend = await started(t)
  const to = target(backend.url)
  t.is(channels.to(to), channels.to(target(`${backend.url}/`)))
  t.is(backend.connections(), 0)
  t.deepEqual(new Set(await Promise.all(Array.from({length: 50}, () => check(backend.url)))), new Set(['SERVING']))
  t.is(backend.connections(), 1)
})

test.serial('the first call connects while it waits for its ID token, unless its caller has hung up', async (t) => {
  const metadata = await startMetadataServer()
  t.teardown(() => metadata.close())
  const backend = await started(t)
  await using between = await SilentServer.start()
  between.passTo(Number(new URL(backend.url).port))
  const env = {
    BACKEND_URL: `http://127.0.0.1:${between.port}`,
    BACKEND_AUDIENCE: 'https://a.a.run.app',
    ...metadata.env,
  }
  const ask = (life: TestLife) => {
    const cold = runtimeOf(env)
    t.teardown(() => cold.channels.close())
    return servingStatus(cold, life, cold.config.backendOf('any'), 10_000)
  }
  const gone = new TestLife()
  gone.hangUp()
  await t.throwsAsync(ask(gone))
  // The token arrives only after the connection is open.
  metadata.delay(between.next())
  t.is(await ask(new TestLife()), 'SERVING')
  t.is(between.accepted, 1)
})

test.serial('services of one URL share a channel, those of another have their own', (t) => {
  const {backendOf} = readConfig({
    BACKEND_URL: 'http://localhost:9090',
    BACKEND_URL_PING_SERVICE: 'http://localhost:9090/',
    BACKEND_URL_REPO: 'http://localhost:9091',
  })
  t.is(channels.to(backendOf('ping.PingService')), channels.to(backendOf('any')))
  t.not(channels.to(backendOf('Repo')), channels.to(backendOf('any')))
})

for (const [url, expected, authority] of [
  ['https://ping-xyz.a.run.app', 'dns:ping-xyz.a.run.app:443', 'ping-xyz.a.run.app'],
  ['https://ping-xyz.a.run.app:8443', 'dns:ping-xyz.a.run.app:8443', 'ping-xyz.a.run.app:8443'],
  ['http://localhost:9090', 'dns:localhost:9090', 'localhost:9090'],
  ['http://localhost', 'dns:localhost:80', 'localhost'],
  ['http://[::1]:9090', 'dns:[::1]:9090', '[::1]:9090'],
] as const) {
  test.serial(`${url} is ${expected} with the authority ${authority}`, (t) => {
    const channel = openChannel(target(url), () => {})
    t.is(channel.getTarget(), expected)
    channel.close()
    t.is(target(url).host, authority)
  })
}

test.serial('a call after the channels were closed opens a new one; the old connection is closed', async (t) => {
  const backend = await started(t)
  await check(backend.url)
  const old = channels.to(target(backend.url))
  const [connection] = old.connections
  channels.close()
  t.is(connection!.channel.getConnectivityState(false), connectivityState.SHUTDOWN)
  while (backend.connections() > 0) await new Promise(setImmediate)
  t.is(await check(backend.url), 'SERVING')
  t.not(channels.to(target(backend.url)), old)
  t.is(backend.connections(), 1)
})

test.serial('a new backend on the same port is found, and dead connections are not used again', async (t) => {
  const first = await started(t)
  const {url, port} = first
  await check(url)
  await first.close()
  const second = await started(t, {port})
  t.is(await check(url), 'SERVING')
  second.dropConnections()
  t.is(await check(url), 'SERVING')
  t.is(channels.to(target(url)).connections.length, 1)
})

test.serial('a backend that has never been reachable fails at once, and is found as soon as it is', async (t) => {
  const first = await started(t)
  const {url, port} = first
  await first.close()
  for (let call = 0; call < 3; call++) {
    const fault = await faultOf(t, check(url))
    t.like(fault, {code: 'UNAVAILABLE', retryAfter: 1})
  }
  await started(t, {port})
  t.is(await check(url), 'SERVING')
})

for (const [title, fault, warnings] of [
  ['whose caller hangs up', new Fault('CANCELLED', 'The caller hung up'), 0],
  ['whose deadline passes', new Fault('DEADLINE_EXCEEDED', 'No answer within 2 s'), 1],
] as const) {
  test.serial(`a request ${title} waits for no connection${warnings ? ', and the log says so' : ''}`, async (t) => {
    await using server = await SilentServer.start()
    const url = `http://127.0.0.1:${server.port}`
    const life = new TestLife()
    const connected = server.next()
    const failed = faultOf(t, servingStatus(runtime, life, target(url), 30_000))
    await connected
    life.end(fault)
    t.is(await failed, fault)
    await life.quiet(t)
    t.is(life.warnings.length, warnings)
    for (const warning of life.warnings) t.regex(warning, new RegExp(`^Still not connected to ${url} after `))
  })
}

/** A TLS server. Records the authority of each call, and the server name that each client asked for. */
async function secure(t: ExecutionContext, certificate: Certificate) {
  const calls: {authority: string | undefined; servername: unknown; alpn: unknown}[] = []
  const sessions = new Set<ServerHttp2Session>()
  const server: Http2SecureServer = createSecureServer(certificate).listen(0, '127.0.0.1')
  server.on('session', (session) => sessions.add(session))
  server.on('stream', (stream, headers) => {
    const {servername, alpnProtocol} = stream.session!.socket as TLSSocket
    calls.push({authority: headers[':authority'], servername, alpn: alpnProtocol})
    stream.respond(
      {':status': 200, 'content-type': 'application/grpc', 'grpc-status': '5', 'grpc-message': 'here'},
      {endStream: true},
    )
  })
  await once(server, 'listening')
  t.teardown(async () => {
    for (const session of sessions) session.destroy()
    await new Promise((resolve) => server.close(resolve))
  })
  return {calls, port: (server.address() as AddressInfo).port}
}

/** The result of a call to `url`, in a process that trusts `cert`. */
async function callOverTls(url: string, cert?: string) {
  using folder = new Folder()
  const env = {
    BACKEND_URL: url,
    BACKEND_AUDIENCE: 'none',
    ...(cert && {NODE_EXTRA_CA_CERTS: folder.write('ca.pem', cert)}),
  }
  const {value} = await inChild({env, arg: undefined}, async () => {
    const {runtimeOf} = await import('./runtime.ts')
    const runtime = runtimeOf(process.env)
    const {servingStatus} = await import('../../src/clients/health.ts')
    const {TestLife} = await import('./life.ts')
    try {
      return {status: await servingStatus(runtime, new TestLife(), runtime.config.backendOf('any'), 10_000)}
    } catch (error) {
      const fault = error as import('../../src/core/fault.ts').Fault
      const {code, message} = fault
      const {httpStatusOf} = await import('../../src/http/response/failure.ts')
      const http = httpStatusOf(fault)
      return {code, http, message}
    } finally {
      runtime.close()
    }
  })
  return value
}

test.serial("https is TLS: HTTP/2 by ALPN, with the URL's host as server name and as authority", async (t) => {
  const certificate = certificateFor('localhost')
  const {calls, port} = await secure(t, certificate)
  t.like(await callOverTls(`https://localhost:${port}`, certificate.cert), {code: 'NOT_FOUND', message: 'here'})
  t.deepEqual(calls, [{authority: `localhost:${port}`, servername: 'localhost', alpn: 'h2'}])
})

test.serial('a gRPC service behind TLS is called', async (t) => {
  const certificate = certificateFor('localhost')
  const backend = await started(t, {tls: certificate})
  t.deepEqual(await callOverTls(`https://localhost:${backend.port}`, certificate.cert), {status: 'SERVING'})
})

for (const [title, names, trusted] of [
  ['that nobody vouches for', ['localhost'], false],
  ['of somebody else', ['other.example'], true],
] as const) {
  test.serial(`a certificate ${title} is rejected, and no call is sent`, async (t) => {
    const certificate = certificateFor(...names)
    const {calls, port} = await secure(t, certificate)
    t.deepEqual(await callOverTls(`https://localhost:${port}`, trusted ? certificate.cert : undefined), {
      code: 'UNAVAILABLE',
      http: 503,
      message: 'The backend of grpc.health.v1.Health.Check cannot be reached',
    })
    t.deepEqual(calls, [])
  })
}
