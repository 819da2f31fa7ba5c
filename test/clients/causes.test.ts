import {httpStatusOf} from '../../src/http/response/failure.ts'
import '../helpers/node-roots.ts'
import {createServer as createHttp1} from 'node:http'
import {createServer as createHttp2, createSecureServer} from 'node:http2'
import {createServer as createHttps} from 'node:https'
import {createServer, type Server, type Socket} from 'node:net'
import {
  createSecureContext,
  createServer as createTls,
  getCACertificates,
  type SecureContext,
  setDefaultCACertificates,
  type TLSSocket,
} from 'node:tls'
import test from 'ava'
import {openCalls} from '../../src/clients/calls.ts'
import {adviceFor} from '../../src/clients/connections/causes.ts'
import {causeAt} from '../../src/clients/connections/probe.ts'
import {servingStatus} from '../../src/clients/health.ts'
import {readConfig} from '../../src/core/config.ts'
import {certificateFor, certificateOf} from '../helpers/certificate.ts'
import {listening} from '../helpers/listening.ts'
import {runningTimers} from '../helpers/timers.ts'
import {startChild} from '../http/child.ts'
import {faultOf, reasonOf, TestLife} from './life.ts'
import {runtimeOf} from './runtime.ts'

const runtime = runtimeOf({})
type CauseName = import('../../src/clients/connections/causes.ts').CauseName

const ours = certificateFor('localhost')
const other = certificateFor('other.example')
const expired = certificateOf(['localhost'], {valid: [-2, -1]})
const early = certificateOf(['localhost'], {valid: [1, 2]})
const authority = {name: 'nobody.example', ...certificateFor('nobody.example')}
const foreign = certificateOf(['localhost'], {authority})
setDefaultCACertificates([...getCACertificates(), ours.cert, other.cert, expired.cert, early.cert])

/** The TLS contexts of a server with several names. */
const contexts: Readonly<Record<string, SecureContext>> = {localhost: createSecureContext(ours)}

let life: TestLife
test.beforeEach(() => {
  life = new TestLife()
})
test.afterEach.always(async (t) => {
  await life.quiet(t)
  runtime.channels.close()
  t.deepEqual({calls: openCalls(), timers: runningTimers()}, {calls: 0, timers: []})
})

function backendAt(url: string) {
  return readConfig({BACKEND_URL: url, BACKEND_AUDIENCE: 'none'}).backendOf('any')
}

const page = 'HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n'
const settings = Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0])
const goaway = Buffer.from([0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])

/** A TCP server that answers the first bytes of a client, and then ends the connection. */
function answering(answer: (hello: string) => string | Uint8Array | undefined): Server {
  return createServer((socket) => socket.once('data', (hello) => reply(socket, answer(hello.toString('latin1')))))
}

function reply(socket: Socket | TLSSocket, answer: string | Uint8Array | undefined): void {
  if (answer) socket.end(answer)
  else socket.destroy()
}

/** A TLS server that knows only HTTP/1, and no ALPN. */
function withoutAlpn(answer: (hello: string) => string | undefined): Server {
  return createTls(ours, (socket) => {
    socket.once('data', (hello) => reply(socket, answer(hello.toString('latin1'))))
  })
}

const cases: [scheme: 'http' | 'https', title: string, server: () => Server, cause: CauseName][] = [
  ['http', 'a port with gRPC over TLS', () => createSecureServer(ours), 'TLS_PORT'],
  ['http', 'a port with HTTP/1 over TLS', () => createHttps(ours), 'TLS_PORT'],
  ['http', 'a port with TLS that requires a certificate', () => createTls({...ours, requestCert: true}), 'TLS_PORT'],
  ['https', 'a port with HTTP/2 in the clear', () => createHttp2(), 'PLAINTEXT_PORT'],
  ['https', 'a port with HTTP/1 in the clear', () => createHttp1((_, answer) => answer.end()), 'PLAINTEXT_PORT'],
  [
    'https',
    'a port with HTTP/2 in the clear that hangs up on all else',
    () => answering((hello) => (hello.startsWith('PRI ') ? settings : undefined)),
    'PLAINTEXT_PORT',
  ],
  [
    'https',
    'a port with HTTP/2 in the clear that takes no more calls',
    () => answering((hello) => (hello.startsWith('PRI ') ? goaway : undefined)),
    'PLAINTEXT_PORT',
  ],
  [
    'https',
    'a certificate that signed itself',
    () => createSecureServer(certificateFor('localhost')),
    'UNKNOWN_AUTHORITY',
  ],
  ['https', 'a certificate of an unknown authority', () => createSecureServer(foreign), 'UNKNOWN_AUTHORITY'],
  ['https', 'a certificate that has expired', () => createSecureServer(expired), 'CERTIFICATE_EXPIRED'],
  ['https', 'a certificate of tomorrow', () => createSecureServer(early), 'CERTIFICATE_NOT_YET_VALID'],
  ['https', 'a certificate for another name', () => createSecureServer(other), 'CERTIFICATE_NAME'],
  ['https', 'HTTP/1 only, by ALPN', () => createHttps(ours), 'HTTP1_ONLY'],
  [
    'https',
    'HTTP/1 only, by ALPN, with a certificate for each name',
    () => createHttps({...other, SNICallback: (name, use) => use(null, contexts[name])}),
    'HTTP1_ONLY',
  ],
  ['https', 'HTTP/1 only, without ALPN', () => withoutAlpn(() => page), 'HTTP1_ONLY'],
  [
    'https',
    'HTTP/1 only, that hangs up on all else',
    () => withoutAlpn((hello) => (hello.startsWith('OPTIONS ') ? page : undefined)),
    'HTTP1_ONLY',
  ],
  ['http', 'HTTP/1 only', () => createHttp1((_, answer) => answer.end()), 'HTTP1_ONLY'],
  [
    'http',
    'HTTP/1 only, that hangs up on all else',
    () => answering((hello) => (hello.startsWith('OPTIONS ') ? page : undefined)),
    'HTTP1_ONLY',
  ],
  [
    'https',
    'TLS that requires a client certificate',
    () => createSecureServer({...ours, requestCert: true, rejectUnauthorized: true}),
    'CLIENT_CERTIFICATE',
  ],
  [
    'https',
    'TLS of long ago',
    () => createSecureServer({...ours, minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'ALL@SECLEVEL=0'}),
    'TLS_VERSION',
  ],
  ['http', 'another protocol', () => createServer((socket) => socket.write('SSH-2.0-OpenSSH_9.9\r\n')), 'NOT_HTTP2'],
  ['http', 'a server that closes each connection', () => createServer((socket) => socket.destroy()), 'CLOSED'],
  ['https', 'a server that closes each connection', () => createServer((socket) => socket.destroy()), 'CLOSED'],
]

const toldByGrpcAlone = new Set<CauseName>(['CLIENT_CERTIFICATE', 'TLS_VERSION', 'NOT_HTTP2', 'CLOSED'])

for (const [scheme, title, create, cause] of cases) {
  test.serial(`${scheme} and ${title}: 503 as always, and the log says ${cause}`, async (t) => {
    const backend = backendAt(`${scheme}://localhost:${await listening(t, create())}`)
    const fault = await faultOf(t, servingStatus(runtime, life, backend, 10_000))
    t.is(httpStatusOf(fault), 503)
    t.like(fault, {
      code: 'UNAVAILABLE',
      message: 'The backend of grpc.health.v1.Health.Check cannot be reached',
    })
    t.is(httpStatusOf(fault), 503)
    t.is(reasonOf(fault), 'BACKEND_UNAVAILABLE')
    t.is(fault.hint, adviceFor(cause, backend), String(fault.cause))
    t.notRegex(JSON.stringify(fault), /localhost|TLS|HTTP|certificate/)
    if (!toldByGrpcAlone.has(cause)) t.is(await causeAt(backend, life.signal), cause, 'the port alone tells it')
  })
}

for (const [url, cause] of [
  ['http://127.0.0.1:1', 'CONNECTION_REFUSED'],
  ['https://localhost:1', 'CONNECTION_REFUSED'],
  ['https://nobody.invalid', 'NO_SUCH_HOST'],
  // No network routes TCP to a multicast address.
  ['http://224.0.0.1', 'NO_ROUTE'],
] as const) {
  test.serial(`${url}: 503 as always, and the log says ${cause}`, async (t) => {
    const backend = backendAt(url)
    const fault = await faultOf(t, servingStatus(runtime, life, backend, 10_000))
    t.is(httpStatusOf(fault), 503)
    t.is(fault.hint, adviceFor(cause, backend), String(fault.cause))
  })
}

test.serial('however many calls fail at a port, its protocol is probed once', async (t) => {
  const hellos: string[] = []
  const server = answering((hello) => void hellos.push(hello.slice(0, 7)))
  const backend = backendAt(`http://localhost:${await listening(t, server)}`)
  for (let round = 0; round < 3; round++) {
    const faults = await Promise.all(
      Array.from({length: 20}, () => faultOf(t, servingStatus(runtime, life, backend, 10_000))),
    )
    t.deepEqual(new Set(faults.map(({hint}) => hint)), new Set([adviceFor('CLOSED', backend)]))
  }
  t.is(hellos.filter((hello) => hello === 'OPTIONS').length, 1)
})

test.serial('a caller who hangs up while the port is probed is released, and the next one probes again', async (t) => {
  const asked = Promise.withResolvers<void>()
  let sayNothing = true
  const server = createServer((socket) => {
    socket.once('data', (hello) => {
      // The client starts a TLS handshake, and gets no answer.
      if (sayNothing && hello[0] === 0x16) asked.resolve()
      else reply(socket, hello.toString().startsWith('OPTIONS') ? page : undefined)
    })
  })
  const backend = backendAt(`http://localhost:${await listening(t, server)}`)
  const failed = faultOf(t, servingStatus(runtime, life, backend, 10_000))
  await asked.promise
  const reason = life.hangUp()
  t.is(await failed, reason)
  await life.quiet(t)
  sayNothing = false
  life = new TestLife()
  t.is((await faultOf(t, servingStatus(runtime, life, backend, 10_000))).hint, adviceFor('HTTP1_ONLY', backend))
})

test('the record of a request has the cause and the remedy, and the answer has neither', async (t) => {
  const port = await listening(t, createSecureServer(ours))
  await using child = await startChild('ping', {BACKEND_URL: `http://localhost:${port}`})
  const answer = await fetch(`${child.url}/?message=hi`)
  t.is(answer.status, 503)
  t.notRegex(await answer.text(), /TLS|localhost/)
  const record = JSON.parse(await child.out.match(/httpRequest/))
  t.true(record.message.includes(`speaks TLS, and its URL says "http://": set the URL to "https://localhost:${port}"`))
})
