import {
  type DescField,
  type DescMessage,
  isFieldSet,
  type JsonValue,
  type Message,
  ScalarType,
  toJson,
} from '@bufbuild/protobuf'
import {reachable} from '../fields/fields.ts'

/** How JSON is written. */
type Options = Parameters<typeof toJson>[2]

/**
 * `message` as JSON, in which a float has no more digits than it needs: 1.1 rather than 1.100000023841858, as other implementations of
 * ProtoJSON write it. protobuf-es writes the double. Changes the floats of `message`.
 * @throws {Error} for a message without a JSON form
 */
export function writtenJson(desc: DescMessage, message: Message, options: Options): JsonValue {
  if (hasFloats(desc)) shorten(desc, message)
  return toJson(desc, message, options)
}

const known = new WeakMap<DescMessage, boolean>()

/** Whether `desc`, or a message that it can contain, has a float. */
function hasFloats(desc: DescMessage): boolean {
  let found = known.get(desc)
  if (found === undefined) {
    found = [...reachable(desc)].some(({fields}) => fields.some(isFloat))
    known.set(desc, found)
  }
  return found
}

function isFloat(field: DescField): boolean {
  return field.scalar === ScalarType.FLOAT
}

type Values = Record<string | number, unknown>

function shorten(desc: DescMessage, message: Message): void {
  for (const field of desc.fields) {
    const isOwn = isFloat(field)
    if (!isOwn && !(field.message && hasFloats(field.message))) continue
    if (field.fieldKind === 'list' || field.fieldKind === 'map') {
      const values = fieldsOf(message)[field.localName] as Values
      for (const key of Object.keys(values)) values[key] = shortened(field, values[key])
    } else if (isFieldSet(message, field)) {
      const holder = (field.oneof ? fieldsOf(message)[field.oneof.localName] : message) as Values
      const name = field.oneof ? 'value' : field.localName
      holder[name] = shortened(field, holder[name])
    }
  }
}

function shortened({message: desc}: DescField, value: unknown): unknown {
  // protobuf-es keeps the bare value of a wrapper, but for members of a oneof, lists and maps.
  if (typeof value === 'number') return shortest(value)
  if (desc) shorten(desc, value as Message)
  return value
}

function fieldsOf(message: Message): Values {
  return message as unknown as Values
}

/** The double with the fewest digits that is rounded to the float `value`: six digits are always kept, nine are always enough. */
function shortest(value: number): number {
  const size = Math.abs(value)
  if (Number.isInteger(value) && size < 2 ** 24) return value
  // With fewer digits the largest float is a larger number, which the schemas in the OpenAPI document do not allow.
  if (!Number.isFinite(Math.fround(size * 1.000001))) return value
  for (const digits of [6, 7, 8, 9]) {
    const short = Number(value.toPrecision(digits))
    if (Math.fround(short) === value) return short
  }
  return value
}
