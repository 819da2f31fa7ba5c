import {type DescField, type DescMessage, type Message, ScalarType} from '@bufbuild/protobuf'
import {resourceEtag} from '../../core/coded-etag.ts'
import {Fault} from '../../core/fault.ts'
import {type FieldPath, isPlainMessage} from '../fields/fields.ts'
import {fieldValue} from '../responses.ts'
import type {Binding} from '../rules/bindings.ts'

/** `"x"` or `W/"x"` (RFC 9110 8.8.3), as a header or as the field of a resource. */
const quoted = /^(?:W\/)?"[\x21\x23-\x7e]*"$/

/**
 * The etags of one service's resources. Some services put quotes into the field as a header does (AIP-154), some do not. The last
 * answer with an etag tells which; until there is one, no quotes are assumed.
 */
export class Etags {
  #areQuoted = false

  /** The header ETag for a field's value; undefined for text that cannot be an etag. */
  headerFor(value: string): string | undefined {
    const isQuoted = quoted.test(value)
    const header = isQuoted ? value : `"${value}"`
    if (value === '' || !quoted.test(header)) return undefined
    this.#areQuoted = isQuoted
    return header
  }

  /**
   * The value of the request's etag field for the header If-Match; undefined for `*`, which any etag matches.
   * @throws {Fault} 400 unless the header is one etag or `*`
   */
  fieldFor(ifMatch: string): string | undefined {
    const etag = resourceEtag(ifMatch.trim())
    if (etag === '*') return undefined
    // An empty etag would be no condition at all.
    const bare = quoted.test(etag) ? etag.replace(/^W\//, '').slice(1, -1) : ''
    // Our header is weak only where the field is. Where a proxy made it weak, it must not match (RFC 9110 13.1.1).
    if (bare) return this.#areQuoted || etag.startsWith('W/') ? etag : bare
    if (/^[\x21\x23-\x2b\x2d-\x7e]+$/.test(etag)) return etag
    throw Fault.invalid('if-match', 'Header If-Match is malformed: expected one etag in quotes, or *')
  }
}

/**
 * The etag of the response that a header If-None-Match names: `etag`, or that of its compressed body. Undefined if none matches by weak
 * comparison (RFC 9110 13.1.2).
 */
export function namedEtag(etag: string, ifNoneMatch: string): string | undefined {
  if (ifNoneMatch.trim() === '*') return etag
  const opaque = etag.replace(/^W\//, '')
  for (const [, named = ''] of ifNoneMatch.matchAll(/(?:W\/)?("[^"]*")/g)) {
    if (named === opaque) return etag
    if (resourceEtag(named) === etag) return named
  }
  return undefined
}

/** Reads the etag of the response body, from its top-level field; undefined where there is no such field. */
export function etagOfAnswer({method, responseBody}: Binding): ((answer: Message) => string) | undefined {
  const resource = responseBody ? messageOf(responseBody) : method.output
  const etag = resource && textField(resource, 'etag')
  if (!etag) return undefined
  return (answer) => {
    const message = responseBody ? (fieldValue(answer, responseBody) as Message | undefined) : answer
    return (message && (fieldValue(message, etag) as string | undefined)) ?? ''
  }
}

/** The request's field for the expected etag: its own field `etag`, or else that of the resource in it. */
export function etagOfRequest({method: {input}, body}: Binding): FieldPath | undefined {
  const own = textField(input, 'etag')
  if (own) return {name: own.name, parents: [], field: own}
  const candidates = typeof body === 'object' ? [body] : input.fields
  const [resource, ...others] = candidates.filter(isPlainMessage).filter(({message}) => textField(message, 'etag'))
  if (!resource || others.length > 0) return undefined
  const field = textField(resource.message, 'etag')!
  return {name: `${resource.name}.${field.name}`, parents: [resource], field}
}

/** The singular string field `name`. */
export function textField(desc: DescMessage, name: string): DescField | undefined {
  return desc.fields.find(
    (field) => field.name === name && field.fieldKind === 'scalar' && field.scalar === ScalarType.STRING,
  )
}

function messageOf(field: DescField): DescMessage | undefined {
  return field.fieldKind === 'message' ? field.message : undefined
}
