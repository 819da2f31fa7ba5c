import type {DescField, DescMessage, Message} from '@bufbuild/protobuf'

/** Checks a decoded request message, for every protocol. @throws {Fault} 400 with one violation for each invalid field */
export type MessageCheck = (message: Message) => void

/** A problem of one field. */
export interface Violation {
  /** Its path by JSON names: `book.authors[0].displayName`. */
  readonly field: string
  readonly description: string
  /** For programs, in UPPER_SNAKE_CASE. */
  readonly reason: string
}

/** Gives the name of a field as paths show it. */
export type FieldName = (field: DescField) => string

/** Checks messages by a third party's options, such as protovalidate's. @throws {Fault} 500 for options that cannot be evaluated */
export type Validate = (desc: DescMessage, message: Message, nameOf: FieldName) => Violation[]
