import {
  create,
  createRegistry,
  type DescField,
  type DescMessage,
  isFieldSet,
  type JsonValue,
  type Message,
  type Registry,
  ScalarType,
} from '@bufbuild/protobuf'
import {FeatureSet_FieldPresence} from '@bufbuild/protobuf/wkt'
import {type Dialect, ownDialect} from '../core/dialect.ts'
import {Fault} from '../core/fault.ts'
import {type FieldPath, hasOwnForm} from './fields/fields.ts'
import {isLong} from './fields/scalars.ts'
import {writtenJson} from './json/floats.ts'
import {isHttpBody} from './requests.ts'
import type {Binding} from './rules/bindings.ts'

/** How messages are written as JSON. */
export interface JsonWriting {
  readonly registry: Registry
  readonly useProtoFieldName: boolean
  readonly enumAsInteger: boolean
  /** Whether fields without presence are written even if they have their zero value. */
  readonly alwaysEmitImplicit: boolean
  /** Whether unset fields with presence are written as null. */
  readonly unsetAsNull: boolean
}

/** The options for writing JSON in `dialect`. An Any may hold the types of `registry`. */
export function jsonWriting(registry: Registry, {zeroValues, fieldNames, enums}: Dialect = ownDialect): JsonWriting {
  return {
    registry,
    useProtoFieldName: fieldNames === 'proto',
    enumAsInteger: enums === 'number',
    alwaysEmitImplicit: zeroValues !== 'omit',
    unsetAsNull: zeroValues === 'print-unset',
  }
}

const plain = jsonWriting(createRegistry())

/** A whole answer. */
export interface Encoded {
  contentType: string
  body: string | Uint8Array
  /** HTTP status that the answer decides: 200 unless given. */
  status?: number
  headers?: Readonly<Record<string, string>>
}

/** How the caller wants an answer presented. */
export interface View {
  readonly enumAsInteger: boolean
  readonly isPretty: boolean
  readonly mask: {apply(json: JsonValue): JsonValue} | undefined
}

/** The response of `binding`, or the field of it that response_body names: JSON, or the bytes of an HttpBody. */
export function encodeResponse(binding: Binding, message: Message, writing: JsonWriting, view?: View): Encoded {
  if (answersRaw(binding)) return rawOf(binding, message)
  return {contentType: 'application/json', body: responseJson(binding, message, writing, view)}
}

/** Whether the answer is a google.api.HttpBody: bytes of the backend's type, whatever Accept says (httpbody.proto). */
export function answersRaw({method, responseBody}: Binding): boolean {
  if (!responseBody) return isHttpBody(method.output)
  return responseBody.fieldKind === 'message' && isHttpBody(responseBody.message)
}

/** A valid header value (RFC 9110, 5.5). */
const headerValue = /^[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?$/

/** The bytes and the content type of an answersRaw() response; empty for an unset field, the type also if it is no valid header. */
export function rawOf({responseBody}: Binding, message: Message): {contentType: string; body: Uint8Array} {
  const body = (responseBody ? fieldValue(message, responseBody) : message) as HttpBody | undefined
  const type = body?.contentType ?? ''
  const contentType = headerValue.test(type) ? type : 'application/octet-stream'
  return {contentType, body: body?.data ?? new Uint8Array()}
}

/**
 * The JSON text of a response or of its response_body.
 * @throws {Fault} 500 for a message without a JSON form, such as an Any of an unknown type or a year beyond 9999
 */
export function responseJson(
  {method, responseBody}: Binding,
  message: Message,
  writing: JsonWriting,
  view?: View,
): string {
  try {
    const json = responseBody
      ? jsonOfField(method.output, message, responseBody, writing)
      : messageJson(method.output, message, writing)
    return view
      ? JSON.stringify(view.mask ? view.mask.apply(json) : json, null, view.isPretty ? 2 : 0)
      : JSON.stringify(json)
  } catch (cause) {
    throw new Fault('INTERNAL', `Cannot write the answer of ${method.parent.typeName}/${method.name} as JSON`, {cause})
  }
}

/** The JSON of one field of `message`, whose type is `desc`. */
export function jsonOfField(desc: DescMessage, message: Message, field: DescField, writing = plain): JsonValue {
  return fieldJson(field, messageJson(desc, alone(desc, message, field), writing), writing)
}

function messageJson(desc: DescMessage, message: Message, writing: JsonWriting): JsonValue {
  const json = writtenJson(desc, message, writing)
  if (writing.unsetAsNull && !hasOwnForm(desc)) addNulls(desc, message, json as Record<string, JsonValue>, writing)
  return json
}

/** Adds a null for each unset field with presence, except for members of oneofs. */
function addNulls(desc: DescMessage, message: Message, json: Record<string, JsonValue>, writing: JsonWriting): void {
  for (const field of desc.fields) {
    const name = nameOf(field, writing)
    const value = json[name]
    if (value === undefined) {
      const isUnset = field.fieldKind !== 'list' && field.fieldKind !== 'map' && !field.oneof
      if (isUnset && !field.proto.proto3Optional) json[name] = null
    } else if (field.message && !hasOwnForm(field.message) && isFieldSet(message, field)) {
      const inner = fieldValue(message, field) as Message | Record<string, Message>
      // Lists and maps are arrays and objects in the message as well as in the JSON.
      if (field.fieldKind === 'message') addNulls(field.message, inner as Message, value as never, writing)
      else {
        for (const [key, item] of Object.entries(inner)) {
          addNulls(field.message, item as Message, (value as Record<string, never>)[key]!, writing)
        }
      }
    }
  }
}

function nameOf(field: DescField, {useProtoFieldName}: JsonWriting): string {
  return useProtoFieldName ? field.name : field.jsonName
}

interface HttpBody {
  contentType: string
  data: Uint8Array
}

/** `message` with only the chosen field and the required ones: a value in any other field may have no JSON form. */
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

/** The value at `path`; undefined if a message on the path is not set. */
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

/** The JSON of a field, also where ProtoJSON omits it: its empty value, or null for a field with presence. */
function fieldJson(field: DescField, json: JsonValue, writing: JsonWriting): JsonValue {
  const fields = json as Record<string, JsonValue>
  const name = nameOf(field, writing)
  return Object.hasOwn(fields, name) ? fields[name]! : emptyJson(field, writing)
}

function emptyJson(field: DescField, {enumAsInteger}: JsonWriting): JsonValue {
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
