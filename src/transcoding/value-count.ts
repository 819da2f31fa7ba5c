import type {DescMessage} from '@bufbuild/protobuf'
import {FeatureSet_FieldPresence} from '@bufbuild/protobuf/wkt'
import {Fault} from '../core/fault.ts'

/** Default limit for the values of one message. */
const defaultMaxValues = 20_000

/**
 * Counts the values of one message while its request is read: objects, arrays and the values in them, query parameters and
 * parts of a form. Bytes alone are no limit: a value takes two of them in a body, and hundreds once it is built.
 */
export class ValueCount {
  readonly #max: number
  #count = 0

  constructor(max = defaultMaxValues) {
    this.#max = max
  }

  /** A count of its own that begins with what this one has counted: for one more message with the same query. */
  copy(): ValueCount {
    const copy = new ValueCount(this.#max)
    copy.#count = this.#count
    return copy
  }

  /**
   * Counts what a message of `desc` takes beside the one value that it is: one more for each KiB of it when it is empty.
   * @throws {Fault} 400 when that is too many
   */
  addFieldsOf(desc: DescMessage): void {
    this.add(Math.floor(emptySize(desc) / 1024))
  }

  /** @throws {Fault} 400 when `values` more are too many */
  add(values: number): void {
    this.#count += values
    if (this.#count <= this.#max) return
    throw Fault.invalid('body', `Cannot read the request: a message has more than ${this.#max} values`, {
      hint: 'GATEWAY_MAX_BODY_VALUES is the limit',
    })
  }
}

const sizes = new WeakMap<DescMessage, number>()

/** Bytes that protobuf-es allocates for an empty message, measured with V8 13.6: each field that is never unset has a value. */
function emptySize(desc: DescMessage): number {
  let size = sizes.get(desc)
  if (size === undefined) {
    size = desc.oneofs.length * 95
    for (const field of desc.fields) {
      if (field.fieldKind === 'list') size += 95
      else if (field.fieldKind === 'map') size += 120
      else if (field.presence === FeatureSet_FieldPresence.IMPLICIT) size += 62
    }
    sizes.set(desc, size)
  }
  return size
}
