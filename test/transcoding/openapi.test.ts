import {execFileSync} from 'node:child_process'
import {mkdtempSync, readFileSync, rmSync} from 'node:fs'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {Validator} from '@seriousme/openapi-schema-validator'
import test, {type ExecutionContext} from 'ava'
import {bodyForm} from '../../src/transcoding/media.ts'
import type {OpenApiDocument, Operation, Response} from '../../src/transcoding/openapi/document.ts'
import {type OpenApiOptions, openApi} from '../../src/transcoding/openapi/openapi.ts'
import {inVersion32} from '../../src/transcoding/openapi/version.ts'
import {bodyReaderOf, type Part} from '../../src/transcoding/requests.ts'
import {createTranscoder, type Transcoder} from '../../src/transcoding/transcoder.ts'
import {bufBuild, protosIn} from '../helpers/buf.ts'
import {operationsOf, type SampleRequest, sampleRequests} from './sample-request.ts'
import {bytes, decodeRequest, type RuleInit, readMessages, transcode} from './schema.ts'

const root = join(import.meta.dirname, '../..')

const ours = createTranscoder({schema: buildOurs(), defaultBindings: true})
const every = createTranscoder({schema: bytes, defaultBindings: true})
const bodied = transcode([
  {post: '/every/{name}', body: '*'},
  {post: '/names/{renamed}', body: 'names'},
  {post: '/child/{child.name}', body: 'child'},
  {post: '/part/{child.child.age}', body: '*'},
  {put: '/chosen/{choice_text}', body: '*'},
  {get: '/chosen/{choice_child.name}'},
  {post: '/file', body: 'file', response: 'file'},
  {post: '/struct', body: 'struct', response: 'string_wrapper'},
  {post: '/value', body: 'value', response: 'maybe_number'},
  {post: '/old', body: '*', input: 'every.Old', output: 'every.Old'},
  {get: '/old', input: 'every.Old', output: 'every.Modern'},
  {post: '/raw', body: '*', input: 'google.api.HttpBody', output: 'google.api.HttpBody'},
  {post: '/wrapped', body: '*', input: 'google.protobuf.StringValue', output: 'google.protobuf.Duration'},
  {get: '/paths/{name=shelves/*/books/**}/{renamed}'},
])

const all: [name: string, transcoder: Transcoder][] = [
  ['the protos of this project', ours],
  ['every kind of field', every],
  ['every kind of body', bodied],
]

function buildOurs(): Uint8Array {
  const folder = mkdtempSync(join(tmpdir(), 'openapi-'))
  try {
    const file = join(folder, 'set.binpb')
    execFileSync(join(root, 'node_modules/.bin/buf'), ['build', 'proto', '--as-file-descriptor-set', '-o', file], {
      cwd: root,
    })
    return readFileSync(file)
  } finally {
    rmSync(folder, {recursive: true})
  }
}

/** A transcoder for one proto file. */
function compile(proto: string): Transcoder {
  const schema = bufBuild({...protosIn('proto/google/api', 'google/api'), 'file.proto': proto})
  return createTranscoder({schema, defaultBindings: true})
}

function documentOf(transcoder: Transcoder, options: Partial<OpenApiOptions> = {}): OpenApiDocument {
  // As a client receives it.
  return JSON.parse(JSON.stringify(openApi({...transcoder, title: 'Test', version: '1.0.0', ...options})))
}

/** Operations by HTTP method and path. */
function operationsAt(document: OpenApiDocument): Map<string, Operation> {
  return new Map(operationsOf(document).map(({path, method, operation}) => [`${method} ${path}`, operation]))
}

const ref = (name: string) => ({$ref: `#/components/schemas/${name}`})

for (const [name, transcoder] of all) {
  test(`a validator accepts the document for ${name}, and it is the same each time`, async (t) => {
    for (const errors of ['aip', 'status'] as const) {
      const document = documentOf(transcoder, {errors, servers: ['https://api.example.com']})
      t.deepEqual(await new Validator().validate(structuredClone(document) as never), {valid: true})
      t.is(
        JSON.stringify(document),
        JSON.stringify(documentOf(transcoder, {errors, servers: ['https://api.example.com']})),
      )
    }
  })

  test(`each path parameter is in its path and vice versa, operationIds are unique: ${name}`, (t) => {
    const found = operationsAt(documentOf(transcoder))
    for (const [place, {parameters = []}] of found) {
      const named = parameters.filter((parameter) => parameter.in === 'path').map((parameter) => parameter.name)
      t.deepEqual(
        [...place.matchAll(/\{([^}]+)\}/g)].map(([, parameter]) => parameter),
        named,
        place,
      )
      for (const parameter of named) t.regex(parameter, /^[A-Za-z_][A-Za-z0-9_]*$/, place)
      t.is(new Set(named).size, named.length, place)
    }
    const ids = [...found.values()].map(({operationId}) => operationId)
    t.deepEqual(ids, [...new Set(ids)])
  })

  test(`every binding is in the document: ${name}`, (t) => {
    t.is(operationsOf(documentOf(transcoder)).length, transcoder.bindings.length)
  })

  test(`a generated request for each operation is routed to its method and decoded without error: ${name}`, async (t) => {
    await sendAll(t, transcoder)
  })
}

/** Sends the requests that a client would make from the document to the transcoder that wrote the document. */
async function sendAll(t: ExecutionContext, transcoder: Transcoder) {
  const document = documentOf(transcoder)
  const methods = new Map(
    operationsOf(document).map(({operation}) => [operation.operationId, operation['x-grpc-method']]),
  )
  for (const sample of sampleRequests(document)) await send(t, transcoder, sample, methods.get(sample.operationId)!)
}

async function send(t: ExecutionContext, transcoder: Transcoder, sample: SampleRequest, expected: string) {
  const {method, path: url, headers, body} = sample
  const [path = '', query] = url.split('?')
  const match = transcoder.route(method, path)
  if ('status' in match) return t.fail(`${match.status} for ${method} ${url}`)
  const {binding} = match
  t.is(`${binding.method.parent.typeName}.${binding.method.name}`, expected, url)
  const reader = bodyReaderOf(binding)
  const contentType = headers['content-type']
  const act = async () => {
    if (reader) bodyForm(contentType, reader)
    const {methodKind} = binding.method
    if (methodKind === 'client_streaming' || methodKind === 'bidi_streaming')
      return readStream(transcoder, sample, match)
    const parts = contentType?.startsWith('multipart/') ? await partsOf(sample) : body
    return decodeRequest(transcoder, match, {query, contentType, body: parts})
  }
  return t.notThrowsAsync(act, `${sample.variant}: ${method} ${url} ${body}`)
}

function readStream(transcoder: Transcoder, sample: SampleRequest, match: Parameters<Transcoder['exchange']>[0]) {
  const {path, headers, body} = sample
  const contentType = headers['content-type']
  const reader = readMessages(transcoder, match, {query: path.split('?')[1], contentType})
  if (body === undefined) return
  if (typeof body !== 'string') return void reader.raw(body)
  const texts = contentType === 'application/json' ? JSON.parse(body).map(JSON.stringify) : body.trim().split('\n')
  for (const text of texts) reader.json(text)
}

async function partsOf({headers, body}: SampleRequest): Promise<Part[]> {
  const form = await new Response(body, {headers}).formData()
  return Promise.all(
    [...form].map(async ([name, value]) => {
      if (typeof value === 'string') return {name, value}
      const bytes = new Uint8Array(await value.arrayBuffer())
      return {name, value: bytes, filename: value.name, contentType: value.type}
    }),
  )
}

/** Rules, and the methods and paths of their operations. */
const places: [key: string, rules: RuleInit[], places: string[]][] = [
  ['a variable', [{get: '/v1/{name}'}], ['GET /v1/{name}']],
  ['a nested variable', [{get: '/v1/{child.name}/x'}], ['GET /v1/{child_name}/x']],
  [
    'variables that are one name without their dots',
    [{get: '/v1/{child.name}/{choice_child.child.name}/{choice_child.name}'}],
    ['GET /v1/{child_name}/{choice_child_child_name}/{choice_child_name}'],
  ],
  ['a verb', [{post: '/v1/{name}:archive', body: '*'}], ['POST /v1/{name}:archive']],
  ['several verbs', [{post: '/v1/{name}:undo:a%3Ab', body: '*'}], ['POST /v1/{name}:undo:a%3Ab']],
  ['a variable of segments', [{get: '/v1/{name=shelves/*}'}], ['GET /v1/shelves/{shelvesId}']],
  [
    'a variable of many segments',
    [{get: '/v1/{name=a-b/*/c/*}/{renamed=c/*}'}],
    ['GET /v1/a-b/{a_bId}/c/{cId}/c/{cId_2}'],
  ],
  ['a variable that begins with a wildcard', [{get: '/{name=*/*}'}], ['GET /{name}/{name_2}']],
  ['a variable of literals', [{get: '/v1/{name=qm}/{renamed}'}], ['GET /v1/qm/{renamed}']],
  ['wildcards without a variable', [{get: '/v1/*/x/**'}], ['GET /v1/{segment}/x/{segment_2}']],
  ['`**`', [{get: '/v1/{name=**}/end'}], ['GET /v1/{name}/end']],
  ['escaped literals', [{get: '/a%2Fb/%C3%A9/x%3Ay/@me'}], ['GET /a%2Fb/%C3%A9/x%3Ay/@me']],
  [
    'paths that differ in names alone are one',
    [{get: '/v1/{name}'}, {delete: '/v1/{renamed}'}],
    ['DELETE /v1/{name}', 'GET /v1/{name}'],
  ],
  [
    '`**` beside `*`, of one method',
    [{get: '/v1/{name=**}'}, {get: '/v1/{renamed}'}],
    ['GET /v1/{name}/{name_2}', 'GET /v1/{renamed}'],
  ],
  [
    '`**` beside `*`, of another',
    [{get: '/v1/{name=**}'}, {put: '/v1/{renamed}'}],
    ['GET /v1/{renamed}', 'PUT /v1/{renamed}'],
  ],
  [
    'custom kinds',
    [
      {custom: {kind: 'HEAD', path: '/a'}},
      {custom: {kind: 'options', path: '/a'}},
      {custom: {kind: 'PURGE', path: '/a'}},
    ],
    ['HEAD /a', 'OPTIONS /a', 'PURGE /a'],
  ],
  [
    'any method, less those that are bound',
    [{custom: {kind: '*', path: '/a'}}, {get: '/a'}],
    ['DELETE /a', 'GET /a', 'PATCH /a', 'POST /a', 'PUT /a'],
  ],
  ['any method with a body', [{custom: {kind: '*', path: '/a'}, body: '*'}], ['PATCH /a', 'POST /a', 'PUT /a']],
]

for (const [key, rules, expected] of places) {
  test(`the path of ${key}: ${expected.join(', ')}`, async (t) => {
    const transcoder = transcode(rules)
    const document = documentOf(transcoder)
    t.deepEqual([...operationsAt(document).keys()].sort(), expected)
    t.like(await new Validator().validate(structuredClone(document) as never), {valid: true})
    await sendAll(t, transcoder)
  })
}

/** A schema with comments and streams, and a service without a package. */
const people = compile(`
  syntax = "proto3";
  import "google/api/annotations.proto";
  // Knows users, and helps them.
  service Users {
    // Finds a user by id or by email.
    rpc GetUser(User) returns (User) {option (google.api.http) = {get: "/api/users"};}
    // Takes the context first and then the data, in messages of any size. Answers when all of it is kept.
    rpc Keep(stream User) returns (User) {option (google.api.http) = {post: "/api/users" body: "*"};}
  }
  message User {
    // In years.
    int32 age = 1;
  }
  service Chat {
    rpc Chat(stream Said) returns (stream Heard) {option (google.api.http) = {post: "/api/chat" body: "*"};}
  }
  message Said {string content = 1;}
  message Heard {string reply = 1;}
`)

const listOf = (name: string) => ({schema: {type: 'array', items: ref(name)}})

test('streams in OpenAPI 3.2: each item of what is sequential, and a list as before', async (t) => {
  const document = documentOf(people)
  const newer = inVersion32(document)
  const {post} = newer.paths['/api/chat']!
  t.deepEqual(post?.requestBody?.content as object, {
    'application/x-ndjson': {itemSchema: ref('Said')},
    'application/json': listOf('Said'),
  })
  const answer = document.paths['/api/chat']?.post?.responses[200] as Response
  t.deepEqual(post?.responses[200] as object, {
    ...answer,
    content: {
      'application/x-ndjson': {itemSchema: ref('Heard')},
      'application/json': listOf('Heard'),
      'text/event-stream': {itemSchema: answer.content?.['text/event-stream']?.schema.items},
    },
  })
  t.like(await new Validator().validate(structuredClone(newer) as never), {valid: true})
})

test('streams: their messages, and their content types', (t) => {
  const found = operationsAt(documentOf(people))
  const chat = found.get('POST /api/chat')
  t.deepEqual(chat?.requestBody?.content as object, {
    'application/x-ndjson': listOf('Said'),
    'application/json': listOf('Said'),
  })
  t.like(chat?.responses[200], {
    content: {
      'application/x-ndjson': listOf('Heard'),
      'application/json': listOf('Heard'),
      'text/event-stream': {
        schema: {items: {properties: {data: {contentSchema: ref('Heard')}}}},
      },
    },
  })
})

test('comments are summaries and descriptions, services are tags', (t) => {
  const document = documentOf(people)
  const found = operationsAt(document)
  t.like(
    document.tags.find(({name}) => name === 'Users'),
    {description: 'Knows users, and helps them.'},
  )
  t.like(found.get('GET /api/users'), {summary: 'Finds a user by id or by email', tags: ['Users']})
  t.like(found.get('POST /api/users'), {
    summary: 'Takes the context first and then the data, in messages of any size',
    description: 'Takes the context first and then the data, in messages of any size. Answers when all of it is kept.',
  })
  const age = {description: 'In years.'}
  t.like(document.components.schemas.User?.properties?.age, age)
  t.like(
    found.get('GET /api/users')?.parameters?.find(({name}) => name === 'age'),
    age,
  )
})

test('a schema without services has a document too', async (t) => {
  const empty = documentOf(transcode([], {services: []}))
  t.deepEqual([empty.tags, empty.paths], [[], {}])
  t.deepEqual(await new Validator().validate(empty as never), {valid: true})
})

test('an error has the configured format', (t) => {
  const aip = documentOf(ours).components
  t.like(aip.responses.error, {content: {'application/json': {schema: ref('error-response')}}})
  t.like(aip.schemas['error-response'], {required: ['error']})
  t.like(documentOf(ours, {errors: 'status'}).components.schemas['error-response'], {required: ['code', 'message']})
})

const commented = `
syntax = "proto3";
package commented;

// Detached, and so nobody's.

// Keeps shelves.
// buf:lint:ignore SERVICE_SUFFIX
service Library {
  option deprecated = true;
  // Moves e.g. all of them, at once!
  //
  // @internal
  // (-- api-linter: disabled --)
  // And back.
  rpc Move(Outer.Inner) returns (Outer) {}
  // No full stop
  // on two lines
  rpc Old(Outer) returns (Outer) {option deprecated = true;}
}

/**
 * The outer one.
 *   - with a list
 */
message Outer {
  message Inner {
    string name = 1; // After the field.
    // Of the wrapper's field.
    Kind kind = 2 [deprecated = true];
    string bare = 3;
  }
  // What kind it is.
  enum Kind {
    KIND_UNSPECIFIED = 0;
    // The one
    // kind.
    ONE = 1;
    TWO = 2 [deprecated = true];
  }
  option deprecated = true;
}
`

const clashing = `
syntax = "proto3";
package clashing;
import "google/api/annotations.proto";
service Clash {
  rpc Get(Request) returns (Request) { option (google.api.http) = {get: "/v1/{child.name}/{child_name}"}; }
}
message Request {
  Child child = 1;
  string child_name = 2;
}
message Child { string name = 1; }
`

test('two path parameters never have the same name', (t) => {
  const [{path, operation}] = operationsOf(documentOf(compile(clashing))) as [ReturnType<typeof operationsOf>[0]]
  t.is(path, '/v1/{child_name}/{child_name_2}')
  t.deepEqual(
    operation.parameters?.map((parameter) => parameter['x-grpc-field']),
    ['child.name', 'child_name'],
  )
})

test('services with the same short name have tags and operations of their own', (t) => {
  const service = `service Books {rpc Get(Book) returns (Book) {option (google.api.http) = {get: "/PATH"};}}`
  const proto = (name: string, path: string, more = '') => `syntax = "proto3"; package ${name};
    import "google/api/annotations.proto"; ${more}
    message Book {string name = 1;} ${service.replace('PATH', path)}`
  const other = 'service Shelves {rpc Get(Book) returns (Book) {option (google.api.http) = {get: "/shelves"};}}'
  const schema = bufBuild({
    ...protosIn('proto/google/api', 'google/api'),
    'one.proto': `${proto('one', 'one')} ${other}`,
    'two.proto': proto('two.v1', 'two'),
  })
  const document = documentOf(createTranscoder({schema}))
  const found = [...operationsAt(document)].map(([place, {operationId, tags}]) => [place, operationId, tags])
  t.deepEqual(found.sort(), [
    ['GET /one', 'one_Books_Get', ['one.Books']],
    ['GET /shelves', 'Shelves_Get', ['one.Shelves']],
    ['GET /two', 'two_v1_Books_Get', ['two.v1.Books']],
  ])
  t.deepEqual(
    document.tags?.map(({name}) => name),
    ['one.Books', 'one.Shelves', 'two.v1.Books'],
  )
})

test('a rule for any HTTP method has an operation for each, with a name of its own', (t) => {
  const found = operationsAt(documentOf(transcode([{custom: {kind: '*', path: '/a'}}])))
  t.deepEqual([...found.values()].map(({operationId}) => operationId).sort(), [
    'Bound_M0_delete',
    'Bound_M0_get',
    'Bound_M0_patch',
    'Bound_M0_post',
    'Bound_M0_put',
  ])
})

const nested = `
syntax = "proto2";
package nested;
import "google/api/annotations.proto";
service Nested {
  rpc Set(Outer) returns (Outer) { option (google.api.http) = {post: "/set" body: "*"}; }
}
message Outer { optional Inner inner = 1; optional string name = 2; }
message Inner { required string id = 1; optional string text = 2; optional Most most = 3; }
message Most { required string key = 1; optional string value = 2; }
`

test("a form that sets a part of a message has the message's required fields too", (t) => {
  const post = documentOf(compile(nested)).paths['/set']?.post
  const {schema} = post?.requestBody?.content['application/x-www-form-urlencoded'] ?? {}
  t.is(schema?.required, undefined)
  t.deepEqual(schema?.dependentRequired, {
    'inner.text': ['inner.id'],
    'inner.most.key': ['inner.id'],
    'inner.most.value': ['inner.id', 'inner.most.key'],
  })
})

test('title, version, servers and security are those of the options', async (t) => {
  const document = documentOf(ours, {
    title: 'Shop',
    version: '2.1',
    servers: ['https://api.example.com/v2', '/v2'],
    security: [
      {type: 'http', scheme: 'bearer'},
      {type: 'apiKey', in: 'header', name: 'x-api-key'},
      {type: 'apiKey', in: 'query', name: 'key'},
      {type: 'openIdConnect', openIdConnectUrl: 'https://login.example.com/.well-known/openid-configuration'},
    ],
  })
  t.like(document.info, {title: 'Shop', version: '2.1'})
  t.deepEqual(document.servers, [{url: 'https://api.example.com/v2'}, {url: '/v2'}])
  t.deepEqual(document.security, [{bearer: []}, {apiKey: []}, {apiKey_2: []}, {openIdConnect: []}])
  t.deepEqual(Object.keys(document.components.securitySchemes ?? {}), ['bearer', 'apiKey', 'apiKey_2', 'openIdConnect'])
  t.like(document.components.securitySchemes, {apiKey_2: {type: 'apiKey', in: 'query', name: 'key'}})
  t.deepEqual(await new Validator().validate(structuredClone(document) as never), {valid: true})
})

test('only a token has roles, and a signature is enough only for its own method', (t) => {
  const transcoder = transcode([{get: '/a'}, {get: '/b'}, {get: '/c'}])
  const security = [
    {type: 'http', scheme: 'bearer'},
    {type: 'apiKey', in: 'header', name: 'x-api-key'},
  ] as const
  const headers: Record<string, string> = {'bound.Bound/M1': 'x-one', 'bound.Bound/M2': 'x-two'}
  const found = operationsAt(
    documentOf(transcoder, {
      security,
      rolesOf: (method) => (method === 'bound.Bound/M0' ? ['books.write'] : []),
      signatureOf: (method) => headers[method],
    }),
  )
  t.deepEqual(found.get('GET /a')?.security, [{bearer: ['books.write']}])
  const any = [{bearer: []}, {apiKey: []}]
  t.deepEqual(found.get('GET /b')?.security, [...any, {signature: []}])
  t.deepEqual(found.get('GET /c')?.security, [...any, {signature_2: []}])
})

test('the document has no security, unless it says that none is required', async (t) => {
  const silent = documentOf(ours)
  t.false('security' in silent)
  t.deepEqual(silent.servers, [{url: '/'}])
  const open = documentOf(ours, {security: []})
  t.deepEqual(open.security, [])
  t.false('securitySchemes' in open.components)
  t.deepEqual(await new Validator().validate(structuredClone(open) as never), {valid: true})
})

test('comments: before or after, blocks, nested types and enum values; comments for tools are left out', (t) => {
  const document = documentOf(compile(commented))
  const {schemas: found} = document.components
  t.deepEqual(document.tags, [{name: 'commented.Library', description: 'Keeps shelves.'}])
  t.like(document.paths['/commented.Library/Move']?.post, {
    summary: 'Moves e.g. all of them, at once!',
    description: 'Moves e.g. all of them, at once!\n\nAnd back.',
    deprecated: true,
  })
  t.like(document.paths['/commented.Library/Old']?.post, {summary: 'No full stop on two lines', deprecated: true})
  t.like(found['commented.Outer'], {description: 'The outer one.\n  - with a list', deprecated: true})
  t.deepEqual(found['commented.Outer.Inner']?.properties, {
    name: {type: 'string', description: 'After the field.'},
    kind: {...ref('commented.Outer.Kind'), description: "Of the wrapper's field.", deprecated: true},
    bare: {type: 'string'},
  })
  t.is(found['commented.Outer.Kind']?.description, 'What kind it is.\n\n- `ONE`: The one kind.\n- `TWO`: Deprecated.')
})

const wide = `
syntax = "proto3";
package wide;
import "google/api/annotations.proto";

service Wide {
  rpc Get(M0) returns (M0) {option (google.api.http) = {get: "/wide"};}
}
${Array.from({length: 8}, (_, level) => {
  const fields = Array.from({length: 20}, (_, index) => `M${level + 1} m${index} = ${index + 1};`)
  return `message M${level} {string name = 100; ${fields.join('\n')}}`
}).join('\n')}
message M8 {}
`

test('a default is in the document also where JSON has no number for it', (t) => {
  const {components} = documentOf(
    compile(`
      syntax = "proto2";
      package d;
      import "google/api/annotations.proto";
      service S { rpc Get(M) returns (M) {option (google.api.http) = {get: "/d"};} }
      message M {
        optional int64 long = 1 [default = 9007199254740993];
        optional double most = 2 [default = inf];
        optional bytes data = 3 [default = "a"];
      }
    `),
  )
  const {properties} = components.schemas['d.M']!
  t.is(properties?.long?.default, '9007199254740993')
  t.is(properties?.most?.default, 'Infinity')
  t.false('default' in properties!.data!)
})

test('a message that is wide and deep has a limited number of query parameters', (t) => {
  const names = documentOf(compile(wide)).paths['/wide']?.get?.parameters?.map(({name}) => name) ?? []
  t.is(names.length, 21)
  t.true(names.includes('name') && names.includes('m19.name'))
})
