import type {ErrorShape} from '../../core/config.ts'
import {codes} from '../../core/fault.ts'
import type {Response, Schema} from './document.ts'

/** The names of the components of an error response. No message can have them, because proto names have no hyphen. */
const errorName = 'error-response'
const detailName = 'error-detail'

/** The error response of every operation. */
export const errorResponse: Response = {
  description: 'An error. Its gRPC code decides the HTTP status, as in google/rpc/code.proto.',
  content: {'application/json': {schema: {$ref: `#/components/schemas/${errorName}`}}},
}

/** The schemas of an error in the given shape. */
export function errorSchemas(shape: ErrorShape): Record<string, Schema> {
  return {[detailName]: detail, [errorName]: shapes[shape]}
}

const details: Schema = {type: 'array', items: {$ref: `#/components/schemas/${detailName}`}}
const message: Schema = {type: 'string', description: 'What was wrong, for people.'}

const detail: Schema = {
  type: 'object',
  description:
    'A message, for example of google/rpc/error_details.proto. If its type is unknown, its bytes are in `value`.',
  properties: {'@type': {type: 'string'}},
  required: ['@type'],
  additionalProperties: true,
  examples: [
    {
      '@type': 'type.googleapis.com/google.rpc.BadRequest',
      fieldViolations: [{field: 'name', description: 'Cannot set "name": the path sets it'}],
    },
  ],
}

const shapes = {
  aip: {
    type: 'object',
    description: 'An error in the format of AIP-193.',
    properties: {
      error: {
        type: 'object',
        properties: {
          code: {type: 'integer', description: 'The HTTP status.'},
          message,
          status: {type: 'string', enum: Object.keys(codes), description: 'The name of the gRPC code.'},
          details,
        },
        required: ['code', 'message', 'status'],
      },
    },
    required: ['error'],
  },
  status: {
    type: 'object',
    description: 'An error as a google.rpc.Status.',
    properties: {code: {type: 'integer', description: 'The gRPC code.'}, message, details},
    required: ['code', 'message'],
  },
} as const satisfies Record<ErrorShape, Schema>
