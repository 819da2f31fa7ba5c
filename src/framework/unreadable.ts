import {randomUUID} from 'node:crypto'
import {type IncomingMessage, type Server, type ServerResponse, STATUS_CODES} from 'node:http'
import type {Socket} from 'node:net'
import type {Duplex} from 'node:stream'
import type {ErrorShape} from '../core/config.ts'
import {type Code, Fault} from '../core/fault.ts'
import type {Logger} from '../core/log.ts'
import {failAnswerOf} from '../http/current-request.ts'
import {failureJson, httpStatusOf} from '../http/response/failure.ts'
import {endAfter, endGently} from './connections.ts'

/** Limit for bytes that are discarded after an unreadable request, so that the end of the connection is noticed. */
const maxIgnored = 1024 * 1024

/** An error of Node's parser, or of its timeouts: with the current bytes and, for malformed HTTP, with a reason. */
type Unreadable = NodeJS.ErrnoException & {readonly rawPacket?: Buffer; readonly reason?: string}

const latest = new WeakMap<Duplex, ServerResponse>()
/** Connections on which no further request can be read, and the number of bytes that are still discarded. */
const unreadable = new WeakMap<Duplex, number>()

/** How requests that no function sees are answered and logged. */
export interface Unseen {
  readonly log: Logger
  /** The format of the answers, which are all errors: AIP-193 (`aip`) unless given. */
  readonly errorShape?: ErrorShape | undefined
}

/** Remembers that `response` is the last one of its connection so far. */
export function isLatest(response: ServerResponse): void {
  latest.set(response.req.socket, response)
}

/**
 * Makes `server` answer and log unreadable requests in our format, which Node itself answers with an empty body or not at all: malformed
 * HTTP, CONNECT, and requests that it refuses because of their headers. The last kind reaches the function, where http/request/framing.ts refuses them.
 */
export function answerUnreadable(server: Server, unseen: Unseen): void {
  Object.assign(server, {requireHostHeader: false})
  // By default, Node silently drops headers beyond the first thousand. Their size is limited anyway.
  server.maxHeadersCount = 0
  const on = (request: IncomingMessage, response: ServerResponse) => server.emit('request', request, response)
  server.on('checkContinue', on).on('checkExpectation', on)
  server.on('clientError', (error, stream) => onUnreadable(error, stream, unseen))
  server.on('connect', (_request, stream) => onConnect(stream, unseen))
}

/**
 * Malformed HTTP ends the connection, after all requests before it have been answered. If it is in the body of a request,
 * that request gets this error, unless its answer has begun. If it belongs to no request, it is answered at once.
 */
function onUnreadable(error: Unreadable, stream: Duplex, unseen: Unseen): void {
  const socket = stream as Socket
  const last = latest.get(socket)
  if (unreadable.has(socket) || !socket.writable) {
    ignore(socket, error.rawPacket?.length ?? 0)
    return
  }
  unreadable.set(socket, maxIgnored)
  if (last && isUnderWay(last)) endBehind(last, error, unseen)
  // The response was sent before its request's body had arrived, so there is no second response.
  else if (last && !last.req.complete) endGently(socket)
  else answer(socket, faultOf(error), unseen)
}

/** Ends the connection after `last` and all responses before it. */
function endBehind(last: ServerResponse, error: Unreadable, unseen: Unseen): void {
  const {req} = last
  // Node's server cannot tell a caller that hung up from one that half-closed.
  if (req.socket.readableEnded) hangUp(last, error, unseen)
  else {
    if (!req.complete) failAnswerOf(last, faultOf(error))
    endAfter(last)
  }
}

/**
 * Answers a caller that half-closes in the middle of a body, if that is the only request of the connection. Its log record is that of the
 * request, which ends as hung up.
 */
function hangUp(last: ServerResponse, error: Unreadable, unseen: Unseen): void {
  const {req} = last
  if (req.complete || last.headersSent || !last.socket) req.socket.end()
  else send(req.socket, faultOf(error), {id: randomUUID(), ...unseen})
}

function isUnderWay(response: ServerResponse): boolean {
  return !response.writableFinished && !response.destroyed
}

/** Discards bytes after an unreadable request, or after we have half-closed the connection. */
function ignore(socket: Socket, bytes: number): void {
  const left = (unreadable.get(socket) ?? maxIgnored) - bytes
  unreadable.set(socket, left)
  if (left < 0) socket.pause()
}

/** CONNECT is for proxies. Node has taken its listeners off the socket. */
function onConnect(stream: Duplex, unseen: Unseen): void {
  const socket = stream as Socket
  const last = latest.get(socket)
  socket.on('error', () => {}).resume()
  if (last && isUnderWay(last)) endAfter(last)
  else
    answer(socket, new Fault('UNIMPLEMENTED', 'CONNECT is not served: this is no proxy', {reason: 'NO_PROXY'}), unseen)
}

/** Node's error codes for unreadable requests other than malformed ones, with status and text. */
const others: Readonly<Record<string, readonly [number, Code, string]>> = {
  HPE_HEADER_OVERFLOW: [431, 'INVALID_ARGUMENT', 'The headers are too long'],
  HPE_CHUNK_EXTENSIONS_OVERFLOW: [413, 'INVALID_ARGUMENT', 'The extensions of the chunks are too long'],
  HPE_PAUSED_H2_UPGRADE: [505, 'UNIMPLEMENTED', 'HTTP/2 is not served here: expected HTTP/1.1'],
  ERR_HTTP_REQUEST_TIMEOUT: [408, 'DEADLINE_EXCEEDED', 'The request did not come in time'],
}

function faultOf(error: Unreadable): Fault {
  const why = error.reason ? `: ${error.reason}` : ''
  const [http, code, message] = others[error.code ?? ''] ?? [400, 'INVALID_ARGUMENT', `The request is not HTTP${why}`]
  return new Fault(code, message, {http, reason: 'MALFORMED_REQUEST', cause: error})
}

/** Writes an error as the last response on `socket`, and logs a record of it. */
function answer(socket: Socket, fault: Fault, unseen: Unseen): void {
  const http = httpStatusOf(fault)
  const id = randomUUID()
  unseen.log.warn(
    {requestId: id, httpRequest: {status: http, remoteIp: socket.remoteAddress}, code: fault.code},
    `${http} before a request was read: ${fault.message}`,
  )
  send(socket, fault, {id, ...unseen})
}

function send(
  socket: Socket,
  fault: Fault,
  {id, errorShape = 'aip'}: Pick<Unseen, 'errorShape'> & {readonly id: string},
): void {
  const http = httpStatusOf(fault)
  const body = JSON.stringify(failureJson(fault, errorShape))
  const head = [
    `HTTP/1.1 ${http} ${STATUS_CODES[http]}`,
    'Content-Type: application/json; charset=utf-8',
    `Content-Length: ${Buffer.byteLength(body)}`,
    `Date: ${new Date().toUTCString()}`,
    'Connection: close',
    'X-Content-Type-Options: nosniff',
    `X-Request-Id: ${id}`,
  ]
  socket.write(`${head.join('\r\n')}\r\n\r\n${body}`)
  endGently(socket)
}
