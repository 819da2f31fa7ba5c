import {clone, create, createFileRegistry} from '@bufbuild/protobuf'
import {FileDescriptorProtoSchema, FileDescriptorSetSchema, ServiceDescriptorProtoSchema} from '@bufbuild/protobuf/wkt'
import test from 'ava'
import {HttpRuleSchema} from '../../src/gen/google/api/http_pb.js'
import type {Binding} from '../../src/transcoding/rules/bindings.ts'
import type {SelectionOptions} from '../../src/transcoding/rules/selection.ts'
import {createTranscoder} from '../../src/transcoding/transcoder.ts'
import {bound, bytes, type RuleInit, registry, templateOf, transcode} from './schema.ts'

test('bindings: the rules of a descriptor set, with additional_bindings and default bindings', (t) => {
  const {bindings, problems} = createTranscoder({schema: bytes, defaultBindings: true})
  t.deepEqual(problems, [])
  t.deepEqual(
    bindings.map((binding) => `${binding.method.name}: ${binding.httpMethod} ${templateOf(binding)}`),
    [
      'Get: GET /v1/every',
      'Get: POST /v1/every',
      'Get: GET /v1/names/{name=shelves/*/books/**}:read',
      'Unbound: POST /every.EveryService/Unbound',
      'Upload: POST /every.EveryService/Upload',
    ],
  )
  t.deepEqual(
    bindings.map(({body}) => body),
    [undefined, '*', undefined, '*', '*'],
  )
})

test('additional_bindings have their own body and response_body', (t) => {
  const {bindings} = transcode([
    {
      get: '/a',
      response: 'child',
      additional: [
        {post: '/a', body: '*'},
        {put: '/a', body: 'child', response: 'names'},
      ],
    },
  ])
  const named = (field: unknown) => (typeof field === 'object' ? (field as {name: string}).name : field)
  t.deepEqual(
    bindings.map(({body, responseBody}) => [named(body), named(responseBody)]),
    [
      [undefined, 'child'],
      ['*', undefined],
      ['child', 'names'],
    ],
  )
})

/** A file with one service: its method M0 has a rule, and its method M1 has none. */
function fileOf(name: string, ...dependencies: string[]) {
  const at = name.lastIndexOf('.')
  const {proto} = bound({get: `/${name}`}, undefined).getFile('bound.proto')!
  return create(FileDescriptorProtoSchema, {
    ...proto,
    name: `${name}.proto`,
    package: name.slice(0, at),
    dependency: [...proto.dependency, ...dependencies.map((other) => `${other}.proto`)],
    service: [create(ServiceDescriptorProtoSchema, {...proto.service[0]!, name: name.slice(at + 1)})],
  })
}

/** A team's own services, a service of Google that they import, and other services of Google that no file imports. */
const imported = createFileRegistry(
  create(FileDescriptorSetSchema, {
    file: [
      ...[...registry.files].map(({proto}) => Object.assign(clone(FileDescriptorProtoSchema, proto), {service: []})),
      fileOf('google.longrunning.Operations'),
      fileOf('google.shop.Items'),
      fileOf('google.shop.Shop', 'google.shop.Items'),
      fileOf('acme.Library'),
      fileOf('acme.store.Shop', 'google.longrunning.Operations', 'acme.Library'),
    ],
  }),
)

/** The methods that are served of each service: `/M0` has a rule, `/M1` has none. */
const selections: [options: SelectionOptions, served: string[], unserved: string[]][] = [
  [
    {},
    ['acme.Library/M0', 'acme.store.Shop/M0', 'google.shop.Items/M0', 'google.shop.Shop/M0'],
    [
      'google.longrunning.Operations: imported',
      'acme.Library/M1: no rule',
      'acme.store.Shop/M1: no rule',
      'google.shop.Items/M1: no rule',
      'google.shop.Shop/M1: no rule',
    ],
  ],
  [
    {services: ['acme.store.Shop', 'google.longrunning.Operations']},
    [
      'acme.store.Shop/M0',
      'acme.store.Shop/M1',
      'google.longrunning.Operations/M0',
      'google.longrunning.Operations/M1',
    ],
    ['acme.Library: not named', 'google.shop.Items: not named', 'google.shop.Shop: not named'],
  ],
  [
    {services: ['acme.store.Shop', 'acme.Library'], defaultBindings: false},
    ['acme.Library/M0', 'acme.store.Shop/M0'],
    [
      'google.longrunning.Operations: not named',
      'google.shop.Items: not named',
      'google.shop.Shop: not named',
      'acme.Library/M1: no rule',
      'acme.store.Shop/M1: no rule',
    ],
  ],
  [
    {defaultBindings: true},
    [
      'acme.Library',
      'acme.store.Shop',
      'google.longrunning.Operations',
      'google.shop.Items',
      'google.shop.Shop',
    ].flatMap((name) => [`${name}/M0`, `${name}/M1`]),
    [],
  ],
]

for (const [{services, defaultBindings}, served, others] of selections) {
  test(`the methods served with GATEWAY_SERVICES=${services}, GATEWAY_DEFAULT_BINDINGS=${defaultBindings}`, (t) => {
    const {bindings, problems, unserved} = createTranscoder({schema: imported, services, defaultBindings})
    t.deepEqual(problems, [])
    t.deepEqual(
      bindings.map(({method}) => `${method.parent.typeName}/${method.name}`),
      served,
    )
    t.deepEqual(
      unserved.map(({name, why}) => `${name}: ${why}`),
      others,
    )
  })
}

test('GATEWAY_SERVICES restricts the served methods, and an unknown service is a problem', (t) => {
  const schema = createFileRegistry(registry, bound({get: '/a'}))
  const {bindings, problems} = createTranscoder({schema, services: ['bound.Bound', 'bound.Gone']})
  t.deepEqual(
    bindings.map(({rule}) => rule),
    ['get: "/a"'],
  )
  t.deepEqual(problems, ['Cannot serve "bound.Gone": no proto file has a service of this full name'])
})

/** Rules that are errors at start, and what the error line says after the file and the method. */
const refused: [rule: RuleInit, problem: string][] = [
  [{get: '/{nope}'}, '"{nope}": every.Every has no field "nope"'],
  [{get: '/{child.nope}'}, '"{child.nope}": every.Child has no field "nope"'],
  [{get: '/{names}'}, '"{names}" is a repeated field'],
  [{get: '/{children}'}, '"{children}" is a repeated message'],
  [{get: '/{children.name}'}, '"{children.name}": "children" is a repeated message, which has no fields'],
  [{get: '/{labels}'}, '"{labels}" is a map'],
  [{get: '/{child}'}, '"{child}" is a message'],
  [{get: '/{struct}'}, '"{struct}" is a message'],
  [{get: '/{any}'}, '"{any}" is a message'],
  [{get: '/{name.x}'}, '"{name.x}": "name" is a scalar, which has no fields'],
  [{get: '/{time.seconds}'}, '"{time.seconds}": "time" is a google.protobuf.Timestamp, which has no fields'],
  [{get: '/{choice_text}/{choice_long}'}, '"{choice_text}" and "{choice_long}" exclude each other'],
  [{get: '/{int64_value}/{int64Value}'}, '"{int64_value}" and "{int64_value}" exclude each other'],
  [{post: '/{choice_text}', body: 'choice_long'}, '"{choice_text}" and body "choice_long" are of one oneof, "choice"'],
  [{post: '/{name}', body: 'name'}, '"{name}" is the body as well'],
  [{post: '/a', body: 'nope'}, 'body: "nope": every.Every has no field "nope"'],
  [{post: '/a', body: 'child.name'}, 'body: "child.name": every.Every has no field "child.name"'],
  [{get: '/a', response: 'nope'}, 'response_body: "nope": every.Every has no field "nope"'],
]

for (const [rule, problem] of refused) {
  test(`refused at start: ${JSON.stringify(rule)}`, (t) => {
    const {problems} = transcode([rule])
    t.is(problems.length, 1)
    t.true(problems[0]?.startsWith(`bound.proto: bound.Bound/M0: ${rule.get ? 'get' : 'post'}: "`), problems[0])
    t.true(problems[0]?.includes(problem), problems[0])
  })
}

test('a rule that is refused is not served, and neither is its method', (t) => {
  const refuse = ({rule}: Binding) => (rule === 'get: "/b"' ? 'this server has a page here' : undefined)
  const {bindings, problems, unserved} = transcode([{get: '/a'}, {get: '/b'}, {get: '/{nope}'}, undefined], {refuse})
  t.deepEqual(
    bindings.map(({rule}) => rule),
    ['get: "/a"'],
  )
  t.is(problems[0], 'bound.proto: bound.Bound/M1: get: "/b": this server has a page here')
  t.deepEqual(
    unserved.map(({name, why}) => `${name}: ${why}`),
    ['bound.Bound/M1: unservable', 'bound.Bound/M2: unservable', 'bound.Bound/M3: no rule'],
  )
})

test('a rule that is given replaces the one of the proto, and its errors name its place', (t) => {
  const rule = create(HttpRuleSchema, {pattern: {case: 'get', value: '/{nope}'}})
  const given = new Map([['bound.Bound/M0', {rule, place: 'api.yaml, line 12'}]])
  const {bindings, problems} = transcode([{get: '/a'}], {rules: given})
  t.deepEqual([...bindings], [])
  t.deepEqual(problems, [
    'api.yaml, line 12: bound.Bound/M0: get: "/{nope}": "{nope}": every.Every has no field "nope"',
  ])
})

/**
 * Fields that a path variable may bind: singular primitive fields, nested or not, and well-known types whose JSON is a string.
 */
for (const field of [
  'name',
  'flag',
  'data',
  'double_value',
  'int64_value',
  'color',
  'child.child.age',
  'maybe_number',
]) {
  test(`a variable binds ${field}`, (t) => t.deepEqual(transcode([{get: `/{${field}}`}]).problems, []))
}
for (const field of ['time', 'duration', 'mask', 'string_wrapper', 'int64_wrapper', 'choice_wrapped']) {
  test(`a variable binds a well-known type: ${field}`, (t) =>
    t.deepEqual(transcode([{get: `/{${field}}`}]).problems, []))
}

test('refused at start: a rule without a pattern, an invalid kind, and additional_bindings two levels deep', (t) => {
  const {problems} = transcode([
    {body: '*'},
    {custom: {kind: 'G E T', path: '/a'}},
    {get: '/b', additional: [{get: '/c', additional: [{get: '/d'}]}]},
  ])
  t.deepEqual(problems, [
    'bound.proto: bound.Bound/M0: google.api.http has no pattern: expected get, put, post, delete, patch or custom',
    'bound.proto: bound.Bound/M1: custom kind "G E T" is no HTTP method: expected a name such as "HEAD", or "*"',
    'bound.proto: bound.Bound/M2: additional_bindings inside additional_bindings: they go one level deep',
  ])
})

/** Pairs of rules, and whether they collide: with the same HTTP method, path shape and verb. */
const pairs: [RuleInit, RuleInit, collide: boolean][] = [
  [{get: '/a/{name}'}, {get: '/a/{renamed}'}, true],
  [{get: '/a/*'}, {get: '/a/{name=*}'}, true],
  [{get: '/a/{name=b/*}'}, {get: '/a/b/{name}'}, true],
  [{get: '/a/{name=**}'}, {get: '/a/**'}, true],
  [{get: '/a%2Fb'}, {get: '/a%2fb'}, true],
  [{get: '/a'}, {custom: {kind: 'get', path: '/a'}}, true],
  [{get: '/a/{name}:x'}, {get: '/a/{renamed}:x'}, true],
  [{get: '/a/{name}:x'}, {get: '/a/{name}:y'}, false],
  [{get: '/a/{name}'}, {get: '/a/{name}:y'}, false],
  [{get: '/a/{name}'}, {post: '/a/{name}'}, false],
  [{get: '/a/{name}'}, {get: '/a/{name=**}'}, false],
  [{get: '/a'}, {custom: {kind: '*', path: '/a'}}, false],
]

for (const [first, second, collide] of pairs) {
  test(`two bindings: ${JSON.stringify(first)} and ${JSON.stringify(second)} ${collide ? 'collide' : 'do not'}`, (t) => {
    const {problems} = transcode([first, second])
    t.is(problems.length, collide ? 1 : 0)
    if (collide)
      t.regex(
        problems[0] ?? '',
        /^bound.proto: bound.Bound\/M1: .* takes the same requests as get: .* of bound.proto: bound.Bound\/M0$/,
      )
  })
}
