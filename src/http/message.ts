import {type DescMessage, fromJsonString, type MessageShape} from '@bufbuild/protobuf'
import {Fault} from '../fault.ts'

/**
 * The message that `text` is in proto3's JSON mapping.
 * @throws {Fault} INVALID_ARGUMENT that names the field which cannot be read; `body` when it is none in particular
 */
export function messageFrom<Desc extends DescMessage>(schema: Desc, text: string): MessageShape<Desc> {
  try {
    return fromJsonString(schema, text)
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw Fault.invalid(fieldOf(why), `The body is not what was wanted: ${why}`)
  }
}

/** The field that protobuf-es stumbled over: its errors say so in their text alone. */
function fieldOf(why: string): string {
  const field = /^cannot decode field \S*?(\w+) from JSON/.exec(why) ?? /key "([^"]+)" is unknown/.exec(why)
  return field?.[1]?.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase()) ?? 'body'
}
