import {subscribe} from 'node:diagnostics_channel'
import type {IncomingMessage, Server, ServerResponse} from 'node:http'
import {keepOriginal} from '../http/original.ts'
import {hasBody} from '../http/request/body.ts'
import {endsGently, keepIdle} from './connections.ts'
import {gatherSmallPieces} from './small-pieces.ts'
import {answerUnreadable, isLatest, type Unseen} from './unreadable.ts'

/** The longest timeout that Cloud Run lets a function have, in ms. */
const longestTimeout = 3_600_000

let subscribed = false

/**
 * Keeps the framework's hands off the requests of this process: from here on no body is parsed, buffered or inflated, and no
 * path is answered before the function sees it; what no function can see is answered in our shape.
 *
 * Node publishes each request before its server's listeners get it. Without a content type no parser of the framework
 * runs, and with the path `/` no route of Express but the function's own applies; `contentTypeOf` and `urlOf` give what
 * was there. CloudEvent functions need the parsers: an instance that serves one must not call this.
 * @param unseen how requests that no function sees are answered and recorded; the first call's holds for the process
 */
export function serveRawRequests(unseen: Unseen): void {
  if (subscribed) return
  subscribed = true
  subscribe('tracing:net.server.listen:asyncEnd', (message) => {
    const {server} = message as {server: Server}
    if (!isExpress(server)) return
    answerUnreadable(server, unseen)
    keepIdle(server)
  })
  subscribe('http.server.request.start', (message) => {
    const {request, response, server} = message as {request: IncomingMessage; response: ServerResponse; server: Server}
    if (!isExpress(server)) return
    isLatest(response)
    endsGently(request.socket)
    if (hasBody(request.headers)) gatherSmallPieces(request)
    // Node's own limit of 300 s would end a longer upload that the function has the time for: its deadline is the limit.
    server.requestTimeout = longestTimeout
    hideFromFramework(request)
  })
}

/** Hides from the framework all of `request` that it acts on. */
export function hideFromFramework(request: IncomingMessage): void {
  keepOriginal(request, {url: request.url ?? '/', contentType: request.headers['content-type']})
  request.url = '/'
  delete request.headers['content-type']
}

/** Whether it is the framework's server, not another one in this process. */
export function isExpress(server: Server): boolean {
  const [app] = server.listeners('request') as {handle?: unknown}[]
  return typeof app?.handle === 'function'
}
