import {
  clone,
  create,
  createFileRegistry,
  fromJson,
  type JsonObject,
  type JsonValue,
  type Message,
  toBinary,
} from '@bufbuild/protobuf'
import {
  type Any,
  AnySchema,
  anyPack,
  DurationSchema,
  FieldDescriptorProtoSchema,
  FileDescriptorProtoSchema,
  TimestampSchema,
} from '@bufbuild/protobuf/wkt'
import test from 'ava'
import {detailJson} from '../../src/core/details.ts'
import {
  DebugInfoSchema,
  ErrorInfoSchema,
  file_google_rpc_error_details,
} from '../../src/gen/google/rpc/error_details_pb.js'
import {StatusSchema} from '../../src/gen/google/rpc/status_pb.js'
import {buildSchema} from '../functions/gateway-schema.ts'

const acme = `syntax = "proto2";
package acme;
import "google/protobuf/any.proto";
import "google/protobuf/timestamp.proto";
import "google/rpc/error_details.proto";
message Poetry {
  optional string poem = 1;
  optional google.protobuf.Any more = 2;
  repeated google.protobuf.Any list = 3;
  map<string, google.protobuf.Any> named = 4;
  optional google.rpc.DebugInfo debug = 5;
  repeated google.rpc.DebugInfo debugs = 6;
  optional Poetry inner = 7;
  optional google.protobuf.Timestamp time = 8;
  map<int32, google.rpc.DebugInfo> debug_map = 9;
  repeated Poetry poems = 10;
  oneof either { google.rpc.DebugInfo trace = 11; string text = 12; }
  extensions 100 to 199;
}
extend Poetry {
  optional google.rpc.DebugInfo hidden = 100;
  repeated google.rpc.DebugInfo hiddens = 101;
  optional google.protobuf.Any extra = 102;
}
`

const schema = buildSchema({'acme.proto': acme})
test.after.always(() => schema[Symbol.dispose]())
const {registry} = schema
const url = 'type.googleapis.com/acme.Poetry'

/** An Any with an acme.Poetry, given in JSON. */
function poetry(json: JsonObject): Any {
  const desc = registry.getMessage('acme.Poetry')!
  const value = toBinary(desc, fromJson(desc, json, {registry}) as Message)
  return create(AnySchema, {typeUrl: url, value})
}

const debug = {stackEntries: ['at secret()'], detail: 'secret'}
const debugAny = {'@type': 'type.googleapis.com/google.rpc.DebugInfo', ...debug}

/** The wire form of a message that has an Any of an unknown type in each place that can hold one. */
function withUnknown(json: JsonObject): Any {
  const desc = registry.getMessage('acme.Poetry')!
  const message = fromJson(desc, json, {registry}) as Message & {more: Any; list: Any[]; named: Record<string, Any>}
  const unknown = () => create(AnySchema, {typeUrl: 'x.example/no.Such', value: Uint8Array.of(1, 2)})
  message.more = unknown()
  message.list = [unknown(), anyPack(DurationSchema, create(DurationSchema, {seconds: 1n})), unknown()]
  message.named = {a: unknown(), empty: create(AnySchema)}
  return create(AnySchema, {typeUrl: url, value: toBinary(desc, message)})
}

const unknownJson = {'@type': 'x.example/no.Such', value: 'AQI='}

const details: readonly [title: string, any: Any, json: JsonValue | undefined][] = [
  ['a type that is served', poetry({poem: 'Roses'}), {'@type': url, poem: 'Roses'}],
  [
    'a type of google/rpc that is not served',
    anyPack(StatusSchema, create(StatusSchema, {code: 5, message: 'No'})),
    {'@type': 'type.googleapis.com/google.rpc.Status', code: 5, message: 'No'},
  ],
  [
    'a type whose JSON is no object',
    anyPack(DurationSchema, create(DurationSchema, {seconds: 2n})),
    {'@type': 'type.googleapis.com/google.protobuf.Duration', value: '2s'},
  ],
  [
    'a type that nobody knows',
    create(AnySchema, {typeUrl: 'x/no.Such', value: Uint8Array.of(255)}),
    {'@type': 'x/no.Such', value: '/w=='},
  ],
  [
    'a type that nobody knows, inside of one that is served',
    withUnknown({poem: 'a'}),
    {
      '@type': url,
      poem: 'a',
      more: unknownJson,
      list: [unknownJson, {'@type': 'type.googleapis.com/google.protobuf.Duration', value: '1s'}, unknownJson],
      named: {a: unknownJson, empty: {}},
    },
  ],
  [
    'an Any in an Any in an Any',
    poetry({more: {'@type': url, more: {'@type': url, poem: 'deep', list: [{'@type': url, poem: 'deeper'}]}}}),
    {'@type': url, more: {'@type': url, more: {'@type': url, poem: 'deep', list: [{'@type': url, poem: 'deeper'}]}}},
  ],
  [
    'an extension',
    poetry({'[acme.extra]': {'@type': url, poem: 'a'}}),
    {'@type': url, '[acme.extra]': {'@type': url, poem: 'a'}},
  ],
  [
    'bytes that are not of their type',
    create(AnySchema, {typeUrl: url, value: Uint8Array.of(255)}),
    {'@type': url, value: '/w=='},
  ],
  ['DebugInfo', anyPack(DebugInfoSchema, create(DebugInfoSchema, debug)), undefined],
  [
    'DebugInfo in every place that a message has for it',
    poetry({
      poem: 'a',
      debug,
      debugs: [debug],
      debugMap: {1: debug},
      trace: debug,
      more: debugAny,
      list: [debugAny, {'@type': url, poem: 'b', debug}, debugAny],
      named: {a: debugAny, b: {'@type': url, list: [debugAny]}},
      inner: {poem: 'c', debug, inner: {debug}},
      poems: [{debug}, {poem: 'd', more: debugAny}],
      '[acme.hidden]': debug,
      '[acme.hiddens]': [debug],
      '[acme.extra]': debugAny,
    }),
    {
      '@type': url,
      poem: 'a',
      list: [{'@type': url, poem: 'b'}],
      named: {b: {'@type': url}},
      inner: {poem: 'c', inner: {}},
      poems: [{}, {poem: 'd'}],
    },
  ],
  [
    'DebugInfo in a google.rpc.Status',
    anyPack(
      StatusSchema,
      create(StatusSchema, {
        details: [
          anyPack(DebugInfoSchema, create(DebugInfoSchema, debug)),
          anyPack(ErrorInfoSchema, create(ErrorInfoSchema, {reason: 'WHY'})),
        ],
      }),
    ),
    {
      '@type': 'type.googleapis.com/google.rpc.Status',
      details: [{'@type': 'type.googleapis.com/google.rpc.ErrorInfo', reason: 'WHY'}],
    },
  ],
]

for (const [title, any, json] of details) {
  test(`as JSON: ${title}`, (t) => {
    const before = structuredClone(any)
    const told = detailJson(any, registry)
    t.deepEqual(told, json)
    t.deepEqual(any.value, before.value, 'the detail itself stays as it is')
    t.notRegex(JSON.stringify(told) ?? '', /secret/)
    if (json) t.is(Object.keys(told as object)[0], '@type')
  })
}

test('a message that has no JSON is in base64, without the DebugInfo in it', (t) => {
  const desc = registry.getMessage('acme.Poetry')!
  const message = fromJson(desc, {poem: 'a', debug}) as Message & {time: unknown}
  message.time = create(TimestampSchema, {seconds: 10n ** 15n})
  const told = detailJson(create(AnySchema, {typeUrl: url, value: toBinary(desc, message)}), registry) as {
    value: string
  }
  t.deepEqual(Object.keys(told), ['@type', 'value'])
  const bytes = Buffer.from(told.value, 'base64').toString('latin1')
  t.regex(bytes, /a/)
  t.notRegex(bytes, /secret/)
})

test('a type of google/rpc that is served in a later version has the fields of that version', (t) => {
  const file = clone(FileDescriptorProtoSchema, file_google_rpc_error_details.proto)
  const info = file.messageType.find(({name}) => name === 'ErrorInfo')!
  info.field.push(create(FieldDescriptorProtoSchema, {name: 'later', jsonName: 'later', number: 99, type: 9, label: 1}))
  const later = createFileRegistry(file, (name) => registry.getFile(name))
  const value = toBinary(ErrorInfoSchema, create(ErrorInfoSchema, {reason: 'WHY'}))
  const any = create(AnySchema, {
    typeUrl: 'type.googleapis.com/google.rpc.ErrorInfo',
    value: Buffer.concat([value, Buffer.from([0x9a, 0x06, 1, 0x61])]),
  })
  t.like(detailJson(any, later), {reason: 'WHY', later: 'a'})
})

test('without a schema, a detail of a served type stays unchanged', (t) => {
  t.deepEqual(detailJson(poetry({poem: 'a'})), {'@type': url, value: 'CgFh'})
})
