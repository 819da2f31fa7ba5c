import {Fault} from '../../core/fault.ts'
import {shortened} from '../../core/shortened.ts'
import type {Scope} from '../scope.ts'
import {isAllowedOrigin} from './cors.ts'

/** Safe methods (RFC 9110 section 9.2.1): a page that cannot read the response gains nothing from them. */
const safe: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS'])

/**
 * Refuses requests that a page of another site makes a browser send. Forms and bodies without a type need no preflight, and carry
 * the browser's cookies and network identity. Callers other than browsers send neither header.
 * @throws {Fault} 403
 * @see https://www.w3.org/TR/fetch-metadata/
 */
export function refuseCrossSite(scope: Scope): void {
  const {method, headers, webSocket} = scope
  // A WebSocket has no preflight, and the page can read its messages.
  if ((safe.has(method) && !webSocket) || !isCrossSite(scope)) return
  const page = headers.origin === undefined ? 'another site' : `"${shortened(headers.origin)}"`
  throw new Fault(
    'PERMISSION_DENIED',
    `A page of ${page} may not ${webSocket ? 'open a WebSocket' : `send ${method}`} here`,
    {
      reason: 'CROSS_SITE_REQUEST',
      hint: 'CORS_ORIGINS lists the origins whose pages may',
    },
  )
}

function isCrossSite(scope: Scope): boolean {
  const {origin, host, 'sec-fetch-site': site} = scope.headers
  if (isAllowedOrigin(scope, origin)) return false
  if (site === 'cross-site') return true
  // Behind a proxy, Host may differ from the page's own host, so the browser's header decides.
  if (site === 'same-origin' || site === 'none') return false
  return origin !== undefined && !isOwn(origin, host)
}

/** Whether `origin` is that of the requested host. The scheme is not compared, because a proxy may terminate TLS. */
function isOwn(origin: string, host = ''): boolean {
  const url = URL.parse(origin)
  if (!url) return false
  const port = url.port || (url.protocol === 'https:' ? '443' : '80')
  return [url.host, `${url.hostname}:${port}`].includes(host.toLowerCase())
}
