import {isResourcePath, resourceAt, resourceDocument} from '../auth/resource.ts'
import {only} from './request/methods.ts'
import {json, type Reply} from './response/reply.ts'
import type {Handler, Scope, Serving} from './scope.ts'

/** The path of the liveness probe, which needs no credentials. */
export const livePath = '/health/live'

const live: Handler = Object.assign(
  only(['GET'], () => json({status: 'SERVING'}, {headers: {'cache-control': 'no-store'}})),
  {exempt: true, access: {isOpen: true as const}},
)

/** The answer to `OPTIONS *`, which is about the server as a whole (RFC 9110 9.3.7). */
const options: Handler = Object.assign((): Reply => ({status: 204}), {
  answersOptions: true,
  access: {isOpen: true as const},
})

/** The handler for paths that every function has; undefined for the function's own paths. */
export function ownHandler(scope: Scope, {config: {auth}}: Pick<Serving, 'config'>): Handler | undefined {
  const {method, path} = scope
  if (path === '*' && method === 'OPTIONS') return options
  if (path === livePath) return method === 'GET' || method === 'HEAD' ? live : undefined
  if (!isResourcePath(path) || auth.mode !== 'jwt' || auth.issuers.length === 0) return undefined
  const handler = only(['GET'], () => json(resourceDocument(resourceAt(path, resourceOf(scope, auth)), auth)))
  return Object.assign(handler, {access: {isOpen: true as const}})
}

/** The URL of the API, from the configuration or from the request. */
export function resourceOf(
  {headers}: Pick<Scope, 'headers'>,
  {resource}: {readonly resource: string | undefined},
): string {
  if (resource !== undefined) return resource
  const scheme = /^https\b/i.test(String(headers['x-forwarded-proto'] ?? '')) ? 'https' : 'http'
  return URL.parse(`${scheme}://${headers.host}`)?.origin ?? `${scheme}://localhost`
}
