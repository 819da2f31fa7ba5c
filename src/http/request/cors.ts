import type {Scope} from '../scope.ts'

/** How long a browser may cache a preflight, in seconds. */
const remembered = 3600

/**
 * Adds the headers that let pages of the configured origins read the response, also an error. A preflight gets the methods of `allowed()`, or the
 * requested method if there are none. Credentials are never allowed.
 * @see https://fetch.spec.whatwg.org/#http-cors-protocol
 */
export function allowCors(scope: Scope, allowed: () => readonly string[]): void {
  const {origin, 'access-control-request-method': requested, 'access-control-request-headers': headers} = scope.headers
  const {corsOrigins} = scope
  if (corsOrigins.size === 0) return
  const any = corsOrigins.has('*')
  if (!any) scope.responseHeaders.vary = 'origin'
  if (origin === undefined || !isAllowedOrigin(scope, origin)) return
  scope.responseHeaders['access-control-allow-origin'] = any ? '*' : origin
  scope.responseHeaders['access-control-expose-headers'] = '*'
  if (!requested || !isPreflight(scope)) return
  const methods = allowed()
  scope.responseHeaders['access-control-allow-methods'] = methods.length > 0 ? methods.join(', ') : requested
  if (headers) scope.responseHeaders['access-control-allow-headers'] = headers
  scope.responseHeaders['access-control-max-age'] = String(remembered)
}

/** Whether it is a preflight for a page of a configured origin, which allowCors() answers. */
export function isPreflight(scope: Scope): boolean {
  const {method, headers} = scope
  return (
    method === 'OPTIONS' &&
    Boolean(headers['access-control-request-method']) &&
    Boolean(headers.origin) &&
    isAllowedOrigin(scope, headers.origin)
  )
}

/** Whether pages of `origin` may call; undefined is allowed only if all origins are. */
export function isAllowedOrigin({corsOrigins}: Scope, origin: string | undefined): boolean {
  if (corsOrigins.has('*')) return true
  return origin !== undefined && (corsOrigins.has(origin) || corsOrigins.has(origin.replace(/(:\d+)?$/, ':*')))
}
