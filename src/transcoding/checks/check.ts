import type {DescField, DescMessage, Message} from '@bufbuild/protobuf'

/** Checks a request message that has been read, whatever the protocol. @throws {Fault} 400 with a violation for each thing that is wrong */
export type MessageCheck = (message: Message) => void

/** What is wrong with one field. */
export interface Violation {
  /** Its path by JSON names: `book.authors[0].displayName`. */
  readonly field: string
  readonly description: string
  /** For programs, in UPPER_SNAKE_CASE. */
  readonly reason: string
}

/** The name of a field in a path. */
export type FieldName = (field: DescField) => string

/** Checks messages by other options than Google's. @throws {Fault} 500 for options that cannot be followed */
export type Validate = (desc: DescMessage, message: Message, nameOf: FieldName) => Violation[]
