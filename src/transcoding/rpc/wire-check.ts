import {type DescField, type DescMessage, ScalarType} from '@bufbuild/protobuf'
import {BinaryReader, WireType} from '@bufbuild/protobuf/wire'
import {FeatureSet_FieldPresence} from '@bufbuild/protobuf/wkt'
import {Fault} from '../../core/fault.ts'
import {recursionLimit} from '../json/message.ts'
import type {ValueCount} from '../value-count.ts'

/**
 * Checks that `bytes` are a message of `desc` in the wire format, without building it, so that the limits for JSON also hold for
 * messages that are passed on unchanged. Values are counted as in JSON. Unknown fields are accepted.
 * @throws {Fault} 400 for a message that is malformed, nests too deep, lacks a required field (proto2), or has too many values
 */
export function checkWire(desc: DescMessage, bytes: Uint8Array, count: ValueCount): void {
  try {
    count.add(1)
    check(desc, new BinaryReader(bytes), {count, level: 1})
  } catch (error) {
    if (error instanceof Fault) throw error
    throw Fault.invalid('body', `Cannot read the message: it is not a ${desc.typeName}`, {
      callerOnly: `: ${(error as Error).message}`,
    })
  }
}

interface Place {
  readonly count: ValueCount
  readonly level: number
  /** The field number of the open group. */
  readonly group?: number
}

function check(desc: DescMessage | undefined, reader: BinaryReader, {count, level, group}: Place): void {
  if (level > recursionLimit) throw new Error(`it nests deeper than ${recursionLimit} levels`)
  const {fields, required} = desc ? known(desc) : unknown
  const missing = required && new Set(required)
  for (;;) {
    if (reader.pos >= reader.len) {
      if (group === undefined) break
      throw new Error('a group does not end')
    }
    const [number, type] = reader.tag()
    if (type === WireType.EndGroup) {
      if (number === group) break
      throw new Error('a group ends that was not opened')
    }
    count.add(1)
    missing?.delete(number)
    const field = fields.get(number)
    if (field) checkType(field, type)
    if (type === WireType.StartGroup) check(messageOf(field), reader, {count, level: level + 1, group: number})
    else if (type === WireType.LengthDelimited && field) checkValue(field, reader.bytes(), {count, level})
    else skip(reader, type, number)
  }
  for (const number of missing ?? []) refuseMissing(fields.get(number)!)
}

function refuseMissing({name}: DescField): never {
  throw Fault.invalid(name, `Cannot accept "${name}": the field is required`)
}

/** The longest varint, in bytes. */
const maxVarint = 10

function skip(reader: BinaryReader, type: WireType, number: number): void {
  const skipped = reader.skip(type, number)
  if (type === WireType.Varint && skipped.length > maxVarint) throw new Error('a varint is too long')
}

/** A known field must have its wire type. With another one, some backends see an unknown field, others fail. */
function checkType(field: DescField, type: WireType): void {
  const isPacked = type === WireType.LengthDelimited && field.fieldKind === 'list' && isPackable(field)
  if (!isPacked && type !== typeOf(field)) throw new Error(`${field.name} has another type`)
}

function typeOf(field: DescField): WireType {
  if (field.fieldKind === 'map') return WireType.LengthDelimited
  if (field.message) {
    const isGroup = 'delimitedEncoding' in field && field.delimitedEncoding
    return isGroup ? WireType.StartGroup : WireType.LengthDelimited
  }
  return field.enum ? WireType.Varint : scalarTypeOf(field.scalar!)
}

function scalarTypeOf(scalar: ScalarType): WireType {
  if (scalar === ScalarType.STRING || scalar === ScalarType.BYTES) return WireType.LengthDelimited
  const width = fixedWidths.get(scalar)
  return width === undefined ? WireType.Varint : width === 8 ? WireType.Bit64 : WireType.Bit32
}

function isPackable(field: DescField): boolean {
  return !field.message && typeOf(field) !== WireType.LengthDelimited
}

function messageOf(field: DescField | undefined): DescMessage | undefined {
  return field?.fieldKind === 'map' ? undefined : field?.message
}

function checkValue(field: DescField, value: Uint8Array, place: Place): void {
  if (field.fieldKind === 'map') checkEntry(field, value, place)
  else if (field.message) checkMessage(field.message, value, place)
  else if (field.scalar === ScalarType.STRING) checkText(field, value)
  else if (field.fieldKind === 'list' && field.scalar !== ScalarType.BYTES) {
    place.count.add(Math.max(0, packedCount(field.scalar, value) - 1))
  }
}

function checkMessage(desc: DescMessage, value: Uint8Array, {count, level}: Place): void {
  count.addFieldsOf(desc)
  check(desc, new BinaryReader(value), {count, level: level + 1})
}

/** An entry of a map is a message of its key and its value. */
function checkEntry(field: DescField & {fieldKind: 'map'}, entry: Uint8Array, {count, level}: Place): void {
  const reader = new BinaryReader(entry)
  while (reader.pos < reader.len) {
    const [number, type] = reader.tag()
    count.add(1)
    const scalar = number === 1 ? field.mapKey : field.scalar
    const expected = scalar ? scalarTypeOf(scalar) : field.message ? WireType.LengthDelimited : WireType.Varint
    if (number <= 2 && type !== expected) throw new Error(`${field.name} has another type`)
    if (number === 2 && field.message) checkMessage(field.message, reader.bytes(), {count, level: level + 1})
    else if (number <= 2 && scalar === ScalarType.STRING) checkText(field, reader.bytes())
    else skip(reader, type, number)
  }
}

const utf8 = new TextDecoder('utf-8', {fatal: true})

function checkText(field: DescField, value: Uint8Array): void {
  if (!field.utf8Validation || isAscii(value)) return
  try {
    utf8.decode(value)
  } catch {
    throw new Error(`${field.name} is not UTF-8`)
  }
}

function isAscii(value: Uint8Array): boolean {
  for (const byte of value) if (byte >= 0x80) return false
  return true
}

/** The number of values in a packed field. The last byte of a varint has its highest bit unset. */
function packedCount(scalar: ScalarType | undefined, value: Uint8Array): number {
  const width = scalar === undefined ? undefined : fixedWidths.get(scalar)
  if (width !== undefined) {
    if (value.length % width === 0) return value.length / width
    throw new Error('a packed field ends within a number')
  }
  if (value.length > 0 && value.at(-1)! >= 0x80) throw new Error('a packed field ends within a number')
  let count = 0
  for (const byte of value) if (byte < 0x80) count++
  return count
}

const fixedWidths: ReadonlyMap<ScalarType, number> = new Map([
  [ScalarType.DOUBLE, 8],
  [ScalarType.FIXED64, 8],
  [ScalarType.SFIXED64, 8],
  [ScalarType.FLOAT, 4],
  [ScalarType.FIXED32, 4],
  [ScalarType.SFIXED32, 4],
])

/** The facts about a message type that the check looks up. */
interface Known {
  readonly fields: ReadonlyMap<number, DescField>
  /** The numbers of its required fields (proto2); undefined for none. */
  readonly required: readonly number[] | undefined
}

const unknown: Known = {fields: new Map(), required: undefined}
const knowns = new WeakMap<DescMessage, Known>()

function known(desc: DescMessage): Known {
  let found = knowns.get(desc)
  if (!found) {
    const required = desc.fields
      .filter(({presence}) => presence === FeatureSet_FieldPresence.LEGACY_REQUIRED)
      .map(({number}) => number)
    found = {
      fields: new Map(desc.fields.map((field) => [field.number, field])),
      required: required.length > 0 ? required : undefined,
    }
    knowns.set(desc, found)
  }
  return found
}
