import {type DescField, type DescMessage, ScalarType} from '@bufbuild/protobuf'
import {BinaryReader, WireType} from '@bufbuild/protobuf/wire'
import {Fault} from '../../core/fault.ts'
import {recursionLimit} from '../json/message.ts'
import type {ValueCount} from '../value-count.ts'

/**
 * Checks that `bytes` are a message of `desc` on the wire, and counts its values as those of JSON are counted, without building
 * anything: what is sent on as it came must not do to the backend what would be refused as JSON. Unknown fields are taken.
 * @throws {Fault} 400 for what is malformed, nests too deep, or has too many values
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
  /** The number of the group whose end is awaited. */
  readonly group?: number
}

function check(desc: DescMessage | undefined, reader: BinaryReader, {count, level, group}: Place): void {
  if (level > recursionLimit) throw new Error(`it nests deeper than ${recursionLimit} levels`)
  const fields = desc && fieldsByNumber(desc)
  while (reader.pos < reader.len) {
    const [number, type] = reader.tag()
    if (type === WireType.EndGroup) {
      if (number === group) return
      throw new Error('a group ends that has not begun')
    }
    count.add(1)
    const field = fields?.get(number)
    if (type === WireType.StartGroup) check(messageOf(field), reader, {count, level: level + 1, group: number})
    else if (type === WireType.LengthDelimited && field) checkValue(field, reader.bytes(), {count, level})
    else reader.skip(type, number)
  }
  if (group !== undefined) throw new Error('a group does not end')
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
    const isText = number === 1 ? field.mapKey === ScalarType.STRING : field.scalar === ScalarType.STRING
    if (type !== WireType.LengthDelimited || number > 2) reader.skip(type, number)
    else if (number === 2 && field.message) checkMessage(field.message, reader.bytes(), {count, level: level + 1})
    else if (isText) checkText(field, reader.bytes())
    else reader.skip(type, number)
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

/** How many values there are in a packed field; varints end with a byte whose highest bit is not set. */
function packedCount(scalar: ScalarType | undefined, value: Uint8Array): number {
  const width = scalar === undefined ? undefined : fixedWidths.get(scalar)
  if (width !== undefined) return value.length / width
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

const known = new WeakMap<DescMessage, ReadonlyMap<number, DescField>>()

function fieldsByNumber(desc: DescMessage): ReadonlyMap<number, DescField> {
  let fields = known.get(desc)
  if (!fields) {
    fields = new Map(desc.fields.map((field) => [field.number, field]))
    known.set(desc, fields)
  }
  return fields
}
