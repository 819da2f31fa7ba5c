import {create, createFileRegistry, type MessageInitShape} from '@bufbuild/protobuf'
import {
  type DescriptorProto,
  EnumValueOptionsSchema,
  type FieldDescriptorProto,
  type FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
} from '@bufbuild/protobuf/wkt'
import test from 'ava'
import {HttpRuleSchema} from '../../src/gen/google/api/http_pb.js'
import {createTranscoder} from '../../src/transcoding/transcoder.ts'
import {decode, decodeJson, refusal, registry, transcode} from './schema.ts'

const transcoder = transcode([
  {get: '/every'},
  {get: '/old', input: 'every.Old'},
  {get: '/modern', input: 'every.Modern'},
  {post: '/child', body: 'child'},
  {post: '/whole', body: '*'},
  {get: '/names/{name}'},
  {get: '/deep/{child.name}'},
  {get: '/times/{time}'},
  {post: '/posted/{name}/{child.age}', body: '*'},
  {post: '/chosen/{choice_text}', body: '*'},
  {post: '/bytes/{data}', body: '*'},
  {post: '/at/{time}', body: '*'},
])

/** Queries (paths are read alike), and the message, in proto3 JSON. */
const taken: [key: string, query: string, message: object][] = [
  ['nothing', '', {}],
  ['nothing', '&&', {}],
  ['primitives', 'name=a&flag=true&int32_value=-5', {name: 'a', flag: true, int32Value: -5}],
  ['repeated primitives by repetition', 'names=a&names=b&names=a', {names: ['a', 'b', 'a']}],
  ['repeated primitives by repetition', 'numbers=1&numbers=-2', {numbers: [1, -2]}],
  ['repeated primitives by repetition', 'colors=RED&colors=2', {colors: ['RED', 'GREEN']}],
  ['repeated primitives by repetition', 'datas=AQ&datas=Ag==', {datas: ['AQ==', 'Ag==']}],
  ['repeated primitives by repetition', 'longs=9007199254740993', {longs: ['9007199254740993']}],
  ['nested by dots', 'child.child.name=x&child.age=3', {child: {child: {name: 'x'}, age: 3}}],
  ['proto name or JSON name', 'int32_value=1', {int32Value: 1}],
  ['proto name or JSON name', 'int32Value=1', {int32Value: 1}],
  ['proto name or JSON name', 'otherName=1', {otherName: '1'}],
  ['proto name or JSON name', 'renamed=1', {otherName: '1'}],
  ['names along the whole path', 'choiceChild.long_id=1', {choiceChild: {longId: '1'}}],
  ['names along the whole path', 'choice_child.longId=1', {choiceChild: {longId: '1'}}],
  ['well-known types', 'time=2024-02-29T12:00:00.5Z', {time: '2024-02-29T12:00:00.500Z'}],
  ['well-known types', 'time=2024-02-29T12:00:00%2B02:00', {time: '2024-02-29T10:00:00Z'}],
  ['well-known types', 'time=2000-02-29T12:00:00Z', {time: '2000-02-29T12:00:00Z'}],
  ['well-known types', 'duration=1.5s', {duration: '1.500s'}],
  ['well-known types', 'duration=-0.5s', {duration: '-0.500s'}],
  ['FieldMask in lowerCamelCase', 'mask=user.displayName,photo', {mask: 'user.displayName,photo'}],
  ['FieldMask, empty but present', 'mask=', {mask: ''}],
  ['FieldMask, `*` for any name', 'mask=*', {mask: '*'}],
  ['FieldMask, `*` for any name', 'mask=a.*.bC,*.d', {mask: 'a.*.bC,*.d'}],
  [
    'wrappers',
    'string_wrapper=a&int32_wrapper=0&bool_wrapper=false',
    {stringWrapper: 'a', int32Wrapper: 0, boolWrapper: false},
  ],
  [
    'wrappers',
    'int64_wrapper=9007199254740993&bytes_wrapper=AQ',
    {int64Wrapper: '9007199254740993', bytesWrapper: 'AQ=='},
  ],
  ['wrappers', 'choice_wrapped=a', {choiceWrapped: 'a'}],
  ['enums by name or number', 'color=RED', {color: 'RED'}],
  ['enums by name or number', 'color=2', {color: 'GREEN'}],
  ['enums: unknown numbers are kept', 'color=77', {color: 77}],
  ['bytes in base64', 'data=%2B%2F8%3D', {data: '+/8='}],
  ['bytes in base64url', 'data=-_8=', {data: '+/8='}],
  ['bytes padded or not', 'data=-_8', {data: '+/8='}],
  ['bytes, none', 'data=', {}],
  ['bool only true/false', 'flag=false', {}],
  [
    'integers with range',
    'int32_value=-2147483648&uint32_value=4294967295',
    {int32Value: -2147483648, uint32Value: 4294967295},
  ],
  [
    'integers with range',
    'sint32_value=1&sfixed32_value=2&fixed32_value=3',
    {sint32Value: 1, sfixed32Value: 2, fixed32Value: 3},
  ],
  ['integers exactly', 'int64_value=-9223372036854775808', {int64Value: '-9223372036854775808'}],
  ['integers exactly', 'uint64_value=18446744073709551615', {uint64Value: '18446744073709551615'}],
  ['integers exactly', 'sint64_value=9007199254740993', {sint64Value: '9007199254740993'}],
  ['integers exactly', 'text_long=9007199254740993', {textLong: '9007199254740993'}],
  ['floats', 'double_value=1.5e300&float_value=-0.25', {doubleValue: 1.5e300, floatValue: -0.25}],
  ['floats', 'double_value=NaN&float_value=-Infinity', {doubleValue: 'NaN', floatValue: '-Infinity'}],
  ['floats', 'double_value=Infinity', {doubleValue: 'Infinity'}],
  ['`+` is a space', 'name=a+b', {name: 'a b'}],
  ['`+` is a space', 'name=a%2Bb', {name: 'a+b'}],
  ['escapes', 'n%61me=%E2%82%AC%26%3D', {name: '€&='}],
  ['escapes', 'name=a=b', {name: 'a=b'}],
  ['escapes, once', 'name=%2525', {name: '%25'}],
  ['a name alone', 'name', {}],
  ['a zero value makes the sub-message present', 'child.name=', {child: {}}],
  ['a zero value makes the sub-message present', 'child.child.age=0', {child: {child: {}}}],
  ['a zero value is present where presence is explicit', 'maybe_name=&maybe_number=0', {maybeName: '', maybeNumber: 0}],
  ['a zero value is present where presence is explicit', 'maybe_color=0', {maybeColor: 'COLOR_UNSPECIFIED'}],
  ['a oneof', 'choice_text=', {choiceText: ''}],
  ['a oneof', 'choice_child.name=a&choice_child.age=1', {choiceChild: {name: 'a', age: 1}}],
  ['NullValue', 'null_value=NULL_VALUE', {}],
]

for (const [key, query, message] of taken) {
  test(`query: ${key}: ${query}`, (t) => {
    t.deepEqual(decodeJson(transcoder, 'GET', `/every?${query}`) as object, message)
  })
}

/** Queries that are 400 with a BadRequest.FieldViolation: the query, the parameter that it names, and a part of its text. */
const refused: [key: string, query: string, field: string, text: string][] = [
  ['repeated messages', 'children=a', 'children', 'it is a repeated message'],
  ['repeated messages', 'children.name=a', 'children.name', '"children" is a repeated message'],
  ['repeated messages', 'times=2024-02-29T12:00:00Z', 'times', 'it is a repeated message'],
  ['maps', 'labels=a', 'labels', 'it is a map'],
  ['maps', 'labels.a=b', 'labels.a', '"labels" is a map'],
  ['messages', 'child=a', 'child', 'it is a message: set its fields one by one'],
  ['messages', 'struct=a', 'struct', 'it is a message'],
  ['a singular field twice', 'name=a&name=a', 'name', 'it is given twice'],
  ['a singular field twice', 'int32_value=1&int32Value=1', 'int32Value', 'it is given twice'],
  ['a singular field twice', 'child.long_id=1&child.longId=2', 'child.longId', 'it is given twice'],
  ['two members of one oneof', 'choice_text=a&choice_long=1', 'choice_long', '"choice_text" is set too'],
  ['two members of one oneof', 'choice_child.name=a&choiceText=b', 'choiceText', '"choice_child" is set too'],
  ['two members of one oneof', 'choice_text=a&choice_child.name=b', 'choice_child.name', '"choice_text" is set too'],
  ['two members of one oneof', 'child.left=a&child.right.name=b', 'child.right.name', '"left" is set too'],
  ['a path into a scalar', 'name.x=a', 'name.x', '"name" is a scalar'],
  ['a path into a scalar', 'names.0=a', 'names.0', '"names" is a repeated field'],
  ['a path into a scalar', 'color.x=a', 'color.x', '"color" is an enum'],
  ['a path into a well-known type', 'time.seconds=1', 'time.seconds', '"time" is a google.protobuf.Timestamp'],
  [
    'a path into a well-known type',
    'string_wrapper.value=1',
    'string_wrapper.value',
    '"string_wrapper" is a google.protobuf.StringValue',
  ],
  ['an unknown parameter', 'nope=1', 'nope', 'every.Every has no field "nope"'],
  ['an unknown parameter', 'child.nope=1', 'child.nope', 'every.Child has no field "nope"'],
  ['an unknown parameter', '=1', '', 'has no field ""'],
  ['an unknown parameter', 'name.=1', 'name.', '"name" is a scalar'],
  ['an unknown parameter', '__proto__=1', '__proto__', 'has no field'],
  ['an unknown parameter', 'constructor.name=1', 'constructor.name', 'has no field'],
  ['bool only true/false', 'flag=1', 'flag', 'expected true or false'],
  ['bool only true/false', 'flag=TRUE', 'flag', 'expected true or false'],
  ['bool only true/false', 'flag=', 'flag', 'expected true or false'],
  ['bool only true/false', 'flag=constructor', 'flag', 'expected true or false'],
  [
    'integers with range',
    'int32_value=2147483648',
    'int32_value',
    'expected an integer from -2147483648 to 2147483647, got "2147483648"',
  ],
  ['integers with range', 'uint32_value=-1', 'uint32_value', 'expected an integer from 0'],
  ['integers with range', 'int64_value=9223372036854775808', 'int64_value', 'expected an integer of 64 bits'],
  ['integers with range', 'int32_value=-2147483649', 'int32_value', 'expected an integer from -2147483648'],
  ['integers with range', 'uint32_value=4294967296', 'uint32_value', 'expected an integer from 0'],
  ['integers with range', 'int64_value=-9223372036854775809', 'int64_value', 'expected an integer of 64 bits'],
  ['integers with range', 'uint64_value=18446744073709551616', 'uint64_value', 'expected a positive integer'],
  ['integers with range', 'uint64_value=-1', 'uint64_value', 'expected a positive integer'],
  ['integers exactly', 'int32_value=1.5', 'int32_value', 'expected'],
  ['integers exactly', 'int32_value=1e-1', 'int32_value', 'expected'],
  ['integers exactly', 'int32_value=1e', 'int32_value', 'expected'],
  ['integers exactly', 'int32_value=1.', 'int32_value', 'expected'],
  ['integers exactly', 'int32_value=.1e1', 'int32_value', 'expected'],
  ['integers exactly', 'int32_value=1e10', 'int32_value', 'expected an integer from -2147483648'],
  ['integers exactly', 'int64_value=9.2233720368547758075e18', 'int64_value', 'expected'],
  ['integers exactly', 'int32_value=0x10', 'int32_value', 'expected'],
  ['integers exactly', 'int32_value=%201', 'int32_value', 'expected'],
  ['integers exactly', 'int32_value=+1', 'int32_value', 'expected'],
  ['integers exactly', 'int64_value=', 'int64_value', 'expected'],
  ['integers exactly', `int64_value=${'9'.repeat(5000)}`, 'int64_value', 'expected'],
  ['floats', 'double_value=1e999', 'double_value', 'expected a number'],
  ['floats', 'float_value=3.5e38', 'float_value', 'expected a number of 32 bits'],
  ['floats', 'double_value=nan', 'double_value', 'expected a number'],
  ['floats', 'double_value=0x1', 'double_value', 'expected a number'],
  ['floats', 'double_value=', 'double_value', 'expected a number'],
  ['enums', 'color=BLUE', 'color', 'expected a name or number of every.Color'],
  ['enums', 'color=red', 'color', 'expected a name or number'],
  ['enums', 'color=2147483648', 'color', 'expected a name or number'],
  ['bytes', 'data=***', 'data', 'expected base64 or base64url'],
  ['bytes', 'data=A', 'data', 'expected base64'],
  ['bytes', 'data=AAA==', 'data', 'expected base64'],
  ['bytes', 'data=A+A=', 'data', 'expected base64'],
  ['Timestamp', 'time=yesterday', 'time', 'expected a time such as'],
  ['Timestamp', 'time=2023-02-30T00:00:00Z', 'time', 'expected a time'],
  ['Timestamp', 'time=1900-02-29T00:00:00Z', 'time', 'expected a time'],
  ['Timestamp', 'time=2023-09-31T00:00:00Z', 'time', 'expected a time'],
  ['Timestamp', 'time=0000-01-01T00:00:00Z', 'time', 'expected a time'],
  ['Duration', 'duration=1', 'duration', 'expected seconds such as'],
  ['Duration', 'duration=1s or so', 'duration', 'expected seconds'],
  ['Duration', 'duration=315576000001s', 'duration', 'expected seconds'],
  ['FieldMask', 'mask=a*', 'mask', 'expected paths in lowerCamelCase'],
  ['FieldMask', 'mask=**', 'mask', 'expected paths in lowerCamelCase'],
  ['FieldMask', 'mask=a.b*', 'mask', 'expected paths in lowerCamelCase'],
  ['FieldMask', 'mask=display_name', 'mask', 'expected paths in lowerCamelCase'],
  ['a malformed escape', 'name=%', 'name', '"%" and two hex digits'],
  ['a malformed escape', 'name=%zz', 'name', '"%" and two hex digits'],
  ['a malformed escape', '%=a', 'query', '"%" and two hex digits'],
  ['invalid UTF-8', 'name=%ff', 'name', 'a byte of UTF-8'],
  ['invalid UTF-8', 'name=\xff', 'name', 'a byte of UTF-8'],
]

for (const [key, query, field, text] of refused) {
  test(`query: ${key}: ${query.slice(0, 60)} is 400`, (t) => {
    const [name, message] = refusal(transcoder, 'GET', `/every?${query}`)
    t.is(name, field)
    t.true(message.includes(text), message)
  })
}

/** Fields of the query that the path or the body sets too. */
const bound: [url: string, field: string, text: string][] = [
  ['GET /names/a?name=b', 'name', 'the path sets it'],
  ['GET /names/a?name=a', 'name', 'the path sets it'],
  ['GET /deep/a?child.name=b', 'child.name', 'the path sets it'],
  ['POST /child?child.name=b', 'child.name', 'the body sets it'],
  ['POST /whole?name=b', 'name', 'the body sets it'],
  ['POST /whole?nope=b', 'nope', 'every.Every has no field "nope"'],
  ['GET /times/noon', 'time', 'Cannot set "time": expected a time'],
]

for (const [request, field, text] of bound) {
  test(`bound by path or body too: ${request} is 400`, (t) => {
    const [method = '', url = ''] = request.split(' ')
    const [name, message] = refusal(transcoder, method, url)
    t.is(name, field)
    t.true(message.includes(text), message)
  })
}

/** Fields are set in the order path, query, body. What a body may contain for a field that the path sets. */
const repeated: [url: string, body: string, outcome: object | string][] = [
  ['/posted/a/5', '{"names":["x"]}', {name: 'a', child: {age: 5}, names: ['x']}],
  ['/posted/a/5', '{"name":"a","child":{"age":5,"name":"n"}}', {name: 'a', child: {age: 5, name: 'n'}}],
  ['/posted/a/5', '{"name":"b"}', 'name'],
  ['/posted/a/5', '{"child":{"age":6}}', 'child.age'],
  ['/posted/a/5', '', {name: 'a', child: {age: 5}}],
  ['/chosen/a', '{"choiceLong":1}', 'choice_text'],
  ['/chosen/a', '{"choiceText":"b"}', 'choice_text'],
  ['/chosen/a', '{"choiceText":"a"}', {choiceText: 'a'}],
  ['/bytes/AQI', '{"data":"AQI="}', {data: 'AQI='}],
  ['/bytes/AQI', '{"data":"AQ=="}', 'data'],
  ['/at/2024-02-29T12:00:00Z', '{"time":"2024-02-29T13:00:00+01:00"}', {time: '2024-02-29T12:00:00Z'}],
  ['/at/2024-02-29T12:00:00Z', '{"time":"2024-02-29T13:00:00Z"}', 'time'],
]

for (const [url, body, outcome] of repeated) {
  test(`path and body: POST ${url} ${body} → ${JSON.stringify(outcome)}`, (t) => {
    if (typeof outcome === 'string') t.is(refusal(transcoder, 'POST', url, body)[0], outcome)
    else t.deepEqual(decodeJson(transcoder, 'POST', url, body) as object, outcome)
  })
}

test('query: 100 levels are read, 101 refused', (t) => {
  t.notThrows(() => decode(transcoder, 'GET', `/every?${'child.'.repeat(99)}name=a`))
  for (const depth of [100, 500, 200_000]) {
    const [field, message] = refusal(transcoder, 'GET', `/every?${'child.'.repeat(depth)}name=a`)
    t.true(field.startsWith('child.child.'))
    t.true(message.endsWith(': it nests deeper than 100 levels'), message)
  }
})

test('query: the error for an endless name is short', (t) => {
  const name = 'n'.repeat(100_000)
  const [field, message] = refusal(transcoder, 'GET', `/every?${name}=a`)
  t.is(field, `${name.slice(0, 200)}…`)
  t.true(message.length < 1000)
})

test('if the body is one field, the other fields come from the query', (t) => {
  const message = decodeJson(transcoder, 'POST', '/child?name=a&names=b', '{"age":1}')
  t.deepEqual(message as object, {name: 'a', names: ['b'], child: {age: 1}})
})

test('GATEWAY_IGNORE_UNKNOWN=true ignores only unknown parameters', (t) => {
  const lenient = transcode([{get: '/every'}, {post: '/whole', body: '*'}], {ignoreUnknown: true})
  t.deepEqual(decodeJson(lenient, 'GET', '/every?nope=1&name=a&child.nope=2') as object, {name: 'a'})
  t.is(refusal(lenient, 'GET', '/every?name.x=1')[0], 'name.x')
  t.is(refusal(lenient, 'GET', '/every?color=BLUE')[0], 'color')
  t.is(refusal(lenient, 'POST', '/whole?name=1')[0], 'name')
})

/** Fields of proto2 and editions, as protobuf-es reads them. */
const others: [url: string, outcome: object | string][] = [
  ['/old?id=a&count=0', {id: 'a', count: 0}],
  ['/old?id=&size=LARGE', {id: '', size: 'LARGE'}],
  ['/old?id=a&size=2', {id: 'a', size: 'LARGE'}],
  ['/old?id=a&size=3', 'size'],
  ['/old?count=1', 'id'],
  ['/old?id=a&part.count=1', 'part.id'],
  ['/modern?name=&implicit_number=0', {name: ''}],
  ['/modern?part.name=a', {part: {name: 'a'}}],
  ['/modern?shape=SQUARE', {shape: 'SQUARE'}],
  ['/modern?shape=7', 'shape'],
]

for (const [url, outcome] of others) {
  test(`proto2 and editions: GET ${url} → ${JSON.stringify(outcome)}`, (t) => {
    if (typeof outcome === 'string') t.is(refusal(transcoder, 'GET', url)[0], outcome)
    else t.deepEqual(decodeJson(transcoder, 'GET', url) as object, outcome)
  })
}

test('jstype = JS_STRING and 64-bit fields get the types that protobuf-es expects', (t) => {
  const message = decode(transcoder, 'GET', '/every?text_long=5&int64_value=5')
  t.is(message.textLong, '5')
  t.is(message.int64Value, 5n)
})

/** A transcoder for `GET /m` with the message `odd.M`. */
function oneMessage(file: MessageInitShape<typeof FileDescriptorProtoSchema>) {
  const service = [{name: 'Odd', method: [{name: 'Get', inputType: '.odd.M', outputType: '.odd.M'}]}]
  const odd = {name: 'odd.proto', package: 'odd', syntax: 'proto3', ...file, service}
  const set = {file: [registry.getFile('google/protobuf/wrappers.proto')!.proto, odd]}
  const rule = create(HttpRuleSchema, {pattern: {case: 'get', value: '/m'}})
  return createTranscoder({
    schema: createFileRegistry(
      create(FileDescriptorSetSchema, set as MessageInitShape<typeof FileDescriptorSetSchema>),
    ),
    rules: new Map([['odd.Odd/Get', {rule, place: 'here'}]]),
  })
}

test('a wrapper in a oneof: zero is a value, text that is no number is refused', (t) => {
  const wrapper = {name: 'count', jsonName: 'count', number: 1, label: 1, type: 11, oneofIndex: 0}
  const message = {
    name: 'M',
    field: [{...wrapper, typeName: '.google.protobuf.Int32Value'}],
    oneofDecl: [{name: 'choice'}],
  }
  const odd = oneMessage({dependency: ['google/protobuf/wrappers.proto'], messageType: [message]})
  t.deepEqual(decodeJson(odd, 'GET', '/m?count=0') as object, {count: 0})
  t.is(refusal(odd, 'GET', '/m?count=x')[0], 'count')
})

test('a required field of a message in a oneof is missed by its name', (t) => {
  const text = {number: 1, label: 1, type: 9}
  const odd = oneMessage({
    syntax: 'proto2',
    messageType: [
      {
        name: 'M',
        field: [{name: 'part', jsonName: 'part', number: 1, label: 1, type: 11, typeName: '.odd.Part', oneofIndex: 0}],
        oneofDecl: [{name: 'choice'}],
      },
      {
        name: 'Part',
        field: [
          {...text, name: 'id', jsonName: 'id', label: 2},
          {...text, name: 'x', jsonName: 'x', number: 2},
        ],
      },
    ],
  })
  t.is(refusal(odd, 'GET', '/m?part.x=a')[0], 'part.id')
  t.deepEqual(decodeJson(odd, 'GET', '/m?part.x=a&part.id=b') as object, {part: {x: 'a', id: 'b'}})
})

test('a value of an enum with a name of its own in JSON is read by either name', (t) => {
  const options = create(EnumValueOptionsSchema)
  // The option (json).string = "red".
  options.$unknown = [{no: 998, wireType: 2, data: Uint8Array.of(5, 0x0a, 3, 0x72, 0x65, 0x64)}]
  const odd = oneMessage({
    messageType: [{name: 'M', field: [{name: 'c', jsonName: 'c', number: 1, label: 1, type: 14, typeName: '.odd.C'}]}],
    enumType: [
      {
        name: 'C',
        value: [
          {name: 'NONE', number: 0},
          {name: 'RED', number: 1, options},
        ],
      },
    ],
  })
  for (const name of ['RED', 'red', '1']) t.is(decode(odd, 'GET', `/m?c=${name}`).c, 1, name)
  t.is(refusal(odd, 'GET', '/m?c=Red')[0], 'c')
})

/** Fields of a message whose names make it an error at start: their names and JSON names, and the problem. */
const misleading: [fields: Partial<FieldDescriptorProto>[], problem: string | undefined][] = [
  [
    [
      {name: 'b', jsonName: 'c'},
      {name: 'a', jsonName: 'b'},
    ],
    'odd.proto: odd.M.a: its JSON name "b" is the name of another field',
  ],
  [
    [
      {name: 'a', jsonName: 'b'},
      {name: 'b', jsonName: 'a'},
    ],
    'odd.proto: odd.M.a: its JSON name "b" is the name of another field\nodd.proto: odd.M.b: its JSON name "a" is the name of another field',
  ],
  [
    [{name: 'has_own_property', jsonName: 'hasOwnProperty', typeName: '.odd.M'}],
    'odd.proto: odd.M.has_own_property: "hasOwnProperty" is a property of every JavaScript object',
  ],
  [[{name: 'has_own_property', jsonName: 'hasOwnProperty'}], undefined],
  [[{name: 'constructor', jsonName: 'constructor', typeName: '.odd.M'}], undefined],
]

for (const [fields, problem] of misleading) {
  const names = fields.map(({name, jsonName}) => `${name} (${jsonName})`).join(', ')
  test(`fields with ambiguous names: ${names}: ${problem ?? 'none'}`, (t) => {
    const start = () => createTranscoder({schema: oddly(fields), defaultBindings: true})
    if (problem === undefined) {
      t.notThrows(start)
      return
    }
    t.throws(start, {message: problem})
    const {bindings, problems} = createTranscoder({schema: oddly(fields), defaultBindings: true, leaveOut: true})
    t.deepEqual([...bindings], [])
    t.deepEqual(problems, [`odd.proto: odd.Odd/Get: ${problem.replaceAll('\n', '; ')}`])
  })
}

function oddly(fields: Partial<FieldDescriptorProto>[]) {
  const field = fields.map((field, index) => ({
    number: index + 1,
    label: 1,
    type: field.typeName ? 11 : 9,
    ...field,
  })) as DescriptorProto['field']
  const service = [{name: 'Odd', method: [{name: 'Get', inputType: '.odd.M', outputType: '.odd.M'}]}]
  const file = {name: 'odd.proto', package: 'odd', syntax: 'proto3', messageType: [{name: 'M', field}], service}
  return createFileRegistry(create(FileDescriptorSetSchema, {file: [file]}))
}
