import {type DescField, type DescMessage, type JsonValue, ScalarType} from '@bufbuild/protobuf'
import fc from 'fast-check'
import {anyText} from '../helpers/text.ts'

type Fields = Record<string, JsonValue>

const text = anyText({maxLength: 10})
const integer = (min: bigint, max: bigint) => fc.bigInt({min, max})
const int32 = integer(-(2n ** 31n), 2n ** 31n - 1n).map(Number)
const uint32 = integer(0n, 2n ** 32n - 1n).map(Number)
const int64 = integer(-(2n ** 63n), 2n ** 63n - 1n).map(String)
const uint64 = integer(0n, 2n ** 64n - 1n).map(String)
// `+ 0` because JSON has no -0.
const real = (value: number) => (Number.isFinite(value) ? value + 0 : String(value))
const seconds = fc.tuple(fc.integer({min: -1e9, max: 1e9}), fc.integer({min: 0, max: 999}))
const instant = {min: new Date('0001-01-01T00:00:00Z'), max: new Date('9999-12-31T23:59:59Z'), noInvalidDate: true}

const scalars: Record<ScalarType, fc.Arbitrary<JsonValue>> = {
  [ScalarType.STRING]: text,
  [ScalarType.BOOL]: fc.boolean(),
  [ScalarType.BYTES]: fc.uint8Array({maxLength: 9}).map((bytes) => Buffer.from(bytes).toString('base64')),
  [ScalarType.DOUBLE]: fc.double().map(real),
  // With the digits that every float keeps.
  [ScalarType.FLOAT]: fc.float().map((value) => real(Number(value.toPrecision(6)))),
  [ScalarType.INT32]: int32,
  [ScalarType.SINT32]: int32,
  [ScalarType.SFIXED32]: int32,
  [ScalarType.UINT32]: uint32,
  [ScalarType.FIXED32]: uint32,
  [ScalarType.INT64]: int64,
  [ScalarType.SINT64]: int64,
  [ScalarType.SFIXED64]: int64,
  [ScalarType.UINT64]: uint64,
  [ScalarType.FIXED64]: uint64,
}

const json = fc.jsonValue({maxDepth: 2}).map((value) => JSON.parse(JSON.stringify(value)) as JsonValue)

/** Well-known types with their own JSON form; the first three are text in a query too. */
const wellKnown = new Map<string, fc.Arbitrary<JsonValue>>([
  ['google.protobuf.Timestamp', fc.date(instant).map((date) => date.toISOString())],
  ['google.protobuf.Duration', seconds.map(([s, ms]) => `${s}.${ms}s`)],
  ['google.protobuf.FieldMask', fc.uniqueArray(fc.constantFrom('name', 'child.longId', 'a.b.c')).map(String)],
  ['google.protobuf.Struct', fc.dictionary(text, json, {maxKeys: 3})],
  ['google.protobuf.Value', json.filter((value) => value !== null)],
  ['google.protobuf.ListValue', fc.array(json, {maxLength: 3})],
  ['google.protobuf.Any', fc.record({'@type': fc.constant('type.googleapis.com/every.Child'), name: text})],
])
const textual = new Set(['google.protobuf.Timestamp', 'google.protobuf.Duration', 'google.protobuf.FieldMask'])

/** The scalar type of a google.protobuf wrapper, whose JSON is the value alone. */
function wrapped(desc: DescMessage): ScalarType | undefined {
  return /^google\.protobuf\.\w+Value$/.test(desc.typeName) && desc.fields.length === 1
    ? desc.fields[0]?.scalar
    : undefined
}

/** Whether a query can set `field`: primitives, repeated and nested ones, and well-known types. */
export function isQueryable(field: DescField): boolean {
  if (field.fieldKind === 'map') return false
  if (!field.message) return true
  if (field.fieldKind === 'list') return false
  const {typeName} = field.message
  if (textual.has(typeName) || wrapped(field.message) !== undefined) return true
  return !wellKnown.has(typeName) && field.message.fields.length > 0 && field.message.fields.every(isTextOrSelf)

  function isTextOrSelf(inner: DescField): boolean {
    return inner.message === field.message || isQueryable(inner)
  }
}

/** A value of one field in proto3 JSON. Messages nest at most `depth` further levels, and none is empty. */
export function valuesFor(field: DescField, depth = 2): fc.Arbitrary<JsonValue> {
  if (field.fieldKind === 'list') return fc.array(itemOf(field, depth), {maxLength: 3})
  if (field.fieldKind !== 'map') return itemOf(field, depth)
  const key = scalars[field.mapKey].map(String) as fc.Arbitrary<string>
  return fc.dictionary(key, itemOf(field, depth), {maxKeys: 3})
}

function itemOf(field: DescField, depth: number): fc.Arbitrary<JsonValue> {
  if (field.enum) return fc.constantFrom<JsonValue>(...field.enum.values.map(({name}) => name), 77)
  if (!field.message) return scalars[field.scalar!]
  const inner = wrapped(field.message)
  return wellKnown.get(field.message.typeName) ?? (inner ? scalars[inner] : messageOf(field.message.fields, depth - 1))
}

/**
 * A message in proto3 JSON, by proto names, with some of `fields`, but at most one field of a oneof. Below the top level there is
 * at least one field, because a query cannot express an empty message.
 */
export function messageOf(fields: readonly DescField[], depth = 2, least = 1): fc.Arbitrary<Fields> {
  const usable = fields.filter(({message, enum: values}) =>
    message ? depth > 0 : values?.typeName !== 'google.protobuf.NullValue',
  )
  if (usable.length === 0) return fc.constant({})
  const chosen = fc.uniqueArray(fc.constantFrom(...usable), {
    selector: ({oneof, name}) => oneof?.name ?? name,
    minLength: least,
    maxLength: 5,
  })
  return chosen.chain((some) =>
    fc.record(Object.fromEntries(some.map((field) => [field.name, valuesFor(field, depth)]))),
  )
}
