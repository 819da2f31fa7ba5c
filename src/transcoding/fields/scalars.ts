import {ScalarType} from '@bufbuild/protobuf'
import {base64Decode} from '@bufbuild/protobuf/wire'
import {exactInteger} from '../json/text.ts'

/** A value of a singular field, as protobuf-es represents it. */
type Scalar = string | number | bigint | boolean | Uint8Array

/** The text form of a scalar in a path, a query, a form, or a JSON string. */
export interface ScalarText {
  /** The expected form, to be printed after "expected ". */
  expected: string
  /** The value, or undefined when `text` is malformed. */
  read(text: string): Scalar | undefined
}

const int32 = integer('an integer from -2147483648 to 2147483647', -(2n ** 31n), 2n ** 31n - 1n, Number)
const uint32 = integer('an integer from 0 to 4294967295', 0n, 2n ** 32n - 1n, Number)
const int64 = integer('an integer of 64 bits', -(2n ** 63n), 2n ** 63n - 1n, (value) => value)
const uint64 = integer('a positive integer of 64 bits', 0n, 2n ** 64n - 1n, (value) => value)

/** The text form of each scalar type (ProtoJSON). Integers are exact and in range, also written as 1e2. Nothing is trimmed or rounded. */
export const scalarTexts = {
  [ScalarType.STRING]: {expected: 'a string', read: (text) => text},
  [ScalarType.BOOL]: {expected: 'true or false', read: readBool},
  [ScalarType.BYTES]: {expected: 'base64 or base64url', read: readBase64},
  [ScalarType.DOUBLE]: {expected: 'a number, "NaN", "Infinity" or "-Infinity"', read: readDouble},
  [ScalarType.FLOAT]: {expected: 'a number of 32 bits, "NaN", "Infinity" or "-Infinity"', read: readFloat},
  [ScalarType.INT32]: int32,
  [ScalarType.SINT32]: int32,
  [ScalarType.SFIXED32]: int32,
  [ScalarType.UINT32]: uint32,
  [ScalarType.FIXED32]: uint32,
  [ScalarType.INT64]: int64,
  [ScalarType.SINT64]: int64,
  [ScalarType.SFIXED64]: int64,
  [ScalarType.UINT64]: uint64,
  [ScalarType.FIXED64]: uint64,
} as const satisfies Record<ScalarType, ScalarText>

/** Whether values of `type` are 64-bit integers: strings in JSON, bigints here. */
export function isLong(type: ScalarType): boolean {
  return scalarTexts[type] === int64 || scalarTexts[type] === uint64
}

/** Whether values of `type` are integers, for which "1e2" is another spelling of 100. */
export function isInteger(type: ScalarType): boolean {
  return isLong(type) || scalarTexts[type] === int32 || scalarTexts[type] === uint32
}

/** Whether `text` can be a map key of type `type` in JSON. Integers are in digits only: another spelling would be another key. */
export function isMapKey(type: ScalarType, text: string): boolean {
  return scalarTexts[type].read(text) !== undefined && (!isInteger(type) || digits.test(text))
}

// At most 20 digits fit. More would build a bigint of any size before its range is checked.
const digits = /^-?(?=[0-9])0*(?:[1-9][0-9]{0,19})?$/

function integer(expected: string, min: bigint, max: bigint, local: (value: bigint) => Scalar): ScalarText {
  return {
    expected,
    read(text) {
      const value = digits.test(text) ? BigInt(text) : exactInteger(text)
      return value === undefined || value < min || value > max ? undefined : local(value)
    },
  }
}

function readBool(text: string): boolean | undefined {
  return text === 'true' || (text === 'false' ? false : undefined)
}

const decimal = /^-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?$/

function readDouble(text: string): number | undefined {
  if (text === 'NaN' || text === 'Infinity' || text === '-Infinity') return Number(text)
  const value = decimal.test(text) ? Number(text) : Number.NaN
  return Number.isFinite(value) ? value : undefined
}

function readFloat(text: string): number | undefined {
  const value = readDouble(text)
  if (value === undefined) return undefined
  // A finite value that rounds to infinity in 32 bits is out of range. Infinity itself is valid.
  return Number.isFinite(value) && !Number.isFinite(Math.fround(value)) ? undefined : value
}

const base64 = /^[A-Za-z0-9+/_-]*(={0,2})$/

/** Decodes base64 or base64url, padded or not; undefined for anything else, also with white space. */
export function readBase64(text: string): Uint8Array | undefined {
  const padding = base64.exec(text)?.[1]
  if (padding === undefined || (padding && text.length % 4 !== 0)) return undefined
  return (text.length - padding.length) % 4 === 1 ? undefined : base64Decode(text)
}
