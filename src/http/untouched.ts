import {subscribe} from 'node:diagnostics_channel'
import type {IncomingMessage, Server, ServerResponse} from 'node:http'
import type {Duplex} from 'node:stream'
import {config} from '../config.ts'
import {Fault} from '../fault.ts'

/** What the framework is not to see of a request. */
interface Kept {
  readonly url: string
  readonly contentType: string | undefined
}

const kept = new WeakMap<IncomingMessage, Kept>()
const latest = new WeakMap<Duplex, ServerResponse>()
const heard = new WeakSet<Server>()
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
  subscribe('http.server.request.start', (message) => {
    const {request, response, server} = message as {request: IncomingMessage; response: ServerResponse; server: Server}
    if (!isExpress(server)) return
    latest.set(request.socket, response)
    if (!heard.has(server)) {
      heard.add(server)
      server.on('clientError', answerMalformed)
    }
    // Node's own limit of 300 s would end a longer upload that the function has the time for.
    server.requestTimeout = config.requestTimeout
    kept.set(request, {url: request.url ?? '/', contentType: request.headers['content-type']})
    request.url = '/'
    delete request.headers['content-type']
  })
}

/**
 * What is no HTTP is answered with 400 as every failure is, and the connection ends. Node by itself would send an answer
 * without a body, and that even to a request whose answer has left already and whose body only then proves malformed.
 */
function answerMalformed(error: Error, socket: Duplex): void {
  const response = latest.get(socket)
  const answered = response?.headersSent === true && !response.req.complete
  if (!socket.writable || answered) return void socket.destroy()
  const fault = new Fault('INVALID_ARGUMENT', 'The request is not HTTP', {reason: 'MALFORMED_REQUEST', cause: error})
  const body = JSON.stringify(fault.toJSON())
  const head = ['HTTP/1.1 400 Bad Request', 'Content-Type: application/json; charset=utf-8', 'Connection: close']
  socket.end(`${head.join('\r\n')}\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`)
}

/** The request's target as it stood in its first line. */
export function urlOf(request: IncomingMessage): string {
  return kept.get(request)?.url ?? request.url ?? '/'
}

/** The request's own Content-Type. */
export function contentTypeOf(request: IncomingMessage): string | undefined {
  return kept.get(request)?.contentType ?? request.headers['content-type']
}

/** Whether it is the framework's server: another one that this process may have is none of our affair. */
function isExpress(server: Server): boolean {
  const [app] = server.listeners('request') as {handle?: unknown}[]
  return typeof app?.handle === 'function'
}
