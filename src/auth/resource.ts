import type {AuthConfig} from '../core/config.ts'

/** The path where clients find the issuers of tokens for this API (RFC 9728, 3). */
export const resourcePath = '/.well-known/oauth-protected-resource'

/** Whether `path` is that path, optionally followed by the path of the API. */
export function isResourcePath(path: string): boolean {
  return path === resourcePath || path.startsWith(`${resourcePath}/`)
}

/** The URL of the document about `resource`, which is the URL of the API without a trailing slash. */
export function resourceUrl(resource: string): string {
  const {origin, pathname} = new URL(resource)
  return `${origin}${resourcePath}${pathname === '/' ? '' : pathname}`
}

/**
 * The resource that the document at `path` is about: `resource`, or one below it whose path follows the well-known one, such as
 * `/mcp`. Clients refuse a document about another one (RFC 9728, 3.3).
 */
export function resourceAt(path: string, resource: string): string {
  const {origin, pathname} = new URL(resource)
  const below = path.slice(resourcePath.length).replace(/\/$/, '')
  return below.startsWith(`${pathname.replace(/\/$/, '')}/`) ? origin + below : resource
}

/** The document (RFC 9728, 2). Issuers with their own header are left out: the proxy that sets this header gets the tokens. */
export function resourceDocument(resource: string, {issuers}: Pick<AuthConfig, 'issuers'>) {
  const servers = issuers.filter(({header}) => header === undefined).map(({issuer}) => issuer)
  return {resource, authorization_servers: [...new Set(servers)], bearer_methods_supported: ['header']}
}
