import {readFileSync} from 'node:fs'
import {join} from 'node:path'
import {
  type Message as AnyMessage,
  create,
  type FileRegistry,
  fromBinary,
  type MessageInitShape,
  setExtension,
  toBinary,
} from '@bufbuild/protobuf'
import {
  type DescriptorProto,
  DescriptorProtoSchema,
  type Edition,
  EnumDescriptorProtoSchema,
  EnumValueOptionsSchema,
  type FieldDescriptorProto,
  type FileDescriptorProto,
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
  FieldDescriptorProto_Label as Label,
  MethodDescriptorProtoSchema,
  MethodOptions_IdempotencyLevel,
  MethodOptionsSchema,
  SourceCodeInfo_LocationSchema,
  FieldDescriptorProto_Type as Type,
} from '@bufbuild/protobuf/wkt'
import test from 'ava'
import {http} from '../../src/gen/google/api/annotations_pb.js'
import {type HttpRule, HttpRuleSchema} from '../../src/gen/google/api/http_pb.js'
import {checksOf} from '../../src/transcoding/checks/checks.ts'
import {openApi} from '../../src/transcoding/openapi/openapi.ts'
import {extensionNames} from '../../src/transcoding/schema/extension-names.ts'
import {LazyRegistry} from '../../src/transcoding/schema/lazy-registry.ts'
import {decodeSchema, readSchema} from '../../src/transcoding/schema/schema.ts'
import {createTranscoder} from '../../src/transcoding/transcoder.ts'
import {bytes} from './schema.ts'

const own = readFileSync(join(import.meta.dirname, '../../src/gen/descriptors.binpb'))

type File = Exclude<MessageInitShape<typeof FileDescriptorProtoSchema>, FileDescriptorProto>
type Rule = Exclude<MessageInitShape<typeof HttpRuleSchema>, HttpRule>
type Message = Exclude<NonNullable<File['messageType']>[number], DescriptorProto>
type Field = Exclude<NonNullable<Message['field']>[number], FieldDescriptorProto>

function field(name: string, number: number, type: Type, more: Partial<Field> = {}) {
  const jsonName = name.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase())
  return {name, jsonName, number, type, label: Label.OPTIONAL, ...more}
}

/** A file with all that a set can declare, and a method for each of `rules`. */
function fileOf(
  rules: readonly Rule[],
  change: (file: File) => File | FileDescriptorProto = (file) => file,
): Uint8Array {
  const a = {
    name: 'a.proto',
    package: 'a',
    syntax: 'proto3',
    messageType: [
      {
        name: 'A',
        field: [
          field('name', 1, Type.STRING),
          field('page_size', 2, Type.INT32),
          field('labels', 3, Type.MESSAGE, {label: Label.REPEATED, typeName: '.a.A.LabelsEntry'}),
          field('inner', 4, Type.MESSAGE, {typeName: '.a.A.Inner'}),
          field('kind', 5, Type.ENUM, {typeName: '.a.Kind'}),
          field('left', 6, Type.STRING, {oneofIndex: 0}),
          field('right', 7, Type.STRING, {oneofIndex: 0}),
          field('maybe', 8, Type.STRING, {oneofIndex: 1, proto3Optional: true}),
          field('names', 9, Type.STRING, {label: Label.REPEATED, options: {packed: false}}),
          field('others', 10, Type.MESSAGE, {label: Label.REPEATED, typeName: '.a.A'}),
        ],
        nestedType: [
          {
            name: 'LabelsEntry',
            field: [field('key', 1, Type.STRING), field('value', 2, Type.STRING)],
            options: {mapEntry: true},
          },
          {
            name: 'Inner',
            field: [field('name', 1, Type.STRING), field('deep', 2, Type.MESSAGE, {typeName: '.a.A.Inner'})],
          },
        ],
        oneofDecl: [{name: 'side'}, {name: '_maybe'}],
        reservedRange: [{start: 20, end: 30}],
        reservedName: ['old'],
      },
    ],
    enumType: [
      {
        name: 'Kind',
        value: [
          {name: 'KIND_NONE', number: 0},
          {name: 'KIND_ONE', number: 1},
        ],
      },
    ],
    service: [
      {
        name: 'S',
        method: rules.map((rule, index) => {
          const options = create(MethodOptionsSchema)
          setExtension(options, http, create(HttpRuleSchema, rule))
          return {name: `M${index}`, inputType: '.a.A', outputType: '.a.A', options}
        }),
      },
    ],
  } satisfies File
  const file = create(FileDescriptorProtoSchema, change(a))
  return toBinary(FileDescriptorSetSchema, create(FileDescriptorSetSchema, {file: [file]}))
}

const get = (value: string, more: Rule = {}): Rule => ({pattern: {case: 'get', value}, ...more})

/** All that requests, documents and the log can learn of a schema; or the error that it has. */
function facts(make: () => FileRegistry): string {
  try {
    const transcoder = createTranscoder({schema: make()})
    const {problems, unserved, bindings, registry} = transcoder
    return JSON.stringify([
      problems,
      unserved,
      bindings.map((binding) => [
        ...[binding.httpMethod, binding.rule, binding.place, binding.template, binding.method.name],
        ...[binding.method.methodKind, binding.method.idempotency, binding.method.localName],
        binding.variables.map(({name, expected}) => [name, expected]),
        ...[named(binding.body), named(binding.responseBody), named(binding.updateMask)],
      ]),
      [...registry].map((type) => [type.kind, type.typeName, type.file.name, type.deprecated, partsOf(type)]),
      [...registry.files].map((file) => [
        file.name,
        file.edition,
        file.dependencies.map(String),
        file.services.map(String),
      ]),
      openApi({...transcoder, title: 'Test', version: '1.0.0'}),
    ])
  } catch (error) {
    return (error as Error).message
  }
}

function named(field: undefined | '*' | {readonly name: string}) {
  return typeof field === 'object' ? field.name : field
}

function partsOf(type: NonNullable<ReturnType<FileRegistry['get']>>): unknown {
  if (type.kind === 'service')
    return Object.values(type.method).map(({name, input, output}) => [name, `${input}`, `${output}`])
  if (type.kind === 'enum') return type.values.map(({name, number}) => [name, number])
  if (type.kind === 'extension') return [type.number, `${type.extendee}`, type.fieldKind]
  return type.fields.map(({jsonName, number, fieldKind, message, oneof, presence}) => {
    return [jsonName, number, fieldKind, message?.typeName, oneof?.name, presence]
  })
}

for (const [what, set] of [
  ['of the tests', bytes],
  ['of this project', own],
  ['with one file', fileOf([get('/v1/{name}')])],
] as const) {
  test(`the set ${what} is the same, decoded file by file and at once`, (t) => {
    t.true(readSchema(set) instanceof LazyRegistry)
    t.false(decodeSchema(set) instanceof LazyRegistry)
    t.is(
      facts(() => readSchema(set)),
      facts(() => decodeSchema(set)),
    )
  })
}

test('a type is found by its name, and an extension by what it extends', (t) => {
  const schema = readSchema(own)
  const options = schema.getMessage('google.protobuf.MethodOptions')!
  const found = schema.getExtensionFor(options, http.number)
  t.is(found?.typeName, 'google.api.http')
  t.is(schema.getExtension('google.api.http'), found)
  t.is(schema.getExtensionFor(options, 1), undefined)
  for (const registry of [schema, decodeSchema(own)]) {
    t.deepEqual(extensionNames(registry, options.typeName, http.number), ['google.api.http'])
    t.deepEqual(extensionNames(registry, options.typeName, 1), [])
    t.deepEqual(extensionNames(registry, 'google.protobuf.FieldOptions', http.number), [])
  }
  t.is(schema.get('ping.PingService'), schema.getService('ping.PingService'))
  const service = schema.getService('ping.PingService')!
  const [method] = service.methods
  t.true(method!.input === schema.getMessage(method!.input.typeName))
  t.is(method!.input.file.services[0], service)
  t.true(service.file === schema.getFile('ping/ping.proto'))
  t.true(schema.getFile('ping/ping.proto')?.dependencies.includes(schema.getFile('google/api/annotations.proto')!))
  for (const name of ['ping.PingService', 'google.api.http', 'no.Such', 'google.protobuf.Struct.FieldsEntry']) {
    t.is(schema.getMessage(name), undefined, name)
    t.is(schema.getEnum(name), undefined, name)
  }
  t.is(schema.getService('google.protobuf.Any'), undefined)
  t.is(schema.getExtension('google.protobuf.Any'), undefined)
  t.is(schema.getEnum('google.protobuf.FieldOptions.JSType')?.values.length, 3)
  const {extensions} = schema.getFile('google/api/annotations.proto')!
  t.is(extensions[0], found)
  t.deepEqual(schema.getMessage('ping.Request')?.file.dependencies, schema.getFile('ping/ping.proto')?.dependencies)
})

test('types are seen through a public import of a public import', (t) => {
  const file = ['d', 'c', 'b', 'a'].map((name, index, names) => {
    const dependency = index > 0 ? [`${names[index - 1]}.proto`] : []
    const used = name === 'a' ? [field('d', 1, Type.MESSAGE, {typeName: '.D'})] : []
    const messageType = [{name: name.toUpperCase(), field: used}]
    const publicDependency = name === 'a' ? [] : dependency.map(() => 0)
    return {name: `${name}.proto`, syntax: 'proto3', dependency, publicDependency, messageType}
  })
  const schema = readSchema(toBinary(FileDescriptorSetSchema, create(FileDescriptorSetSchema, {file})))
  t.true(schema instanceof LazyRegistry)
  t.is(schema.getMessage('A')?.fields[0]?.message, schema.getMessage('D'))
})

test.serial(
  'a start decodes no file, also where requests are checked, and a request only that of its method and those that it uses',
  (t) => {
    const {decode} = LazyRegistry.prototype
    const decoded = new Set<string>()
    LazyRegistry.prototype.decode = function (this: LazyRegistry, name) {
      decoded.add(name)
      return decode.call(this, name)
    }
    try {
      const other = {isOn: () => true, validate: () => []}
      const checkOf = checksOf({fieldBehavior: true, other, fieldNames: 'json'})
      const transcoder = createTranscoder({schema: own, checkOf})
      const match = transcoder.route('GET', '/api/ping')
      t.deepEqual([...decoded], [])
      if (!('binding' in match)) return t.fail()
      transcoder.exchange(match, {method: 'GET', path: '/api/ping', headers: {}, query: 'message=a', hasBody: false})
      t.deepEqual([...decoded].sort(), ['google/protobuf/timestamp.proto', 'ping/ping.proto'])
    } finally {
      LazyRegistry.prototype.decode = decode
    }
  },
)

/** Rules, served and not: each has the same outcome whether messages are decoded or not. */
const rules: readonly Rule[] = [
  get('/{name}'),
  get('/{inner.name}/{inner.deep.name=x/**}:verb'),
  get('/{kind}/{page_size}/{pageSize}'),
  get('/{maybe}'),
  get('/{left}'),
  get('/{left}/{right}'),
  get('/{left}', {body: 'right'}),
  get('/{inner}'),
  get('/{names}'),
  get('/{labels}'),
  get('/{others.name}'),
  get('/{no}'),
  get('/{inner.no}'),
  get('/{name.no}'),
  get('/{name'),
  get('/{name}', {body: '*'}),
  get('/{name}', {body: 'name'}),
  get('/{inner.name}', {body: 'inner'}),
  get('/a', {body: 'no'}),
  get('/a', {responseBody: 'no'}),
  get('/b', {responseBody: 'inner'}),
  get('/c', {selector: 'a.S.M'}),
  get('/ä'),
  get(''),
  get('/d', {additionalBindings: [get('/e'), get('/f/{no}')]}),
  {},
  {pattern: {case: 'custom', value: {kind: 'HEAD', path: '/g'}}},
  {pattern: {case: 'patch', value: '/h/{inner.name}'}, body: 'inner'},
  {pattern: {case: 'put', value: '/i'}, body: '*'},
  {pattern: {case: 'post', value: '/j'}},
  {pattern: {case: 'delete', value: '/k'}},
]

for (const rule of rules) {
  test(`a rule has the same outcome without decoding: ${JSON.stringify(rule)}`, (t) => {
    const set = fileOf([get('/taken'), rule, get('/taken')])
    t.true(readSchema(set) instanceof LazyRegistry)
    t.is(
      facts(() => readSchema(set)),
      facts(() => decodeSchema(set)),
    )
  })
}

test('a rule for a part of a well-known type is a problem at start', (t) => {
  const set = fromBinary(FileDescriptorSetSchema, bytes)
  const options = create(MethodOptionsSchema)
  setExtension(options, http, create(HttpRuleSchema, get('/{time.seconds}')))
  const method = {name: 'M', inputType: '.every.Every', outputType: '.every.Every', options}
  const file = {
    name: 'b.proto',
    syntax: 'proto3',
    dependency: ['every/every.proto'],
    service: [{name: 'S', method: [method]}],
  }
  set.file.push(create(FileDescriptorProtoSchema, file))
  const schema = readSchema(toBinary(FileDescriptorSetSchema, set))
  t.true(schema instanceof LazyRegistry)
  t.deepEqual(createTranscoder({schema}).problems, [
    'b.proto: S/M: get: "/{time.seconds}": "{time.seconds}": "time" is a google.protobuf.Timestamp, which has no fields',
  ])
})

test('a path of more than 100 names is a problem at start', (t) => {
  const set = fileOf([get(`/{inner${'.deep'.repeat(99)}.name}`)])
  const schema = readSchema(set)
  t.true(schema instanceof LazyRegistry)
  t.is(createTranscoder({schema}).problems.length, 1)
  t.is(
    facts(() => readSchema(set)),
    facts(() => decodeSchema(set)),
  )
})

for (const name of ['page_size', 'inner', 'kind', 'names']) {
  test(`google.api.routing by "${name}", which is no string, is refused at start`, (t) => {
    const parameter = [0x0a, name.length, ...Buffer.from(name)]
    const options = unknown(create(MethodOptionsSchema), 72295729, 0x12, parameter.length, ...parameter)
    setExtension(options, http, create(HttpRuleSchema, get('/x')))
    const method = {name: 'M', inputType: '.a.A', outputType: '.a.A', options}
    const set = fileOf([], (file) => ({...file, service: [{name: 'S', method: [method]}]}))
    for (const schema of [readSchema(set), decodeSchema(set)]) {
      t.regex(
        createTranscoder({schema}).problems.join('\n'),
        RegExp(`^\\S+: \\S+: google.api.routing: "${name}" is no string$`),
      )
    }
  })
}

test('a rule is found behind options of any kind', (t) => {
  const options = create(MethodOptionsSchema)
  setExtension(options, http, create(HttpRuleSchema, get('/x')))
  options.$unknown!.unshift(
    {no: 5000, wireType: 5, data: Uint8Array.of(1, 2, 3, 4)},
    {no: 5001, wireType: 1, data: Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8)},
    {no: 5002, wireType: 0, data: Uint8Array.of(0x80, 1)},
    {no: 5003, wireType: 2, data: Uint8Array.of(2, 0x80, 0x80)},
  )
  const method = {name: 'M', inputType: '.a.A', outputType: '.a.A', options}
  const set = fileOf([], (file) => ({...file, service: [{name: 'S', method: [method]}]}))
  t.true(readSchema(set) instanceof LazyRegistry)
  t.is(createTranscoder({schema: readSchema(set)}).bindings[0]?.rule, 'get: "/x"')
  t.is(
    facts(() => readSchema(set)),
    facts(() => decodeSchema(set)),
  )
})

test('an option that is in two parts is one rule', (t) => {
  const parts: Rule[] = [{pattern: {case: 'post', value: '/x'}, body: '*'}, {pattern: {case: 'put', value: '/y'}}]
  const options = create(MethodOptionsSchema)
  options.$unknown = parts.flatMap((part) => {
    const one = create(MethodOptionsSchema)
    setExtension(one, http, create(HttpRuleSchema, part))
    return one.$unknown!
  })
  const method = {name: 'M', inputType: '.a.A', outputType: '.a.A', options}
  const set = fileOf([], (file) => ({...file, service: [{name: 'S', method: [method]}]}))
  for (const schema of [readSchema(set), decodeSchema(set)]) {
    const {bindings, problems} = createTranscoder({schema})
    t.deepEqual(problems, [])
    t.deepEqual(
      bindings.map(({rule, body}) => [rule, body]),
      [['put: "/y"', '*']],
    )
  }
})

/** The file with another message. */
function withMessage(message: Message | DescriptorProto): Uint8Array {
  return fileOf([], (file) => ({...file, messageType: [...file.messageType!, message]}))
}

/** Sets that are decoded at once, because they have an error, or a form that is not in the outline. */
const unusual: [what: string, set: Uint8Array][] = [
  ['an unknown syntax', fileOf([], (file) => ({...file, syntax: 'proto9'}))],
  ['an unknown edition', fileOf([], (file) => ({...file, syntax: 'editions', edition: 3 as Edition}))],
  ['an import that is missing', fileOf([], (file) => ({...file, dependency: ['b.proto']}))],
  ['an import of itself', fileOf([], (file) => ({...file, dependency: ['a.proto']}))],
  ['a name that is none', withMessage({name: 'a b'})],
  ['a type that is there twice', withMessage({name: 'A'})],
  ['a field without a name', withMessage({name: 'B', field: [field('', 1, Type.STRING)]})],
  ['a field whose name is none', withMessage({name: 'B', field: [field('a-b', 1, Type.STRING)]})],
  ['a oneof whose name is none', withMessage({name: 'B', oneofDecl: [{name: 'a-b'}]})],
  ['a type that is nowhere', withMessage({name: 'B', field: [field('a', 1, Type.MESSAGE, {typeName: '.a.No'})]})],
  ['a type of another kind', withMessage({name: 'B', field: [field('a', 1, Type.MESSAGE, {typeName: '.a.Kind'})]})],
  ['a service as a type', withMessage({name: 'B', field: [field('a', 1, Type.MESSAGE, {typeName: '.a.S'})]})],
  [
    'an entry as a type',
    withMessage({name: 'B', field: [field('a', 1, Type.MESSAGE, {typeName: '.a.A.LabelsEntry'})]}),
  ],
  ['a relative type name', withMessage({name: 'B', field: [field('a', 1, Type.MESSAGE, {typeName: 'A'})]})],
  ['a oneof that is not there', withMessage({name: 'B', field: [field('a', 1, Type.STRING, {oneofIndex: 1})]})],
  [
    'a JSON name that is a name',
    withMessage({name: 'B', field: [field('a', 1, 9), field('b', 2, 9, {jsonName: 'a'})]}),
  ],
  [
    'a default JSON name that is a name',
    withMessage({name: 'B', field: [field('a_b', 1, 9, {jsonName: ''}), field('aB', 2, 9)]}),
  ],
  ['a name of JavaScript', withMessage({name: 'B', field: [field('to_string', 1, 11, {typeName: '.a.A'})]})],
  [
    'a map by floats',
    withMessage({
      name: 'B',
      field: [field('c', 1, 11, {label: Label.REPEATED, typeName: '.a.B.CEntry'})],
      nestedType: [{name: 'CEntry', field: [field('key', 1, 2), field('value', 2, 9)], options: {mapEntry: true}}],
    }),
  ],
  ['a field of an unknown type', withMessage({name: 'B', field: [field('a', 1, 19 as Type)]})],
  ['a public import that is not there', fileOf([], (file) => ({...file, publicDependency: [0]}))],
  ['a name in JSON for a value of an enum', withNameInJson()],
  ['options that are malformed', fileOf([], (file) => unknown(create(FileDescriptorProtoSchema, file), 8, 0x0a))],
  ['a package that is none', fileOf([], () => ({name: 'b.proto', package: 'a b', messageType: [{name: 'B'}]}))],
  ['a position of a comment that is cut off', withCutPosition()],
  ['a package behind its types', withPackageBehind()],
  ['options of a method in two parts', fileOf([], withOptionsTwice)],
  [
    'two options that are one extension',
    fileOf([], (file) => ({...file, extension: [extension('x'), extension('y')]})),
  ],
  ['no files', new Uint8Array()],
  ['a field that sets do not have', Buffer.concat([fileOf([]), Buffer.of(0x12, 0)])],
  ['a file that is there twice', Buffer.concat([fileOf([]), fileOf([])])],
  ['a file without types that is there twice', Buffer.concat([emptyFile(), emptyFile()])],
  ['a field that files do not have', fileOf([], (file) => unknown(create(FileDescriptorProtoSchema, file), 13))],
  ['a field that messages do not have', withMessage(unknown(create(DescriptorProtoSchema, {name: 'B'}), 11))],
  ['a field that enums do not have', withEnum(unknown(create(EnumDescriptorProtoSchema, enumOf('E')), 6))],
  ['a message without a name', withMessage({field: [field('a', 1, Type.STRING)]})],
  ['a message that begins with a name of another kind', withMessage({reservedName: ['Old']})],
  ['an enum without a name', withEnum({value: [{name: 'ZERO', number: 0}]})],
  ['a value without a name', withEnum({name: 'E', value: [{number: 0}]})],
  ['a service without a name', fileOf([], (file) => ({...file, service: [{method: []}]}))],
  [
    'a method without a name',
    fileOf([], (file) => ({...file, service: [{name: 'S', method: [{inputType: '.a.A', outputType: '.a.A'}]}]})),
  ],
  [
    'a field that has no name',
    withMessage({name: 'B', field: [{number: 1, type: Type.STRING, label: Label.OPTIONAL}]}),
  ],
  [
    'a field that has a name only in JSON',
    withMessage({name: 'B', field: [{number: 1, type: Type.STRING, label: Label.OPTIONAL, jsonName: 'a'}]}),
  ],
  ['a field of no type', withMessage({name: 'B', field: [field('a', 1, 0 as Type)]})],
  ['text with the name of a type', withMessage({name: 'B', field: [field('a', 1, 9, {typeName: '.a.A'})]})],
  ['a malformed range', withMessage(unknown(create(DescriptorProtoSchema, {name: 'B'}), 5, 0x0a))],
  ['a malformed range of an enum', withEnum(unknown(create(EnumDescriptorProtoSchema, enumOf('E')), 4, 0x0a))],
  ['a map with a third field', withEntry(field('key', 1, 9), field('value', 2, 9), field('more', 3, 9))],
  ['a map whose key has another number', withEntry(field('key', 3, 9), field('value', 2, 9))],
  ['a map whose value has another number', withEntry(field('key', 1, 9), field('value', 3, 9))],
  ['a map of lists', withEntry(field('key', 1, 9), field('value', 2, 9, {label: Label.REPEATED}))],
  ['a map by lists', withEntry(field('key', 1, 9, {label: Label.REPEATED}), field('value', 2, 9))],
  ['a map by enums', withEntry(field('key', 1, Type.ENUM, {typeName: '.a.Kind'}), field('value', 2, 9))],
  ['a map that is declared in another file', withForeignEntry()],
]

function emptyFile(): Uint8Array {
  const file = [{name: 'b.proto', syntax: 'proto3'}]
  return toBinary(FileDescriptorSetSchema, create(FileDescriptorSetSchema, {file}))
}

function enumOf(name: string) {
  return {name, value: [{name: 'ZERO', number: 0}]}
}

/** The file with another enum. */
function withEnum(added: NonNullable<File['enumType']>[number]): Uint8Array {
  return fileOf([], (file) => ({...file, enumType: [...file.enumType!, added]}))
}

/** The file with a message that has a map, whose entry has these fields. */
function withEntry(...fields: Field[]): Uint8Array {
  return withMessage({
    name: 'B',
    field: [field('c', 1, Type.MESSAGE, {label: Label.REPEATED, typeName: '.a.B.CEntry'})],
    nestedType: [{name: 'CEntry', field: fields, options: {mapEntry: true}}],
  })
}

function withForeignEntry(): Uint8Array {
  const labels = field('labels', 1, Type.MESSAGE, {label: Label.REPEATED, typeName: '.a.A.LabelsEntry'})
  const file = [
    {name: 'b.proto', syntax: 'proto3', dependency: ['a.proto'], messageType: [{name: 'B', field: [labels]}]},
  ]
  const other = toBinary(FileDescriptorSetSchema, create(FileDescriptorSetSchema, {file}))
  return Buffer.concat([fileOf([]), other])
}

/** `message` with another field: its number, and the bytes of its value. */
function unknown<T extends AnyMessage>(message: T, no: number, ...data: number[]): T {
  message.$unknown = [{no, wireType: 2, data: Uint8Array.of(data.length, ...data)}]
  return message
}

function withNameInJson(): Uint8Array {
  const options = unknown(create(EnumValueOptionsSchema), 998, 0x0a, 1, 0x7a)
  const added = {name: 'E', value: [{name: 'ZERO', number: 0, options}]}
  return fileOf([], (file) => ({...file, enumType: [...file.enumType!, added]}))
}

function withPackageBehind(): Uint8Array {
  const file = create(FileDescriptorProtoSchema, {name: 'b.proto', syntax: 'proto3', messageType: [{name: 'B'}]})
  return fileOf([], () => unknown(file, 2, 0x62))
}

function withCutPosition(): Uint8Array {
  const location = [unknown(create(SourceCodeInfo_LocationSchema), 1, 4, 0x80)]
  return fileOf([], (file) => ({...file, sourceCodeInfo: {location}}))
}

function withOptionsTwice(file: File): File {
  const method = create(MethodDescriptorProtoSchema, {
    ...{name: 'M', inputType: '.a.A', outputType: '.a.A'},
    options: {idempotencyLevel: MethodOptions_IdempotencyLevel.IDEMPOTENT},
  })
  // The option `deprecated`.
  return {...file, service: [{name: 'S', method: [unknown(method, 4, 0x88, 0x02, 0x01)]}]}
}

function extension(name: string) {
  return field(name, 1000, Type.STRING, {extendee: '.a.A'})
}

for (const [what, set] of unusual) {
  test(`a set with ${what} is decoded at once`, (t) => {
    const lazy = attempt(() => readSchema(set))
    t.false(lazy instanceof LazyRegistry)
    t.is(
      facts(() => readSchema(set)),
      facts(() => decodeSchema(set)),
    )
  })
}

function attempt<T>(make: () => T): T | undefined {
  try {
    return make()
  } catch {
    return undefined
  }
}

test('a message that nests deeper than the outline is decoded at once', (t) => {
  let message: Message = {name: 'M'}
  for (let level = 0; level < 60; level++) message = {name: 'M', nestedType: [message]}
  t.false(readSchema(withMessage(message)) instanceof LazyRegistry)
})

test('types of public imports are seen, those of other imports of imports are decoded at once', (t) => {
  const message = (name: string) => ({name, field: []})
  const at = (publicDependency: number[]) =>
    create(FileDescriptorSetSchema, {
      file: [
        {name: 'c.proto', syntax: 'proto3', messageType: [message('C')]},
        {name: 'b.proto', syntax: 'proto3', dependency: ['c.proto'], publicDependency, messageType: [message('B')]},
        {
          name: 'a.proto',
          syntax: 'proto3',
          dependency: ['b.proto'],
          messageType: [{name: 'A', field: [field('c', 1, Type.MESSAGE, {typeName: '.C'})]}],
        },
      ],
    })
  for (const [indexes, isLazy] of [
    [[0], true],
    [[], false],
  ] as const) {
    const schema = readSchema(toBinary(FileDescriptorSetSchema, at([...indexes])))
    t.is(schema instanceof LazyRegistry, isLazy)
    t.is(schema.getMessage('A')?.fields[0]?.message, schema.getMessage('C'))
    t.is(schema.getMessage('C')?.file.proto.name, 'c.proto')
  }
})

test('a set with any byte changed has the same outcome, decoded file by file and at once', (t) => {
  const set = fileOf([get('/v1/{name=a/*}/{inner.name}', {body: '*'}), get('/v1/b', {responseBody: 'inner'})])
  let seed = 1
  const random = (below: number) => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0
    return Math.floor((seed / 2 ** 32) * below)
  }
  let lazy = 0
  for (let round = 0; round < 1000; round++) {
    const changed = Uint8Array.from(set)
    const at = random(changed.length)
    changed[at] = random(2) === 0 ? changed[at]! ^ (1 << random(8)) : random(256)
    if (!(attempt(() => readSchema(changed)) instanceof LazyRegistry)) continue
    lazy++
    t.is(
      facts(() => readSchema(changed)),
      facts(() => decodeSchema(changed)),
      `${round}`,
    )
  }
  t.true(lazy > 200, `${lazy} of them could be read without decoding`)
})
