import {commentOf, summaryOf} from '../openapi/comments.ts'
import {placementsOf} from '../openapi/paths.ts'
import {answersRaw} from '../responses.ts'
import type {Binding} from '../rules/bindings.ts'

/** A resource template of the Model Context Protocol: resources that a GET returns by name. */
export interface ResourceTemplate {
  readonly binding: Binding
  /** A URI template (RFC 6570): `api:///v1/shelves/{shelf}`. */
  readonly uriTemplate: string
  readonly description: string
  /** Left out where the backend sets the type of each answer. */
  readonly mimeType?: string
}

const scheme = 'api://'

/** The templates of the unary methods that are bound to a GET with variables in its path. */
export function resourceTemplatesOf(bindings: readonly Binding[]): readonly ResourceTemplate[] {
  return placementsOf(bindings.filter(isRead)).flatMap(({binding, method, path, parameters}) => {
    if (method !== 'get' || parameters.length === 0) return []
    const multi = new Set(parameters.filter(({multi}) => multi).map(({name}) => name))
    const template = path.replace(/\{([^}]*)\}/g, (whole, name: string) => (multi.has(name) ? `{+${name}}` : whole))
    const description = summaryOf(commentOf(binding.method)).summary
    const mimeType = answersRaw(binding) ? {} : {mimeType: 'application/json'}
    return [{binding, uriTemplate: scheme + template, description, ...mimeType}]
  })
}

function isRead({httpMethod, method}: Binding): boolean {
  return httpMethod === 'GET' && method.methodKind === 'unary'
}

/** The path to GET for a resource's URI; undefined for a URI of another form. */
export function resourcePath(uri: string): string | undefined {
  return uri.startsWith(`${scheme}/`) && !/[?#]/.test(uri) ? uri.slice(scheme.length) : undefined
}
