import {type DescMessage, fromJsonString, type MessageShape} from '@bufbuild/protobuf'
import {Fault} from '../fault.ts'

/**
 * The message that `text` is in proto3's JSON mapping.
 * @throws {Fault} INVALID_ARGUMENT that names the field which cannot be read
 */
export function messageFrom<Desc extends DescMessage>(schema: Desc, text: string): MessageShape<Desc> {
  try {
    return fromJsonString(schema, text)
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw Fault.invalid(fieldOf(cause), `The body is not a ${schema.name} in JSON: ${why}`, {cause})
  }
}

/** The field that protobuf-es stumbled over; `body` when it was none in particular. */
function fieldOf(error: unknown): string {
  const field = (error as {field?: () => {jsonName?: string} | undefined}).field
  const unknown = /key "([^"]+)" is unknown/.exec(String(error))
  const named = typeof field === 'function' ? field.call(error)?.jsonName : undefined
  return unknown?.[1] ?? named ?? 'body'
}
