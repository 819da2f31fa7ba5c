import test from 'ava'
import {type PageMessage, pageSchema} from '../../src/console/schema.ts'
import {createTranscoder} from '../../src/transcoding/transcoder.ts'
import {buildSchema} from '../functions/gateway-schema.ts'

const proto = `syntax = "proto3";
package shop;
import "google/api/annotations.proto";
import "google/protobuf/timestamp.proto";
service Zoo { rpc Get(Item) returns (Item) { option (google.api.http) = {get: "/zoo"}; } }
service Old {
  option deprecated = true;
  rpc Get(Item) returns (Item) { option (google.api.http) = {get: "/old"}; }
}
// Sells items.
service Items {
  // Finds one.
  rpc Get(Item) returns (Item) {
    option (google.api.http) = {
      get: "/a%20b/{item_name=shelves/*}/items:find"
      additional_bindings {post: "/{parent.item_name}/x" body: "parent"}
      additional_bindings {custom: {kind: "*" path: "/any"}}
    };
  }
  rpc Drop(Item) returns (Item) { option deprecated = true; option (google.api.http) = {delete: "/items"}; }
}
message Item {
  string item_name = 1;
  Item parent = 2;
  optional int32 count = 3;
  repeated string tags = 4;
  map<int64, Colour> colours = 5;
  google.protobuf.Timestamp time = 6;
  oneof either { string text = 7; bool flag = 8; }
  bool old = 9 [deprecated = true];
}
enum Colour { COLOUR_UNSPECIFIED = 0; RED = 1; }
`

const schema = buildSchema({'shop.proto': proto})
test.after.always(() => schema[Symbol.dispose]())
const {bindings} = createTranscoder({schema: schema.registry})
const page = pageSchema(bindings, {title: 'Shop', version: '2', webSocket: true, functions: [{path: '/ping'}]})
const [items, old, zoo] = page.services

test('services are sorted, and what is deprecated is marked, by its service too', (t) => {
  t.deepEqual(
    [items, old, zoo].map((service) => [service?.name, service?.methods.map(({deprecated}) => deprecated)]),
    [
      ['shop.Items', [false, true]],
      ['shop.Old', [true]],
      ['shop.Zoo', [false]],
    ],
  )
  t.deepEqual([items?.comment, items?.methods[0]?.comment], ['Sells items.', 'Finds one.'])
})

test('a path is in pieces: encoded text, variables with their patterns, and the verb', (t) => {
  const {bindings} = items!.methods[0]!
  const any = bindings.filter(({path}) => path.join() === '/any')
  t.deepEqual(
    bindings.find(({path}) => path[0] === '/a%20b/'),
    {
      method: 'GET',
      path: ['/a%20b/', {field: 'itemName', pattern: 'shelves/*'}, '/items:find'],
      body: '',
      reads: 'nothing',
    },
  )
  t.deepEqual(
    bindings.find(({path}) => path.at(-1) === '/x'),
    {
      method: 'POST',
      path: ['/', {field: 'parent.itemName', pattern: '*'}, '/x'],
      body: 'parent',
      reads: 'message',
    },
  )
  t.true(any.length > 1, 'one for each HTTP method')
})

test('a field says what its form needs', (t) => {
  const item = page.types['shop.Item'] as PageMessage
  const field = (name: string) => item.fields.find((one) => one.name === name)
  t.like(field('item_name'), {json: 'itemName', type: 'string', optional: false, required: false, deprecated: false})
  t.like(field('parent'), {type: 'message', of: 'shop.Item', optional: false})
  t.like(field('count'), {type: 'int32', optional: true})
  t.like(field('tags'), {type: 'string', many: 'list', optional: false})
  t.like(field('colours'), {type: 'enum', of: 'shop.Colour', many: 'map', key: 'int64'})
  t.like(field('time'), {type: 'message', of: 'google.protobuf.Timestamp'})
  t.like(field('text'), {oneof: 'either', optional: false})
  t.like(field('old'), {deprecated: true})
  t.deepEqual(Object.keys(page.types).sort(), ['shop.Colour', 'shop.Item'], 'a Timestamp has an input of its own')
  t.deepEqual(page.types['shop.Colour'], {
    comment: '',
    values: [
      {name: 'COLOUR_UNSPECIFIED', comment: ''},
      {name: 'RED', comment: ''},
    ],
  })
})
