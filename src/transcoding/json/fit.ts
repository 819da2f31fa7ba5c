import {type DescEnum, type DescField, type DescMessage, type Registry, ScalarType} from '@bufbuild/protobuf'
import {Fault} from '../../core/fault.ts'
import {shortened} from '../../core/shortened.ts'
import {fieldsOf} from '../fields/fields.ts'
import {isInteger, isLong, isMapKey, scalarTexts} from '../fields/scalars.ts'
import {messageText, wrappedText} from '../fields/well-known.ts'
import type {ValueCount} from '../value-count.ts'

/** How JSON is read. */
export interface JsonOptions {
  /** To look up the types in an Any, and extensions. */
  registry: Registry
  /** Whether unknown fields are dropped rather than refused. */
  ignoreUnknown: boolean
}

/** The context in which the JSON of one message is read. */
export interface Reading extends JsonOptions {
  /** Counts values inside strings, such as a FieldMask's paths. All others were counted when the JSON was parsed. */
  count: ValueCount
  /** Nesting depth of Anys around the current value. */
  anys?: number
}

/** Limit for nested Anys (our decision): each level copies all of its content. */
const maxAnys = 5

type Json = Record<string, unknown>

/**
 * Converts a value of parseJson(), in place, so that protobuf-es can read it as a message of `desc`: a bigint becomes a string for a
 * 64-bit integer field and a double anywhere else. Refuses what proto3 JSON does not allow. protobuf-es alone would name only the
 * type in its errors, and would read "0x10" as 16 and "1s or so" as 1s.
 * @throws {Fault} 400 naming the field, from `path` on
 */
export function fitMessage(desc: DescMessage, value: unknown, path: string, options: Reading): unknown {
  const special = specials.get(desc.typeName)
  if (special) return special(value, path, options)
  const wrapped = desc.fields[0]
  if (wrapped?.scalar && wrappedText(desc)) return fitScalar(wrapped.scalar, value, path)
  const text = messageText(desc)
  if (text) {
    if (typeof value !== 'string') return refuse(path, value, text.expected)
    if (text.items) options.count.add(text.items(value))
    if (!text.fits(value)) refuse(path, value, text.expected)
    return value
  }
  return fitFields(desc, expectObject(value, path, desc.typeName), path, options)
}

/** As fitMessage(), for the value of one field of any kind. `null` means unset (ProtoJSON) and is valid for all of them. */
export function fitField(field: DescField, value: unknown, path: string, options: Reading): unknown {
  if (value === null) return value
  if (field.fieldKind === 'map') {
    const object = expectObject(value, path, `a map, as an object`)
    for (const key of Object.keys(object)) {
      const place = `${path}["${key}"]`
      if (!isMapKey(field.mapKey, key)) refuse(place, key, `${scalarTexts[field.mapKey].expected} as key`)
      replace(object, key, fitItem(field, object[key], place, options))
    }
    return object
  }
  if (field.fieldKind !== 'list') return fitOne(field, value, path, options)
  const items = expectArray(value, path)
  for (let index = 0; index < items.length; index++) {
    items[index] = fitItem(field, items[index], `${path}[${index}]`, options)
  }
  return items
}

function fitFields(desc: DescMessage, object: Json, path: string, options: Reading): Json {
  if (path !== '') options.count.addFieldsOf(desc)
  const fields = fieldsOf(desc)
  const present: DescField[] = []
  for (const key in object) {
    const place = path === '' ? key : `${path}.${key}`
    const value = object[key]
    const field = fields.get(key) ?? extensionOf(desc, key, options.registry)
    if (!field) {
      if (options.ignoreUnknown) continue
      refuseUnknown(desc, place)
    }
    refuseTwice(field, present, place)
    // A null means unset (ProtoJSON), so it does not select its oneof. protobuf-es would let a message select it.
    if (field.oneof && value === null && !takesNull(field)) delete object[key]
    else present.push(field)
    if (value !== null) replace(object, key, fitField(field, value, place, options))
  }
  return object
}

function refuseUnknown(desc: DescMessage, place: string): never {
  throw Fault.invalid(place, `Cannot read "${shortened(place)}": ${desc.typeName} has no such field`)
}

function refuseTwice(field: DescField, present: readonly DescField[], path: string): void {
  // A field can occur twice only under its two names: parseJson() has refused the same key twice.
  if (field.name === field.jsonName && !field.oneof) return
  if (present.includes(field)) {
    throw Fault.invalid(
      path,
      `Cannot read "${shortened(path)}": the field is there by its proto name and its JSON name`,
    )
  }
  const other = field.oneof && present.find(({oneof}) => oneof === field.oneof)
  if (!other) return
  throw Fault.invalid(
    path,
    `Cannot read "${shortened(path)}": "${other.name}" is set too, and oneof "${field.oneof?.name}" takes one of them`,
  )
}

function fitItem(field: DescField, value: unknown, path: string, options: Reading): unknown {
  if (value === null && !takesNull(field)) refuse(path, value, 'a value')
  return fitOne(field, value, path, options)
}

function fitOne(field: DescField, value: unknown, path: string, options: Reading): unknown {
  if (field.message) return fitMessage(field.message, value, path, options)
  return field.enum ? fitEnum(field.enum, value, path) : fitScalar(field.scalar, value, path)
}

function fitScalar(type: ScalarType, value: unknown, path: string): unknown {
  if (typeof value === 'bigint' && !isLong(type)) return fitScalar(type, Number(value), path)
  if (!fitsScalar(type, value)) refuse(path, value, scalarTexts[type].expected)
  if (typeof value === 'string' && isInteger(type)) return String(scalarTexts[type].read(value))
  return typeof value === 'bigint' ? value.toString() : value
}

function fitsScalar(type: ScalarType, value: unknown): boolean {
  if (type === ScalarType.BOOL) return typeof value === 'boolean'
  if (type === ScalarType.STRING) return typeof value === 'string' && value.isWellFormed()
  if (typeof value === 'string') return scalarTexts[type].read(value) !== undefined
  if (type === ScalarType.BYTES) return false
  if (typeof value === 'bigint') return scalarTexts[type].read(value.toString()) !== undefined
  return typeof value === 'number' && fitsNumber(type, value)
}

function fitsNumber(type: ScalarType, value: number): boolean {
  if (type === ScalarType.DOUBLE) return Number.isFinite(value)
  if (type === ScalarType.FLOAT) return Number.isFinite(Math.fround(value))
  if (value === (value | 0) && value >= 0) return true
  return Number.isSafeInteger(value) && scalarTexts[type].read(`${value}`) !== undefined
}

/** Unknown names are errors; unknown numbers are kept where the enum is open (ProtoJSON). Ignoring unknown fields changes neither. */
function fitEnum(desc: DescEnum, value: unknown, path: string): unknown {
  const known = desc.values.some(({name, jsonName, number}) => [name, jsonName, number].includes(value as string))
  if (known || value === null || (desc.open && typeof value === 'number' && fitsScalar(ScalarType.INT32, value))) {
    return value
  }
  return refuse(path, value, `a name or number of ${desc.typeName}`)
}

/** The well-known types whose JSON form is neither an object of their fields nor a string (ProtoJSON). */
const specials = new Map<string, (value: unknown, path: string, options: Reading) => unknown>([
  ['google.protobuf.Any', fitAny],
  ['google.protobuf.Value', fitValue],
  ['google.protobuf.Struct', (value, path) => fitValue(expectObject(value, path, 'an object'), path)],
  ['google.protobuf.ListValue', (value, path) => fitValue(expectArray(value, path), path)],
])

function fitAny(value: unknown, path: string, around: Reading): unknown {
  const options = {...around, anys: (around.anys ?? 0) + 1}
  if (options.anys > maxAnys) {
    throw Fault.invalid(path, `Cannot read "${shortened(path)}": it is in ${maxAnys} others of its kind already`)
  }
  const object = expectObject(value, path, 'an object with "@type"')
  const {'@type': type, ...rest} = object
  if (type === undefined && Object.keys(rest).length === 0) return object
  const desc = typeof type === 'string' ? options.registry.getMessage(type.slice(type.lastIndexOf('/') + 1)) : undefined
  const below = (key: string) => (path === '' ? key : `${path}.${key}`)
  if (!desc) return refuse(below('@type'), type, 'the URL of a type that is served here')
  const isSpecial = specials.has(desc.typeName) || messageText(desc) !== undefined
  if (!isSpecial) return {'@type': type, ...fitFields(desc, rest, path, options)}
  const {value: inner, ...others} = rest
  const [unknown] = Object.keys(others)
  if (unknown !== undefined && !options.ignoreUnknown) refuseUnknown(desc, below(unknown))
  return {'@type': type, value: fitMessage(desc, inner, below('value'), options)}
}

/** Numbers of a google.protobuf.Value are doubles. */
function fitValue(value: unknown, path: string): unknown {
  if (typeof value === 'bigint') return Number(value)
  if (typeof value === 'number' && !Number.isFinite(value)) refuse(path, value, 'a finite number')
  if (Array.isArray(value)) return value.map((item) => fitValue(item, path))
  if (typeof value === 'object' && value !== null) {
    for (const key of Object.keys(value)) replace(value as Json, key, fitValue((value as Json)[key], path))
  }
  return value
}

function takesNull(field: DescField): boolean {
  return field.message?.typeName === 'google.protobuf.Value' || field.enum?.typeName === 'google.protobuf.NullValue'
}

function extensionOf(desc: DescMessage, key: string, registry: Registry): DescField | undefined {
  if (!key.startsWith('[') || !key.endsWith(']')) return undefined
  const extension = registry.getExtension(key.slice(1, -1))
  // An extension is read as a field is: the members that DescExtension lacks are not used here.
  return extension?.extendee.typeName === desc.typeName ? (extension as unknown as DescField) : undefined
}

function replace(object: Json, key: string, value: unknown): void {
  // The key may be "__proto__", which JSON.parse makes an own property. So it is only written to when its value changes.
  if (object[key] !== value)
    Object.defineProperty(object, key, {value, enumerable: true, writable: true, configurable: true})
}

function expectObject(value: unknown, path: string, expected: string): Json {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) refuse(path, value, expected)
  return value as Json
}

function expectArray(value: unknown, path: string): unknown[] {
  return Array.isArray(value) ? value : refuse(path, value, 'an array')
}

function refuse(path: string, value: unknown, expected: string): never {
  const place = path === '' ? 'body' : path
  throw Fault.invalid(place, `Cannot read "${shortened(place)}": expected ${expected}`, {
    callerOnly: `, got ${shown(value)}`,
  })
}

function shown(value: unknown): string {
  if (Array.isArray(value)) return 'an array'
  if (typeof value === 'object' && value !== null) return 'an object'
  return typeof value === 'string' ? JSON.stringify(shortened(value, 60)) : shortened(String(value), 60)
}
