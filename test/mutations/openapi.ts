import type {FaultyFile} from './mutations.ts'

const document = ['test/transcoding/openapi.test.ts', 'test/transcoding/openapi-operations.test.ts']
const schemas = ['test/transcoding/openapi-schemas.test.ts']
const conventional = ['test/functions/conventions.test.ts']

/** Faults in src/transcoding/openapi/ and src/transcoding/mcp/: what clients and agents are told of the API. */
export const openapi: readonly FaultyFile[] = [
  {
    file: 'src/transcoding/openapi/paths.ts',
    by: document,
    changes: [
      [
        "(httpMethod === '*' ? 2 : 0) + (template.rest < 0 ? 0 : 1)",
        '0',
        'a path is described by a method that does not get its requests',
      ],
      ["return body ? ['put', 'post', 'patch'] : ", 'return ', 'the document has a GET with a body'],
    ],
  },
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
    file: 'src/transcoding/openapi/bodies.ts',
    by: [...document, ...conventional],
    changes: [
      [
        "return desc?.typeName === 'google.protobuf.Value' ? {...schema, not: {type: 'null'}} : schema",
        'return schema',
        'the document allows null as a body',
      ],
      ['required: needsBody(binding)', 'required: false', 'a body that is required is optional in the document'],
      ['...exclusive(fields),', '', 'a generated form sets two members of a oneof'],
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
    file: 'src/transcoding/openapi/fields.ts',
    by: document,
    changes: [
      ['closeOneofs(closed, [...parents, field])', '', 'the document has parameters that exclude the path'],
      [
        "if (body && body !== '*') closeOneofs(closed, [body])",
        '',
        'the document has parameters that exclude the body',
      ],
      ['if (at.above.includes(desc) || ', 'if (', 'a message that contains itself fills the document'],
    ],
  },
  {
    file: 'src/transcoding/openapi/names.ts',
    by: document,
    changes: [['used.add(name)\n  return name', 'return name', 'two operations have one name']],
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
  {
    file: 'src/transcoding/mcp/tools.ts',
    by: ['test/transcoding/mcp.test.ts', 'test/functions/mcp.test.ts'],
    changes: [
      [
        "if (root.type === 'object') return {schema: root as ObjectSchema, isWrapped: false}",
        '',
        'arguments of each tool are in `value`',
      ],
      [
        'function flat({oneOf, allOf, anyOf, ...schema}: ObjectSchema, {oneofs}: DescMessage): ObjectSchema {\n',
        'function flat({oneOf, allOf, anyOf, ...schema}: ObjectSchema, {oneofs}: DescMessage): ObjectSchema {\n  if (oneOf) return {...schema, oneOf}\n',
        'models refuse a tool with a oneof',
      ],
      [
        'return found.size > 0 ? {...root, $defs: Object.fromEntries(found)} : root',
        'return root',
        'schemas refer to others that are not there',
      ],
    ],
  },
]
