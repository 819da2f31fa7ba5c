import {Fault} from '../../core/fault.ts'
import {shortened} from '../../core/shortened.ts'
import type {Scope} from '../scope.ts'
import {isAllowedOrigin} from './cors.ts'

/** Safe methods (RFC 9110 section 9.2.1): a page that cannot read the response gains nothing by them. */
const safe: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS'])

/**
 * Refuses what a page of a foreign site has a browser send: forms and bodies without a type need no preflight, and carry
 * whatever the browser's network or its cookies vouch for. Callers that are no browsers say neither header.
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
  // Behind a proxy Host may be another name than the one that the page has: the browser knows better.
  if (site === 'same-origin' || site === 'none') return false
  return origin !== undefined && !isOwn(origin, host)
}

/** Whether `origin` is that of the host that is asked; TLS may have ended before us. */
function isOwn(origin: string, host = ''): boolean {
  const url = URL.parse(origin)
  if (!url) return false
  const port = url.port || (url.protocol === 'https:' ? '443' : '80')
  return [url.host, `${url.hostname}:${port}`].includes(host.toLowerCase())
}
