import {type DescField, type DescMethod, ScalarType} from '@bufbuild/protobuf'
import {BinaryReader, WireType} from '@bufbuild/protobuf/wire'
import type {FieldPath} from '../fields/fields.ts'
import type {Binding} from '../rules/bindings.ts'
import type {RoutingParameter} from '../rules/routing-rule.ts'
import type {Conventions} from './conventions.ts'
import {routingValue} from './routing-header.ts'

/** The routing header for the bytes of a request message; undefined when there is none. */
export type MessageRouting = (message: Uint8Array) => string | undefined

/**
 * The routing header of a call that has no path, as Google's clients send it (AIP-4222): by google.api.routing, or else with the
 * fields in the path of the method's first rule. Undefined for a method without either, and for client-streaming methods.
 */
export function messageRoutingOf(
  method: DescMethod,
  conventions: ReadonlyMap<Binding, Conventions>,
): MessageRouting | undefined {
  if (method.methodKind === 'client_streaming' || method.methodKind === 'bidi_streaming') return undefined
  for (const binding of conventions.keys()) {
    if (binding.method !== method) continue
    const parameters = conventions.get(binding)!.routing ?? binding.variables.map(ofVariable)
    const readable = parameters.filter(({path}) => isReadable(path.field))
    return readable.length > 0 ? (message) => routingValue((path) => textIn(message, path), readable) : undefined
  }
  return undefined
}

function ofVariable(path: FieldPath): RoutingParameter {
  return {path, key: path.name, pattern: undefined}
}

/** Reads the value of each type. Messages and bytes are left out, because they have no common text form. */
const readers = {
  [ScalarType.STRING]: (reader) => reader.string(),
  [ScalarType.BOOL]: (reader) => reader.bool(),
  [ScalarType.INT32]: (reader) => reader.int32(),
  [ScalarType.INT64]: (reader) => reader.int64(),
  [ScalarType.UINT32]: (reader) => reader.uint32(),
  [ScalarType.UINT64]: (reader) => reader.uint64(),
  [ScalarType.SINT32]: (reader) => reader.sint32(),
  [ScalarType.SINT64]: (reader) => reader.sint64(),
  [ScalarType.FIXED32]: (reader) => reader.fixed32(),
  [ScalarType.FIXED64]: (reader) => reader.fixed64(),
  [ScalarType.SFIXED32]: (reader) => reader.sfixed32(),
  [ScalarType.SFIXED64]: (reader) => reader.sfixed64(),
} as const satisfies Partial<Record<ScalarType, (reader: BinaryReader) => unknown>>

function readerOf({fieldKind, scalar}: DescField): ((reader: BinaryReader) => unknown) | undefined {
  return fieldKind === 'scalar' ? readers[scalar as keyof typeof readers] : undefined
}

function isReadable(field: DescField): boolean {
  return field.fieldKind === 'enum' || readerOf(field) !== undefined
}

/** The text of the field at `path`, empty if it is unset. The rest of the message is skipped. */
function textIn(message: Uint8Array, {parents, field}: FieldPath): string {
  return lastText(message, [...parents, field], '')
}

/** As always in the wire format, the last value wins, and repeated messages are merged. */
function lastText(bytes: Uint8Array, [field, ...inner]: readonly DescField[], before: string): string {
  const reader = new BinaryReader(bytes)
  let text = before
  while (reader.pos < reader.len) {
    const [number, type] = reader.tag()
    if (number !== field!.number) reader.skip(type, number)
    else if (inner.length === 0) text = valueText(field!, reader)
    else if (type === WireType.LengthDelimited) text = lastText(reader.bytes(), inner, text)
    else reader.skip(type, number)
  }
  return text
}

function valueText(field: DescField, reader: BinaryReader): string {
  if (field.fieldKind !== 'enum') return String(readerOf(field)!(reader))
  const value = reader.int32()
  return field.enum.value[value]?.name ?? String(value)
}
