import {subscribe} from 'node:diagnostics_channel'
import type {IncomingMessage, Server, ServerResponse} from 'node:http'
import {keepOriginal} from '../http/original.ts'
import {hasBody} from '../http/request/body.ts'
import {endsGently, keepIdle} from './connections.ts'
import {expressOf} from './direct.ts'
import {gatherSmallPieces} from './small-pieces.ts'
import {answerUnreadable, isLatest, type Unseen} from './unreadable.ts'

/** Cloud Run's upper limit for a function's timeout, in ms. */
const longestTimeout = 3_600_000

let subscribed = false
/** The framework's servers. */
const servers = new WeakSet<Server>()

/**
 * Keeps the framework from handling the requests of this process: from now on no body is parsed, buffered or decompressed, and no
 * path is answered before the function is called. Requests that no function can handle are answered in our format.
 *
 * Node publishes each request before its server's listeners get it. Without a content type no parser of the framework
 * runs, and with the path `/` only the function's own route of Express applies; `contentTypeOf` and `urlOf` return the
 * original values. CloudEvent functions need the parsers, so an instance that serves one must not call this.
 * @param unseen how requests that no function sees are answered and logged. The first call decides for the process
 */
export function serveRawRequests(unseen: Unseen): void {
  if (subscribed) return
  subscribed = true
  subscribe('tracing:net.server.listen:asyncEnd', (message) => {
    const {server} = message as {server: Server}
    if (!isExpress(server)) return
    servers.add(server)
    answerUnreadable(server, unseen)
    keepIdle(server)
  })
  subscribe('http.server.request.start', (message) => {
    const {request, response, server} = message as {request: IncomingMessage; response: ServerResponse; server: Server}
    if (!servers.has(server)) return
    isLatest(response)
    endsGently(request.socket)
    if (hasBody(request.headers)) gatherSmallPieces(request)
    // Node's own limit of 300 s would end longer uploads. The function's deadline is the limit.
    server.requestTimeout = longestTimeout
    if (isExpress(server)) hideFromFramework(request)
  })
}

/** Hides from the framework the parts of `request` that it would act on. */
export function hideFromFramework(request: IncomingMessage): void {
  keepOriginal(request, {url: request.url ?? '/', contentType: request.headers['content-type']})
  request.url = '/'
  delete request.headers['content-type']
}

/** Whether it is the framework's server rather than another one in this process, and calls Express. */
export function isExpress(server: Server): boolean {
  return expressOf(server) !== undefined
}
