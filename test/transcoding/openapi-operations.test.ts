import {Validator} from '@seriousme/openapi-schema-validator'
import {Ajv2020} from 'ajv/dist/2020.js'
import test from 'ava'
import type {OpenApiDocument, Operation, Schema} from '../../src/transcoding/openapi/document.ts'
import {openApi} from '../../src/transcoding/openapi/openapi.ts'
import {inVersion32} from '../../src/transcoding/openapi/version.ts'
import {operationsOf} from './sample-request.ts'
import {decode, type RuleInit, transcode} from './schema.ts'

/** The operations of these rules, by HTTP method and path. */
function operations(rules: RuleInit[]): Map<string, Operation> {
  const document = openApi({...transcode(rules), title: 'Test', version: '1.0.0'})
  return new Map(operationsOf(document).map(({path, method, operation}) => [`${method} ${path}`, operation]))
}

const ref = (name: string) => ({$ref: `#/components/schemas/${name}`})
const int64 = ref('int-64')

test('a segment names its variable, `**` says that it takes slashes, and a literal capture what it sets', (t) => {
  const found = operations([{get: '/v1/{name=shelves/*/books/**}/{renamed=end}:go'}])
  const operation = found.get('GET /v1/shelves/{shelvesId}/books/{booksId}/end:go')
  const [shelf, books] = operation?.parameters ?? []
  t.is(shelf?.description, 'A segment of `name`, which is `shelves/{shelvesId}/books/{booksId}`.')
  t.regex(books?.description ?? '', /Slashes are sent unescaped/)
  t.true(books?.['x-multi-segment'])
  t.is(operation?.description, 'The path sets `renamed` to "end".')
})

test('a path parameter has a name without dots, and names the field that it sets', (t) => {
  const found = operations([
    {get: '/v1/{child.name}/{choice_child.child.age}'},
    {put: '/v1/{name}/{child.child.name}', body: '*'},
    {get: '/v2/{name=2.b/*/c%3Ad/*}'},
  ])
  const fields = (place: string) => found.get(place)?.parameters?.map((each) => [each.name, each['x-grpc-field']])
  t.deepEqual(fields('GET /v1/{child_name}/{choice_child_child_age}')?.slice(0, 2), [
    ['child_name', 'child.name'],
    ['choice_child_child_age', 'choice_child.child.age'],
  ])
  t.deepEqual(fields('PUT /v1/{child_name}/{choice_child_child_age}'), [
    ['child_name', 'name'],
    ['choice_child_child_age', 'child.child.name'],
  ])
  t.deepEqual(fields('GET /v2/2.b/{_2_bId}/c%3Ad/{c_dId}')?.slice(0, 2), [
    ['_2_bId', 'name'],
    ['c_dId', 'name'],
  ])
})

/** Rules, and names of query parameters that they have and do not have. */
const queries: [key: string, rule: RuleInit, has: string[], hasNot: string[]][] = [
  [
    'nested by dots, by JSON names',
    {get: '/a'},
    ['name', 'otherName', 'child.name', 'child.longId', 'choiceChild.age', 'file.contentType', 'time', 'stringWrapper'],
    ['children', 'labels', 'struct', 'value', 'any', 'child', 'child.child.name', 'values'],
  ],
  ['less the path', {get: '/a/{child.name}/{name}'}, ['child.age'], ['name', 'child.name']],
  ['less the body', {post: '/a', body: 'child'}, ['name'], ['child.age']],
  ['none beside a whole body', {post: '/a', body: '*'}, [], ['name']],
  [
    'less what the path excludes',
    {get: '/a/{choice_text}'},
    ['name'],
    ['choiceText', 'choiceLong', 'choiceChild.name'],
  ],
  ['less what the body excludes', {post: '/a', body: 'choice_child'}, ['name'], ['choiceText', 'choiceChild.name']],
  ['proto2', {get: '/a', input: 'every.Old'}, ['id', 'count', 'size'], ['part.id', 'parts']],
]

for (const [key, rule, has, hasNot] of queries) {
  test(`query parameters: ${key}`, (t) => {
    const [operation] = operations([rule]).values()
    const names = (operation?.parameters ?? []).filter(({in: place}) => place === 'query').map(({name}) => name)
    t.deepEqual(
      has.filter((name) => !names.includes(name)),
      [],
    )
    t.deepEqual(
      hasNot.filter((name) => names.includes(name)),
      [],
    )
  })
}

test('query parameters are described', (t) => {
  const [operation] = operations([{get: '/a', input: 'every.Old'}]).values()
  t.like(
    operation?.parameters?.find(({name}) => name === 'id'),
    {required: true, schema: {type: 'string'}},
  )
  const parameters = operations([{get: '/a'}]).get('GET /a')?.parameters ?? []
  const named = (wire: string) => parameters.find(({name}) => name === wire)
  t.deepEqual(named('longs')?.schema as object, {type: 'array', items: int64})
  t.deepEqual(named('nullValue')?.schema as object, {type: 'string', enum: ['NULL_VALUE']})
  t.deepEqual(named('int64Wrapper')?.schema as object, int64)
  t.deepEqual(named('choiceChild.left')?.['x-oneof'], {choice: 'choiceChild', 'choiceChild.pick': 'left'})
  t.regex(named('choiceLong')?.description ?? '', /At most one member of `choice` may be set/)
})

/** All schemas that a schema refers to, including itself. */
function* schemasIn(value: unknown, document: OpenApiDocument, seen = new Set<string>()): Generator<Schema> {
  if (typeof value !== 'object' || value === null) return
  yield value
  for (const [key, inner] of Object.entries(value)) {
    if (key !== '$ref') yield* schemasIn(inner, document, seen)
    else if (!seen.has(inner)) {
      seen.add(inner)
      yield* schemasIn(document.components.schemas[inner.replace('#/components/schemas/', '')], document, seen)
    }
  }
}

const bodied: RuleInit[] = [
  {post: '/whole', body: '*'},
  {post: '/less/{name}/{child.name}', body: '*'},
  {post: '/field/{choice_text}', body: 'child'},
  {post: '/list', body: 'children'},
  {post: '/map', body: 'child_map'},
  {post: '/old', body: '*', input: 'every.Old', output: 'every.Modern'},
  {post: '/empty', body: 'empty'},
]

/** The objects that describe a message, which their properties show. */
const objectsIn = (content: unknown, document: OpenApiDocument) =>
  [...schemasIn(content, document)].filter(({type, properties}) => type === 'object' && !properties?.['@type'])

for (const ignoreUnknown of [false, true]) {
  test(`requests are ${ignoreUnknown ? 'open' : 'closed'} to unknown fields, answers are open: GATEWAY_IGNORE_UNKNOWN=${ignoreUnknown}`, (t) => {
    const document = openApi({...transcode(bodied, {ignoreUnknown}), title: 'Test', version: '1'})
    const all = operationsOf(document)
    t.is(all.length, bodied.length)
    for (const {path, operation} of all) {
      for (const schema of objectsIn(operation.requestBody?.content, document)) {
        // A map, a Struct and an Any may have any key.
        if (!schema.properties) continue
        t.is(schema.additionalProperties, ignoreUnknown ? undefined : false, `${path}: ${JSON.stringify(schema)}`)
      }
      for (const schema of objectsIn(operation.responses, document)) {
        if (schema.description === 'An empty object.') continue
        t.not(schema.additionalProperties, false, `${path}: ${JSON.stringify(schema)}`)
      }
    }
    const both = Object.keys(document.components.schemas).filter((name) => name.endsWith('-Input'))
    t.deepEqual(both, ignoreUnknown ? [] : ['every.Child-Input', 'every.Every-Input', 'google.api.HttpBody-Input'])
    t.like(document.components.schemas['google.protobuf.Empty'], {
      additionalProperties: ignoreUnknown ? undefined : false,
    })
  })
}

/** Forms, and whether their schema accepts them. */
const forms: [form: Record<string, string>, input: string, accepted: boolean][] = [
  [{name: 'a', 'child.left': 'b'}, 'every.Every', true],
  [{nope: 'a'}, 'every.Every', false],
  [{'child.left': 'a', 'child.name': 'b'}, 'every.Every', true],
  [{choiceText: 'a', choiceLong: '1'}, 'every.Every', false],
  [{choiceText: 'a', 'choiceChild.name': 'b'}, 'every.Every', false],
  [{'choiceChild.name': 'a', 'choiceChild.left': 'b'}, 'every.Every', true],
  [{id: 'a'}, 'every.Old', true],
  [{}, 'every.Old', false],
]

for (const [form, input, accepted] of forms) {
  test(`a form ${JSON.stringify(form)} of ${input} is ${accepted ? '' : 'not '}accepted, as by the decoder`, (t) => {
    const transcoder = transcode([{post: '/a', body: '*', input}])
    const document = openApi({...transcoder, title: 'Test', version: '1'})
    const content = document.paths['/a']?.post?.requestBody?.content ?? {}
    const schema = content['application/x-www-form-urlencoded']?.schema
    const ajv = new Ajv2020({
      strict: false,
      logger: false,
      formats: {byte: true, int32: true, float: true, double: true},
    })
    ajv.addSchema({$id: 'https://test/openapi', ...document})
    const isValid = ajv.compile(JSON.parse(JSON.stringify(schema).replaceAll('"#/', '"https://test/openapi#/')))
    t.is(isValid(form), accepted, JSON.stringify(isValid.errors))
    const type = 'application/x-www-form-urlencoded'
    const read = () => decode(transcoder, 'POST', '/a', new URLSearchParams(form).toString(), type)
    if (accepted) t.notThrows(read)
    else t.throws(read)
  })
}

/** Rules, the media types of their request body, and its JSON schema or a part of it. */
const requests: [rule: RuleInit, types: string[], schema: object][] = [
  [
    {post: '/a', body: '*'},
    ['application/json', 'application/x-www-form-urlencoded', 'multipart/form-data'],
    ref('every.Every-Input'),
  ],
  [
    {post: '/a', body: 'child'},
    ['application/json', 'application/x-www-form-urlencoded', 'multipart/form-data'],
    ref('every.Child-Input'),
  ],
  [
    {post: '/a', body: 'names'},
    ['application/json', 'application/x-www-form-urlencoded', 'multipart/form-data'],
    {type: 'array', items: {type: 'string'}},
  ],
  [{post: '/a', body: 'children'}, ['application/json'], {type: 'array', items: ref('every.Child-Input')}],
  [{post: '/a', body: 'struct'}, ['application/json'], ref('google.protobuf.Struct')],
  [{post: '/a', body: 'value'}, ['application/json'], {...ref('google.protobuf.Value'), not: {type: 'null'}}],
  [{post: '/a', body: 'labels'}, ['application/json'], {type: 'object', additionalProperties: {type: 'string'}}],
  [{post: '/a', body: 'file'}, ['*/*'], {type: 'string', format: 'binary'}],
  [{post: '/a', body: '*', input: 'google.api.HttpBody'}, ['*/*'], {type: 'string', format: 'binary'}],
]

for (const [rule, expected, schema] of requests) {
  test(`the body of ${JSON.stringify(rule)} is ${expected.join(', ')}`, (t) => {
    const content = operations([rule]).get('POST /a')?.requestBody?.content ?? {}
    t.deepEqual(Object.keys(content), expected)
    t.like(content[expected[0]!]?.schema, schema)
  })
}

test('a body has the fields that the path does not bind, nested ones too, and none that the path excludes', (t) => {
  const whole = operations([{post: '/a/{name}/{child.name}/{choice_text}', body: '*'}])
  const [{schema}] = Object.values([...whole.values()][0]!.requestBody!.content) as [{schema: Schema}]
  const names = Object.keys(schema.properties ?? {})
  t.deepEqual(
    names.filter((name) => /^(name|choice)/.test(name)),
    ['names'],
  )
  t.deepEqual(Object.keys(schema.properties?.child?.properties ?? {}), ['age', 'longId', 'child', 'left', 'right'])
})

test('a body is required if proto2 requires a field that only the body can set', (t) => {
  const old = {body: '*', input: 'every.Old'}
  const found = operations([
    {post: '/a', ...old},
    {post: '/b/{id}', ...old},
    {post: '/c', body: '*'},
  ])
  t.deepEqual(
    ['/a', '/b/{id}', '/c'].map((path) => found.get(`POST ${path}`)?.requestBody?.required ?? false),
    [true, false, false],
  )
})

/** Values of response_body, and the schema of the answer. */
const answers: [response: string, schema: object][] = [
  ['', ref('every.Every')],
  ['name', {type: 'string'}],
  ['maybe_name', {type: ['string', 'null']}],
  ['child', {anyOf: [ref('every.Child'), {type: 'null'}]}],
  ['children', {type: 'array', items: ref('every.Child')}],
  ['string_wrapper', {type: ['string', 'null']}],
]

for (const [response, schema] of answers) {
  test(`response_body "${response}" answers ${JSON.stringify(schema)}`, (t) => {
    const operation = operations([{get: '/a', response}]).get('GET /a')
    t.deepEqual(operation?.responses[200] as object, {
      description: 'The answer.',
      content: {'application/json': {schema}},
    })
  })
}

test('an operation of any HTTP method is in x-additional-operations, and in additionalOperations in OpenAPI 3.2', async (t) => {
  const rules = [{get: '/a'}, {custom: {kind: 'PURGE', path: '/a'}, body: '*'}]
  const document = openApi({...transcode(rules), title: 'Test', version: '1.0.0'})
  const {'x-additional-operations': others, ...known} = document.paths['/a']!
  t.deepEqual(Object.keys(others ?? {}), ['PURGE'])
  const newer = inVersion32(document)
  t.deepEqual(newer.paths['/a'], {...known, additionalOperations: others} as (typeof newer.paths)[''])
  t.like(await new Validator().validate(structuredClone(newer) as never), {valid: true})
})

test('an HttpBody answers with any type, a HEAD without a body', (t) => {
  const found = operations([{get: '/a', response: 'file'}, {custom: {kind: 'HEAD', path: '/b'}}])
  t.like(found.get('GET /a')?.responses[200], {content: {'*/*': {schema: {type: 'string', format: 'binary'}}}})
  t.deepEqual(found.get('HEAD /b')?.responses[200] as object, {description: 'The answer.'})
})
