import {commentOf, summaryOf} from '../openapi/comments.ts'
import {placementsOf} from '../openapi/paths.ts'
import {answersRaw} from '../responses.ts'
import type {Binding} from '../rules/bindings.ts'

/** What can be got by a name, as a resource template of the Model Context Protocol. */
export interface ResourceTemplate {
  readonly binding: Binding
  /** As RFC 6570 has it: `api:///v1/shelves/{shelf}`. */
  readonly uriTemplate: string
  readonly description: string
  /** Left out where the backend says it. */
  readonly mimeType?: string
}

const scheme = 'api://'

/** The templates of the methods that a GET with a name in its path calls. */
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

/** The path of a resource, as a GET has it; undefined for a URI that is of none. */
export function resourcePath(uri: string): string | undefined {
  return uri.startsWith(`${scheme}/`) && !/[?#]/.test(uri) ? uri.slice(scheme.length) : undefined
}
