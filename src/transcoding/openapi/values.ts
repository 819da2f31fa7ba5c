import {ScalarType} from '@bufbuild/protobuf'
import {fieldMask} from '../fields/well-known.ts'
import type {Schema} from './document.ts'

const int32 = {type: 'integer', format: 'int32', minimum: -(2 ** 31), maximum: 2 ** 31 - 1} as const
const uint32 = {type: 'integer', format: 'uint32', minimum: 0, maximum: 2 ** 32 - 1} as const
const int64 = {type: 'string', format: 'int64', pattern: '^-?[0-9]{1,19}$', examples: ['1']} as const
const uint64 = {type: 'string', format: 'uint64', pattern: '^[0-9]{1,20}$', examples: ['1']} as const

/** Scalars as proto3 JSON writes them (J). */
export const scalarSchemas = {
  [ScalarType.STRING]: {type: 'string'},
  [ScalarType.BOOL]: {type: 'boolean'},
  [ScalarType.BYTES]: {type: 'string', format: 'byte', contentEncoding: 'base64', examples: ['AQI=']},
  [ScalarType.DOUBLE]: floating('double'),
  [ScalarType.FLOAT]: floating('float'),
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

/** The keys of a map, which JSON has as strings. A map has no other kinds of key. */
export const keySchemas = {
  [ScalarType.STRING]: undefined,
  [ScalarType.BOOL]: {enum: ['true', 'false']},
  [ScalarType.INT32]: {pattern: '^-?[0-9]{1,10}$', examples: ['1']},
  [ScalarType.SINT32]: {pattern: '^-?[0-9]{1,10}$', examples: ['1']},
  [ScalarType.SFIXED32]: {pattern: '^-?[0-9]{1,10}$', examples: ['1']},
  [ScalarType.UINT32]: {pattern: '^[0-9]{1,10}$', examples: ['1']},
  [ScalarType.FIXED32]: {pattern: '^[0-9]{1,10}$', examples: ['1']},
  [ScalarType.INT64]: {pattern: int64.pattern, examples: int64.examples},
  [ScalarType.SINT64]: {pattern: int64.pattern, examples: int64.examples},
  [ScalarType.SFIXED64]: {pattern: int64.pattern, examples: int64.examples},
  [ScalarType.UINT64]: {pattern: uint64.pattern, examples: uint64.examples},
  [ScalarType.FIXED64]: {pattern: uint64.pattern, examples: uint64.examples},
} as const satisfies Record<
  Exclude<ScalarType, ScalarType.DOUBLE | ScalarType.FLOAT | ScalarType.BYTES>,
  Schema | undefined
>

/** The well-known types whose JSON is not that of their fields (J); the wrappers are their scalars. */
export const wellKnownSchemas = new Map<string, Schema>(
  Object.entries({
    'google.protobuf.Timestamp': {
      type: 'string',
      format: 'date-time',
      description: 'A time as RFC 3339 has it, to the nanosecond at most.',
      examples: ['2024-02-29T12:00:00Z'],
    },
    'google.protobuf.Duration': {
      type: 'string',
      pattern: '^-?[0-9]{1,12}(?:\\.[0-9]{1,9})?s$',
      description: 'Seconds, to the nanosecond at most.',
      examples: ['1.5s'],
    },
    'google.protobuf.FieldMask': {
      type: 'string',
      pattern: fieldMask.source,
      description: 'Paths of fields in lowerCamelCase, with commas between.',
      examples: ['user.displayName,photo'],
    },
    'google.protobuf.Struct': {type: 'object', additionalProperties: true, description: 'Any JSON object.'},
    'google.protobuf.Value': {description: 'Any JSON value.'},
    'google.protobuf.ListValue': {type: 'array', items: {}, description: 'Any JSON array.'},
    'google.protobuf.Any': {
      type: 'object',
      properties: {
        '@type': {type: 'string', description: 'The URL of its type: "type.googleapis.com/" and its full name.'},
      },
      additionalProperties: true,
      description: 'A message of any type: its fields, or its `value` where the JSON of its type is no object.',
    },
    'google.protobuf.Empty': {type: 'object', description: 'An empty object.'},
  } satisfies Record<string, Schema>),
)

/** The bytes of a body or of a part of one, as they are. */
export const binarySchema = {
  type: 'string',
  format: 'binary',
  contentMediaType: 'application/octet-stream',
} as const satisfies Schema

function floating(format: string) {
  return {
    anyOf: [
      {type: 'number', format},
      {type: 'string', enum: ['NaN', 'Infinity', '-Infinity']},
    ],
  } as const
}
