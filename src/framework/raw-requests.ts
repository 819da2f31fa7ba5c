import {subscribe} from 'node:diagnostics_channel'
import {type IncomingMessage, type Server, type ServerResponse, STATUS_CODES} from 'node:http'
import type {Socket} from 'node:net'
import type {Duplex} from 'node:stream'
import {config} from '../core/config.ts'
import {Fault} from '../core/fault.ts'
import {keepOriginal} from '../http/original.ts'

const latest = new WeakMap<Duplex, ServerResponse>()
let subscribed = false

/**
 * Keeps the framework's hands off the requests of this process: from here on no body is parsed, buffered or inflated, no
 * path is answered before the function sees it, and no malformed one is answered with HTML.
 *
 * Node publishes each request before its server's listeners get it. Without a content type no parser of the framework
 * runs, and with the path `/` no route of Express but the function's own applies; `contentTypeOf` and `urlOf` give what
 * was there. CloudEvent functions need the parsers: an instance that serves one must not call this.
 */
export function leaveRequestsUntouched(): void {
  if (subscribed) return
  subscribed = true
  subscribe('tracing:net.server.listen:asyncEnd', (message) => {
    const {server} = message as {server: Server}
    if (isExpress(server)) server.on('clientError', answerMalformed)
  })
  subscribe('http.server.request.start', (message) => {
    const {request, response, server} = message as {request: IncomingMessage; response: ServerResponse; server: Server}
    if (!isExpress(server)) return
    latest.set(request.socket, response)
    // Node's own limit of 300 s would end a longer upload that the function has the time for.
    server.requestTimeout = config.requestTimeout
    keepOriginal(request, {url: request.url ?? '/', contentType: request.headers['content-type']})
    request.url = '/'
    delete request.headers['content-type']
  })
}

/** What Node says of a request that it can not read, beside that it is malformed: the status and the text for it. */
const unreadable: Readonly<Record<string, readonly [number, string]>> = {
  HPE_HEADER_OVERFLOW: [431, 'The headers are too long'],
  HPE_CHUNK_EXTENSIONS_OVERFLOW: [413, 'The extensions of the chunks are too long'],
  ERR_HTTP_REQUEST_TIMEOUT: [408, 'The request did not come in time'],
}

/**
 * What is no HTTP is answered as every failure is, and the connection ends. Node by itself would send an answer without a
 * body, and that even to a request whose answer has left already and whose body only then proves malformed.
 */
function answerMalformed(error: NodeJS.ErrnoException, stream: Duplex): void {
  const socket = stream as Socket & {_httpMessage?: ServerResponse | null}
  const {_httpMessage: answering} = socket
  const last = latest.get(socket)
  const answered = answering ? answering.headersSent : last !== undefined && !last.req.complete
  if (!socket.writable || answered) return void socket.destroy()
  const [http, message] = unreadable[error.code ?? ''] ?? [400, 'The request is not HTTP']
  const fault = new Fault('INVALID_ARGUMENT', message, {http, reason: 'MALFORMED_REQUEST', cause: error})
  const body = JSON.stringify(fault.toJSON())
  const head = [
    `HTTP/1.1 ${http} ${STATUS_CODES[http]}`,
    'Content-Type: application/json; charset=utf-8',
    'Connection: close',
    `Content-Length: ${Buffer.byteLength(body)}`,
  ]
  socket.write(`${head.join('\r\n')}\r\n\r\n${body}`)
  socket.destroySoon()
}

/** Whether it is the framework's server: another one that this process may have is none of our affair. */
function isExpress(server: Server): boolean {
  const [app] = server.listeners('request') as {handle?: unknown}[]
  return typeof app?.handle === 'function'
}
