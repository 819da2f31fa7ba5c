import {connect, type Socket} from 'node:net'
import {addAbortSignal} from 'node:stream'
import {connect as connectTls, type TLSSocket} from 'node:tls'
import type {Backend} from '../../core/config.ts'
import type {Life} from '../../core/life.ts'
import {within} from '../../core/waiting.ts'
import {type CauseName, causeIn} from './causes.ts'

/**
 * Causes whose error text is ambiguous, so that the port must be probed. For a name with several addresses, grpc-js reports
 * the error of the last address, where often nothing listens.
 */
const unclear: ReadonlySet<CauseName> = new Set(['NOT_HTTP2', 'CLOSED', 'CONNECTION_REFUSED'])

/** Timeout for each answer of a port, in ms, unless there is more time. */
const patience = 500
/** How long a result is cached, in ms. */
const kept = 30_000

const probed = new Map<string, {readonly since: number; readonly cause: Promise<CauseName | undefined>}>()

/**
 * Finds why `backend` could not be reached, from the `text` of the error. If the text is ambiguous, the port is probed for its
 * protocol, by one request at a time and at most once in half a minute, so that an outage does not become a flood.
 * @throws {Fault} the reason of the life's signal
 */
export async function causeOf(text: string, backend: Backend, life: Life): Promise<CauseName | undefined> {
  const told = causeIn(text)
  if (!told || !unclear.has(told)) return told
  const now = Date.now()
  let probe = probed.get(backend.url)
  if (!probe || now - probe.since > kept) {
    probe = {since: now, cause: life.track(causeAt(backend, life.signal))}
    probed.set(backend.url, probe)
  }
  const {cause} = probe
  try {
    return (await within(life.signal, cause)) ?? told
  } finally {
    // The probe was aborted with its request: no result.
    if (life.signal.aborted && probed.get(backend.url) === probe) probed.delete(backend.url)
  }
}

/**
 * The problem of a listening port, found by TLS, HTTP/2 and HTTP/1 handshakes; undefined when it has none.
 * @param ms timeout for each answer
 */
export async function causeAt(backend: Backend, signal: AbortSignal, ms = patience): Promise<CauseName | undefined> {
  const ask: Ask = (socket, hello) => firstBytes(socket, hello, AbortSignal.any([signal, AbortSignal.timeout(ms)]))
  const secure = await overTls(backend, ask)
  if (secure && !backend.tls) return 'TLS_PORT'
  if (secure?.distrust) return causeIn(secure.distrust)
  const {protocol} = secure ?? (await inTheClear(backend, ask))
  if (backend.tls && !secure) return protocol && 'PLAINTEXT_PORT'
  return protocol === 'http/1' ? 'HTTP1_ONLY' : undefined
}

/** Says `hello`, and gives the first bytes of the answer. */
type Ask = (socket: Socket | TLSSocket, hello: string) => Promise<Buffer>

interface Answer {
  readonly protocol: 'h2' | 'http/1' | undefined
  /** Why the certificate was rejected. */
  readonly distrust?: string
}

/** The protocol over TLS; undefined for a port without TLS. */
async function overTls(backend: Backend, ask: Ask): Promise<Answer | undefined> {
  const {host, port} = placeOf(backend)
  const socket = connectTls({
    host,
    port,
    ...(!/^[\d.]+$|:/.test(host) && {servername: host}),
    ALPNProtocols: ['h2', 'http/1.1'],
    // The certificate is judged afterwards. Nothing secret is sent.
    rejectUnauthorized: false,
  })
  const secured = new Promise<boolean>((resolve) => {
    socket.once('secureConnect', () => resolve(true)).once('close', () => resolve(false))
  })
  const answer = ask(socket, http1Request(backend))
  if (!(await secured)) return undefined
  const distrust = socket.authorized ? {} : {distrust: String(socket.authorizationError)}
  const agreed = socket.alpnProtocol
  if (agreed) socket.destroy()
  if (agreed === 'h2') return {protocol: 'h2', ...distrust}
  return {protocol: agreed || isHttp1(await answer) ? 'http/1' : undefined, ...distrust}
}

/** The protocol without TLS. */
async function inTheClear(backend: Backend, ask: Ask): Promise<Answer> {
  const answer = await ask(connect(placeOf(backend)), http2Preface)
  if (isHttp2(answer)) return {protocol: 'h2'}
  const second = isHttp1(answer) ? answer : await ask(connect(placeOf(backend)), http1Request(backend))
  return {protocol: isHttp1(second) ? 'http/1' : undefined}
}

function placeOf({address}: Backend): {host: string; port: number} {
  const [, host = '', port] = /^\[?(.*?)\]?:(\d+)$/.exec(address) ?? []
  return {host, port: Number(port)}
}

/** A harmless HTTP/1 request. */
function http1Request({host}: Backend): string {
  return `OPTIONS * HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`
}

/** The HTTP/2 connection preface of a client, with a SETTINGS frame (RFC 9113 section 3.4). */
const http2Preface = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0'

function isHttp1(bytes: Buffer): boolean {
  return bytes.subarray(0, 7).equals(Buffer.from('HTTP/1.'))
}

/** Whether these are HTTP/2 frames: a server's first frame is SETTINGS or GOAWAY. */
function isHttp2(bytes: Buffer): boolean {
  return bytes.length >= 9 && (bytes[3] === 4 || bytes[3] === 7) && bytes.readUInt32BE(5) === 0
}

/** The first bytes of the answer to `hello`; empty if the connection ends first or the signal aborts. */
function firstBytes(socket: Socket | TLSSocket, hello: string, signal: AbortSignal): Promise<Buffer> {
  addAbortSignal(signal, socket)
  return new Promise((resolve) => {
    socket.on('error', () => {})
    socket.once('close', () => resolve(Buffer.alloc(0)))
    socket.once('data', (bytes: Buffer) => {
      resolve(bytes)
      socket.destroy()
    })
    socket.write(hello, 'latin1')
  })
}
