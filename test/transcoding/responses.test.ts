import {create, fromJson, type JsonValue} from '@bufbuild/protobuf'
import test from 'ava'
import {httpStatusOf} from '../../src/http/response/failure.ts'
import {caught, encodeMessage, encodeResponse, registry, transcode} from './schema.ts'

const every = registry.getMessage('every.Every')!

function answer(response: string, message: JsonValue) {
  const transcoder = transcode([{get: '/a', response}])
  return encodeResponse(transcoder, transcoder.bindings[0]!, fromJson(every, message, {registry}))
}

test('a read mask is by names of the proto or of JSON, whichever the answer has', (t) => {
  for (const [fieldNames, name] of [
    ['json', 'int64Value'],
    ['proto', 'int64_value'],
  ] as const) {
    const transcoder = transcode([{get: '/a'}], {fieldNames})
    const match = transcoder.route('GET', '/a')
    if ('status' in match) return t.fail()
    const message = fromJson(every, {name: 'a', int64Value: '5', labels: {a: 'b'}}, {registry})
    for (const query of ['$fields=int64Value', '$fields=int64_value']) {
      const {response} = transcoder.exchange(match, {headers: {}, query, hasBody: false})!
      t.is(response.body === 'whole' && response.encode(message).body, `{"${name}":"5"}`)
    }
  }
})

/** `response_body: "f"`: the field, a response message, and the whole answer. */
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
  ['choice_child', {choiceChild: {name: 'a'}}, '{"name":"a"}'],
  ['choice_child', {choiceText: 'a'}, 'null'],
  ['null_value', {}, 'null'],
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
  t.deepEqual(encodeResponse(transcoder, binding!, create(httpBody, {contentType: 'image/png', data})), {
    contentType: 'image/png',
    body: data,
  })
  t.is(encodeResponse(transcoder, binding!, create(httpBody, {data})).contentType, 'application/octet-stream')
})

test('HttpBody as a field of the response: raw by response_body, otherwise JSON', (t) => {
  const message = {file: {contentType: 'text/plain', data: 'YQ=='}}
  t.deepEqual(answer('file', message), {contentType: 'text/plain', body: Uint8Array.of(0x61)})
  t.deepEqual(answer('', message), {
    contentType: 'application/json',
    body: '{"file":{"contentType":"text/plain","data":"YQ=="}}',
  })
  t.deepEqual(answer('file', {}), {contentType: 'application/octet-stream', body: new Uint8Array()})
})

/** `response_body: "f"` of every.Answer: the field, a response message, and the whole answer as text. */
const others: [field: string, message: JsonValue, contentType: string, body: string][] = [
  ['file', {file: {contentType: 'text/plain', data: 'YQ=='}}, 'text/plain', 'a'],
  ['file', {text: 'a'}, 'application/octet-stream', ''],
  ['file', {}, 'application/octet-stream', ''],
  ['child', {child: {age: 1}}, 'application/json', '{"age":1}'],
  ['child', {text: 'a'}, 'application/json', 'null'],
  ['constructor', {constructor: 'a'}, 'application/json', '"a"'],
  ['constructor', {}, 'application/json', '""'],
  ['nulls', {nulls: [null]}, 'application/json', '[null]'],
]

for (const [response, message, contentType, body] of others) {
  test(`response_body: "${response}" of an Answer: ${JSON.stringify(message)} → ${contentType} ${body}`, (t) => {
    const transcoder = transcode([{get: '/a', response, output: 'every.Answer'}])
    const encoded = encodeResponse(
      transcoder,
      transcoder.bindings[0]!,
      fromJson(registry.getMessage('every.Answer')!, message),
    )
    t.is(encoded.contentType, contentType)
    t.is(Buffer.from(encoded.body as string).toString(), body)
  })
}

test('response_body needs the JSON of its own field, and of required fields, and of no others', (t) => {
  const one = transcode([{get: '/a', response: 'child'}])
  const message = create(every, {any: {typeUrl: 'x/nope.Nope', value: new Uint8Array()}, child: {name: 'a'}})
  t.is(encodeMessage(one, one.bindings[0]!, message), '{"name":"a"}')
  const old = transcode([{get: '/a', response: 'count', output: 'every.Old'}])
  const desc = registry.getMessage('every.Old')!
  t.is(encodeMessage(old, old.bindings[0]!, create(desc, {id: 'a', count: 1})), '1')
})

test('a message that cannot be encoded as JSON is our error, not the caller’s', (t) => {
  const transcoder = transcode([{get: '/a'}])
  const message = create(every, {any: {typeUrl: 'x/nope.Nope', value: new Uint8Array()}})
  const fault = caught(() => encodeMessage(transcoder, transcoder.bindings[0]!, message))
  t.is(fault.message, 'Cannot write the answer of bound.Bound/M0 as JSON')
  t.is(httpStatusOf(fault), 500)
})
