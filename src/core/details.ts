import {randomUUID} from 'node:crypto'
import {
  clearExtension,
  create,
  createRegistry,
  type DescMessage,
  fromBinary,
  getExtension,
  type JsonValue,
  type Message,
  type Registry,
  setExtension,
  toBinary,
  toJson,
} from '@bufbuild/protobuf'
import {type ReflectMessage, reflect} from '@bufbuild/protobuf/reflect'
import {
  type Any,
  AnySchema,
  anyPack,
  file_google_protobuf_any,
  file_google_protobuf_duration,
  file_google_protobuf_empty,
  file_google_protobuf_field_mask,
  file_google_protobuf_struct,
  file_google_protobuf_timestamp,
  file_google_protobuf_wrappers,
  StringValueSchema,
} from '@bufbuild/protobuf/wkt'
import {DebugInfoSchema, file_google_rpc_error_details} from '../gen/google/rpc/error_details_pb.js'
import {file_google_rpc_status} from '../gen/google/rpc/status_pb.js'

/**
 * The JSON of an error detail. Its type is looked up in `types`, then in google/rpc. A detail of an unknown type, or one that cannot be
 * decoded, becomes base64, also when it is nested in another one. Stack traces must not get out: the result is undefined for a
 * google.rpc.DebugInfo, and nested ones are removed.
 */
export function detailJson(any: Any, types?: Registry): JsonValue | undefined {
  const all = withKnown(types)
  const told = withoutDebugInfo(any, all)
  return told && anyJson(told, all)
}

/** An error detail that may be sent to a caller: undefined for a google.rpc.DebugInfo, and nested ones are removed. */
export function detailToTell(any: Any, types?: Registry): Any | undefined {
  return withoutDebugInfo(any, withKnown(types))
}

let known: Registry | undefined

/** Made for the first error with details, not at start. */
function knownTypes(): Registry {
  known ??= createRegistry(
    file_google_protobuf_any,
    file_google_protobuf_duration,
    file_google_protobuf_empty,
    file_google_protobuf_field_mask,
    file_google_protobuf_struct,
    file_google_protobuf_timestamp,
    file_google_protobuf_wrappers,
    file_google_rpc_error_details,
    file_google_rpc_status,
  )
  return known
}

const widened = new WeakMap<Registry, Registry>()

function withKnown(types: Registry | undefined): Registry {
  if (!types) return knownTypes()
  const made = widened.get(types) ?? createRegistry(knownTypes(), types)
  widened.set(types, made)
  return made
}

function withoutDebugInfo(any: Any, types: Registry): Any | undefined {
  if (typeNameOf(any) === DebugInfoSchema.typeName) return undefined
  const message = unpacked(any, types)
  if (!message) return any
  const visit: Visit = (inner) => {
    if (inner.desc.typeName === DebugInfoSchema.typeName) return false
    if (inner.desc.typeName !== AnySchema.typeName) return forEachMessage(inner, types, visit)
    const nested = inner.message as Any
    const told = withoutDebugInfo(nested, types)
    if (told) nested.value = told.value
    return told !== undefined
  }
  visit(message)
  return packed(any, message)
}

function anyJson(any: Any, types: Registry): JsonValue {
  try {
    const message = unpacked(any, types)
    if (message) return {'@type': any.typeUrl, ...bodyJson(any, message, types)}
  } catch {
    // The message has no JSON form, for example because of a year beyond 9999.
  }
  return {'@type': any.typeUrl, value: Buffer.from(any.value).toString('base64')}
}

/** The JSON of `message`. Nested Anys may have unknown types, so each is replaced by a placeholder string, and that by its own JSON. */
function bodyJson(any: Any, message: ReflectMessage, types: Registry): object {
  const mark = randomUUID()
  const inside: JsonValue[] = []
  const visit: Visit = (inner) => {
    if (inner.desc.typeName !== AnySchema.typeName) return forEachMessage(inner, types, visit)
    const nested = inner.message as Any
    if (nested.typeUrl === '') return true
    const nth = inside.push(anyJson(nested, types)) - 1
    anyPack(StringValueSchema, create(StringValueSchema, {value: `${mark}${nth}`}), nested)
    return true
  }
  visit(message)
  const {'@type': _, ...json} = toJson(AnySchema, packed(any, message), {registry: types}) as Record<string, JsonValue>
  if (inside.length === 0) return json
  return JSON.parse(JSON.stringify(json), (_key, value) => {
    const text: unknown = value?.value
    return typeof text === 'string' && text.startsWith(mark) ? inside[Number(text.slice(mark.length))] : value
  })
}

/** Visits a message, which it may change. Returns false to remove the message. */
type Visit = (message: ReflectMessage) => boolean

/** Calls `visit` for each message that is the value of a field or extension of `message`, or among its values. */
function forEachMessage(message: ReflectMessage, types: Registry, visit: Visit): true {
  // Well-known types other than Any contain no Any, and some are not represented as messages.
  if (message.desc.typeName.startsWith('google.protobuf.')) return true
  for (const field of message.fields) {
    if (!field.message || !message.isSet(field)) continue
    if (field.fieldKind === 'message') {
      if (!visit(message.get(field))) message.clear(field)
    } else if (field.fieldKind === 'list') {
      const list = message.get(field)
      const kept = [...list].filter((item) => visit(item as ReflectMessage))
      if (kept.length === list.size) continue
      list.clear()
      for (const item of kept) list.add(item)
    } else {
      const map = message.get(field)
      for (const [key, item] of [...map]) if (!visit(item as ReflectMessage)) map.delete(key)
    }
  }
  for (const {no} of message.getUnknown() ?? []) {
    const extension = types.getExtensionFor(message.desc, no)
    if (!extension?.message) continue
    const desc = extension.message
    const value = getExtension(message.message, extension) as Message | Message[]
    const kept = [value].flat().filter((item) => visit(reflect(desc, item)))
    if (kept.length === 0) clearExtension(message.message, extension)
    else setExtension(message.message, extension, (Array.isArray(value) ? kept : kept[0]) as never)
  }
  return true
}

function unpacked(any: Any, types: Registry): ReflectMessage | undefined {
  const desc = types.getMessage(typeNameOf(any))
  try {
    return desc && reflect(desc, fromBinary(desc, any.value))
  } catch {
    return undefined
  }
}

function packed({typeUrl}: Any, {desc, message}: ReflectMessage): Any {
  return create(AnySchema, {typeUrl, value: toBinary(desc as DescMessage, message)})
}

/** The type's name. The host in the URL is ignored. */
function typeNameOf({typeUrl}: Any): string {
  return typeUrl.slice(typeUrl.lastIndexOf('/') + 1)
}
