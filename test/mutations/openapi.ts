import type {FaultyFile} from './mutations.ts'

const document = ['test/transcoding/openapi.test.ts', 'test/transcoding/openapi-operations.test.ts']
const schemas = ['test/transcoding/openapi-schemas.test.ts']
const conventional = ['test/functions/conventions.test.ts']

/** Faults in src/transcoding/openapi/ and src/transcoding/mcp/: what clients and agents are told of the API. */
export const openapi: readonly FaultyFile[] = [
  {
    file: 'src/transcoding/openapi/version.ts',
    by: [...document, 'test/functions/openapi.test.ts'],
    changes: [
      [
        '...(additional.length > 0 && {additionalOperations: Object.fromEntries(additional)}),\n',
        '\n',
        'a document of version 3.2 lacks the operations of other HTTP methods',
      ],
      ['...(parameters && {parameters}),\n', '\n', 'a document of version 3.2 lacks the parameters of paths'],
      ["'$ref' in one ? one : withItems(one)", 'one', 'a document of version 3.2 has no items in answers'],
      ['requestBody && {requestBody: withItems(requestBody)}', 'requestBody && {requestBody}', 'nor in requests'],
    ],
  },
  {
    file: 'src/transcoding/openapi/openapi.ts',
    by: [...document, 'test/auth/contract.test.ts', 'test/auth/webhooks.test.ts'],
    changes: [
      ['if (security && isOpen?.(method)) return []', '', 'the document asks for credentials where none are needed'],
      [
        'const able = schemes.filter(([, scheme]) => hasClaims(scheme))',
        'const able = schemes',
        'the document says that an API key has roles',
      ],
      [
        'const signed = signatures.filter(([, scheme]) => scheme.type ===',
        'const signed = signatures.filter(([, scheme]) => true || scheme.type ===',
        'the document says that the signature of another method is enough',
      ],
      [
        'if (!refusesUnknown) return {requests: answers, answers}',
        '',
        'with GATEWAY_UNKNOWN_FIELDS=ignore the document has each message twice',
      ],
      [
        'deprecated: method.deprecated || method.parent.deprecated,\n    parameters',
        'deprecated: method.deprecated,\n    parameters',
        'the methods of a deprecated service are not deprecated',
      ],
      ['...Object.entries(errorSchemas(errors)),', '', 'the document refers to an error that it does not have'],
    ],
  },
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
      [
        "this.dialect.fieldNames === 'proto' ? name : jsonName",
        'jsonName',
        'GATEWAY_FIELD_NAMES=proto has JSON names in the document',
      ],
      ["if (typeof value === 'bigint') return value.toString()", '', 'the document cannot be written'],
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
    file: 'src/transcoding/openapi/comments.ts',
    by: document,
    changes: [
      [
        'readable(leadingComments) || readable(trailingComments)',
        'readable(leadingComments)',
        'comments behind a field are missing in the document',
      ],
      ['(?=\\s+\\p{Lu}|\\s*$)', '', 'a summary ends at "e.g."'],
      [
        'return [...pathOf(desc.parent), 2, desc.parent.proto.value',
        'return [...pathOf(desc.parent), 3, desc.parent.proto.value',
        'comments of enum values are missing in the document',
      ],
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
        'isStream ? listOf(outputs[index]!) : output.schema',
        'output.schema',
        'the result of a stream is invalid by its schema',
      ],
      ['found.set(name, {})\n', '\n', 'a message that contains itself ends the process'],
      [
        "return key === 'format' && formats.has(value) ? undefined : value",
        'return value',
        'validators of arguments warn of formats',
      ],
      [
        'return idempotency === Level.IDEMPOTENT ? {idempotentHint: true} : {}',
        'return {}',
        'an agent does not try an idempotent method again',
      ],
      [
        'if (idempotency === Level.NO_SIDE_EFFECTS) return {readOnlyHint: true, idempotentHint: true}',
        '',
        'an agent asks before it reads',
      ],
      [
        'const comment = commentOf(method) || `Calls ${method.parent.typeName}/${method.name}.`',
        'const comment = commentOf(method)',
        'a tool without a comment has no description',
      ],
      ["method.deprecated || method.parent.deprecated ? 'Deprecated.' : ''", "''", 'an agent uses deprecated methods'],
      [
        'return found.size > 0 ? {...root, $defs: Object.fromEntries(found)} : root',
        'return root',
        'schemas refer to others that are not there',
      ],
    ],
  },
  {
    file: 'src/transcoding/mcp/resources.ts',
    by: ['test/transcoding/mcp.test.ts', 'test/functions/mcp.test.ts'],
    changes: [
      ['&& !/[?#]/.test(uri) ? ', '? ', 'the URI of a resource has a query'],
      ['multi.has(name) ? `{+${name}}` : whole', 'whole', 'names with slashes are escaped'],
      [
        "if (method !== 'get' || parameters.length === 0) return []",
        "if (method !== 'get') return []",
        'a path without a name is a template',
      ],
      [
        "answersRaw(binding) ? {} : {mimeType: 'application/json'}",
        "{mimeType: 'application/json'}",
        'a file is said to be JSON',
      ],
    ],
  },
  {
    file: 'src/transcoding/openapi/names.ts',
    by: ['test/transcoding/openapi.test.ts'],
    changes: [
      [
        'services.get(parent.name)!.size > 1',
        'false',
        'services of one name in two packages have operations of one name but for a number',
      ],
      [
        'services.get(parent.name)!.size > 1',
        'true',
        'every operation has a long name, so that generated clients change',
      ],
      [
        "(binding.httpMethod === '*' ? `_${method}` : '')",
        "''",
        'the operations of a rule for any HTTP method have one name',
      ],
    ],
  },
  {
    file: 'src/transcoding/openapi/openapi.ts',
    by: ['test/transcoding/openapi.test.ts'],
    changes: [
      [
        'tags: [method.parent.typeName]',
        'tags: [method.parent.name]',
        'services of one name in two packages are shown as one',
      ],
      [
        'parent}}) => [parent.typeName, parent]',
        'parent}}) => [parent.name, parent]',
        'a tag of an operation has no description',
      ],
    ],
  },
  {
    file: 'src/transcoding/openapi/paths.ts',
    by: ['test/transcoding/openapi.test.ts'],
    changes: [
      [
        ": ['get', 'put', 'post', 'delete', 'patch']",
        ": ['get']",
        'a rule for any HTTP method is described for GET alone',
      ],
      [
        'if (binding.template.rest < 0) return undefined',
        'return undefined',
        'a path that takes slashes is not described beside one that does not',
      ],
    ],
  },
  {
    file: 'src/transcoding/openapi/errors.ts',
    by: ['test/transcoding/openapi.test.ts'],
    changes: [['shapes[shape]', 'shapes.aip', 'errors are described in another format than they have']],
  },
  {
    file: 'src/transcoding/openapi/conventions.ts',
    by: ['test/functions/conventions.test.ts', 'test/functions/event-ids.test.ts'],
    changes: [
      ['...(conventions?.ifMatch ? [ifMatch] : []),', '', 'generated clients cannot send If-Match'],
      [
        '...(cursor ? [lastEventId(cursor, schemas)] : []),',
        '',
        'the document does not say that a stream can be resumed',
      ],
      [
        "const isGet = method === 'get' || method === 'HEAD'",
        'const isGet = true',
        'a 304 is described where there is none',
      ],
    ],
  },
  {
    file: 'src/transcoding/mcp/resources.ts',
    by: ['test/transcoding/mcp.test.ts'],
    changes: [[" && method.methodKind === 'unary'", '', 'a stream is a resource, which never ends']],
  },
  {
    file: 'src/transcoding/openapi/openapi.ts',
    by: ['test/transcoding/openapi-operations.test.ts'],
    changes: [
      ['[description, literalsOf(placement)]', '[description]', 'the document does not say what a literal sets'],
    ],
  },
  {
    file: 'src/transcoding/openapi/parameters.ts',
    by: ['test/transcoding/openapi-operations.test.ts'],
    changes: [
      [
        "    .filter(({segments}) => segments.every(({kind}) => kind === 'literal'))\n",
        '',
        'the document says of each variable that a literal sets it',
      ],
    ],
  },
]
