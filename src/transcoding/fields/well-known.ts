import {create, type DescMessage, fromJson, type Message} from '@bufbuild/protobuf'
import {isWrapperDesc} from '@bufbuild/protobuf/wkt'
import {type ScalarText, scalarTexts} from './scalars.ts'

const timestamp =
  /^(\d{4})-(\d{2})-(\d{2})T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{1,9})?(?:Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)$/

/** A google.protobuf.FieldMask; `*` is a whole name (aip.dev 161). */
export const fieldMask =
  /^(?:(?:\*|[A-Za-z][A-Za-z0-9]*)(?:\.(?:\*|[A-Za-z0-9]*))*(?:,(?:\*|[A-Za-z][A-Za-z0-9]*)(?:\.(?:\*|[A-Za-z0-9]*))*)*)?$/

/** The well-known types whose JSON form is a string, and that form (J). protobuf-es reads it, but more as well. */
const strings = new Map<string, {wanted: string; fits(text: string): boolean}>(
  Object.entries({
    'google.protobuf.Timestamp': {
      wanted: 'a time such as "2024-02-29T12:00:00Z"',
      fits(text: string) {
        const [, year, month, day] = timestamp.exec(text) ?? []
        // 30 February is read as 1 March otherwise.
        return day !== undefined && Number(day) <= new Date(Date.UTC(Number(year), Number(month), 0)).getUTCDate()
      },
    },
    'google.protobuf.Duration': {
      wanted: 'seconds such as "1.5s"',
      fits: (text: string) => /^-?\d{1,12}(?:\.\d{1,9})?s$/.test(text),
    },
    'google.protobuf.FieldMask': {
      wanted: 'paths in lowerCamelCase such as "user.displayName,photo"',
      fits: (text: string) => fieldMask.test(text),
    },
  }),
)

/** A message as it is written in one piece of text. */
export interface MessageText {
  wanted: string
  /** The message, or undefined when `text` is not one. */
  read(text: string): Message | undefined
}

/** How a message of type `desc` is written as text; undefined when its JSON form is neither string nor primitive. */
export function messageText(desc: DescMessage): MessageText | undefined {
  if (isWrapperDesc(desc)) return wrapperText(desc)
  const form = strings.get(desc.typeName)
  if (!form) return undefined
  return {wanted: form.wanted, read: (text) => (form.fits(text) ? attempt(desc, text) : undefined)}
}

/** How the value inside of a google.protobuf wrapper is written. */
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
  return {wanted: text.wanted, read}
}

function attempt(desc: DescMessage, text: string): Message | undefined {
  try {
    return fromJson(desc, text)
  } catch {
    // Of the right form and yet no value: a year or a number of seconds out of range.
    return undefined
  }
}
