import type {ErrorShape} from '../../core/config.ts'
import {codes} from '../../core/fault.ts'
import type {Response, Schema} from './document.ts'

/** The names of the components of a failure: no message can have them, as a proto name has no hyphen. */
const errorName = 'error-response'
const detailName = 'error-detail'

/** A failure, whatever the operation. */
export const errorResponse: Response = {
  description: 'A failure: the HTTP status is the one of its gRPC code, as google/rpc/code.proto has it.',
  content: {'application/json': {schema: {$ref: `#/components/schemas/${errorName}`}}},
}

/** The schemas of a failure in either shape. */
export function errorSchemas(shape: ErrorShape): Record<string, Schema> {
  return {[detailName]: detail, [errorName]: shapes[shape]}
}

const details: Schema = {type: 'array', items: {$ref: `#/components/schemas/${detailName}`}}
const message: Schema = {type: 'string', description: 'What was wrong, for the person who reads it.'}

const detail: Schema = {
  type: 'object',
  description:
    'A message such as those of google/rpc/error_details.proto, or its bytes as `value` where its type is unknown.',
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
    description: 'A failure as AIP-193 has it.',
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
    description: 'A failure as a google.rpc.Status.',
    properties: {code: {type: 'integer', description: 'The gRPC code.'}, message, details},
    required: ['code', 'message'],
  },
} as const satisfies Record<ErrorShape, Schema>
