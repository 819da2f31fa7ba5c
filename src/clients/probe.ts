import {connect, type Socket} from 'node:net'
import {addAbortSignal} from 'node:stream'
import {connect as connectTls, type TLSSocket} from 'node:tls'
import type {Backend} from '../core/config.ts'
import type {Life} from '../core/life.ts'
import {within} from '../core/waiting.ts'
import {type CauseName, causeIn} from './causes.ts'

/**
 * Causes whose text is that of others too: only the port itself can tell. Of a name with several addresses, grpc-js tells
 * the error of the last one, where often nothing listens.
 */
const unclear: ReadonlySet<CauseName> = new Set(['NOT_HTTP2', 'CLOSED', 'CONNECTION_REFUSED'])

/** How long a port has for each answer, in ms. */
const patience = 500
/** How long its answers hold, in ms. */
const kept = 30_000

const probed = new Map<string, {readonly since: number; readonly cause: Promise<CauseName | undefined>}>()

/**
 * Why `backend` could not be reached, by the `text` of the error. Where that does not tell, its port is asked what it
 * speaks, by one request at a time and at most once in half a minute: an outage does not become a flood of connections.
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
    // Broken off with its request, it has told nothing.
    if (life.signal.aborted && probed.get(backend.url) === probe) probed.delete(backend.url)
  }
}

/** What is wrong with a port that listens, found by speaking TLS, HTTP/2 and HTTP/1 to it; undefined when nothing is. */
export async function causeAt(backend: Backend, signal: AbortSignal): Promise<CauseName | undefined> {
  const secure = await overTls(backend, signal)
  if (secure && !backend.tls) return 'TLS_PORT'
  if (secure?.distrust) return causeIn(secure.distrust)
  const {protocol} = secure ?? (await inTheClear(backend, signal))
  if (backend.tls && !secure) return protocol && 'PLAINTEXT_PORT'
  return protocol === 'http/1' ? 'HTTP1_ONLY' : undefined
}

interface Answer {
  readonly protocol: 'h2' | 'http/1' | undefined
  /** Why its certificate is not believed. */
  readonly distrust?: string
}

/** What is spoken over TLS; undefined where TLS is not. */
async function overTls(backend: Backend, signal: AbortSignal): Promise<Answer | undefined> {
  const {host, port} = placeOf(backend)
  const socket = connectTls({
    host,
    port,
    ...(!/^[\d.]+$|:/.test(host) && {servername: host}),
    ALPNProtocols: ['h2', 'http/1.1'],
    // What is wrong with the certificate is asked afterwards; nothing secret is sent.
    rejectUnauthorized: false,
  })
  const secured = new Promise<boolean>((resolve) => {
    socket.once('secureConnect', () => resolve(true)).once('close', () => resolve(false))
  })
  const answer = firstBytes(socket, http1Request(backend), signal)
  if (!(await secured)) return undefined
  const distrust = socket.authorized ? {} : {distrust: String(socket.authorizationError)}
  const agreed = socket.alpnProtocol
  if (agreed) socket.destroy()
  if (agreed === 'h2') return {protocol: 'h2', ...distrust}
  return {protocol: agreed || isHttp1(await answer) ? 'http/1' : undefined, ...distrust}
}

/** What is spoken without TLS. */
async function inTheClear(backend: Backend, signal: AbortSignal): Promise<Answer> {
  const answer = await firstBytes(connect(placeOf(backend)), http2Preface, signal)
  if (isHttp2(answer)) return {protocol: 'h2'}
  const second = isHttp1(answer) ? answer : await firstBytes(connect(placeOf(backend)), http1Request(backend), signal)
  return {protocol: isHttp1(second) ? 'http/1' : undefined}
}

function placeOf({address}: Backend): {host: string; port: number} {
  const [, host = '', port] = /^\[?(.*?)\]?:(\d+)$/.exec(address) ?? []
  return {host, port: Number(port)}
}

/** The request of HTTP/1 that asks for nothing. */
function http1Request({host}: Backend): string {
  return `OPTIONS * HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`
}

/** What a client of HTTP/2 says first: its preface, and a frame of SETTINGS (RFC 9113 3.4). */
const http2Preface = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0'

function isHttp1(bytes: Buffer): boolean {
  return bytes.subarray(0, 7).equals(Buffer.from('HTTP/1.'))
}

/** Whether they are frames of HTTP/2: a server's first one is SETTINGS, or GOAWAY. */
function isHttp2(bytes: Buffer): boolean {
  return bytes.length >= 9 && (bytes[3] === 4 || bytes[3] === 7) && bytes.readUInt32BE(5) === 0
}

/** The first bytes that come back for `hello`; none where the connection ends before, or nothing comes in time. */
function firstBytes(socket: Socket | TLSSocket, hello: string, signal: AbortSignal): Promise<Buffer> {
  addAbortSignal(AbortSignal.any([signal, AbortSignal.timeout(patience)]), socket)
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
