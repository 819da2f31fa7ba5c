import test from 'ava'
import {httpStatusOf} from '../../src/http/response/failure.ts'
import {exactInteger, parseJson} from '../../src/transcoding/json/text.ts'
import {ValueCount} from '../../src/transcoding/value-count.ts'
import {caught, decode, decodeJson, fieldOf, refusal, transcode} from './schema.ts'

const transcoder = transcode([
  {post: '/every', body: '*'},
  {post: '/old', body: '*', input: 'every.Old'},
  {post: '/modern', body: '*', input: 'every.Modern'},
  {post: '/struct', body: '*', input: 'google.protobuf.Struct'},
  {post: '/value', body: '*', input: 'google.protobuf.Value'},
  {post: '/list', body: '*', input: 'google.protobuf.ListValue'},
  {post: '/long', body: '*', input: 'google.protobuf.Int64Value'},
  {post: '/time', body: '*', input: 'google.protobuf.Timestamp'},
  {post: '/empty', body: '*', input: 'google.protobuf.Empty'},
  {get: '/nobody'},
])

const big = '9007199254740993'
const any = 'type.googleapis.com/every.Child'

/** Bodies in ProtoJSON, and the message, in proto3 JSON. It is the same object if left out. */
const taken: [key: string, body: string, message?: object][] = [
  ['nothing', '{}'],
  ['white space', ' \t\r\n{ "name" : "a" } \n', {name: 'a'}],
  ['empty body with "*"', '', {}],
  ['64-bit integers as strings', `{"int64Value":"${big}","uint64Value":"18446744073709551615"}`],
  ['64-bit numbers without loss', `{"int64Value":${big}}`, {int64Value: big}],
  [
    '64-bit numbers without loss',
    `{"int64_value":-${big},"fixed64Value":${big}}`,
    {int64Value: `-${big}`, fixed64Value: big},
  ],
  ['64-bit numbers without loss', '{"uint64Value":18446744073709551615}', {uint64Value: '18446744073709551615'}],
  ['64-bit numbers without loss', '{"int64Value":9223372036854775807}', {int64Value: '9223372036854775807'}],
  ['64-bit numbers without loss: nested', `{"child":{"child":{"longId":${big}}}}`, {child: {child: {longId: big}}}],
  ['64-bit numbers without loss: repeated', `{"longs":[1,${big},"2"]}`, {longs: ['1', big, '2']}],
  ['64-bit numbers without loss: maps', `{"longMap":{"a":${big}}}`, {longMap: {a: big}}],
  [
    '64-bit numbers without loss: maps of messages',
    `{"childMap":{"1":{"longId":${big}}}}`,
    {childMap: {1: {longId: big}}},
  ],
  ['64-bit numbers without loss: repeated messages', `{"children":[{"longId":${big}}]}`, {children: [{longId: big}]}],
  ['64-bit numbers without loss: wrappers', `{"int64Wrapper":${big}}`, {int64Wrapper: big}],
  ['64-bit numbers without loss: wrappers', `{"longWrappers":[${big}]}`, {longWrappers: [big]}],
  ['64-bit numbers without loss: oneofs', `{"choiceLong":${big}}`, {choiceLong: big}],
  ['64-bit numbers without loss: jstype', `{"textLong":${big}}`, {textLong: big}],
  [
    '64-bit numbers without loss: Any',
    `{"any":{"@type":"${any}","longId":${big}}}`,
    {any: {'@type': any, longId: big}},
  ],
  [
    '64-bit numbers without loss: Any of a wrapper',
    `{"any":{"@type":"type.googleapis.com/google.protobuf.Int64Value","value":${big}}}`,
    {any: {'@type': 'type.googleapis.com/google.protobuf.Int64Value', value: big}},
  ],
  ['64-bit numbers without loss: exponents', '{"int64Value":1234567890123e6}', {int64Value: '1234567890123000000'}],
  ['64-bit numbers without loss: exponents', '{"int64Value":9.007199254740993e15}', {int64Value: big}],
  ['64-bit numbers without loss: fractions', '{"int64Value":9007199254740993.0}', {int64Value: big}],
  [
    'Struct and Value are doubles',
    `{"struct":{"a":${big},"b":[${big}]}}`,
    {struct: {a: 9007199254740992, b: [9007199254740992]}},
  ],
  [
    'Struct and Value are doubles',
    `{"value":${big},"values":[${big}]}`,
    {value: 9007199254740992, values: [9007199254740992]},
  ],
  [
    'Struct and Value are doubles',
    `{"list":[${big}],"valueMap":{"a":${big}}}`,
    {list: [9007199254740992], valueMap: {a: 9007199254740992}},
  ],
  [
    'doubles stay doubles',
    `{"doubleValue":${big},"floatValue":16777217000000000}`,
    {doubleValue: 9007199254740992, floatValue: 16777217000000000},
  ],
  ['doubles', '{"doubleValue":"NaN","floatValue":"-Infinity"}'],
  ['doubles', '{"doubleValue":"1.5e3"}', {doubleValue: 1500}],
  [
    '32-bit integers in strings',
    '{"int32Value":"-5","uint32Value":"4294967295","sint32Value":"1e2"}',
    {int32Value: -5, uint32Value: 4294967295, sint32Value: 100},
  ],
  [
    '64-bit integers as whole floats, in a string too',
    '{"int64Value":"1e2","uint64Value":1.5e1,"longs":["-1.0","0e99"],"int64Wrapper":"2E1","longMap":{"a":"1e18"}}',
    {int64Value: '100', uint64Value: '15', longs: ['-1', '0'], int64Wrapper: '20', longMap: {a: '1000000000000000000'}},
  ],
  ['white space alone', ' \r\n\t', {}],
  ['32-bit integers as whole floats', '{"int32Value":1.0,"numbers":[1e2]}', {int32Value: 1, numbers: [100]}],
  ['proto names', '{"int32_value":1,"renamed":"a"}', {int32Value: 1, otherName: 'a'}],
  ['`null` is unset', '{"name":null,"child":null,"names":null,"labels":null,"color":null,"stringWrapper":null}', {}],
  ['`null` is unset: in a oneof', '{"choiceText":null,"choiceChild":null,"choiceLong":1}', {choiceLong: '1'}],
  ['`null` is a Value', '{"value":null,"values":[null],"valueMap":{"a":null}}'],
  ['`null` is a Value: in a oneof', '{"choiceValue":null}'],
  ['enum numbers are kept', '{"color":77,"colors":[1,"GREEN"]}', {color: 77, colors: ['RED', 'GREEN']}],
  ['FieldMask in lowerCamelCase', '{"mask":"a.bC,d"}'],
  ['FieldMask with `*`', '{"mask":"*"}'],
  ['FieldMask with `*`', '{"mask":"a.*.bC"}'],
  ['Timestamp, Duration', '{"time":"2024-02-29T00:00:00Z","duration":"-1.500s"}'],
  ['bytes in base64 and base64url', '{"data":"-_8","datas":["+/8=",""]}', {data: '+/8=', datas: ['+/8=', '']}],
  ['maps', '{"labels":{"a":"b","__proto__":"c"},"colorMap":{"true":"RED"}}'],
  ['an empty message is present', '{"child":{},"empty":{}}'],
  ['optional zeroes are present', '{"maybeName":"","maybeNumber":0}'],
  ['wrappers', '{"stringWrapper":"","int32Wrapper":0,"boolWrapper":false,"bytesWrapper":"AQ=="}'],
  ['Any of a well-known type', '{"any":{"@type":"type.googleapis.com/google.protobuf.Duration","value":"1s"}}'],
  ['Any, empty', '{"any":{}}'],
  ['the same key in two objects', '{"child":{"name":"a","child":{"name":"b"}},"name":"c"}'],
  ['escapes', '{"n\\u0061me":"\\ud83d\\ude00\\n"}', {name: '😀\n'}],
  ['numbers inside of strings', `{"name":"${big}"}`],
]

for (const [key, body, message] of taken) {
  test(`json: ${key}: ${body}`, (t) => {
    t.deepEqual(decodeJson(transcoder, 'POST', '/every', body), (message ?? JSON.parse(body)) as never)
  })
}

/** Bodies that are 400: the body, the field or place that the error names, and a part of its text. */
const refused: [key: string, body: string | Uint8Array, field: string, text: string][] = [
  ['unknown enum names', '{"color":"BLUE"}', 'color', 'expected a name or number of every.Color, got "BLUE"'],
  ['unknown enum names', '{"children":[],"colors":["RED","BLUE"]}', 'colors[1]', 'got "BLUE"'],
  ['unknown enum names', '{"colorMap":{"true":"BLUE"}}', 'colorMap["true"]', 'got "BLUE"'],
  ['duplicate keys', '{"name":"a","name":"a"}', 'body', 'the key "name" is there twice'],
  ['duplicate keys', '{"name":"a","n\\u0061me":"b"}', 'body', 'the key "name" is there twice'],
  ['duplicate keys', '{"child":{"age":1,"age":2}}', 'body', 'the key "age" is there twice'],
  ['duplicate keys', '{"struct":{"a":[{"b":1,"b":2}]}}', 'body', 'the key "b" is there twice'],
  [
    'duplicate keys: behind a nested value',
    '{"child":{},"name":"a","name":"b"}',
    'body',
    'the key "name" is there twice',
  ],
  ['duplicate keys: behind a nested value', '{"children":[{}],"name":"a","name":"b"}', 'body', '"name" is there twice'],
  [
    'duplicate keys: behind a nested value',
    '{"child":{"child":{}},"child":{}}',
    'body',
    'the key "child" is there twice',
  ],
  ['duplicate keys', '{"labels":{"a":"1","a":"2"}}', 'body', 'the key "a" is there twice'],
  [
    'duplicate keys: both names of a field',
    '{"int32Value":1,"int32_value":1}',
    'int32_value',
    'by its proto name and its JSON name',
  ],
  ['duplicate keys: both names of a field', '{"int32Value":null,"int32_value":1}', 'int32_value', 'by its proto name'],
  ['duplicate keys: of a map', '{"childMap":{"1":{},"01":{}}}', 'body', 'duplicate map key'],
  ['two members of a oneof', '{"choiceText":"a","choiceLong":1}', 'choiceLong', '"choice_text" is set too'],
  ['FieldMask in lowerCamelCase', '{"mask":"display_name"}', 'mask', 'expected paths in lowerCamelCase'],
  ['unknown fields', '{"nope":1}', 'nope', 'every.Every has no such field'],
  ['unknown fields', '{"child":{"child":{"nope":1}}}', 'child.child.nope', 'every.Child has no such field'],
  ['unknown fields', '{"children":[{},{"nope":1}]}', 'children[1].nope', 'has no such field'],
  ['unknown fields', '{"childMap":{"7":{"nope":1}}}', 'childMap["7"].nope', 'has no such field'],
  ['unknown fields', '{"__proto__":{}}', '__proto__', 'has no such field'],
  ['unknown fields', '{"[every.weight]":1}', '[every.weight]', 'has no such field'],
  ['trailing data', '{} {}', 'body', 'Cannot read the body as JSON'],
  ['trailing data', '{"name":"a"}x', 'body', 'Cannot read the body as JSON'],
  ['a top-level null', 'null', 'body', 'expected a value, got null'],
  ['a byte order mark', '\ufeff{}', 'body', 'a byte order mark'],
  ['a byte order mark', new TextEncoder().encode('\ufeff{}'), 'body', 'a byte order mark'],
  ['invalid UTF-8', Uint8Array.of(0x22, 0xff, 0x22), 'body', 'it is not UTF-8'],
  ['malformed', '{', 'body', 'Cannot read the body as JSON'],
  ['malformed', '{\u00a0}', 'body', 'Cannot read the body as JSON'],
  ['malformed', "{'a':1}", 'body', 'Cannot read the body as JSON'],
  ['malformed', '{"name":"a",}', 'body', 'Cannot read the body as JSON'],
  ['malformed', '{"doubleValue":NaN}', 'body', 'Cannot read the body as JSON'],
  ['not an object', '[]', 'body', 'expected every.Every, got an array'],
  ['not an object', '"a"', 'body', 'expected every.Every, got "a"'],
  ['not an object', '{"child":1}', 'child', 'expected every.Child, got 1'],
  ['types', '{"name":1}', 'name', 'expected a string, got 1'],
  ['types', `{"name":${big}}`, 'name', 'expected a string'],
  ['types', '{"flag":"true"}', 'flag', 'expected true or false, got "true"'],
  ['types', '{"flag":1}', 'flag', 'expected true or false'],
  ['types', '{"names":"a"}', 'names', 'expected an array, got "a"'],
  ['types', '{"names":[null]}', 'names[0]', 'expected a value, got null'],
  ['types', '{"labels":[]}', 'labels', 'expected a map, as an object'],
  ['types', '{"labels":{"a":null}}', 'labels["a"]', 'expected a value'],
  ['types', '{"childMap":{"x":{}}}', 'childMap["x"]', 'as key, got "x"'],
  ['types', '{"colorMap":{"yes":1}}', 'colorMap["yes"]', 'true or false as key'],
  ['types', '{"data":"***"}', 'data', 'expected base64'],
  ['types', '{"data":[1]}', 'data', 'expected base64 or base64url, got an array'],
  ['types', '{"struct":[]}', 'struct', 'expected an object'],
  ['types', '{"list":{}}', 'list', 'expected an array'],
  ['types', '{"name":"\\ud800"}', 'name', 'expected a string'],
  ['ranges', '{"int32Value":2147483648}', 'int32Value', 'expected an integer from -2147483648'],
  ['ranges', '{"uint32Value":-1}', 'uint32Value', 'expected an integer from 0'],
  ['ranges', '{"int32Value":1.5}', 'int32Value', 'expected an integer'],
  ['ranges', '{"int64Value":1.5}', 'int64Value', 'expected an integer of 64 bits'],
  ['ranges', '{"int64Value":9223372036854775808}', 'int64Value', 'expected an integer of 64 bits'],
  ['ranges', '{"int64Value":1e400}', 'int64Value', 'expected an integer of 64 bits'],
  ['ranges', '{"int64Value":123456789012345678901234567890}', 'int64Value', 'expected an integer of 64 bits'],
  ['ranges', '{"duration":"315576000001s"}', 'duration', 'expected seconds such as'],
  ['ranges', '{"time":"0001-01-01T00:00:00+01:00"}', 'time', 'expected a time such as'],
  ['ranges', '{"time":"9999-12-31T23:59:59-01:00"}', 'time', 'expected a time such as'],
  ['ranges', '{"time":"0000-12-31T00:00:00Z"}', 'time', 'expected a time such as'],
  ['ranges', '{"uint64Value":-1}', 'uint64Value', 'expected a positive integer'],
  ['ranges', '{"floatValue":1e39}', 'floatValue', 'expected a number of 32 bits'],
  ['ranges', '{"doubleValue":1e999}', 'doubleValue', 'expected a number'],
  ['ranges', '{"value":1e999}', 'value', 'expected a finite number'],
  ['ranges', '{"color":2147483648}', 'color', 'expected a name or number'],
  ['ranges', '{"int64Value":"1e19"}', 'int64Value', 'expected an integer of 64 bits'],
  ['ranges', '{"int64Value":"1e-1"}', 'int64Value', 'expected an integer of 64 bits'],
  ['ranges', '{"uint32Value":"1e99999999999"}', 'uint32Value', 'expected an integer from 0'],
  ['types', '{"childMap":{"1e1":{}}}', 'childMap["1e1"]', 'as key, got "1e1"'],
  ['what protobuf-es would take: hex', '{"int32Value":"0x10"}', 'int32Value', 'expected an integer'],
  ['what protobuf-es would take: white space', '{"int64Value":" "}', 'int64Value', 'expected an integer'],
  ['what protobuf-es would take: a tail', '{"duration":"1s or so"}', 'duration', 'expected seconds'],
  ['what protobuf-es would take: 30 February', '{"time":"2023-02-30T00:00:00Z"}', 'time', 'expected a time'],
  ['what protobuf-es would take: space in base64', '{"data":"AQ ="}', 'data', 'expected base64'],
  ['Any of an unknown type', '{"any":{"@type":"x/nope.Nope"}}', 'any.@type', 'the URL of a type that is served here'],
  ['Any without a type', '{"any":{"name":"a"}}', 'any.@type', 'the URL of a type'],
  ['Any', `{"any":{"@type":"${any}","nope":1}}`, 'any.nope', 'has no such field'],
  [
    'Any: beside `value`',
    '{"any":{"@type":"x/google.protobuf.Duration","value":"1s","x":1}}',
    'any.x',
    'google.protobuf.Duration has no such field',
  ],
]

for (const [key, body, field, text] of refused) {
  test(`json: ${key}: ${body} is 400`, (t) => {
    const [name, message] = refusal(transcoder, 'POST', '/every', body)
    t.is(name, field)
    t.true(message.includes(text), message)
  })
}

/**
 * Whole messages of types with a JSON form of their own, and of proto2 and editions: path, body, and the JSON or the field that
 * the error names.
 */
const others: [path: string, body: string, outcome: unknown][] = [
  ['/struct', `{"a":${big},"b":null}`, {a: 9007199254740992, b: null}],
  ['/struct', '[]', new Error('body')],
  ['/value', '[1,"a",null]', [1, 'a', null]],
  ['/value', 'null', new Error('body')],
  ['/list', '[[1]]', [[1]]],
  ['/list', '{}', new Error('body')],
  ['/long', big, big],
  ['/long', `"${big}"`, big],
  ['/long', '1.5', new Error('body')],
  ['/time', '"2024-02-29T00:00:00Z"', '2024-02-29T00:00:00Z'],
  ['/empty', '{}', {}],
  ['/empty', '{"a":1}', new Error('a')],
  ['/old', '{"id":"a","count":0,"size":"SMALL"}', {id: 'a', count: 0, size: 'SMALL'}],
  ['/old', '{"id":"a","size":5}', new Error('size')],
  ['/old', '{"count":1}', new Error('id')],
  ['/old', '{"id":"a","parts":[{"id":"b"},{}]}', new Error('parts[1].id')],
  ['/old', `{"id":"a","[every.weight]":${big}}`, {id: 'a', '[every.weight]': big}],
  ['/old', '{"id":"a","[every.nope]":1}', new Error('[every.nope]')],
  [
    '/modern',
    '{"name":"","implicitNumber":0,"part":{"name":"a"},"shape":"ROUND"}',
    {name: '', part: {name: 'a'}, shape: 'ROUND'},
  ],
  ['/modern', '{"shape":9}', new Error('shape')],
]

for (const [path, body, outcome] of others) {
  test(`json: POST ${path} ${body}`, (t) => {
    if (outcome instanceof Error) t.is(refusal(transcoder, 'POST', path, body)[0], outcome.message)
    else t.deepEqual(decodeJson(transcoder, 'POST', path, body), outcome as never)
  })
}

/** A body of `depth` levels, for each kind of nesting. */
const nests: [name: string, nest: (depth: number) => string][] = [
  ['messages', (depth) => `{"child":${'{"child":'.repeat(depth - 2)}{}${'}'.repeat(depth - 2)}}`],
  ['arrays in a Value', (depth) => `{"value":${'['.repeat(depth - 1)}${']'.repeat(depth - 1)}}`],
  ['objects in a Struct', (depth) => `{"struct":${'{"a":'.repeat(depth - 2)}{"a":1}${'}'.repeat(depth - 2)}}`],
]

for (const [name, nest] of nests) {
  test(`json: 100 levels of ${name} are read, 101 refused`, (t) => {
    t.notThrows(() => decode(transcoder, 'POST', '/every', nest(100)))
    t.deepEqual(refusal(transcoder, 'POST', '/every', nest(101)), [
      'body',
      'Cannot read the body as JSON: it nests deeper than 100 levels',
    ])
    t.is(refusal(transcoder, 'POST', '/every', nest(200_000))[0], 'body')
  })
}

test('json: five nested Anys are read, six refused: each is a copy of all that is in it', (t) => {
  const type = '"@type":"type.googleapis.com/every.Every"'
  const nested = (anys: number) =>
    `{"any":${`{${type},"any":`.repeat(anys - 1)}{${type},"name":"a"}${'}'.repeat(anys - 1)}}`
  t.notThrows(() => decode(transcoder, 'POST', '/every', nested(5)))
  t.is(refusal(transcoder, 'POST', '/every', nested(6))[0], 'any.any.any.any.any.any')
})

test('json: GATEWAY_IGNORE_UNKNOWN=true ignores only unknown fields', (t) => {
  const lenient = transcode([{post: '/every', body: '*'}], {ignoreUnknown: true})
  const body = `{"nope":{"a":[${big}]},"child":{"nope":1,"name":"a"},"[every.weight]":1}`
  t.deepEqual(decodeJson(lenient, 'POST', '/every', body), {child: {name: 'a'}})
  const duration = {'@type': 'type.googleapis.com/google.protobuf.Duration', value: '1s'}
  t.deepEqual(decodeJson(lenient, 'POST', '/every', JSON.stringify({any: {...duration, x: 1}})), {any: duration})
  t.is(refusal(lenient, 'POST', '/every', '{"color":"BLUE"}')[0], 'color')
  t.is(refusal(lenient, 'POST', '/every', '{"nope":1,"nope":2}')[0], 'body')
})

test('no `body`: a request with a body is 400', (t) => {
  const texts = ['{"a":1}', '{"name":"a"}', '[]', 'null', '""', '0', '{', '}', '{}}', '{}{}', '{{}}', '\ufeff{}', 'a=b']
  for (const text of [...texts, ' '.repeat(1025), '{}\0']) {
    const [field, message] = refusal(transcoder, 'GET', '/nobody', text)
    t.deepEqual([field, message], ['body', 'Cannot read a body: get: "/nobody" takes none'], text)
  }
  for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'application/json; charset=latin1']) {
    t.is(refusal(transcoder, 'GET', '/nobody', '{}', type)[0], 'body', type)
  }
})

test('no `body`: an empty object or white space is accepted', (t) => {
  for (const text of ['', '{}', ' { \r\n\t} ', ' ']) {
    for (const type of [undefined, '', 'application/json', 'Application/JSON; charset="utf-8"']) {
      t.deepEqual(decodeJson(transcoder, 'GET', '/nobody', text, type), {}, `${type}: ${text}`)
    }
  }
  for (const text of ['', '\n']) t.deepEqual(decodeJson(transcoder, 'GET', '/nobody', text, 'image/png'), {}, text)
})

/** `body: "f"` for each kind of field: the field, a body, a body that is 400, and the JSON, if it is not that of the body. */
const kinds: [field: string, body: string, refused: string, json?: unknown][] = [
  ['child', '{"name":"a"}', '[]'],
  ['children', '[{"name":"a"},{}]', '{}'],
  ['names', '["a","b"]', '["a",1]'],
  ['numbers', '[1,2]', '[1.5]'],
  ['longs', `[${big}]`, '[1.5]', [big]],
  ['colors', '["RED"]', '["BLUE"]'],
  ['labels', '{"a":"b"}', '{"a":1}'],
  ['long_map', `{"a":${big}}`, '{"a":"b"}', {a: big}],
  ['child_map', '{"1":{"name":"a"}}', '{"a":{}}'],
  ['name', '"a"', '1'],
  ['flag', 'true', '"true"'],
  ['int32_value', '5', '5.5'],
  ['int64_value', big, '"a"', big],
  ['double_value', '0.5', '"a"'],
  ['data', '"AQ=="', '"*"'],
  ['color', '"RED"', '"BLUE"'],
  ['maybe_number', '0', '"a"'],
  ['string_wrapper', '"a"', '1'],
  ['int64_wrapper', big, 'true', big],
  ['time', '"2024-02-29T00:00:00Z"', '"noon"'],
  ['mask', '"aB"', '"a_b"'],
  ['struct', '{"a":null}', '[]'],
  ['value', '[null]', 'null'],
  ['list', '[1]', '{}'],
  ['any', `{"@type":"${any}","name":"a"}`, '{"@type":"x"}'],
  ['choice_text', '"a"', '1'],
  ['choice_child', '{"age":1}', '1'],
  ['choice_wrapped', '"a"', '1'],
]

for (const [field, body, bad, json] of kinds) {
  test(`body: "${field}": ${body} is read, ${bad} and null are 400`, (t) => {
    const one = transcode([{post: '/a', body: field}])
    const [, value] = Object.entries(decodeJson(one, 'POST', '/a', body) as object)[0] ?? []
    t.deepEqual(value, json ?? JSON.parse(body))
    t.is(httpStatusOf(caught(() => decode(one, 'POST', '/a', bad))), 400)
    t.is(httpStatusOf(caught(() => decode(one, 'POST', '/a', 'null'))), 400)
    t.deepEqual(decodeJson(one, 'POST', '/a', ''), {})
  })
}

test('body: "f": errors in it are named from the field on', (t) => {
  const one = transcode([{post: '/a', body: 'children'}])
  t.is(refusal(one, 'POST', '/a', '[{"child":{"age":"x"}}]')[0], 'children[0].child.age')
})

/** JSON numbers, and the integers that they stand for. */
const integers: [source: string, value: bigint | undefined][] = [
  ['9007199254740993', 9007199254740993n],
  ['-9007199254740993', -9007199254740993n],
  ['9007199254740993.000', 9007199254740993n],
  ['9007199254740993.5', undefined],
  ['9.007199254740993e15', 9007199254740993n],
  ['9007199254740993000e-3', 9007199254740993n],
  ['90071992547409930e-2', undefined],
  ['1e19', 10000000000000000000n],
  ['1E+19', 10000000000000000000n],
  ['1e20', undefined],
  ['1e999999999', undefined],
  ['0e999999999', 0n],
  ['-0.0', 0n],
  ['1e', undefined],
  ['+1', undefined],
  ['one', undefined],
  [`1${'0'.repeat(200)}`, undefined],
]

for (const [source, value] of integers) {
  test(`json: ${source.slice(0, 30)} is ${value}`, (t) => t.is(exactInteger(source), value))
}

test('json: a mebibyte of digits is not converted to a large integer, and one of other text ends soon', (t) => {
  const size = 1024 * 1024
  const {BigInt: original} = globalThis
  let longest = 0
  globalThis.BigInt = new Proxy(original, {
    apply(target, self, [value]: [string]) {
      longest = Math.max(longest, value.length)
      return Reflect.apply(target, self, [value])
    },
  })
  try {
    for (const digits of ['1'.repeat(size), `5.${'0'.repeat(size)}1`, `1${'0'.repeat(size)}`, `1${'0'.repeat(size)}1`])
      parseJson(`[${digits}]`)
    t.deepEqual(parseJson('[12345678901234567890]'), [12345678901234567890n])
  } finally {
    globalThis.BigInt = original
  }
  t.is(longest, 20)
  // With quadratic work, one of these would take longer than ava's timeout.
  const keys = Array.from({length: size / 2}, (_, index) => `"${index}":1`).join(',')
  t.is(Object.keys(parseJson(`{${keys}}`, new ValueCount(size)) as object).length, size / 2)
  for (const text of [
    `{${keys},"0":1}`,
    '['.repeat(size),
    `${'['.repeat(size)}${']'.repeat(size)}`,
    '"'.repeat(size + 1),
    '\\'.repeat(size),
    `"${'\\'.repeat(size - 1)}`,
    `{"${'\\u0'.repeat(size / 4)}":1}`,
    '-'.repeat(size),
    'n'.repeat(size),
    ' '.repeat(size),
  ]) {
    t.is(fieldOf(caught(() => parseJson(text, new ValueCount(size)))), 'body')
  }
})

test('after a closing bracket too many, the rest is not read', (t) => {
  for (const text of [']0,0,0', '{}}0,0,0']) {
    t.regex((caught(() => parseJson(text, new ValueCount(2))) as Error).message, /Unexpected/)
  }
})

const earlier = ['"\\\\"', '"\\\\u006"', '"na\\\\u0"']
const escaped: [written: string, key: string][] = [
  ['"\\n"', '\n'],
  ['"\\""', '"'],
  ['"\\u00e9"', 'é'],
  ['"\\u0061bcde"', 'abcde'],
  ['"na\\u00efve"', 'naïve'],
  ['"\\u005f_proto__"', '__proto__'],
  ['"\\u0031"', '1'],
  ['"\ue0000"', '\ue0000'],
]

for (const [written, key] of escaped) {
  test(`the key ${written} is not read as a key of an earlier text`, (t) => {
    const before = `of ${written.length} ${key.codePointAt(0)}`
    const first = JSON.stringify(before)
    for (const name of earlier) {
      parseJson(`{${first}:0,${name}:1}`)
      const expected = [
        [key, {'\t': 2n ** 60n}],
        [before, [null, 'a']],
      ]
      const read = parseJson(`{${first}:[null,"a"],${written}:{"\\t":1152921504606846976}}`) as object
      t.deepEqual(Object.entries(read).sort(), expected.sort(), name)
      t.is(Object.getPrototypeOf(read), Object.prototype)
    }
    const broken = `{${first}:0,${written}:}`
    const {message} = caught(() => parseJson(broken)) as Error
    const {message: quoting} = t.throws(() => JSON.parse(broken)) as Error
    t.is(message, `Cannot read the body as JSON: ${quoting}`)
  })
}
