import {createRequire} from 'node:module'
import {dirname, join} from 'node:path'
import {gzipSync} from 'node:zlib'
import {
  clearField,
  create,
  createFileRegistry,
  type FileRegistry,
  fromBinary,
  isFieldSet,
  toBinary,
  toJsonString,
} from '@bufbuild/protobuf'
import {
  type DescriptorProto,
  FieldDescriptorProtoSchema,
  FileDescriptorProtoSchema,
  type FileDescriptorSet,
  FileDescriptorSetSchema,
} from '@bufbuild/protobuf/wkt'
import {loadSync, type MessageTypeDefinition} from '@grpc/proto-loader'
import test from 'ava'
import {decodeSchema, readSchema} from '../../src/transcoding/schema/schema.ts'
import {createTranscoder} from '../../src/transcoding/transcoder.ts'
import {bytes, decodeJson, registry} from './schema.ts'

/** The bytes of the descriptor set of test/transcoding/protos, after `change`. */
function changed(change: (set: FileDescriptorSet) => void): Uint8Array {
  const set = fromBinary(FileDescriptorSetSchema, bytes)
  change(set)
  return toBinary(FileDescriptorSetSchema, set)
}

/** As from server reflection in Python, C++ and Java: without a json_name, unless the proto itself sets it. */
function withoutJsonNames({file}: FileDescriptorSet): void {
  const strip = (message: DescriptorProto) => {
    for (const field of message.field) {
      if (field.name !== 'renamed') clearField(field, FieldDescriptorProtoSchema.field.jsonName)
    }
    message.nestedType.forEach(strip)
  }
  for (const {messageType} of file) messageType.forEach(strip)
}

/** All messages with their fields, and the types of both. */
function outline(schema: FileRegistry): object {
  const kindOf = ({kind, typeName}: {kind: string; typeName: string}) => `${kind} ${typeName}`
  const lines = [...schema].flatMap((desc) =>
    desc.kind === 'message'
      ? desc.fields.map((field) =>
          [
            desc.typeName,
            field.name,
            field.jsonName,
            field.fieldKind,
            field.message && kindOf(field.message),
            field.enum && kindOf(field.enum),
            field.scalar,
          ].join(' '),
        )
      : [kindOf(desc)],
  )
  return lines.sort()
}

test("a set without json_name has the default names, and the proto's own name where it sets one", (t) => {
  const stripped = changed(withoutJsonNames)
  t.deepEqual(outline(readSchema(stripped)), outline(registry))
  const transcoder = createTranscoder({schema: stripped})
  t.deepEqual(transcoder.problems, [])
  const body = '{"int32Value":1,"labels":{"a":"b"},"child":{"longId":"5"},"otherName":"c"}'
  t.deepEqual(decodeJson(transcoder, 'POST', '/v1/every', body), JSON.parse(body))
})

test('the default of json_name is that of protoc', (t) => {
  const names = {foo_bar: 'fooBar', foo__bar: 'fooBar', _a: 'A', a_1b: 'a1b', FooBar: 'FooBar', a_: 'a', x: 'x'}
  const field = Object.keys(names).map((name, index) => ({name, number: index + 1, type: 9, label: 1}))
  const file = [{name: 'a.proto', syntax: 'proto3', messageType: [{name: 'A', field}]}]
  const schema = readSchema(toBinary(FileDescriptorSetSchema, create(FileDescriptorSetSchema, {file})))
  t.deepEqual(
    schema.getMessage('A')?.fields.map(({jsonName}) => jsonName),
    Object.values(names),
  )
})

test('files may come in any order', (t) => {
  const reversed = changed(({file}) => file.reverse())
  for (const schema of [readSchema(reversed), decodeSchema(reversed)]) t.deepEqual(outline(schema), outline(registry))
})

test('a file need not import those whose types it uses, nor use those that it imports', (t) => {
  const other = {name: 'b.proto', package: 'b', syntax: 'proto3', messageType: [{name: 'B'}]}
  const field = [{name: 'b', number: 1, label: 1, type: 11, typeName: '.b.B'}]
  for (const file of [
    {name: 'a.proto', syntax: 'proto3', messageType: [{name: 'A', field}]},
    {name: 'a.proto', syntax: 'proto3', messageType: [{name: 'A'}], dependency: ['b.proto']},
  ]) {
    const set = create(FileDescriptorSetSchema, {file: [file, other]})
    const names = [...decodeSchema(toBinary(FileDescriptorSetSchema, set))].map(({typeName}) => typeName)
    t.deepEqual(names.sort(), ['A', 'b.B'])
  }
})

test('files may occur twice, as in two concatenated sets', (t) => {
  const others = changed((set) => {
    withoutJsonNames(set)
    for (const file of set.file) clearField(file, FileDescriptorProtoSchema.field.sourceCodeInfo)
    // The mark of buf for an import.
    for (const file of set.file) file.$unknown = [{no: 8042, wireType: 2, data: Uint8Array.of(2, 8, 1)}]
  })
  t.true(fromBinary(FileDescriptorSetSchema, bytes).file.some(({sourceCodeInfo}) => sourceCodeInfo !== undefined))
  t.deepEqual(outline(readSchema(Buffer.concat([bytes, others]))), outline(registry))
})

test('descriptors made by protobufjs, with relative type names, as from reflection of a server in Node', (t) => {
  const folder = dirname(createRequire(import.meta.url).resolve('@grpc/reflection/package.json'))
  const loaded = loadSync(join(folder, 'build/proto/grpc/reflection/v1/reflection.proto'))
  const request = loaded['grpc.reflection.v1.ServerReflectionRequest'] as MessageTypeDefinition<object, object>
  const file = request.fileDescriptorProtos.map((proto) => fromBinary(FileDescriptorProtoSchema, proto))
  const names = file.flatMap(({messageType}) => messageType).flatMap(({field}) => field.map(({typeName}) => typeName))
  t.true(names.includes('ExtensionRequest'))
  const schema = readSchema(toBinary(FileDescriptorSetSchema, create(FileDescriptorSetSchema, {file})))
  const {field, oneofs} = schema.getMessage('grpc.reflection.v1.ServerReflectionRequest')!
  t.is(field.fileContainingExtension?.message?.typeName, 'grpc.reflection.v1.ExtensionRequest')
  t.is(oneofs[0]?.fields.length, 5)
})

test('a field with only the name of its type gets the type', (t) => {
  const schema = readSchema(
    changed(({file}) => {
      for (const field of file.flatMap(({messageType}) => messageType).flatMap((message) => message.field)) {
        if (field.typeName && isFieldSet(field, FieldDescriptorProtoSchema.field.typeName)) {
          clearField(field, FieldDescriptorProtoSchema.field.type)
        }
      }
    }),
  )
  t.deepEqual(outline(schema), outline(registry))
})

test('a relative type name is resolved from the innermost scope', (t) => {
  const text = (name: string) => ({name: 'x', number: 1, label: 1, typeName: name})
  const file = [
    {
      name: 'a.proto',
      package: 'p.q',
      syntax: 'proto3',
      messageType: [
        {name: 'A'},
        {
          name: 'B',
          nestedType: [{name: 'A', nestedType: [{name: 'C', field: [text('A')]}]}],
          field: [text('A'), {...text('B.A'), name: 'y', number: 2}, {...text('q.A'), name: 'z', number: 3}],
        },
      ],
    },
  ]
  const schema = readSchema(toBinary(FileDescriptorSetSchema, create(FileDescriptorSetSchema, {file})))
  const types = schema.getMessage('p.q.B')?.fields.map(({message}) => message?.typeName)
  t.deepEqual(types, ['p.q.B.A', 'p.q.B.A', 'p.q.A'])
  t.is(schema.getMessage('p.q.B.A.C')?.fields[0]?.message?.typeName, 'p.q.B.A')
})

test('relative type names of methods, and of what extensions extend, are resolved too', (t) => {
  const file = [
    {
      name: 'a.proto',
      package: 'p',
      syntax: 'proto2',
      messageType: [
        {
          name: 'A',
          extensionRange: [{start: 100, end: 200}],
          extension: [{name: 'inner', number: 100, label: 1, type: 9, extendee: 'A'}],
        },
      ],
      extension: [{name: 'outer', number: 101, label: 1, typeName: 'A', extendee: 'A'}],
      service: [{name: 'S', method: [{name: 'M', inputType: 'A', outputType: 'A'}]}],
    },
  ]
  const schema = readSchema(toBinary(FileDescriptorSetSchema, create(FileDescriptorSetSchema, {file})))
  const message = schema.getMessage('p.A')!
  t.is(schema.getExtension('p.A.inner')?.extendee, message)
  t.is(schema.getExtension('p.outer')?.extendee, message)
  t.is(schema.getExtension('p.outer')?.message, message)
  const [method] = schema.getService('p.S')!.methods
  t.is(method?.input, message)
  t.is(method?.output, message)
})

const set = fromBinary(FileDescriptorSetSchema, bytes)
const utf8 = (text: string) => new TextEncoder().encode(text)

/** Files that cannot be served, and the error line. */
const refused: [what: string, bytes: Uint8Array, line: RegExp][] = [
  ['a .proto', utf8('syntax = "proto3";\npackage a;\n'), /^it is the source of a \.proto, not compiled: /],
  [
    'a .proto that begins with comments',
    utf8('\n// A licence\n/* and\nmore */ package a;\n'),
    /^it is the source of a \.proto, not compiled: /,
  ],
  ['JSON', utf8(toJsonString(FileDescriptorSetSchema, set)), /^it is JSON, not binary: /],
  ['gzip', gzipSync(bytes), /^it is compressed with gzip: /],
  ['one file alone', toBinary(FileDescriptorProtoSchema, set.file[0]!), /^it is none \(/],
  ['other bytes', Uint8Array.of(0xff, 0xff), /^it is none \(/],
  ['another message', Uint8Array.of(0x18, 1), /^it is none \(it has no files with names\): /],
  [
    'a set whose files have no names',
    toBinary(FileDescriptorSetSchema, create(FileDescriptorSetSchema, {file: [{package: 'a'}]})),
    /^it is none \(it has no files with names\): /,
  ],
  [
    'a set without imports',
    changed((set) => {
      set.file = set.file.filter(({name}) => name === 'every/every.proto')
    }),
    /^it lacks "[^"]+\.proto" \(imported by "every\/every\.proto"\), .* and \d+ more: /,
  ],
  [
    'a set without one import',
    changed((set) => {
      set.file = set.file.filter(({name}) => name !== 'google/protobuf/timestamp.proto')
    }),
    /^it lacks "google\/protobuf\/timestamp\.proto" \(imported by "every\/every\.proto"\): /,
  ],
  [
    'a set whose types are nowhere',
    changed(({file}) => {
      for (const {messageType} of file)
        for (const {field} of messageType) for (const one of field) one.typeName &&= '.no.Such'
    }),
    /^it lacks the type "\.no\.Such" \(used in "[^"]+\.proto"\): /,
  ],
  [
    'two files of one name',
    changed(({file}) => void file.push(create(FileDescriptorProtoSchema, {name: file[0]!.name}))),
    /^it has two different files "[^"]+\.proto": /,
  ],
]

for (const [what, given, line] of refused) {
  test(`${what} is refused with one line that says what to do`, (t) => {
    const error = t.throws(() => readSchema(given))
    t.regex(error?.message ?? '', line)
    t.regex(error?.message ?? '', /"buf build --as-file-descriptor-set -o all\.binpb".*"protoc --include_imports"$/)
    t.false(error?.message.includes('\n'))
  })
}

test('a registry without JSON names from elsewhere is refused rather than served without names', (t) => {
  const schema = createFileRegistry(fromBinary(FileDescriptorSetSchema, changed(withoutJsonNames)))
  t.throws(() => createTranscoder({schema}), {message: /every\.Every\.name: it has no JSON name/})
})
