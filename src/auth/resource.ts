import type {AuthConfig} from '../core/config.ts'

/** Where a client finds out who gives tokens for us (RFC 9728, 3). */
export const resourcePath = '/.well-known/oauth-protected-resource'

/** Whether `path` is that place: the path of the API may follow. */
export function isResourcePath(path: string): boolean {
  return path === resourcePath || path.startsWith(`${resourcePath}/`)
}

/** The URL of the document about `resource`, the URL of the API without a slash at its end. */
export function resourceUrl(resource: string): string {
  const {origin, pathname} = new URL(resource)
  return `${origin}${resourcePath}${pathname === '/' ? '' : pathname}`
}

/** The document itself (RFC 9728, 2): issuers with a header of their own are asked by whoever sets that header. */
export function resourceDocument(resource: string, {issuers}: Pick<AuthConfig, 'issuers'>) {
  const servers = issuers.filter(({header}) => header === undefined).map(({issuer}) => issuer)
  return {resource, authorization_servers: [...new Set(servers)], bearer_methods_supported: ['header']}
}
