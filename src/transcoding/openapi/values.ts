import {ScalarType} from '@bufbuild/protobuf'
import {fieldMask} from '../fields/well-known.ts'
import type {Schema} from './document.ts'
import {integerPattern} from './integers.ts'

/** The largest value of 32 bits. */
const mostFloat = 3.4028234663852886e38
/** 10,000 years, as google/protobuf/duration.proto has it. */
const mostSeconds = 315_576_000_000n

const int32 = {type: 'integer', format: 'int32', minimum: -(2 ** 31), maximum: 2 ** 31 - 1} as const
const uint32 = {type: 'integer', format: 'uint32', minimum: 0, maximum: 2 ** 32 - 1} as const
const int64 = {$ref: '#/components/schemas/int-64'} as const
const uint64 = {$ref: '#/components/schemas/uint-64'} as const
const int32Key = {$ref: '#/components/schemas/int-32-key'} as const
const uint32Key = {$ref: '#/components/schemas/uint-32-key'} as const

/** Schemas of integers in text, by component name. No message can have these names, because proto names have no hyphen. */
export const integerSchemas = {
  'int-64': integer('int64', -(2n ** 63n), 2n ** 63n - 1n),
  'uint-64': integer('uint64', 0n, 2n ** 64n - 1n),
  'int-32-key': integer('int32', -(2n ** 31n), 2n ** 31n - 1n),
  'uint-32-key': integer('uint32', 0n, 2n ** 32n - 1n),
} as const satisfies Record<string, Schema>

/** Scalars as proto3 JSON writes them (ProtoJSON). */
export const scalarSchemas = {
  [ScalarType.STRING]: {type: 'string'},
  [ScalarType.BOOL]: {type: 'boolean'},
  [ScalarType.BYTES]: {type: 'string', format: 'byte', contentEncoding: 'base64', examples: ['AQI=']},
  [ScalarType.DOUBLE]: floating({format: 'double'}),
  [ScalarType.FLOAT]: floating({format: 'float', minimum: -mostFloat, maximum: mostFloat}),
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
} as const satisfies Record<ScalarType, Schema>

/** Schemas of map keys, which are strings in JSON. Other types cannot be keys. */
export const keySchemas = {
  [ScalarType.STRING]: undefined,
  [ScalarType.BOOL]: {enum: ['true', 'false']},
  [ScalarType.INT32]: int32Key,
  [ScalarType.SINT32]: int32Key,
  [ScalarType.SFIXED32]: int32Key,
  [ScalarType.UINT32]: uint32Key,
  [ScalarType.FIXED32]: uint32Key,
  [ScalarType.INT64]: int64,
  [ScalarType.SINT64]: int64,
  [ScalarType.SFIXED64]: int64,
  [ScalarType.UINT64]: uint64,
  [ScalarType.FIXED64]: uint64,
} as const satisfies Record<
  Exclude<ScalarType, ScalarType.DOUBLE | ScalarType.FLOAT | ScalarType.BYTES>,
  Schema | undefined
>

/** Schemas of well-known types with a JSON form of their own (ProtoJSON). Wrappers have the schemas of their scalars. */
export const wellKnownSchemas = new Map<string, Schema>(
  Object.entries({
    'google.protobuf.Timestamp': {
      type: 'string',
      format: 'date-time',
      description: 'A time in the format of RFC 3339, with at most nanosecond precision.',
      examples: ['2024-02-29T12:00:00Z'],
    },
    'google.protobuf.Duration': {
      type: 'string',
      pattern: `^(?:-0|${integerPattern(-mostSeconds, mostSeconds)})(?:\\.[0-9]{1,9})?s$`,
      description: 'A duration in seconds, with at most nanosecond precision.',
      examples: ['1.5s'],
    },
    'google.protobuf.FieldMask': {
      type: 'string',
      pattern: fieldMask.source,
      description: 'Paths of fields in lowerCamelCase, separated by commas.',
      examples: ['user.displayName,photo'],
    },
    'google.protobuf.Struct': {type: 'object', additionalProperties: true, description: 'Any JSON object.'},
    'google.protobuf.Value': {description: 'Any JSON value.'},
    'google.protobuf.ListValue': {type: 'array', items: {}, description: 'Any JSON array.'},
    'google.protobuf.Any': {
      type: 'object',
      properties: {
        '@type': {type: 'string', description: 'The type URL: "type.googleapis.com/" and the full name of the type.'},
      },
      additionalProperties: true,
      description: 'A message of any type: its fields, or `value` if the JSON of its type is not an object.',
    },
    'google.protobuf.Empty': {type: 'object', description: 'An empty object.'},
  } satisfies Record<string, Schema>),
)

/** The raw bytes of a body or of a part of one. */
export const binarySchema = {
  type: 'string',
  format: 'binary',
  contentMediaType: 'application/octet-stream',
} as const satisfies Schema

function floating(number: {format: string; minimum?: number; maximum?: number}) {
  return {
    anyOf: [
      {type: 'number', ...number},
      {type: 'string', enum: ['NaN', 'Infinity', '-Infinity']},
    ],
  } as const
}

function integer(format: string, min: bigint, max: bigint) {
  return {type: 'string', format, pattern: `^${integerPattern(min, max)}$`, examples: ['1']} as const
}
