import {type DescMessage, fromBinary, type MessageShape} from '@bufbuild/protobuf'
import {WireType} from '@bufbuild/protobuf/wire'
import type {OptionField} from '../../core/option-fields.ts'

/** Thrown by refuse(). One for all, as a stack costs more than what is read. */
const uncertain = new Error('only decoding finds out')

/** Gives up reading, in certain(). */
export function refuse(): never {
  throw uncertain
}

/** What `read` returns; undefined where it is uncertain. */
export function certain<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch (error) {
    if (error === uncertain) return undefined
    throw error
  }
}

const none: readonly OptionField[] = []

/** The longest varint, in bytes. */
const maxVarint = 10

/** The longest tag, in bytes. */
const maxTag = 5

/** Numbers are below it. Decoding may take larger ones for others. */
const numberLimit = 2 ** 31

/** The numbers of options from here on are those of extensions (descriptor.proto). */
const firstExtension = 1000

/** The options of fields and methods that are flags or enums. */
const flags: ReadonlySet<number> = new Set([1, 2, 3, 5, 6, 10, 15, 16, 17, 33, 34])

/** By byte: 1 for those of a name, 2 for the dot between names. */
const kinds = new Uint8Array(256)
for (const char of 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_') kinds[char.charCodeAt(0)] = 1
kinds['.'.charCodeAt(0)] = 2

/**
 * Reads the wire format in place, without making objects. Positions are offsets in all of the bytes.
 * What is malformed or unusual ends the certain() around it.
 */
export class WireReader {
  readonly #bytes: Buffer
  /** The wire type of the field that is read. */
  #type: WireType = WireType.LengthDelimited
  at = 0
  /** The beginning of the text, bytes or options that were read last. */
  start = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  }

  /** The number of the next field of a message that ends at `end`; 0 at its end. */
  field(end: number): number {
    if (this.at >= end) return this.at === end ? 0 : refuse()
    const start = this.at
    const tag = this.#varint()
    if (tag < 8 || tag >= numberLimit || this.at > start + maxTag) refuse()
    this.#type = tag & 7
    return tag >>> 3
  }

  /** The value of a number, bool or enum. */
  number(): number {
    if (this.#type !== WireType.Varint) refuse()
    const value = this.#varint()
    return value < numberLimit ? value : refuse()
  }

  /** Skips such a value, which may be negative. */
  skipNumber(): void {
    if (this.#type !== WireType.Varint) refuse()
    this.#varint()
  }

  /** The end of a field with a length: not behind `limit`. */
  end(limit: number): number {
    if (this.#type !== WireType.LengthDelimited) refuse()
    const end = this.#varint() + this.at
    return end <= limit ? end : refuse()
  }

  /** A name without dots. */
  name(limit: number): string {
    const end = this.nameEnd(limit)
    return this.string(this.start, end)
  }

  /** Checks such a name, and returns its end. */
  nameEnd(limit: number): number {
    const end = this.end(limit)
    const bytes = this.#bytes
    this.start = this.at
    if (this.start === end) refuse()
    for (let at = this.start; at < end; at++) if (kinds[bytes[at]!] !== 1) refuse()
    this.at = end
    return end
  }

  /** Names with dots between them; may be empty. */
  names(limit: number): string {
    const end = this.end(limit)
    return this.#dotted(this.at, end)
  }

  /** The full name of a type, which begins with a dot. */
  typeName(limit: number): string {
    const end = this.end(limit)
    if (this.at === end || kinds[this.#bytes[this.at]!] !== 2) refuse()
    return this.#dotted(this.at + 1, end)
  }

  /** Skips text or bytes, and returns their end. */
  bytes(limit: number): number {
    const end = this.end(limit)
    this.start = this.at
    this.at = end
    return end
  }

  /** The text of a name. */
  string(start: number, end: number): string {
    return this.#bytes.toString('latin1', start, end)
  }

  /** Whether two texts are the same. */
  isSame(start: number, end: number, otherStart: number, otherEnd: number): boolean {
    const length = end - start
    if (length !== otherEnd - otherStart) return false
    const bytes = this.#bytes
    for (let at = 0; at < length; at++) if (bytes[start + at] !== bytes[otherStart + at]) return false
    return true
  }

  /** Any text. */
  text(limit: number): string {
    const end = this.end(limit)
    const text = this.#bytes.toString('utf8', this.at, end)
    this.at = end
    return text
  }

  /** Skips the value of a field. */
  skip(limit: number): void {
    const type = this.#type
    if (type === WireType.Varint) this.#varint()
    else if (type === WireType.LengthDelimited) this.at = this.end(limit)
    else if (type === WireType.Bit32) this.at += 4
    else if (type === WireType.Bit64) this.at += 8
    else refuse()
  }

  /** A packed field of numbers. */
  numbers(limit: number): void {
    const end = this.end(limit)
    if (end > this.at && this.#bytes[end - 1]! >= 0x80) refuse()
    this.at = end
  }

  /** Decodes the message in a field. */
  message<Desc extends DescMessage>(desc: Desc, limit: number): MessageShape<Desc> {
    const end = this.end(limit)
    return this.#decode(desc, this.at, end)
  }

  /** The fields `number` of the message from `start` to `end`, as protobuf-es gives unknown ones. */
  fieldsOf(number: number, start: number, end: number): readonly OptionField[] {
    let found = none
    this.at = start
    for (let no = this.field(end); no !== 0; no = this.field(end)) {
      const from = this.at
      const wireType = this.#type
      this.skip(end)
      if (no === number) found = [...found, {no, wireType, data: this.#bytes.subarray(from, this.at)}]
    }
    return found
  }

  /** Checks options of type `desc`, and returns their end. They are decoded only if they have others than extensions and flags. */
  options(desc: DescMessage, limit: number): number {
    const end = this.end(limit)
    const start = this.at
    for (let number = this.field(end); number !== 0; number = this.field(end)) {
      const isPlain = number >= firstExtension || (this.#type === WireType.Varint && flags.has(number))
      if (isPlain) this.skip(end)
      else {
        this.#decode(desc, start, end)
        break
      }
    }
    this.start = start
    return end
  }

  #decode<Desc extends DescMessage>(desc: Desc, start: number, end: number): MessageShape<Desc> {
    this.at = end
    try {
      return fromBinary(desc, this.#bytes.subarray(start, end))
    } catch {
      return refuse()
    }
  }

  /** Above 2^53 it is not exact. */
  #varint(): number {
    const bytes = this.#bytes
    let byte = bytes[this.at++]!
    if (byte < 0x80) return byte
    let value = byte & 0x7f
    for (let place = 1, factor = 0x80; place < maxVarint; place++, factor *= 0x80) {
      byte = bytes[this.at++] ?? refuse()
      value += (byte & 0x7f) * factor
      if (byte < 0x80) return value
    }
    return refuse()
  }

  #dotted(start: number, end: number): string {
    const bytes = this.#bytes
    for (let at = start; at < end; at++) if (kinds[bytes[at]!] === 0) refuse()
    this.at = end
    return this.string(start, end)
  }
}
