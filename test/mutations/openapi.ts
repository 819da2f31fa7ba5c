import type {FaultyFile} from './mutations.ts'

const document = ['test/transcoding/openapi.test.ts', 'test/transcoding/openapi-operations.test.ts']
const schemas = ['test/transcoding/openapi-schemas.test.ts']

/** Faults in src/transcoding/openapi/ and src/transcoding/mcp/: what clients and agents are told of the API. */
export const openapi: readonly FaultyFile[] = [
  {
    file: 'src/transcoding/openapi/parameters.ts',
    by: document,
    changes: [
      ["if (body === '*') return []", '', 'the document has query parameters that are refused'],
      [
        'required: field !== updateMask && isRequired(field, name)',
        'required: false',
        'a required parameter is optional in the document',
      ],
      [
        "return isRequiredIn(field) && !name.includes('.')",
        'return isRequiredIn(field)',
        'a part of a message that may be absent is required',
      ],
    ],
  },
  {
    file: 'src/transcoding/openapi/schemas.ts',
    by: [...schemas, ...document, 'test/functions/gateway-presets.test.ts'],
    changes: [
      [
        'return this.#answers && this.#refusesUnknown ? {...schema, additionalProperties: false} : schema',
        'return schema',
        'a misspelt field is valid by the document',
      ],
    ],
  },
  {
    file: 'src/transcoding/openapi/values.ts',
    by: schemas,
    changes: [
      [
        "'int-64': integer('int64', -(2n ** 63n), 2n ** 63n - 1n)",
        "'int-64': integer('int64', -(2n ** 63n), 2n ** 64n - 1n)",
        'integers of 64 bits that are too large are valid by the document',
      ],
      ['maximum: 2 ** 31 - 1}', 'maximum: 2 ** 31}', 'an integer that is too large is valid by the document'],
      ["{type: 'string', enum: ['NaN', 'Infinity', '-Infinity']},", '', 'NaN is invalid by the document'],
      [
        "[ScalarType.BOOL]: {enum: ['true', 'false']},",
        '[ScalarType.BOOL]: undefined,',
        'any key of a map by bools is valid',
      ],
    ],
  },
  {
    file: 'src/transcoding/openapi/integers.ts',
    by: schemas,
    changes: [
      ["min === -max ? '' : `|${min}`", "''", 'the smallest integer is invalid by the document'],
      [
        'first > least ? `${range(least, first - 1)}',
        'first > least ? `${range(least, first)}',
        'an integer that is too large is valid by the document',
      ],
    ],
  },
]
