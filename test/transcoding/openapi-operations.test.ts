import test from 'ava'
import type {Operation, Schema} from '../../src/transcoding/openapi/document.ts'
import {openApi} from '../../src/transcoding/openapi/openapi.ts'
import {operationsOf} from './sample-request.ts'
import {type RuleInit, transcode} from './schema.ts'

/** The operations that rules come to, by HTTP method and path. */
function operations(rules: RuleInit[]): Map<string, Operation> {
  const document = openApi({...transcode(rules), title: 'Test', version: '1.0.0'})
  return new Map(operationsOf(document).map(({path, method, operation}) => [`${method} ${path}`, operation]))
}

const ref = (name: string) => ({$ref: `#/components/schemas/${name}`})
const int64 = {type: 'string', format: 'int64', pattern: '^-?[0-9]{1,19}$', examples: ['1']}

test('a segment of a variable says which, `**` that it takes slashes, a literal capture what it sets', (t) => {
  const found = operations([{get: '/v1/{name=shelves/*/books/**}/{renamed=end}:go'}])
  const operation = found.get('GET /v1/shelves/{shelvesId}/books/{booksId}/end:go')
  const [shelf, books] = operation?.parameters ?? []
  t.is(shelf?.description, 'A segment of `name`, which is `shelves/{shelvesId}/books/{booksId}`.')
  t.regex(books?.description ?? '', /slashes are sent as they are/)
  t.true(books?.['x-multi-segment'])
  t.is(operation?.description, 'The path sets `renamed` to "end".')
})

/** Names of the query parameters that a rule leaves. */
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

test('query parameters say what they are', (t) => {
  const [operation] = operations([{get: '/a', input: 'every.Old'}]).values()
  t.like(
    operation?.parameters?.find(({name}) => name === 'id'),
    {required: true, schema: {type: 'string'}},
  )
  const parameters = operations([{get: '/a'}]).get('GET /a')?.parameters ?? []
  const named = (wanted: string) => parameters.find(({name}) => name === wanted)
  t.deepEqual(named('longs')?.schema as object, {type: 'array', items: int64})
  t.deepEqual(named('nullValue')?.schema as object, {type: 'string', enum: ['NULL_VALUE']})
  t.deepEqual(named('int64Wrapper')?.schema as object, int64)
  t.deepEqual(named('choiceChild.left')?.['x-oneof'], {choice: 'choiceChild', 'choiceChild.pick': 'left'})
  t.regex(named('choiceLong')?.description ?? '', /At most one member of `choice` may be set/)
})

/** Request bodies: the media types, and the schema of the JSON or what it has among others. */
const requests: [rule: RuleInit, types: string[], schema: object][] = [
  [
    {post: '/a', body: '*'},
    ['application/json', 'application/x-www-form-urlencoded', 'multipart/form-data'],
    ref('every.Every'),
  ],
  [
    {post: '/a', body: 'child'},
    ['application/json', 'application/x-www-form-urlencoded', 'multipart/form-data'],
    ref('every.Child'),
  ],
  [
    {post: '/a', body: 'names'},
    ['application/json', 'application/x-www-form-urlencoded', 'multipart/form-data'],
    {type: 'array', items: {type: 'string'}},
  ],
  [{post: '/a', body: 'children'}, ['application/json'], {type: 'array', items: ref('every.Child')}],
  [{post: '/a', body: 'struct'}, ['application/json'], ref('google.protobuf.Struct')],
  [{post: '/a', body: 'labels'}, ['application/json'], {type: 'object', additionalProperties: {type: 'string'}}],
  [{post: '/a', body: 'file'}, ['*/*'], {type: 'string', format: 'binary'}],
  [{post: '/a', body: '*', input: 'google.api.HttpBody'}, ['*/*'], {type: 'string', format: 'binary'}],
]

for (const [rule, wanted, schema] of requests) {
  test(`the body of ${JSON.stringify(rule)} is ${wanted.join(', ')}`, (t) => {
    const content = operations([rule]).get('POST /a')?.requestBody?.content ?? {}
    t.deepEqual(Object.keys(content), wanted)
    t.like(content[wanted[0]!]?.schema, schema)
  })
}

test('a body has what the path does not bind, nested fields too, and nothing that the path excludes', (t) => {
  const whole = operations([{post: '/a/{name}/{child.name}/{choice_text}', body: '*'}])
  const [{schema}] = Object.values([...whole.values()][0]!.requestBody!.content) as [{schema: Schema}]
  const names = Object.keys(schema.properties ?? {})
  t.deepEqual(
    names.filter((name) => /^(name|choice)/.test(name)),
    ['names'],
  )
  t.deepEqual(Object.keys(schema.properties?.child?.properties ?? {}), ['age', 'longId', 'child', 'left', 'right'])
})

test('a body is required where proto2 requires a field that only it can set', (t) => {
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

/** response_body, and the schema of the answer. */
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

test('an HttpBody answers with any type, a HEAD with nothing', (t) => {
  const found = operations([{get: '/a', response: 'file'}, {custom: {kind: 'HEAD', path: '/b'}}])
  t.like(found.get('GET /a')?.responses[200], {content: {'*/*': {schema: {type: 'string', format: 'binary'}}}})
  t.deepEqual(found.get('HEAD /b')?.responses[200] as object, {description: 'The answer.'})
})
