import {subscribe} from 'node:diagnostics_channel'
import type {IncomingMessage, Server} from 'node:http'
import {config} from '../config.ts'

/** What the framework is not to see of a request. */
interface Kept {
  readonly url: string
  readonly contentType: string | undefined
}

const kept = new WeakMap<IncomingMessage, Kept>()
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
    const {request, server} = message as {request: IncomingMessage; server: Server}
    if (!isExpress(server)) return
    // Node's own limit of 300 s would end a longer upload that the function has the time for.
    server.requestTimeout = config.requestTimeout
    kept.set(request, {url: request.url ?? '/', contentType: request.headers['content-type']})
    request.url = '/'
    delete request.headers['content-type']
  })
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
