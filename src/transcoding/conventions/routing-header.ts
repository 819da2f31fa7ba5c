import type {Message} from '@bufbuild/protobuf'
import type {FieldPath} from '../fields/fields.ts'
import type {MetadataEntry} from '../metadata.ts'
import {valueAt} from '../responses.ts'
import type {RoutingParameter} from '../rules/routing-rule.ts'

/** The metadata key by which Google's front ends route a call to the region of its resource (AIP-4222). */
const routingKey = 'x-goog-request-params'

/** Limit for the value, in characters, because some servers accept only 8 KiB of metadata. */
const maxLength = 4096

/** The routing header for `message`: the last parameter of each key whose field matches; undefined when there is none. */
export function routingHeader(message: Message, parameters: readonly RoutingParameter[]): string | undefined {
  return routingValue((path) => String(valueAt(message, path) ?? ''), parameters)
}

/** The same, with the text of each field from `textAt`, which is empty for an unset field. */
export function routingValue(
  textAt: (path: FieldPath) => string,
  parameters: readonly RoutingParameter[],
): string | undefined {
  const values = new Map<string, string>()
  for (const {path, key, pattern} of parameters) {
    const text = textAt(path)
    const value = pattern ? pattern.exec(text)?.[1] : text
    if (value) values.set(key, value)
  }
  return written([...values])
}

/** The routing header for the captures of a path's variables, whose names are in `names`. */
export function pathRouting(names: readonly string[], captures: readonly string[]): string | undefined {
  return written(names.map((name, index) => [name, captures[index]!] as const))
}

/** Adds `value` as the routing header, unless it is undefined. */
export function addRouting(metadata: MetadataEntry[], value: string | undefined): void {
  if (value !== undefined) metadata.push([routingKey, value])
}

function written(pairs: readonly (readonly [key: string, value: string])[]): string | undefined {
  let text = ''
  for (const [key, value] of pairs) if (value) text += `${text && '&'}${key}=${escaped(value)}`
  return text === '' || text.length > maxLength ? undefined : text
}

/** Percent-encodes all characters except the unreserved ones (RFC 6570 3.2.2). */
function escaped(value: string): string {
  return encodeURIComponent(value).replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`)
}
