import {
  create,
  type DescField,
  type DescMessage,
  isFieldSet,
  type JsonValue,
  type JsonWriteOptions,
  type Message,
  type Registry,
  ScalarType,
  toJson,
} from '@bufbuild/protobuf'
import {FeatureSet_FieldPresence} from '@bufbuild/protobuf/wkt'
import {Fault} from '../core/fault.ts'
import type {FieldPath} from './fields/fields.ts'
import {isLong} from './fields/scalars.ts'
import {isHttpBody} from './requests.ts'
import type {Binding} from './rules/bindings.ts'

/** A whole answer. */
export interface Encoded {
  contentType: string
  body: string | Uint8Array
  /** What the answer itself says of its response: 200, and nothing more, unless given. */
  status?: number
  headers?: Readonly<Record<string, string>>
}

/** How its caller wants an answer to look. */
export interface View {
  readonly enumAsInteger: boolean
  readonly isPretty: boolean
  readonly mask: {apply(json: JsonValue): JsonValue} | undefined
}

/** The response of `binding`, or the field of it that response_body names: JSON, or the bytes of an HttpBody. */
export function encodeResponse(binding: Binding, message: Message, registry: Registry, view?: View): Encoded {
  if (answersRaw(binding)) return rawOf(binding, message)
  return {contentType: 'application/json', body: responseJson(binding, message, registry, view)}
}

/** Whether the answer is a google.api.HttpBody: bytes of the backend's type, whatever Accept says (httpbody.proto). */
export function answersRaw({method, responseBody}: Binding): boolean {
  if (!responseBody) return isHttpBody(method.output)
  return responseBody.fieldKind === 'message' && isHttpBody(responseBody.message)
}

/** What may stand in a header (RFC 9110, 5.5). */
const headerValue = /^[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?$/

/** The bytes and the type of an answersRaw() response; an absent field has neither, nor a type that is no header. */
export function rawOf({responseBody}: Binding, message: Message): {contentType: string; body: Uint8Array} {
  const body = (responseBody ? fieldValue(message, responseBody) : message) as HttpBody | undefined
  const type = body?.contentType ?? ''
  const contentType = headerValue.test(type) ? type : 'application/octet-stream'
  return {contentType, body: body?.data ?? new Uint8Array()}
}

/**
 * The JSON text of a response or of its response_body.
 * @throws {Fault} 500 for what has no JSON: an Any of a type that `registry` does not have, a year beyond 9999.
 */
export function responseJson(
  {method, responseBody}: Binding,
  message: Message,
  registry: Registry,
  view?: View,
): string {
  try {
    const options = {registry, enumAsInteger: view?.enumAsInteger ?? false}
    const json = responseBody
      ? jsonOfField(method.output, message, responseBody, options)
      : toJson(method.output, message, options)
    return view
      ? JSON.stringify(view.mask ? view.mask.apply(json) : json, null, view.isPretty ? 2 : 0)
      : JSON.stringify(json)
  } catch (cause) {
    throw new Fault('INTERNAL', `Cannot write the answer of ${method.parent.typeName}.${method.name} as JSON`, {cause})
  }
}

/** The JSON of one field of `message`, whose type is `desc`. */
export function jsonOfField(
  desc: DescMessage,
  message: Message,
  field: DescField,
  options: Partial<JsonWriteOptions> = {},
): JsonValue {
  return fieldJson(field, toJson(desc, alone(desc, message, field), options), options)
}

interface HttpBody {
  contentType: string
  data: Uint8Array
}

/** `message` with that field, and those alone that it cannot be written without: any other may have no JSON. */
function alone(desc: DescMessage, message: Message, chosen: DescField): Message {
  const made = create(desc)
  for (const field of desc.fields) {
    const isNeeded = field === chosen || field.presence === FeatureSet_FieldPresence.LEGACY_REQUIRED
    if (isNeeded && isFieldSet(message, field)) {
      const {localName} = field.oneof ?? field
      fieldsIn(made)[localName] = fieldsIn(message)[localName]
    }
  }
  return made
}

function fieldsIn(message: Message): Record<string, unknown> {
  return message as unknown as Record<string, unknown>
}

/** The value at `path`, inside messages that are there. */
export function valueAt(message: Message, {parents, field}: FieldPath): unknown {
  let inner: Message | undefined = message
  for (const parent of parents) inner = inner && (fieldValue(inner, parent) as Message | undefined)
  return inner && fieldValue(inner, field)
}

export function fieldValue(message: Message, {oneof, localName}: DescField): unknown {
  const fields = fieldsIn(message)
  if (!oneof) return fields[localName]
  const choice = fields[oneof.localName] as {case?: string; value?: unknown}
  return choice.case === localName ? choice.value : undefined
}

/** A field that JSON leaves out is its empty value, or null where there is a difference (ProtoJSON). */
function fieldJson(field: DescField, json: JsonValue, options: Partial<JsonWriteOptions>): JsonValue {
  const fields = json as Record<string, JsonValue>
  return Object.hasOwn(fields, field.jsonName) ? fields[field.jsonName]! : emptyJson(field, options)
}

function emptyJson(field: DescField, {enumAsInteger = false}: Partial<JsonWriteOptions>): JsonValue {
  if (field.fieldKind === 'list') return []
  if (field.fieldKind === 'map') return {}
  if (field.presence !== FeatureSet_FieldPresence.IMPLICIT || isNull(field)) return null
  if (field.fieldKind === 'enum') return (!enumAsInteger && field.enum.values[0]?.jsonName) || 0
  if (field.scalar === ScalarType.BOOL) return false
  if (field.scalar === ScalarType.STRING || field.scalar === ScalarType.BYTES) return ''
  return field.scalar && isLong(field.scalar) ? '0' : 0
}

function isNull(field: DescField): boolean {
  return field.enum?.typeName === 'google.protobuf.NullValue'
}
