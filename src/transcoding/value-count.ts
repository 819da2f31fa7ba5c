import type {DescMessage} from '@bufbuild/protobuf'
import {FeatureSet_FieldPresence} from '@bufbuild/protobuf/wkt'
import {Fault} from '../core/fault.ts'

/** Default limit for the values of one message. */
const defaultMaxValues = 20_000

/**
 * Counts the values of one message while its request is read: objects, arrays and the values in them, query parameters, and parts of
 * a form. A limit for bytes alone would not do: a value takes two bytes in a body, but hundreds of bytes of memory.
 */
export class ValueCount {
  readonly #max: number
  #count = 0

  constructor(max = defaultMaxValues) {
    this.#max = max
  }

  /** A new count that starts at this one's value: for one more message with the same query. */
  copy(): ValueCount {
    const copy = new ValueCount(this.#max)
    copy.#count = this.#count
    return copy
  }

  /**
   * Counts the memory of an empty message of `desc`, beyond the one value that it is: one more value for each KiB.
   * @throws {Fault} 400 when the limit is exceeded
   */
  addFieldsOf(desc: DescMessage): void {
    this.add(Math.floor(emptySize(desc) / 1024))
  }

  /** Adds `values`. @throws {Fault} 400 when the limit is exceeded */
  add(values: number): void {
    this.#count += values
    if (this.#count <= this.#max) return
    throw Fault.invalid('body', `Cannot read the request: a message has more than ${this.#max} values`, {
      hint: 'GATEWAY_MAX_BODY_VALUES is the limit',
    })
  }
}

const sizes = new WeakMap<DescMessage, number>()

/** Bytes that protobuf-es allocates for an empty message, measured with V8 13.6: every field without presence has a value. */
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
