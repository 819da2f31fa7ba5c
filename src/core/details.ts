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
 * A detail of a failure in the JSON of its type, which is looked up in `types` first and in google/rpc then. One of a type
 * that neither has, or that is not what its type says, stays as it came, in base64, also inside of another one. Stack
 * traces of a backend are nobody's business outside: undefined for a google.rpc.DebugInfo, and none is left inside.
 */
export function detailJson(any: Any, types?: Registry): JsonValue | undefined {
  const all = withKnown(types)
  const told = withoutDebugInfo(any, all)
  return told && anyJson(told, all)
}

/** A detail of a failure less what nobody outside may see: undefined for a google.rpc.DebugInfo, and none is left inside. */
export function detailToTell(any: Any, types?: Registry): Any | undefined {
  return withoutDebugInfo(any, withKnown(types))
}

let known: Registry | undefined

/** Made for the first failure that has details, not at a start. */
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
    // It has no JSON: a year beyond 9999, say.
  }
  return {'@type': any.typeUrl, value: Buffer.from(any.value).toString('base64')}
}

/** An Any within the message may be of a type that nobody knows: a string stands in for each, and its JSON is put there. */
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

/** Looks at a message, which it may change; false to have it removed. */
type Visit = (message: ReflectMessage) => boolean

/** Calls `visit` for each message that is the value of a field or extension of `message`, or among its values. */
function forEachMessage(message: ReflectMessage, types: Registry, visit: Visit): true {
  // All but Any hold neither an Any nor messages of other types; some are no messages in memory.
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

/** Whatever host a type's URL names. */
function typeNameOf({typeUrl}: Any): string {
  return typeUrl.slice(typeUrl.lastIndexOf('/') + 1)
}
