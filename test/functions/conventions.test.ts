import {fromJson, toBinary} from '@bufbuild/protobuf'
import {Metadata, status} from '@grpc/grpc-js'
import {Validator} from '@seriousme/openapi-schema-validator'
import test from 'ava'
import {type Logger, pino} from 'pino'
import type {CallContext} from '../../local/grpc/implement.ts'
import {StatusError} from '../../local/grpc/status-error.ts'
import {gateway} from '../../src/gateway/gateway.ts'
import {type App, startApp} from '../helpers/app.ts'
import {requestOf, requestsIn, textOf} from '../helpers/commands.ts'
import {eventsIn} from '../http/events.ts'
import {exchange} from './gateway-client.ts'
import {buildSchema, routingProto, type Schema} from './gateway-schema.ts'
import {type Any, HeldService} from './gateway-services.ts'
import {envelope} from './rpc-client.ts'

const [, guideProto = ''] = /```proto\n(.*?)```/s.exec(textOf('docs/conventions.md')) ?? []

const operations = `
syntax = "proto3";
package google.longrunning;
message Operation { string name = 1; }
`

const moreProto = `
syntax = "proto3";
package more;
import "google/api/annotations.proto";
import "google/api/httpbody.proto";
import "google/protobuf/any.proto";
import "google/protobuf/struct.proto";
import "google/protobuf/timestamp.proto";
import "operations.proto";
import "routing.proto";
service More {
  // Fields with the names of system parameters.
  rpc Own(OwnRequest) returns (OwnRequest) {option (google.api.http) = {get: "/own"};}
  rpc Tree(Node) returns (Node) {
    option (google.api.http) = {
      post: "/tree"
      body: "*"
      additional_bindings {post: "/tree/nodes" body: "*" response_body: "nodes"}
      additional_bindings {post: "/tree/text" body: "*" response_body: "text"}
    };
  }
  rpc Watch(Node) returns (stream Node) {option (google.api.http) = {get: "/watch"};}
  rpc Bytes(Node) returns (google.api.HttpBody) {option (google.api.http) = {get: "/bytes"};}
  rpc CreateThing(Thing) returns (Thing) {option (google.api.http) = {post: "/v2/things" body: "*"};}
  rpc CreateLater(Thing) returns (google.longrunning.Operation) {option (google.api.http) = {post: "/v2/later" body: "*"};}
  rpc TouchThing(Thing) returns (Thing) {option (google.api.http) = {post: "/touched/{name=things/*}" body: "*"};}
  rpc CreateWrapped(Thing) returns (Wrapped) {option (google.api.http) = {post: "/v2/wrapped" body: "*" response_body: "thing"};}
  rpc ChangeThing(Thing) returns (Thing) {
    option (google.api.http) = {
      put: "/v2/things"
      body: "*"
      additional_bindings {post: "/v2/wrapped:change" body: "*"}
    };
  }
  rpc ChangeWrapped(Wrapped) returns (Wrapped) {option (google.api.http) = {post: "/v2/wrapped:put" body: "*"};}
  rpc Pages(PageRequest) returns (PageAnswer) {
    option (google.api.http) = {
      post: "/pages"
      body: "*"
      additional_bindings {get: "/pages/{page_token}"}
    };
  }
  rpc Colored(Node) returns (Node) {option (google.api.http) = {get: "/colored/{color}"};}
  rpc Dated(Node) returns (Node) {option (google.api.http) = {get: "/dated/{display_time}"};}
  rpc Route(RouteRequest) returns (RouteRequest) {
    option (google.api.http) = {post: "/route/{path.name}/{number}" body: "*"};
  }
  rpc Explicit(RouteRequest) returns (RouteRequest) {
    option (google.api.http) = {post: "/explicit/{number}" body: "*"};
    option (google.api.routing) = {
      routing_parameters {field: "table" path_template: "{routing_id=projects/*}/**"}
      routing_parameters {field: "table" path_template: "{table_name=projects/*/instances/*/**}"}
      routing_parameters {field: "profile" path_template: "{routing_id=**}"}
      routing_parameters {field: "path.name"}
    };
  }
  rpc None(RouteRequest) returns (RouteRequest) {
    option (google.api.http) = {post: "/none/{number}" body: "*"};
    option (google.api.routing) = {};
  }
}
message OwnRequest {
  string key = 1;
  string alt = 2;
  string fields = 3;
  string pretty_print = 4;
}
message Node {
  string text = 1;
  Node child = 2;
  repeated Node nodes = 3;
  map<string, Node> by_key = 4;
  google.protobuf.Struct struct = 5;
  google.protobuf.Timestamp display_time = 6;
  repeated string names = 7;
  Color color = 8;
}
enum Color {
  RED = 0;
  GREEN = 1;
}
message PageRequest {
  string page_token = 1;
}
message PageAnswer {
  string next_page_token = 1;
}
message Thing {
  string name = 1;
  string etag = 2;
}
message Wrapped {
  Thing thing = 1;
}
message RouteRequest {
  Node2 path = 1;
  int32 number = 2;
  string table = 3;
  string profile = 4;
}
message Node2 {
  string name = 1;
}
`

const emma = {
  name: 'shelves/1/books/emma',
  title: 'Emma',
  authors: [{givenName: 'Jane', familyName: 'Austen'}],
  labels: {topic: 'love', shelf: 'A'},
  binding: 2,
  etag: 'v1',
}

const records: string[] = []
const log = pino({messageKey: 'message'}, {write: (line: string) => void records.push(line)}) as Logger

let schema: Schema
let app: App
let library: HeldService
let more: HeldService
test.before(async () => {
  schema = buildSchema({
    'library.proto': guideProto,
    'routing.proto': routingProto,
    'operations.proto': operations,
    'more.proto': moreProto,
  })
  const same = (request: unknown) => request
  library = new HeldService(schema.registry.getService('library.Library')!, {
    getBook: ({name}) => ({...emma, name}),
    listBooks: ({parent, pageSize, pageToken}) => ({
      books: [emma, {...emma, name: `${parent}/books/${pageToken || 'first'}`, title: 'Persuasion'}],
      nextPageToken: pageSize > 0 ? 'a b&c' : '',
    }),
    createBook: ({parent, book}) => ({...book, name: `${parent}/books/${book.title} 1?`}),
    updateBook: ({book}) => book,
    deleteBook: () => ({}),
  })
  more = new HeldService(schema.registry.getService('more.More')!, {
    ...{own: same, tree: same, createThing: same, createLater: same, changeThing: same, changeWrapped: same},
    ...{route: same, explicit: same, none: same, colored: same, dated: same},
    pages: () => ({nextPageToken: 'n'}),
    createWrapped: (thing) => ({thing}),
    bytes: () => ({contentType: 'image/png', data: Buffer.from('bytes')}),
    async *watch(node) {
      for (const text of ['a', 'b']) yield {...node, text, color: 1}
    },
  })
  app = await startApp({
    target: 'gateway',
    log,
    env: {GATEWAY_DESCRIPTORS: schema.path, GATEWAY_CREATED: 'true'},
    backend: {services: [library, more]},
  })
})
test.afterEach.always((t) => app.quiet(t))
test.after.always(async () => {
  await app.close()
  schema[Symbol.dispose]()
})

type Headers = Readonly<Record<string, string>>

const send = (line: string, headers: Headers = {}, body?: string) => {
  const [method = '', path = ''] = line.split(' ', 2)
  return exchange(app.url(''), {
    method,
    path,
    headers: {'content-type': 'application/json', ...headers},
    ...(body && {body}),
  })
}

/** The request that `service` gets during `act`. */
async function asked(service: HeldService, method: string, act: () => Promise<unknown>): Promise<Any> {
  let seen: Any
  using _ = service.handle({
    [method](request) {
      seen = request
      return {}
    },
  })
  await act()
  return seen
}

for (const command of requestsIn('docs/conventions.md')) {
  test.serial(`docs/conventions.md: ${command}`, async (t) => {
    const {path, init} = requestOf(command)
    t.is((await fetch(app.url(path), init)).status, init.method === 'POST' ? 201 : 200)
  })
}

// Etags

const book = '/v1/shelves/1/books/emma'

test.serial('an answer with an etag has the header, and is 304 for callers who have it', async (t) => {
  const {headers, json} = await send(`GET ${book}`)
  t.is(headers.get('etag'), '"v1"')
  t.is(json.etag, 'v1')
  for (const known of ['"v1"', 'W/"v1"', '"a", "v1"', ' * ']) {
    const response = await send(`GET ${book}`, {'if-none-match': known})
    t.deepEqual([response.status, response.text, response.whole], [304, '', true], known)
    t.is(response.headers.get('etag'), '"v1"')
    t.false(response.headers.has('content-type'))
    t.false(response.headers.has('content-length'))
  }
  for (const known of ['"v2"', 'v1', '"v1', '']) t.is((await send(`GET ${book}`, {'if-none-match': known})).status, 200)
  t.is((await send(`HEAD ${book}`, {'if-none-match': '"v1"'})).status, 304)
})

test.serial(
  'If-None-Match on a change is 400, because nothing would check it, and the service is not called',
  async (t) => {
    const calls = app.backend.log.length
    for (const [line, value] of [
      [`PATCH ${book}`, '"v1"'],
      ['PUT /v2/things', '*'],
      [`DELETE ${book}`, '"v1"'],
      ['POST /route/a/1', '*'],
    ] as const) {
      const {status, json} = await send(line, {'if-none-match': value}, line.startsWith('DELETE') ? undefined : '{}')
      t.is(status, 400, line)
      t.is(json.error.details[0].fieldViolations[0].field, 'if-none-match')
    }
    t.is(app.backend.log.length, calls)
  },
)

test.serial('an etag that is quoted, empty, or not valid in a header', async (t) => {
  for (const [etag, header] of [
    ['"q1"', '"q1"'],
    ['W/"q1"', 'W/"q1"'],
    ['', undefined],
    ['a b', undefined],
    ['a"b', undefined],
    ['a\nb: c', undefined],
    ['ü', undefined],
    ['v1', '"v1"'],
  ] as const) {
    using _ = library.handle({getBook: () => ({etag})})
    const response = await send(`GET ${book}`, {'if-none-match': '"q1"'})
    t.is(response.headers.get('etag'), header, etag)
    t.is(response.status, header?.includes('q1') ? 304 : 200)
  }
})

test.serial('an answer has the encoding that its caller prefers, and none if it is short', async (t) => {
  using _ = library.handle({getBook: ({name}) => ({title: 'E'.repeat(name.endsWith('/short') ? 900 : 2000)})})
  for (const [accepted, encoding] of [
    ['gzip, br', 'gzip'],
    ['deflate, br, gzip', 'br'],
    ['br;q=0.5, gzip', 'gzip'],
    ['gzip;q=0.5, br', 'br'],
    ['br;q=0, gzip', 'gzip'],
    ['*', 'br'],
    ['deflate', undefined],
    ['gzip;q=0, br;q=0', undefined],
  ] as const) {
    const {headers} = await send(`GET ${book}`, {'accept-encoding': accepted})
    t.is(headers.get('content-encoding'), encoding, accepted)
  }
  const short = await send('GET /v1/shelves/1/books/short', {'accept-encoding': 'gzip, br'})
  t.deepEqual([short.status, short.headers.get('content-encoding')], [200, undefined])
})

test.serial('a compressed answer has its own etag, for the same resource', async (t) => {
  const title = 'E'.repeat(2000)
  for (const [etag, plain] of [
    ['v1', '"v1"'],
    ['"v1"', '"v1"'],
  ] as const) {
    const deleted: string[] = []
    using _ = library.handle({
      getBook: () => ({title, etag}),
      deleteBook: (request) => {
        deleted.push(request.etag)
        return {}
      },
    })
    const tags: string[] = []
    for (const encoding of ['identity', 'gzip', 'br']) {
      const {headers} = await send(`GET ${book}`, {'accept-encoding': encoding})
      t.is(headers.get('content-encoding'), encoding === 'identity' ? undefined : encoding)
      t.is(headers.get('vary'), 'accept-encoding')
      const tag = headers.get('etag')!
      tags.push(tag)
      const again = await send(`GET ${book}`, {'accept-encoding': encoding, 'if-none-match': `"other", ${tag}`})
      t.deepEqual([again.status, again.headers.get('etag')], [304, tag])
      t.is(again.headers.get('vary'), 'accept-encoding')
      const weak = await send(`GET ${book}`, {'accept-encoding': encoding, 'if-none-match': `W/${tag}`})
      t.is(weak.status, 304)
      await send(`DELETE ${book}`, {'if-match': tag})
    }
    t.deepEqual(deleted, [etag, etag, etag])
    t.deepEqual(tags, [plain, '"v1--gzip"', '"v1--br"'])
  }
  using _ = library.handle({getBook: () => ({title, etag: 'W/"v1"'})})
  const {headers} = await send(`GET ${book}`, {'accept-encoding': 'gzip'})
  t.is(headers.get('etag'), 'W/"v1"', 'a weak one holds for both')
  for (const [known, status, tag] of [
    ['"v1"', 304, 'W/"v1"'],
    ['"v1--gzip"', 200, 'W/"v1"'],
  ] as const) {
    const again = await send(`GET ${book}`, {'if-none-match': known})
    t.deepEqual([again.status, again.headers.get('etag')], [status, tag])
  }
})

test.serial('a 304 calls the service once', async (t) => {
  const calls = app.backend.log.length
  await send(`GET ${book}`, {'if-none-match': '"v1"'})
  t.is(app.backend.log.length, calls + 1)
})

test.serial("If-Match fills the request's etag, or that of the resource in it", async (t) => {
  const condition = {'if-match': '"v7"'}
  const patched = await asked(library, 'updateBook', () => send(`PATCH ${book}`, condition, '{"title": "E"}'))
  t.like(patched.book, {etag: 'v7', title: 'E', name: 'shelves/1/books/emma'})
  t.deepEqual(patched.updateMask.paths, ['title'])
  t.is((await asked(library, 'deleteBook', () => send(`DELETE ${book}`, condition))).etag, 'v7')
  t.is((await asked(more, 'changeThing', () => send('PUT /v2/things', condition, '{}'))).etag, 'v7')
  t.is((await asked(more, 'changeWrapped', () => send('POST /v2/wrapped:put', condition))).thing.etag, 'v7')
  const any = await asked(library, 'deleteBook', () => send(`DELETE ${book}`, {'if-match': '*'}))
  t.is(any.etag, '')
  const bare = await asked(library, 'deleteBook', () => send(`DELETE ${book}`, {'if-match': 'v7'}))
  t.is(bare.etag, 'v7')
  t.is((await asked(library, 'deleteBook', () => send(`DELETE ${book}?etag=v7`, condition))).etag, 'v7')
})

test.serial("If-Match gets quotes if the service's etags have them", async (t) => {
  using _ = library.handle({getBook: () => ({etag: '"v7"'})})
  const etag = (await send(`GET ${book}`)).headers.get('etag')!
  _[Symbol.dispose]()
  t.is((await asked(library, 'deleteBook', () => send(`DELETE ${book}`, {'if-match': etag}))).etag, '"v7"')
  await send(`GET ${book}`)
  t.is((await asked(library, 'deleteBook', () => send(`DELETE ${book}`, {'if-match': etag}))).etag, 'v7')
})

test.serial('a weak If-Match stays weak, even before any answer has had an etag', async (t) => {
  for (const quoted of [false, true]) {
    using _ = library.handle({getBook: () => ({etag: quoted ? 'W/"v7"' : 'v7'})})
    await send(`GET ${book}`)
    _[Symbol.dispose]()
    const {etag} = await asked(library, 'deleteBook', () => send(`DELETE ${book}`, {'if-match': 'W/"v7"'}))
    t.is(etag, 'W/"v7"')
  }
})

test.serial('an If-Match that cannot be checked is 400, and the service is not called', async (t) => {
  const calls = app.backend.log.length
  for (const [line, value] of [
    [`DELETE ${book}`, '"a", "b"'],
    [`DELETE ${book}`, ''],
    [`DELETE ${book}`, '""'],
    [`DELETE ${book}`, 'W/""'],
    [`DELETE ${book}?etag=v1`, '"v2"'],
    ['POST /route/a/1', '"v1"'],
  ] as const) {
    const {status, json} = await send(line, {'if-match': value}, line.startsWith('POST') ? '{}' : undefined)
    t.is(status, 400, line)
    t.is(json.error.details[0].fieldViolations[0].field, 'if-match')
  }
  t.is(app.backend.log.length, calls)
  t.is((await send(`GET ${book}`, {'if-match': '"v1"'})).status, 200)
})

for (const [code, conditional, otherwise] of [
  ['ABORTED', 412, 409],
  ['FAILED_PRECONDITION', 412, 400],
  ['NOT_FOUND', 404, 404],
] as const) {
  test.serial(`${code} of a service is ${conditional} with If-Match, ${otherwise} without`, async (t) => {
    using _ = library.handle({
      deleteBook() {
        throw new StatusError(status[code], 'Not so')
      },
    })
    for (const [headers, http] of [
      [{'if-match': '"v1"'}, conditional],
      [{}, otherwise],
      [{'if-match': '*'}, otherwise],
    ] as const) {
      const {status, json} = await send(`DELETE ${book}`, headers as Headers)
      t.deepEqual([status, json.error.code, json.error.status, json.error.message], [http, http, code, 'Not so'])
    }
  })
}

// Parts of an answer

for (const [mask, expected] of [
  ['title', {title: 'Emma'}],
  ['title,name', {name: emma.name, title: 'Emma'}],
  ['authors.*.given_name', {authors: [{givenName: 'Jane'}]}],
  ['authors.familyName', {authors: [{familyName: 'Austen'}]}],
  ['authors(givenName,familyName),title', {authors: emma.authors, title: 'Emma'}],
  ['authors/givenName', {authors: [{givenName: 'Jane'}]}],
  ['authors', {authors: emma.authors}],
  ['authors.*', {authors: emma.authors}],
  ['labels.topic', {labels: {topic: 'love'}}],
  ['labels.`shelf`', {labels: {shelf: 'A'}}],
  ['labels.*', {labels: emma.labels}],
  ['labels.none', {labels: {}}],
  ['title,title', {title: 'Emma'}],
  ['*', {...emma, binding: 'HARDCOVER'}],
  ['', {...emma, binding: 'HARDCOVER'}],
] as const) {
  test.serial(`fields=${mask}`, async (t) => {
    for (const name of ['fields', '$fields', '%24fields']) {
      const {status, json, headers} = await send(`GET ${book}?${name}=${encodeURIComponent(mask)}`)
      t.deepEqual([status, json], [200, expected])
      t.is(headers.get('etag'), '"v1"')
    }
  })
}

const tree = {
  text: 'a',
  child: {text: 'b', child: {text: 'c'}},
  nodes: [{text: 'd', names: ['x']}, {child: {text: 'e'}}],
  byKey: {'k 1': {text: 'f', child: {text: 'g'}}, k2: {text: 'h'}},
  struct: {any: {thing: [1, {deep: true, other: 1}]}, x: 1},
  displayTime: '1970-01-01T00:00:00Z',
  names: ['y'],
  color: 'GREEN',
}

for (const [mask, expected] of [
  ['child.child', {child: {child: {text: 'c'}}}],
  ['child.*', {child: tree.child}],
  ['nodes.text', {nodes: [{text: 'd'}, {}]}],
  ['by_key.*.text', {byKey: {'k 1': {text: 'f'}, k2: {text: 'h'}}}],
  ['byKey.`k 1`.child,byKey.*.text', {byKey: {'k 1': {text: 'f', child: {text: 'g'}}, k2: {text: 'h'}}}],
  ['struct.any.thing.deep', {struct: {any: {thing: [1, {deep: true}]}}}],
  ['display_time,names', {displayTime: tree.displayTime, names: ['y']}],
  ['child(text,child.text),color', {child: {text: 'b', child: {text: 'c'}}, color: 'GREEN'}],
] as const) {
  test.serial(`fields=${mask} of a tree`, async (t) => {
    const {status, json} = await send(`POST /tree?fields=${encodeURIComponent(mask)}`, {}, JSON.stringify(tree))
    t.deepEqual([status, json], [200, expected])
  })
}

test.serial('fields= keeps keys of a map that are names of JavaScript', async (t) => {
  const body = '{"byKey":{"__proto__":{"text":"p","child":{"text":"c"}},"constructor":{"text":"d"}}}'
  for (const [mask, expected] of [
    ['byKey.__proto__.text', '{"byKey":{"__proto__":{"text":"p"}}}'],
    ['byKey.*.text', '{"byKey":{"__proto__":{"text":"p"},"constructor":{"text":"d"}}}'],
    [
      'byKey.__proto__.child,byKey.*.text',
      '{"byKey":{"__proto__":{"text":"p","child":{"text":"c"}},"constructor":{"text":"d"}}}',
    ],
    ['byKey,byKey.constructor.text', body],
  ] as const) {
    const {status, text} = await send(`POST /tree?fields=${encodeURIComponent(mask)}`, {}, body)
    t.deepEqual([status, text], [200, expected], mask)
  }
  const nested = '{"byKey":{"a":{"byKey":{"__proto__":{"text":"p"}}}}}'
  const both = encodeURIComponent('byKey.a.byKey.b,byKey.*.byKey')
  t.is((await send(`POST /tree?fields=${both}`, {}, nested)).text, nested, 'of two masks for one value')
})

test.serial('fields= applies to the field of response_body', async (t) => {
  const body = JSON.stringify(tree)
  t.deepEqual((await send('POST /tree/nodes?fields=*.text', {}, body)).json, [{text: 'd'}, {}])
  t.deepEqual((await send('POST /tree/nodes?fields=text', {}, body)).json, [{text: 'd'}, {}])
  t.is((await send('POST /tree/nodes?fields=color.x', {}, body)).status, 400)
  t.is((await send('POST /tree/text?fields=*', {}, body)).status, 400)
})

for (const mask of [
  'nope',
  'title.x',
  'authors.nope',
  'authors.*.*.x',
  'title,',
  ',title',
  'title,,name',
  '.title',
  'title.',
  'authors(givenName',
  'authors)',
  'authors()',
  'title name',
  'a`b',
  `${'('.repeat(5000)}`,
  `${'authors('.repeat(200)}`,
  Array.from({length: 1500}, () => 'title').join(),
]) {
  test.serial(`fields=${mask.slice(0, 30)} is 400, and the service is not called`, async (t) => {
    const calls = app.backend.log.length
    const {status, json} = await send(`GET ${book}?fields=${encodeURIComponent(mask)}`)
    t.is(status, 400)
    t.is(json.error.details[0].fieldViolations[0].field, 'fields')
    t.is(app.backend.log.length, calls)
  })
}

// System parameters

test.serial('enums as numbers, and pretty-printed JSON', async (t) => {
  const compact = await send(`GET ${book}?alt=json`)
  t.deepEqual([compact.json.binding, compact.text.includes('\n')], ['HARDCOVER', false])
  for (const name of ['alt', '$alt']) t.is((await send(`GET ${book}?${name}=json;enum-encoding=int`)).json.binding, 2)
  for (const name of ['prettyPrint', '$prettyPrint']) {
    const {text, json} = await send(`GET ${book}?${name}=true`)
    t.is(text, JSON.stringify(json, null, 2))
    t.is((await send(`GET ${book}?${name}=false`)).text, compact.text)
  }
})

test.serial('alt decides the format of a stream', async (t) => {
  const array = await send('GET /watch?alt=json', {accept: 'text/event-stream'})
  t.deepEqual(array.json, [
    {text: 'a', color: 'GREEN'},
    {text: 'b', color: 'GREEN'},
  ])
  const events = await send('GET /watch?$alt=sse;enum-encoding=int&fields=color')
  t.is(events.headers.get('content-type'), 'text/event-stream')
  t.is(eventsIn(events.text).events[0]?.data, '{"color":1}')
  const lines = await send('GET /watch?prettyPrint=true&fields=text')
  t.is(lines.text.split('\n').length, 3)
  const pretty = eventsIn((await send('GET /watch?prettyPrint=true&alt=sse&fields=text')).text)
  t.is(pretty.events[0]?.data, '{\n  "text": "a"\n}')
  t.is((await send('GET /bytes?alt=media')).text, 'bytes')
  const media = await send('GET /watch?alt=media')
  t.is(media.status, 400)
  t.regex(media.json.error.message, /expected "json" or "sse"/)
})

test.serial('parameters without an effect are accepted, and neither logged nor sent', async (t) => {
  const call = library.next()
  const {status} = await send(`GET ${book}?key=SECRET&$userProject=SECRET&quotaUser=SECRET&$key=SECRET&$.xgafv=2`)
  t.is(status, 200)
  const {metadata} = (await call).context
  t.false(JSON.stringify(metadata.getMap()).includes('SECRET'))
  t.is((await send(`GET ${book}?key=SECRET&nope=SECRET`)).status, 400)
  t.deepEqual(
    records.filter((line) => line.includes('SECRET')),
    [],
  )
})

test.serial('a field with the same name has priority, except over the form with $', async (t) => {
  const {json} = await send('GET /own?key=k&alt=a&fields=f&prettyPrint=p')
  t.deepEqual(json, {key: 'k', alt: 'a', fields: 'f', prettyPrint: 'p'})
  t.deepEqual((await send('GET /own?key=k&alt=a&$fields=alt&$alt=json&$key=x')).json, {alt: 'a'})
})

for (const [query, field] of [
  ['nope=1', 'nope'],
  ['$nope=1', '$nope'],
  ['callback=f', 'callback'],
  ['access_token=x', 'access_token'],
  ['.xgafv=2', '.xgafv'],
  ['alt=xml', 'alt'],
  ['alt=sse', 'alt'],
  ['alt=media', 'alt'],
  ['$alt=json;enum-encoding=text', '$alt'],
  ['prettyPrint=1', 'prettyPrint'],
  ['fields=title&fields=name', 'fields'],
] as const) {
  test.serial(`${query} is 400, and the service is not called`, async (t) => {
    const calls = app.backend.log.length
    const {status, json} = await send(`GET ${book}?${query}`)
    t.deepEqual([status, json.error.details[0].fieldViolations[0].field], [400, field])
    t.is(app.backend.log.length, calls)
  })
}

// Created resources

test.serial('a created resource is 201, with its path in Location', async (t) => {
  const made = await send('POST /v1/shelves/1/books', {}, '{"title": "Emma"}')
  t.is(made.status, 201)
  const location = made.headers.get('location')!
  t.is(location, '/v1/shelves/1/books/Emma%201%3F')
  t.is((await send(`GET ${location}`)).json.name, 'shelves/1/books/Emma 1?')
  const thing = await send('POST /v2/things', {}, '{"name": "things/ä"}')
  t.deepEqual([thing.status, thing.headers.get('location')], [201, '/v2/things/%C3%A4'])
  const wrapped = await send('POST /v2/wrapped', {}, '{"name": "things/1"}')
  t.deepEqual([wrapped.status, wrapped.headers.get('location')], [201, '/v2/things/1'])
})

test.serial('a resource that is still being created, or is at no path of the service, has no location', async (t) => {
  const later = await send('POST /v2/later', {}, '{"name": "operations/1"}')
  t.deepEqual([later.status, later.headers.has('location')], [200, false])
  const short = await send('POST /v2/things', {}, '{"name": "thing"}')
  t.deepEqual([short.status, short.headers.has('location')], [200, false])
  for (const name of ['racks/1/books/2', 'shelves//books/2', 'shelves/1/books', 'shelves']) {
    using _ = library.handle({createBook: () => ({name})})
    const made = await send('POST /v1/shelves/1/books', {}, '{}')
    t.deepEqual([made.status, made.headers.has('location')], [200, false], name)
  }
})

test.serial('an answer without a name, and an answer of another method, is 200', async (t) => {
  t.is((await send('POST /v2/things', {}, '{}')).status, 200)
  const patched = await send(`PATCH ${book}`, {}, '{"title": "E"}')
  t.deepEqual([patched.status, patched.headers.has('location')], [200, false])
})

for (const [code, status] of [
  ['202', 202],
  ['204', 204],
  ['299', 299],
  ['200', 200],
  ['205', 200],
  ['206', 200],
  ['304', 200],
  ['404', 200],
  ['100', 200],
  ['2000', 200],
  ['x', 200],
] as const) {
  test.serial(`x-http-code: ${code} of the service is ${status}`, async (t) => {
    using _ = library.handle({
      getBook(_request: Any, context: CallContext) {
        const header = new Metadata()
        header.set('x-http-code', code)
        context.sendHeader(header)
        return {title: 'E'}
      },
    })
    const response = await send(`GET ${book}`)
    t.deepEqual([response.status, response.whole, response.text], [status, true, status === 204 ? '' : '{"title":"E"}'])
  })
}

test.serial('a status of the service has priority over 201, but not over 304', async (t) => {
  const answer = (_request: Any, context: CallContext) => {
    const header = new Metadata()
    header.set('x-http-code', '202')
    context.sendHeader(header)
    return emma
  }
  using _ = library.handle({getBook: answer, createBook: answer})
  const made = await send('POST /v1/shelves/1/books', {}, '{}')
  t.deepEqual([made.status, made.headers.get('location')], [202, book])
  t.is((await send(`GET ${book}`)).status, 202)
  t.is((await send(`GET ${book}`, {'if-none-match': '"v1"'})).status, 304)
})

test.serial('conventions apply with GATEWAY_TRAILERS=trailers too', async (t) => {
  const other = gateway(app.runtime, {descriptors: schema.path, trailers: 'trailers', created: true})
  const served = await app.serve(other)
  const ask = (path: string, init: RequestInit = {}) => fetch(`${served.url}${path}`, init)
  t.is((await ask(book, {headers: {'if-none-match': '"v1"'}})).status, 304)
  const headers = {'content-type': 'application/json'}
  const made = await ask('/v1/shelves/1/books', {method: 'POST', headers, body: '{"title": "E"}'})
  t.deepEqual([made.status, made.headers.get('etag')], [201, null])
  t.truthy(made.headers.get('location'))
})

// Pages

test.serial('Link has the next page, without the API key', async (t) => {
  const first = await send('GET /v1/shelves/1/books?pageSize=1&key=SECRET&page_token=x&$key=y')
  const [, next = ''] = /^<([^>]*)>; rel="next"$/.exec(first.headers.get('link') ?? '') ?? []
  t.is(next, '/v1/shelves/1/books?pageSize=1&pageToken=a%20b%26c')
  const {json} = await send(`GET ${next}`)
  t.is(json.books[1].name, 'shelves/1/books/a b&c')
  t.false((await send('GET /v1/shelves/1/books')).headers.has('link'))
  const odd = await send('GET /v1/shelves/<%C3%BC>/books?pageSize=1&fields=*')
  t.is(odd.headers.get('link'), '</v1/shelves/%3C%C3%BC%3E/books?pageSize=1&fields=*&pageToken=a%20b%26c>; rel="next"')
  const escaped = await send('GET /v1/shelves/1/books?pageSize=1&%24key=SECRET')
  t.is(escaped.headers.get('link'), '</v1/shelves/1/books?pageSize=1&pageToken=a%20b%26c>; rel="next"')
  for (const line of ['POST /pages', 'GET /pages/x']) {
    const other = await send(line, {}, line.startsWith('POST') ? '{}' : undefined)
    t.deepEqual([other.json, other.headers.has('link')], [{nextPageToken: 'n'}, false], line)
  }
})

// Routing

/** The routing header of the call that the request `line` causes. */
async function routingOf(service: HeldService, line: string, body?: string): Promise<unknown[]> {
  const call = service.next()
  await send(line, {}, body)
  return (await call).context.metadata.get('x-goog-request-params')
}

test.serial('the routing header has the variables of the path, percent-encoded', async (t) => {
  t.deepEqual(await routingOf(library, `GET ${book}`), ['name=shelves%2F1%2Fbooks%2Femma'])
  t.deepEqual(await routingOf(library, `PATCH ${book}`, '{}'), ['book.name=shelves%2F1%2Fbooks%2Femma'])
  t.deepEqual(await routingOf(more, "POST /route/a%20%C3%BC!*'()~&=/7", '{}'), [
    'path.name=a%20%C3%BC%21%2A%27%28%29~%26%3D&number=7',
  ])
  t.deepEqual(await routingOf(more, 'POST /v2/things', '{}'), [])
  t.deepEqual(await routingOf(more, `POST /route/${'%C3%A4'.repeat(1000)}/7`, '{}'), [])
})

for (const [body, expected] of [
  [{table: 'projects/1'}, 'routing_id=projects%2F1'],
  [{table: 'projects/1/x/y'}, 'routing_id=projects%2F1'],
  [
    {table: 'projects/1/instances/2/tables/3'},
    'routing_id=projects%2F1&table_name=projects%2F1%2Finstances%2F2%2Ftables%2F3',
  ],
  [{table: 'projects/1/instances/2'}, 'routing_id=projects%2F1&table_name=projects%2F1%2Finstances%2F2'],
  [{table: 'projects/1', profile: 'p'}, 'routing_id=p'],
  [{table: 'other/1', path: {name: 'n/m'}}, 'path.name=n%2Fm'],
  [{}, undefined],
] as const) {
  test.serial(`google.api.routing for ${JSON.stringify(body)}`, async (t) => {
    t.deepEqual(
      await routingOf(more, 'POST /explicit/7', JSON.stringify(body)),
      expected === undefined ? [] : [expected],
    )
  })
}

/** The routing header of a call by Connect, in JSON or protobuf. */
async function routingOfRpc(service: HeldService, name: string, message: Any, headers = {}): Promise<unknown[][]> {
  const [, typeName = '', methodName = ''] = /^(.*)\/(.*)$/.exec(name)!
  const {input} = schema.registry.getService(typeName)!.methods.find((one) => one.name === methodName)!
  const seen: unknown[][] = []
  for (const [type, body] of [
    ['application/json', JSON.stringify(message)],
    ['application/proto', toBinary(input, fromJson(input, message))],
    ['application/grpc-web+proto', envelope(toBinary(input, fromJson(input, message)))],
  ] as const) {
    const call = service.next()
    const init = {method: 'POST', headers: {...headers, 'content-type': type, 'connect-protocol-version': '1'}, body}
    await (await fetch(app.url(`/${name}`), init)).arrayBuffer()
    seen.push((await call).context.metadata.get('x-goog-request-params'))
  }
  return seen
}

const inEachForm = (value?: string) => Array.from({length: 3}, () => (value === undefined ? [] : [value]))

test.serial('Connect and gRPC-Web: the routing header has the fields in the path of the first rule', async (t) => {
  const name = 'shelves/1/books/emma'
  const asSaid = inEachForm('name=shelves%2F1%2Fbooks%2Femma')
  t.deepEqual(await routingOfRpc(library, 'library.Library/GetBook', {name}), asSaid)
  const others = {'x-goog-request-params': 'name=other'}
  t.deepEqual(await routingOfRpc(library, 'library.Library/GetBook', {name}, others), asSaid)
  t.deepEqual(
    await routingOfRpc(library, 'library.Library/UpdateBook', {book: {title: 'E', name}}),
    inEachForm('book.name=shelves%2F1%2Fbooks%2Femma'),
  )
  t.deepEqual(
    await routingOfRpc(more, 'more.More/Route', {number: -7, path: {name: 'a ü/b'}}),
    inEachForm('path.name=a%20%C3%BC%2Fb&number=-7'),
  )
  t.deepEqual(await routingOfRpc(more, 'more.More/Colored', {color: 'GREEN'}), inEachForm('color=GREEN'))
  t.deepEqual(await routingOfRpc(library, 'library.Library/GetBook', {}), inEachForm())
  // A message has no text that servers agree on.
  t.deepEqual(await routingOfRpc(more, 'more.More/Dated', {displayTime: '1970-01-01T00:00:01Z'}), inEachForm())
  t.deepEqual(await routingOfRpc(more, 'more.More/CreateThing', {name: 'n'}), inEachForm())
})

test.serial('Connect and gRPC-Web: google.api.routing has priority', async (t) => {
  const message = {table: 'projects/1/instances/2', profile: 'p', number: 1}
  t.deepEqual(
    await routingOfRpc(more, 'more.More/Explicit', message),
    inEachForm('routing_id=p&table_name=projects%2F1%2Finstances%2F2'),
  )
  t.deepEqual(await routingOfRpc(more, 'more.More/None', message), inEachForm())
})

test.serial('if a message arrives in two parts, the last value of a field is in the routing header', async (t) => {
  const {input} = schema.registry.getService('more.More')!.methods.find((one) => one.name === 'Route')!
  const part = (json: Any) => toBinary(input, fromJson(input, json))
  const body = Buffer.concat([part({path: {name: 'a'}, number: 1}), part({path: {name: 'b'}}), part({path: {}})])
  const call = more.next()
  const headers = {'content-type': 'application/proto', 'connect-protocol-version': '1'}
  await (await fetch(app.url('/more.More/Route'), {method: 'POST', headers, body})).arrayBuffer()
  t.deepEqual((await call).context.metadata.get('x-goog-request-params'), ['path.name=b&number=1'])
})

test.serial('an empty google.api.routing has no header, and a caller cannot set one', async (t) => {
  t.deepEqual(await routingOf(more, 'POST /none/7', '{}'), [])
  const call = library.next()
  await send(`GET ${book}`, {
    'grpc-metadata-x-goog-request-params': 'name=other',
    'x-goog-request-params': 'name=other',
  })
  t.deepEqual((await call).context.metadata.get('x-goog-request-params'), ['name=shelves%2F1%2Fbooks%2Femma'])
})

// OpenAPI

test.serial('/openapi.json describes the headers', async (t) => {
  const document = (await send('GET /openapi.json')).json
  t.deepEqual(await new Validator().validate(document), {valid: true})
  const {get, patch} = document.paths['/v1/shelves/{shelvesId}/books/{booksId}']
  const headersIn = ({parameters}: Any) =>
    parameters.filter((one: Any) => one.in === 'header').map(({name}: Any) => name)
  t.deepEqual(headersIn(get), ['If-None-Match'])
  t.deepEqual(Object.keys(get.responses), ['200', '304', 'default'])
  t.deepEqual(Object.keys(get.responses[200].headers), ['ETag'])
  t.deepEqual(headersIn(patch), ['If-Match'])
  t.deepEqual(Object.keys(patch.responses), ['200', '412', 'default'])
  const {get: list, post: create} = document.paths['/v1/shelves/{shelvesId}/books']
  t.deepEqual(Object.keys(list.responses[200].headers), ['Link'])
  t.deepEqual(Object.keys(create.responses), ['200', '201', 'default'])
  t.deepEqual(Object.keys(create.responses[201].headers).sort(), ['ETag', 'Location'])
})
