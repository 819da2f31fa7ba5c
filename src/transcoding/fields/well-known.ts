import {create, type DescMessage, fromJson, type Message} from '@bufbuild/protobuf'
import {isWrapperDesc} from '@bufbuild/protobuf/wkt'
import {type ScalarText, scalarTexts} from './scalars.ts'

const timestamp =
  /^(\d{4})-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,9})?(?:Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)$/

/** A google.protobuf.FieldMask; `*` is a whole name (aip.dev 161). */
export const fieldMask =
  /^(?:(?:\*|[A-Za-z][A-Za-z0-9]*)(?:\.(?:\*|[A-Za-z0-9]*))*(?:,(?:\*|[A-Za-z][A-Za-z0-9]*)(?:\.(?:\*|[A-Za-z0-9]*))*)*)?$/

const duration = /^-?\d{1,12}(?:\.\d{1,9})?s$/

type Form = Pick<MessageText, 'expected' | 'items'> & {fits(text: string, desc: DescMessage): boolean}

/**
 * The well-known types whose JSON form is a string (ProtoJSON). protobuf-es accepts more than these forms, so they are checked here.
 * Only for values near the end of the range does protobuf-es decide, as offset and fraction count there.
 */
const strings = new Map<string, Form>(
  Object.entries<Form>({
    'google.protobuf.Timestamp': {
      expected: 'a time such as "2024-02-29T12:00:00Z"',
      fits(text, desc) {
        const [, year, month, day] = timestamp.exec(text) ?? []
        if (year === undefined || Number(day) > daysIn(Number(year), Number(month))) return false
        return (year > '0001' && year < '9999') || attempt(desc, text) !== undefined
      },
    },
    'google.protobuf.Duration': {
      expected: 'seconds such as "1.5s"',
      fits: (text, desc) => duration.test(text) && (text.length < 12 || attempt(desc, text) !== undefined),
    },
    'google.protobuf.FieldMask': {
      expected: 'paths in lowerCamelCase such as "user.displayName,photo"',
      fits: (text) => fieldMask.test(text),
      items: commas,
    },
  }),
)

/** The text form of a message. */
export interface MessageText {
  expected: string
  /** The message, or undefined when `text` is malformed. */
  read(text: string): Message | undefined
  /** Whether read() would give a message. */
  fits(text: string): boolean
  /** How many values beyond the first the text holds: a FieldMask is a list of paths. */
  items?(text: string): number
}

/** The text form of messages of type `desc`; undefined when their JSON is an object or an array. */
export function messageText(desc: DescMessage): MessageText | undefined {
  if (isWrapperDesc(desc)) return wrapperText(desc)
  const form = strings.get(desc.typeName)
  if (!form) return undefined
  const fits = (text: string) => form.fits(text, desc)
  return {...form, fits, read: (text) => (fits(text) ? attempt(desc, text) : undefined)}
}

/** The text form of the value in a google.protobuf wrapper. */
export function wrappedText(desc: DescMessage): ScalarText | undefined {
  const field = isWrapperDesc(desc) ? desc.fields[0] : undefined
  return field?.scalar && scalarTexts[field.scalar]
}

function wrapperText(desc: DescMessage): MessageText | undefined {
  const text = wrappedText(desc)
  if (!text) return undefined
  const read = (value: string) => {
    const inner = text.read(value)
    return inner === undefined ? undefined : create(desc, {value: inner})
  }
  return {expected: text.expected, read, fits: (value) => text.read(value) !== undefined}
}

/** Needed because protobuf-es reads 30 February as 1 March. */
function daysIn(year: number, month: number): number {
  if (month === 2) return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : 28
  return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31
}

function commas(text: string): number {
  let count = 0
  for (let at = text.indexOf(','); at >= 0; at = text.indexOf(',', at + 1)) count++
  return count
}

function attempt(desc: DescMessage, text: string): Message | undefined {
  try {
    return fromJson(desc, text)
  } catch {
    // Well-formed but out of range: a year, or a number of seconds.
    return undefined
  }
}
