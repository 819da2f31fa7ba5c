import {create, fromJson, type JsonValue} from '@bufbuild/protobuf'
import test from 'ava'
import {caught, registry, transcode} from './schema.ts'

const every = registry.getMessage('every.Every')!

function answer(response: string, message: JsonValue) {
  const transcoder = transcode([{get: '/a', response}])
  return transcoder.encodeResponse(transcoder.bindings[0]!, fromJson(every, message, {registry}))
}

/** `response_body: "f"`: the field, a response, and the whole answer. */
const answers: [field: string, message: JsonValue, body: string][] = [
  ['', {name: 'a', int64Value: '5', color: 'RED', child: {}}, '{"name":"a","int64Value":"5","color":"RED","child":{}}'],
  ['', {}, '{}'],
  ['', {color: 77, mask: 'aB.c'}, '{"color":77,"mask":"aB.c"}'],
  ['child', {child: {name: 'a'}}, '{"name":"a"}'],
  ['child', {}, 'null'],
  ['names', {names: ['a', 'b']}, '["a","b"]'],
  ['names', {}, '[]'],
  ['children', {children: [{age: 1}, {}]}, '[{"age":1},{}]'],
  ['longs', {longs: ['9007199254740993']}, '["9007199254740993"]'],
  ['labels', {labels: {a: 'b'}}, '{"a":"b"}'],
  ['labels', {}, '{}'],
  ['name', {name: 'a'}, '"a"'],
  ['name', {}, '""'],
  ['flag', {flag: true}, 'true'],
  ['flag', {}, 'false'],
  ['int32_value', {}, '0'],
  ['int64_value', {int64Value: '9007199254740993'}, '"9007199254740993"'],
  ['int64_value', {}, '"0"'],
  ['double_value', {doubleValue: 'NaN'}, '"NaN"'],
  ['double_value', {}, '0'],
  ['data', {data: '_w'}, '"/w=="'],
  ['data', {}, '""'],
  ['color', {color: 'RED'}, '"RED"'],
  ['color', {}, '"COLOR_UNSPECIFIED"'],
  ['maybe_number', {maybeNumber: 0}, '0'],
  ['maybe_number', {}, 'null'],
  ['choice_text', {choiceText: 'a'}, '"a"'],
  ['choice_text', {choiceLong: '1'}, 'null'],
  ['string_wrapper', {stringWrapper: ''}, '""'],
  ['string_wrapper', {}, 'null'],
  ['time', {time: '2024-02-29T00:00:00Z'}, '"2024-02-29T00:00:00Z"'],
  ['struct', {struct: {a: [null]}}, '{"a":[null]}'],
  ['value', {value: null}, 'null'],
  [
    'any',
    {any: {'@type': 'type.googleapis.com/every.Child', age: 1}},
    '{"age":1,"@type":"type.googleapis.com/every.Child"}',
  ],
]

for (const [field, message, body] of answers) {
  test(`response_body: "${field}": ${JSON.stringify(message)} → ${body}`, (t) => {
    t.deepEqual(answer(field, message), {contentType: 'application/json', body})
  })
}

test('HttpBody as response: its bytes and its type', (t) => {
  const transcoder = transcode([{get: '/a', output: 'google.api.HttpBody'}])
  const [binding] = transcoder.bindings
  const httpBody = registry.getMessage('google.api.HttpBody')!
  const data = Uint8Array.of(0xff)
  t.deepEqual(transcoder.encodeResponse(binding!, create(httpBody, {contentType: 'image/png', data})), {
    contentType: 'image/png',
    body: data,
  })
  t.is(transcoder.encodeResponse(binding!, create(httpBody, {data})).contentType, 'application/octet-stream')
})

test('HttpBody as a field of the response: raw by response_body, JSON without', (t) => {
  const message = {file: {contentType: 'text/plain', data: 'YQ=='}}
  t.deepEqual(answer('file', message), {contentType: 'text/plain', body: Uint8Array.of(0x61)})
  t.deepEqual(answer('', message), {
    contentType: 'application/json',
    body: '{"file":{"contentType":"text/plain","data":"YQ=="}}',
  })
  t.deepEqual(answer('file', {}), {contentType: 'application/octet-stream', body: new Uint8Array()})
})

test('a message that has no JSON is our failure, not the caller’s', (t) => {
  const transcoder = transcode([{get: '/a'}])
  const message = create(every, {any: {typeUrl: 'x/nope.Nope', value: new Uint8Array()}})
  const fault = caught(() => transcoder.encodeMessage(transcoder.bindings[0]!, message))
  t.like(fault, {http: 500, message: 'Cannot write the answer of bound.Bound.M0 as JSON'})
})
