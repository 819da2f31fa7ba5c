import {readFileSync} from 'node:fs'
import {join} from 'node:path'
import {create, fromBinary, fromJson, type Message, toBinary} from '@bufbuild/protobuf'
import test from 'ava'
import {validationOf} from '../../src/gateway/validation.ts'
import {type Any, type Served, startServed} from './gateway-services.ts'
import {connectMcp} from './mcp-client.ts'
import {ask, envelope, envelopesIn} from './rpc-client.ts'

const root = join(import.meta.dirname, '../..')

/** The part of protovalidate's options that these tests need. The package gives them their meaning. */
const validate = `syntax = "proto2";
package buf.validate;
import "google/protobuf/descriptor.proto";
extend google.protobuf.FieldOptions { optional FieldRules field = 1159; }
extend google.protobuf.MessageOptions { optional MessageRules message = 1159; }
message Rule { optional string id = 1; optional string message = 2; optional string expression = 3; }
message MessageRules { repeated Rule cel = 3; }
message FieldRules {
  optional bool required = 25;
  oneof type { Int32Rules int32 = 3; StringRules string = 14; RepeatedRules repeated = 18; MapRules map = 19; }
}
message Int32Rules { optional int32 gt = 4; }
message StringRules { optional uint64 min_len = 2; optional string pattern = 6; optional bool email = 12; }
message RepeatedRules { optional uint64 min_items = 1; optional FieldRules items = 4; }
message MapRules { optional FieldRules keys = 4; optional FieldRules values = 5; }
`

const shop = `syntax = "proto3";
package shop;
import "google/api/annotations.proto";
import "google/api/field_behavior.proto";
import "google/protobuf/field_mask.proto";
import "validate.proto";
service Shop {
  rpc Create(CreateRequest) returns (CreateRequest) {
    option (google.api.http) = {post: "/shops/{shop_id}/books" body: "book" additional_bindings {get: "/books:check"}};
  }
  rpc Update(UpdateRequest) returns (UpdateRequest) {
    option (google.api.http) = {patch: "/books/{book.name}" body: "book"};
  }
  rpc Import(stream CreateRequest) returns (stream CreateRequest) {
    option (google.api.http) = {post: "/books:import" body: "*"};
  }
  rpc Order(OrderRequest) returns (OrderRequest) { option (google.api.http) = {post: "/orders" body: "*"}; }
  rpc Wrong(WrongRequest) returns (WrongRequest) { option (google.api.http) = {post: "/wrong" body: "*"}; }
  rpc Free(Author) returns (Author) { option (google.api.http) = {post: "/free" body: "*"}; }
}
message CreateRequest {
  string shop_id = 1 [(google.api.field_behavior) = REQUIRED];
  Book book = 2 [(google.api.field_behavior) = REQUIRED];
}
message UpdateRequest { Book book = 1 [(google.api.field_behavior) = REQUIRED]; google.protobuf.FieldMask update_mask = 2; }
message Book {
  string name = 1;
  string display_title = 2 [(google.api.field_behavior) = REQUIRED, (google.api.field_behavior) = IMMUTABLE];
  string create_time = 3 [(google.api.field_behavior) = OUTPUT_ONLY];
  repeated Author authors = 4 [(google.api.field_behavior) = REQUIRED];
  int32 pages = 5 [(google.api.field_behavior) = REQUIRED];
  map<string, Author> by_role = 6;
  oneof cover { string image = 7 [(google.api.field_behavior) = REQUIRED]; string color = 8; }
  optional int32 edition = 9 [(google.api.field_behavior) = REQUIRED];
  string draft = 10 [(google.api.field_behavior) = INPUT_ONLY, (google.api.field_behavior) = IMMUTABLE];
}
message Author { string full_name = 1 [(google.api.field_behavior) = REQUIRED]; string etag = 2 [(google.api.field_behavior) = OUTPUT_ONLY]; }
message OrderRequest {
  option (buf.validate.message).cel = {id: "2-order.total!-of.${'all.'.repeat(20)}" message: "the least is more than the most" expression: "this.least <= this.most"};
  string e_mail = 1 [(buf.validate.field).string.email = true];
  repeated Line order_lines = 2 [(buf.validate.field).repeated = {min_items: 1}];
  map<string, string> labels = 3 [(buf.validate.field).map = {keys: {string: {pattern: "^[a-z]+$"}} values: {string: {min_len: 1}}}];
  int32 least = 4;
  int32 most = 5;
}
message Line { int32 count = 1 [(buf.validate.field).int32.gt = 0]; }
message WrongRequest { string text = 1 [(buf.validate.field).int32.gt = 0]; }
`

const fieldBehavior = readFileSync(
  join(root, 'packages/grpc-functions-dev/proto/google/api/field_behavior.proto'),
  'utf8',
)
const protos = {'google/api/field_behavior.proto': fieldBehavior, 'validate.proto': validate, 'shop.proto': shop}

let app: Served
let unchecked: Served
test.before(async () => {
  const echoes = ['shop.Shop']
  app = await startServed({protos, echoes, env: {GATEWAY_VALIDATE: 'protovalidate,field_behavior', MCP: 'true'}})
  unchecked = await startServed({protos, echoes})
})
test.afterEach.always((t) => app.quiet(t))
test.after.always(() => Promise.all([app.close(), unchecked.close()]))

const json = {'content-type': 'application/json'}
const post = (line: string, body: object, of = app) => of.send(line, {headers: json, body: JSON.stringify(body)})

const violationsOf = (error: Any): [string, string][] => {
  const {fieldViolations} = error.details.find((one: Any) => /BadRequest$/.test(one['@type'] ?? one.type))
  return fieldViolations.map(({field, reason}: Any) => [field, reason])
}

test.serial(
  'field_behavior: a missing REQUIRED field is 400, by its JSON path, and no backend is called',
  async (t) => {
    const before = app.backend.log.length
    const refused = await post('POST /shops/a/books', {
      authors: [{}, {fullName: 'B'}],
      byRole: {'first "one"': {etag: 'x'}},
    })
    t.is(refused.status, 400)
    t.is(refused.json.error.message, 'Cannot accept "book.displayTitle": the field is required, and 3 more')
    t.deepEqual(violationsOf(refused.json.error), [
      ['book.displayTitle', 'REQUIRED'],
      ['book.edition', 'REQUIRED'],
      ['book.authors[0].fullName', 'REQUIRED'],
      ['book.byRole["first \\"one\\""].fullName', 'REQUIRED'],
    ])
    t.deepEqual(violationsOf((await app.send('GET /books:check')).json.error), [
      ['shopId', 'REQUIRED'],
      ['book', 'REQUIRED'],
    ])
    t.is(app.backend.log.length, before)
  },
)

const book = {displayTitle: 'Emma', authors: [{fullName: 'Jane'}], edition: 0}

test.serial(
  'field_behavior: OUTPUT_ONLY fields are dropped, and a number that may be zero is no violation',
  async (t) => {
    const sent = {...book, createTime: 'now', authors: [{fullName: 'Jane', etag: 'x'}]}
    const answered = await post('POST /shops/a/books', sent)
    t.deepEqual(answered.json, {shopId: 'a', book}, answered.text)
    t.is((await post('POST /shops/a/books', {...book, color: 'red'})).status, 200, 'another member of the oneof')
  },
)

test.serial('field_behavior: an update needs the fields that its mask names', async (t) => {
  const named = await post('PATCH /books/b?updateMask=displayTitle,authors', {authors: [{}]})
  t.deepEqual(violationsOf(named.json.error), [
    ['book.displayTitle', 'REQUIRED'],
    ['book.authors[0].fullName', 'REQUIRED'],
  ])
  const filled = await post('PATCH /books/b', {pages: 5, createTime: 'now'})
  t.deepEqual(filled.json, {book: {name: 'b', pages: 5}, updateMask: 'pages'})
  t.is((await post('PATCH /books/b?updateMask=*', {pages: 5})).status, 400)
  t.is((await post('PATCH /books/b?updateMask=pages', {pages: 5})).status, 200)
  t.deepEqual(
    (await post('PATCH /books/b', {createTime: 'now'})).json.updateMask,
    'createTime',
    'never a mask of nothing',
  )
})

test.serial('field_behavior: each message of a stream is checked', async (t) => {
  const lines = [
    {shopId: 'a', book: {...book, createTime: 'now'}},
    {shopId: 'a', book: {}},
  ].map((one) => JSON.stringify(one))
  const answered = await app.send('POST /books:import', {headers: json, body: lines.join('\n')})
  if (answered.status === 200) {
    const [first, last] = answered.text
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
    t.deepEqual(first, {shopId: 'a', book})
    t.is(violationsOf(last.error)[0]?.[0], 'book.displayTitle')
  } else t.is(violationsOf(answered.json.error)[0]?.[0], 'book.displayTitle')
})

test.serial('protovalidate: rules of fields, items, keys, values and messages, by JSON paths', async (t) => {
  const good = {eMail: 'a@example.com', orderLines: [{count: 1}], labels: {a: 'b'}}
  t.deepEqual((await post('POST /orders', good)).json, good)
  const refused = await post('POST /orders', {
    eMail: 'a',
    orderLines: [{count: 1}, {}],
    labels: {A: '', b: ''},
    least: 2,
  })
  t.is(refused.status, 400)
  t.deepEqual(violationsOf(refused.json.error).sort(), [
    // The form that error_details.proto prescribes: at most 63 characters, of which the last one is no underscore.
    ['body', `ORDER_TOTAL_OF${'_ALL'.repeat(12)}`],
    ['eMail', 'STRING_EMAIL'],
    ['labels["A"]', 'STRING_MIN_LEN'],
    ['labels["A"]', 'STRING_PATTERN'],
    ['labels["b"]', 'STRING_MIN_LEN'],
    ['orderLines[1].count', 'INT32_GT'],
  ])
  const {fieldViolations} = refused.json.error.details.find((one: Any) => /BadRequest$/.test(one['@type']))
  t.deepEqual(
    fieldViolations.filter(({description}: Any) => / \(the key\)$/.test(description)).map(({field}: Any) => field),
    ['labels["A"]'],
  )
  t.deepEqual(violationsOf((await post('POST /orders', {eMail: 'a@b.c'})).json.error), [
    ['orderLines', 'REPEATED_MIN_ITEMS'],
  ])
})

test.serial('protovalidate: rules that do not fit their field are our error', async (t) => {
  const refused = await post('POST /wrong', {text: 'a'})
  t.deepEqual([refused.status, refused.json.error.message], [500, 'Cannot check a shop.WrongRequest by its rules'])
})

test.serial(
  'Connect and gRPC-Web are checked too, in both codecs, and messages are encoded again without dropped fields',
  async (t) => {
    const desc = app.schema.registry.getMessage('shop.CreateRequest')!
    const bytesOf = (value: Any) => toBinary(desc, fromJson(desc, value) as Message)
    const full = {shopId: 'a', book: {...book, createTime: 'now'}}
    const connect = (type: string, body: string | Uint8Array) =>
      ask(app.url(''), {
        path: '/shop.Shop/Create',
        headers: {'content-type': type, 'connect-protocol-version': '1'},
        body,
      })
    const answered = await connect('application/proto', bytesOf(full))
    t.deepEqual(fromBinary(desc, answered.bytes), fromJson(desc, {shopId: 'a', book}))
    t.deepEqual(JSON.parse((await connect('application/json', JSON.stringify(full))).text), {shopId: 'a', book})
    for (const [type, body] of [
      ['application/proto', bytesOf({shopId: 'a'})],
      ['application/json', '{"shopId": "a"}'],
    ] as const) {
      const refused = await connect(type, body)
      t.is(refused.status, 400)
      t.is(JSON.parse(refused.text).code, 'invalid_argument')
    }
    const web = await ask(app.url(''), {
      path: '/shop.Shop/Create',
      headers: {'content-type': 'application/grpc-web+proto'},
      body: envelope(toBinary(desc, create(desc))),
    })
    t.regex(
      envelopesIn(web.bytes).at(-1)?.data.toString() ?? web.headers.get('grpc-status') ?? '',
      /grpc-status: ?3|^3$/,
    )
  },
)

test.serial('MCP requests are checked too, and get the same violations', async (t) => {
  await using client = await connectMcp(app.url('/mcp'))
  const before = app.backend.log.length
  const call = async (name: string, given: Any) => (await client.callTool({name, arguments: given})) as Any
  const missing = await call('Shop_Create', {shopId: 'a', book: {...book, displayTitle: ''}})
  t.true(missing.isError)
  t.deepEqual(violationsOf(JSON.parse(missing.content[0].text).error), [['book.displayTitle', 'REQUIRED']])
  const wrong = await call('Shop_Order', {eMail: 'a', orderLines: [{count: 1}]})
  t.deepEqual(violationsOf(JSON.parse(wrong.content[0].text).error), [['eMail', 'STRING_EMAIL']])
  t.is(app.backend.log.length, before)
  const made = await call('Shop_Create', {shopId: 'a', book: {...book, createTime: 'now'}})
  t.deepEqual(made.structuredContent, {shopId: 'a', book})
})

test.serial('nothing is checked unless it is configured', async (t) => {
  const sent = {createTime: 'now'}
  t.deepEqual((await post('POST /shops/a/books', sent, unchecked)).json, {shopId: 'a', book: sent})
  t.is((await post('POST /orders', {eMail: 'a'}, unchecked)).status, 200)
})

test('a violation names the field as requests do: with GATEWAY_FIELD_NAMES=proto by its name in the proto', (t) => {
  const create = app.schema.registry.getService('shop.Shop')!.method.create!
  for (const [fieldNames, field] of [
    ['json', 'shopId'],
    ['proto', 'shop_id'],
  ] as const) {
    const check = validationOf(app.schema.registry, {validate: ['field_behavior'], fieldNames})(create)!
    const {message} = t.throws(() => check(fromJson(create.input, {book: {}})))!
    t.is(message, `Cannot accept "${field}": the field is required, and 3 more`)
  }
})

test('a method whose messages have no such options has no check', (t) => {
  const checkOf = validationOf(app.schema.registry, {validate: ['protovalidate', 'field_behavior'], fieldNames: 'json'})
  const methodOf = (service: string, name: string) =>
    app.schema.registry.getService(service)!.methods.find((method) => method.name === name)!
  t.truthy(checkOf(methodOf('shop.Shop', 'Order')))
  t.is(checkOf(methodOf('served.Echo', 'Whole')), undefined)
  t.is(validationOf(app.schema.registry, {validate: [], fieldNames: 'json'})(methodOf('shop.Shop', 'Order')), undefined)
})
