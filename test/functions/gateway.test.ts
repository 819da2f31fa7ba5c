import test from 'ava'
import {refused} from './gateway-client.ts'
import {type Served, startServed} from './gateway-services.ts'

let app: Served
test.before(async () => {
  app = await startServed()
})
test.afterEach.always((t) => app.quiet(t))
test.after.always(() => app.close())

const json = {'content-type': 'application/json'}

const time = '2024-02-29T12:00:00Z'
const deep = (levels: number) => `${'child.'.repeat(levels - 1)}name`

for (const [words, line, message] of [
  ['no path variables: all fields from the query', 'GET /whole?name=a&int32_value=1', {name: 'a', int32Value: 1}],
  ['{var} is {var=*}', 'GET /one/a', {name: 'a'}],
  ['every %XX decoded, %2F too', 'GET /one/a%2Fb%20c', {name: 'a/b c'}],
  ['exactly once', 'GET /one/%252F', {name: '%2F'}],
  ['UTF-8 behind the escapes', 'GET /one/%E2%82%AC', {name: '€'}],
  ['+ in a path is a plus', 'GET /one/a+b', {name: 'a+b'}],
  ['a colon that no verb claims', 'GET /one/a:b', {name: 'a:b'}],
  ['a verb of the bindings', 'GET /one/a:b:cancel', 'a:b'],
  ['a verb with a dash', 'GET /one/a:stop-now', 'a'],
  ['several verbs', 'GET /one/a:cancel:now', 'a'],
  ['a verb of other paths', 'GET /one/a:purge', {name: 'a:purge'}],
  ['a verb of other paths before one that is bound', 'GET /one/a:purge:cancel', 'a:purge'],
  ['%3A never starts a verb', 'GET /one/a%3Acancel', {name: 'a:cancel'}],
  ['a dot is no path of its own', 'GET /one/..', {name: '..'}],
  ['an absolute target', 'GET http://elsewhere/one/a?flag=true', {name: 'a', flag: true}],
  ['a question mark alone', 'GET /one/a?', {name: 'a'}],
  ['a second question mark', 'GET /one/a?renamed=b?c', {name: 'a', otherName: 'b?c'}],
  ['many segments', 'GET /many/shelves/1/books/2', {name: 'shelves/1/books/2'}],
  ['multi-segment: all but %2F', 'GET /many/shelves/a%2Fb/books/%20%2f%25', {name: 'shelves/a%2Fb/books/ %2f%'}],
  ['** of zero segments', 'GET /rest/o', {name: 'o'}],
  ['** of zero segments, with its slash', 'GET /rest/o/', {name: 'o/'}],
  ['** of many', 'GET /rest/o/a//b', {name: 'o/a//b'}],
  ['** may be empty before a verb', 'GET /rest/:purge', ''],
  ['literals after **', 'GET /tail/a/b/end', {name: 'a/b'}],
  ['literals after ** of none', 'GET /tail/end', {}],
  ['literals compared decoded', 'GET /a%2fb/x', {name: 'x'}],
  ['literals compared decoded, escaped where they need not be', 'GET /%6fne/x', {name: 'x'}],
  ['literal before *', 'GET /over/fixed/x', {name: 'x'}],
  ['* before **, by backtracking', 'GET /over/fixe/x', {otherName: 'fixe', name: 'x'}],
  ['** at last', 'GET /over/fixed', {maybeName: 'fixed'}],
  [
    'a singular primitive field of every type',
    `GET /typed/-7/18446744073709551615/true/GREEN/_-8/1.5/${time}`,
    {
      int32Value: -7,
      uint64Value: '18446744073709551615',
      flag: true,
      color: 'GREEN',
      data: '/+8=',
      doubleValue: 1.5,
      time,
    },
  ],
  [
    'floats also NaN, enums by number, an open one unknown',
    `GET /typed/0/0/false/77/AA==/NaN/${time}`,
    {color: 77, data: 'AA==', doubleValue: 'NaN', time},
  ],
  ['nested or not', 'GET /deep/a/9007199254740993', {child: {name: 'a', child: {longId: '9007199254740993'}}}],
  [
    'a well-known type whose JSON form is a string',
    'GET /wrapped/w/1.5s/name,child.longId',
    {stringWrapper: 'w', duration: '1.500s', mask: 'name,child.longId'},
  ],
  ['+ in a query is a space', 'GET /whole?name=a+b%2B', {name: 'a b+'}],
  [
    'repeated primitives by repetition',
    'GET /whole?names=a&names=b&longs=1&longs=2',
    {names: ['a', 'b'], longs: ['1', '2']},
  ],
  ['nested by dots', 'GET /whole?child.child.name=a&child.age=3', {child: {child: {name: 'a'}, age: 3}}],
  [
    'proto name or JSON name along the whole path',
    'GET /whole?child.longId=1&otherName=x',
    {child: {longId: '1'}, otherName: 'x'},
  ],
  [
    'well-known types in their JSON string form',
    `GET /whole?time=${time}&duration=3s&mask=child.longId&int64_wrapper=9007199254740993`,
    {time, duration: '3s', mask: 'child.longId', int64Wrapper: '9007199254740993'},
  ],
  [
    'integers also as 1e2, as in JSON',
    'GET /whole?int32_value=1e2&uint64_value=1.5E1&int64_wrapper=-2e0&longs=9.007199254740993e15',
    {int32Value: 100, uint64Value: '15', int64Wrapper: '-2', longs: ['9007199254740993']},
  ],
  ['enums by name or number', 'GET /whole?color=RED&colors=2&colors=77', {color: 'RED', colors: ['GREEN', 77]}],
  ['bytes in base64 or base64url, padded or not', 'GET /whole?datas=%2B%2F8%3D&datas=-_8', {datas: ['+/8=', '+/8=']}],
  [
    'floats also Infinity',
    'GET /whole?double_value=-Infinity&float_value=NaN',
    {doubleValue: '-Infinity', floatValue: 'NaN'},
  ],
  ['a zero value makes the sub-message present', 'GET /whole?child.age=0', {child: {}}],
  ['an explicit zero', 'GET /whole?maybe_number=0&choice_long=0', {maybeNumber: 0, choiceLong: '0'}],
  ['no body: DELETE too', 'DELETE /whole/a?flag=true', {name: 'a', flag: true}],
] as const) {
  test.serial(`${words}: ${line}`, async (t) => {
    const response = await app.send(line)
    t.deepEqual([response.status, response.json], [200, message], response.text)
    t.is(response.headers.get('content-type'), 'application/json')
  })
}

for (const [words, line, status, field] of [
  ['no such path', 'GET /nothing', 404],
  ['no such path, though a part of it is', 'GET /one', 404],
  ['an empty segment matches no variable', 'GET /one/', 404],
  ['an empty segment is one', 'GET //one/a', 404],
  ['an empty segment before a verb', 'GET /one/:cancel', 404],
  ['a template of many segments wants all of them', 'GET /many/shelves//books/2', 404],
  ['%2F is no slash', 'GET /many/shelves%2F1/books/2', 404],
  ['a trailing slash is a segment', 'GET /whole/', 404],
  ['the empty path', 'GET /', 404],
  ['no path at all', 'GET *', 404],
  ['a malformed escape', 'GET /one/%zz', 400, 'path'],
  ['a malformed escape where nothing is bound', 'GET /%zz', 400, 'path'],
  ['half an escape', 'GET /one/%2', 400, 'path'],
  ['invalid UTF-8', 'GET /one/%ff', 400, 'path'],
  ['a malformed escape in a query', 'GET /one/a?renamed=%zz', 400, 'renamed'],
  ['invalid UTF-8 in a query', 'GET /whole?name=%ff', 400, 'name'],
  ['no such value in a path', 'GET /deep/a/x', 400, 'child.child.long_id'],
  ['beyond its range in a path', 'GET /typed/2147483648/0/true/RED/AA==/1/2024-02-29T12:00:00Z', 400, 'int32_value'],
  ['bool only true and false', 'GET /whole?flag=1', 400, 'flag'],
  ['integers exactly', 'GET /whole?int32_value=1.5', 400, 'int32_value'],
  ['integers with range', 'GET /whole?int64_value=9223372036854775808', 400, 'int64_value'],
  ['an unknown enum name', 'GET /whole?color=BLUE', 400, 'color'],
  ['no base64', 'GET /whole?data=***', 400, 'data'],
  ['repeated messages are not allowed', 'GET /whole?children.name=a', 400, 'children.name'],
  ['maps are not allowed', 'GET /whole?labels.a=b', 400, 'labels.a'],
  ['repeated messages are not allowed, well-known ones neither', `GET /whole?times=${time}`, 400, 'times'],
  ['a message as a whole', 'GET /whole?child=a', 400, 'child'],
  ['a singular field twice', 'GET /whole?name=a&name=b', 400, 'name'],
  ['a singular field twice by both names', 'GET /whole?renamed=a&otherName=b', 400, 'otherName'],
  ['two members of one oneof', 'GET /whole?choice_text=a&choice_long=1', 400, 'choice_long'],
  ['a path into a scalar', 'GET /whole?name.x=a', 400, 'name.x'],
  ['an unknown parameter', 'GET /whole?nope=a', 400, 'nope'],
  ['101 levels of names', `GET /whole?${deep(101)}=a`, 400],
  ['200 levels of names', `GET /whole?${deep(200)}=a`, 400],
  ['__proto__ is an unknown parameter', 'GET /whole?__proto__.x=a', 400, '__proto__.x'],
  ['a value also bound by the path', 'GET /one/a?name=b', 400, 'name'],
  ['a FieldMask in snake_case', 'GET /whole?mask=child.long_id', 400, 'mask'],
  ['30 February', 'GET /whole?time=2024-02-30T12:00:00Z', 400, 'time'],
] as const) {
  test.serial(`${words}: ${line} is ${status}`, async (t) => {
    const calls = app.backend.log.length
    refused(t, await app.send(line), status, field)
    t.is(app.backend.log.length, calls, 'nothing is asked')
  })
}

const levels = (count: number) => `${'{"child":'.repeat(count)}{}${'}'.repeat(count)}`
const objects = (count: number) => `${'{"a":'.repeat(count - 1)}{}${'}'.repeat(count - 1)}`
const lists = (count: number) => `${'['.repeat(count)}${']'.repeat(count)}`

for (const [words, line, body, message] of [
  ['body "*": everything that the path does not bind', 'PUT /whole/a', '{"flag": true}', {name: 'a', flag: true}],
  ['body "*": a path may repeat what the body says', 'PUT /whole/a', '{"name": "a"}', {name: 'a'}],
  ['an empty body with body "*"', 'POST /whole', '', {}],
  [
    'a field, the path and the query each set theirs',
    'PATCH /whole/a/9007199254740993?flag=true',
    '{"age": 3}',
    {name: 'a', int64Value: '9007199254740993', flag: true, child: {age: 3}, mask: 'age'},
  ],
  ['body: a string', 'POST /body/name', '"a"', {name: 'a'}],
  ['body: a bool', 'POST /body/flag', 'true', {flag: true}],
  ['body: bytes', 'POST /body/data', '"_-8"', {data: '/+8='}],
  [
    'body: an integer of 64 bits, as a number',
    'POST /body/int64_value',
    '9007199254740993',
    {int64Value: '9007199254740993'},
  ],
  ['body: a double', 'POST /body/double_value', '"NaN"', {doubleValue: 'NaN'}],
  ['body: an enum', 'POST /body/color', '"RED"', {color: 'RED'}],
  ['body: an unknown enum number is kept', 'POST /body/color', '77', {color: 77}],
  ['body: a message', 'POST /body/child', '{"long_id": 1}', {child: {longId: '1'}}],
  ['body: a repeated scalar', 'POST /body/names', '["a","b"]', {names: ['a', 'b']}],
  [
    'body: repeated integers of 64 bits',
    'POST /body/longs',
    '[9007199254740993,"-1"]',
    {longs: ['9007199254740993', '-1']},
  ],
  ['body: repeated messages', 'POST /body/children', '[{"name":"a"},{}]', {children: [{name: 'a'}, {}]}],
  ['body: a map', 'POST /body/labels', '{"a":"b","":""}', {labels: {a: 'b', '': ''}}],
  ['body: a map of integers', 'POST /body/long_map', '{"a":9007199254740993}', {longMap: {a: '9007199254740993'}}],
  ['body: a map of messages', 'POST /body/child_map', '{"-1":{"age":1}}', {childMap: {'-1': {age: 1}}}],
  ['body: a wrapper', 'POST /body/string_wrapper', '""', {stringWrapper: ''}],
  ['body: a wrapper of 64 bits', 'POST /body/int64_wrapper', '9007199254740993', {int64Wrapper: '9007199254740993'}],
  ['body: a Timestamp', 'POST /body/time', `"${time}"`, {time}],
  ['body: a FieldMask in lowerCamelCase', 'POST /body/mask', '"child.longId"', {mask: 'child.longId'}],
  ['body: a Struct', 'POST /body/struct', '{"a":[1,null]}', {struct: {a: [1, null]}}],
  ['body: a Value', 'POST /body/value', '[1,"a",{}]', {value: [1, 'a', {}]}],
  ['body: a ListValue', 'POST /body/list', '[1,[]]', {list: [1, []]}],
  [
    'body: an Any of a type in the descriptors',
    'POST /body/any',
    '{"@type":"type.googleapis.com/every.Child","longId":9007199254740993}',
    {any: {'@type': 'type.googleapis.com/every.Child', longId: '9007199254740993'}},
  ],
  ['body: a member of a oneof', 'POST /body/choice_text', '""', {choiceText: ''}],
  [
    '64-bit integers as strings, read as numbers too',
    'POST /whole',
    '{"int64_value":-9223372036854775808}',
    {int64Value: '-9223372036854775808'},
  ],
  [
    'an integer may be written 1e2',
    'POST /whole',
    '{"int32Value":1e2,"uint64Value":1.5e1}',
    {int32Value: 100, uint64Value: '15'},
  ],
  ['null is unset', 'POST /whole', '{"name":null,"child":null,"longs":null,"choiceLong":null}', {}],
  ['null is a Value', 'POST /whole', '{"value":null}', {value: null}],
  ['100 levels of nesting', 'POST /whole', levels(99), JSON.parse(levels(99))],
  ['100 levels of a Value', 'POST /body/value', lists(100), {value: JSON.parse(lists(100))}],
  ['100 levels of a Struct', 'POST /body/struct', objects(100), {struct: JSON.parse(objects(100))}],
  ['space around the value', 'POST /whole', ' \r\n\t{}\n ', {}],
  ['text beyond ASCII', 'POST /whole', '{"name":"€ 🎈 \\u0000"}', {name: '€ 🎈 \0'}],
] as const) {
  test.serial(`${words}: ${line} of ${body.slice(0, 80)}`, async (t) => {
    const response = await app.send(line, {headers: json, body})
    t.deepEqual([response.status, response.json], [200, message], response.text)
  })
}

for (const [words, line, body, status, field] of [
  ['no body: a body that says something', 'GET /whole', '{"name":"a"}', 400, 'body'],
  ['no body: a value that is none', 'DELETE /whole/a', 'null', 400, 'body'],
  ['no body: half a value', 'GET /whole', '{', 400, 'body'],
  ['a path that says another thing than the body', 'PUT /whole/a', '{"name": "b"}', 400, 'name'],
  ['a query for what the body sets', 'POST /whole?name=a', '{}', 400, 'name'],
  ['a query into what the body sets', 'PATCH /whole/a/1?child.age=1', '{}', 400, 'child.age'],
  ['a null as body', 'POST /whole', 'null', 400, 'body'],
  ['a null as a field', 'POST /body/child', 'null', 400, 'body'],
  ['a null as a Value', 'POST /body/value', 'null', 400, 'body'],
  ['no object', 'POST /whole', '[]', 400, 'body'],
  ['an unknown field', 'POST /whole', '{"child":{"nope":1}}', 400, 'child.nope'],
  ['an unknown enum name', 'POST /whole', '{"color":"BLUE"}', 400, 'color'],
  ['duplicate keys', 'POST /whole', '{"name":"a","name":"a"}', 400, 'body'],
  ['duplicate keys, one escaped', 'POST /whole', '{"name":"a","\\u006eame":"a"}', 400, 'body'],
  ['one field by both names', 'POST /whole', '{"int64Value":1,"int64_value":1}', 400, 'int64_value'],
  ['two members of one oneof', 'POST /whole', '{"choiceText":"a","choiceLong":1}', 400, 'choiceLong'],
  ['an integer out of range', 'POST /whole', '{"int64Value":9223372036854775808}', 400, 'int64Value'],
  ['trailing data after the value', 'POST /whole', '{} {}', 400, 'body'],
  ['half a value', 'POST /whole', '{"name":', 400, 'body'],
  ['a byte order mark', 'POST /whole', '\ufeff{}', 400, 'body'],
  ['101 levels of nesting', 'POST /whole', levels(100), 400, 'body'],
  ['101 levels of a Struct', 'POST /body/struct', objects(101), 400, 'body'],
  ['101 levels of a Value', 'POST /body/value', lists(101), 400, 'body'],
  ['no UTF-8', 'POST /whole', Buffer.from('7b226e616d65223a22ff227d', 'hex'), 400, 'body'],
  ['half a surrogate pair', 'POST /whole', '{"name":"\\ud800"}', 400, 'name'],
  ['an item of null', 'POST /body/names', '["a",null]', 400, 'names[1]'],
  ['an Any of an unknown type', 'POST /body/any', '{"@type":"x/no.Such"}', 400, 'any.@type'],
  ['a body longer than 1 MiB', 'POST /whole', ' '.repeat(2 ** 20 + 1), 413, 'body'],
] as const) {
  test.serial(`${words}: ${line} of ${String(body).slice(0, 80)} is ${status}`, async (t) => {
    const calls = app.backend.log.length
    refused(t, await app.send(line, {headers: json, body}), status, field)
    t.is(app.backend.log.length, calls, 'nothing is asked')
  })
}

const form = 'application/x-www-form-urlencoded'

/** Bodies that generated clients send to methods that take none. */
for (const [line, type, body] of [
  ['GET /whole?name=a', 'application/json', '{}'],
  ['GET /whole?name=a', 'application/json; charset=utf-8', ' {\r\n} '],
  ['DELETE /whole/a', 'application/json', '{}'],
  ['DELETE /whole/a', '', '{}'],
  ['DELETE /whole/a', 'application/json', ''],
  ['DELETE /whole/a', 'application/json', ' \n'],
  ['DELETE /whole/a', 'text/plain', ''],
  ['DELETE /whole/a', form, ''],
  ['DELETE /whole/a', 'multipart/form-data; boundary=x', ''],
] as const) {
  test.serial(`no body is taken: ${JSON.stringify(body)} of type "${type}" counts as no body: ${line}`, async (t) => {
    const headers = {...(type && {'content-type': type}), 'content-length': `${body.length}`}
    const response = await app.send(line, {headers, body})
    t.deepEqual([response.status, response.json], [200, {name: 'a'}], response.text)
    const [first = '', ...rest] = body
    await using cut = await app.begin(line, {headers: type ? {'content-type': type} : {}})
    for (const piece of first ? [first, ...rest] : []) cut.write(piece)
    cut.end()
    t.deepEqual((await cut.response()).json, {name: 'a'}, 'byte by byte')
  })
}

test.serial('no body is taken: {} of a type other than JSON counts as a body', async (t) => {
  for (const type of ['text/plain', form, 'multipart/form-data; boundary=x']) {
    refused(t, await app.send('DELETE /whole/a', {headers: {'content-type': type}, body: '{}'}), 400, 'body')
  }
})

test.serial('an empty body is the empty message, for any content type, and so is white space as JSON', async (t) => {
  for (const type of ['application/json', 'text/plain', form, 'multipart/form-data; boundary=x']) {
    const headers = {'content-type': type, 'content-length': '0'}
    t.deepEqual((await app.send('PUT /whole/a', {headers})).json, {name: 'a'}, type)
  }
  for (const line of ['POST /whole', 'POST /body/child', 'POST /body/name']) {
    t.deepEqual((await app.send(line, {headers: json, body: ' \r\n\t'})).json, {}, line)
  }
})

test.serial('exactly 1 MiB is read', async (t) => {
  const body = `"${'a'.repeat(2 ** 20 - 2)}"`
  const response = await app.send('POST /body/name', {headers: json, body})
  t.is(response.json.name.length, 2 ** 20 - 2)
})

for (const [name, value, result] of [
  ['name', {name: 'a'}, 'a'],
  ['name', {}, ''],
  ['int64_value', {int64Value: '9007199254740993'}, '9007199254740993'],
  ['int64_value', {}, '0'],
  ['color', {color: 'RED'}, 'RED'],
  ['color', {}, 'COLOR_UNSPECIFIED'],
  ['child', {child: {age: 1}}, {age: 1}],
  ['child', {}, null],
  ['names', {names: ['a']}, ['a']],
  ['names', {}, []],
  ['children', {children: [{}, {age: 1}]}, [{}, {age: 1}]],
  ['labels', {labels: {a: 'b'}}, {a: 'b'}],
  ['labels', {}, {}],
  ['long_map', {longMap: {a: '1'}}, {a: '1'}],
  ['int64_wrapper', {int64Wrapper: '1'}, '1'],
  ['int64_wrapper', {}, null],
  ['time', {time}, time],
  ['value', {value: [1]}, [1]],
  ['value', {value: null}, null],
  ['choice_text', {choiceText: ''}, ''],
  ['choice_text', {choiceLong: '1'}, null],
] as const) {
  test.serial(`response_body "${name}" of ${JSON.stringify(value)} is the whole response`, async (t) => {
    const response = await app.send(`POST /response/${name}`, {headers: json, body: JSON.stringify(value)})
    t.deepEqual([response.status, response.json], [200, result], response.text)
  })
}

/** A field of each kind, in proto3 JSON. */
const whole = {
  name: 'a',
  flag: true,
  data: '/+8=',
  doubleValue: -0.5,
  floatValue: 'Infinity',
  int32Value: -2147483648,
  sint32Value: 2147483647,
  sfixed32Value: -1,
  uint32Value: 4294967295,
  fixed32Value: 1,
  int64Value: '-9223372036854775808',
  sint64Value: '9223372036854775807',
  sfixed64Value: '-1',
  uint64Value: '18446744073709551615',
  fixed64Value: '9007199254740993',
  textLong: '9007199254740993',
  color: 'GREEN',
  child: {name: 'b', longId: '9007199254740993', child: {}, right: {left: ''}},
  maybeName: '',
  maybeNumber: 0,
  maybeColor: 'COLOR_UNSPECIFIED',
  names: ['', 'ü'],
  numbers: [0, -1],
  longs: ['0', '9007199254740993'],
  colors: ['RED', 77],
  datas: ['', 'AA=='],
  children: [{}, {age: 1}],
  labels: {'': 'a', b: ''},
  longMap: {a: '9007199254740993'},
  childMap: {'-1': {name: 'c'}},
  colorMap: {false: 'RED', true: 'GREEN'},
  choiceChild: {name: 'd'},
  stringWrapper: '',
  int32Wrapper: 0,
  int64Wrapper: '9007199254740993',
  boolWrapper: false,
  doubleWrapper: 'NaN',
  bytesWrapper: '',
  time: '2024-02-29T12:00:00.000000001Z',
  duration: '-1.500s',
  mask: 'name,child.longId',
  struct: {a: {b: [null, true, 1.5, 'c']}},
  value: 'v',
  list: [1, []],
  any: {'@type': 'type.googleapis.com/google.protobuf.Duration', value: '1s'},
  empty: {},
  file: {contentType: 'text/plain', data: 'AA=='},
  times: [time],
  values: [null, 1],
  valueMap: {a: null},
  nullValue: null,
  longWrappers: ['1'],
  otherName: 'e',
}

test.serial('a message with a field of each kind comes back unchanged', async (t) => {
  const {nullValue: _, ...sent} = whole
  const response = await app.send('POST /whole', {headers: json, body: JSON.stringify(whole)})
  t.deepEqual([response.status, response.json], [200, sent], response.text)
})

for (const [line, allow] of [
  ['POST /one/a', 'GET, HEAD, OPTIONS'],
  ['DELETE /whole', 'GET, HEAD, OPTIONS, POST'],
  ['GET /bytes', 'OPTIONS, POST'],
  ['GET /custom/a', 'OPTIONS, PURGE'],
  ['POST /one/a:cancel', 'GET, HEAD, OPTIONS'],
] as const) {
  test.serial(`a known path without this method: ${line} is 405 with Allow`, async (t) => {
    const response = await app.send(line)
    refused(t, response, 405)
    t.is(response.headers.get('allow'), allow)
    t.is(response.json.error.details[0].reason, 'METHOD_NOT_ALLOWED')
  })
}

test.serial('an unknown path: 404 in the words of every function', async (t) => {
  const response = await app.send('GET /nothing')
  t.is(response.json.error.status, 'NOT_FOUND')
  t.is(response.json.error.details[0].reason, 'NO_SUCH_PATH')
})

test.serial('HEAD answers as GET without a body', async (t) => {
  const [get, head] = [await app.send('GET /one/abc'), await app.send('HEAD /one/abc')]
  t.is(head.status, 200)
  t.is(head.text, '')
  for (const name of ['content-type', 'content-length']) t.is(head.headers.get(name), get.headers.get(name), name)
  t.is((await app.send('HEAD /nothing')).status, 404)
  t.is((await app.send('HEAD /bytes')).status, 405)
})

test.serial('a custom HEAD has priority over GET', async (t) => {
  const call = app.echo.next()
  const response = await app.send('HEAD /head/a')
  t.is(response.status, 200)
  t.is((await call).context.method, '/served.Echo/Custom')
})

test.serial('OPTIONS answers 204 with Allow', async (t) => {
  const response = await app.send('OPTIONS /whole')
  t.is(response.status, 204)
  t.is(response.headers.get('allow'), 'GET, HEAD, OPTIONS, POST')
  t.false(response.headers.has('content-length'))
})

test.serial('no page of another origin may call unless it is configured', async (t) => {
  const headers = {origin: 'https://a.example', 'access-control-request-method': 'POST'}
  for (const line of ['OPTIONS /whole', 'GET /whole', 'GET /nothing']) {
    const response = await app.send(line, {headers})
    t.deepEqual(
      [...response.headers.keys()].filter((name) => /^access-control-|^vary$/.test(name)),
      [],
    )
  }
})

for (const [words, line, message] of [
  ['OPTIONS, where it is bound', 'OPTIONS /options/a', {name: 'a'}],
  ['a custom method', 'PURGE /custom/a', {name: 'a'}],
  ['custom "*" is any method', 'PURGE /any/a', {name: 'a'}],
  ['custom "*" is any method', 'GET /any/a', {name: 'a'}],
  ['custom "*" is any method', 'OPTIONS /any/a', {name: 'a'}],
  ['a method of its own goes before "*"', 'POST /any/a?flag=true', {name: 'a', flag: true}],
] as const) {
  test.serial(`${words}: ${line}`, async (t) => {
    const response = await app.send(line)
    t.deepEqual([response.status, response.json], [200, message])
  })
}

for (const [words, type, body, status, message] of [
  ['a JSON body wants application/json', 'application/json', '{"name":"a"}', 200, {name: 'a'}],
  ['in UTF-8', 'Application/JSON; charset="UTF-8"', '{"name":"a"}', 200, {name: 'a'}],
  ['or no content type', undefined, '{"name":"a"}', 200, {name: 'a'}],
  ['in another charset', 'application/json; charset=latin1', '{}', 415],
  ['anything else', 'text/plain', '{}', 415],
  ['anything else', 'application/x-ndjson', '{}', 415],
  ['no type at all', ';;', '{}', 415],
  [
    'a form maps to fields by name',
    'application/x-www-form-urlencoded',
    'name=a+%26&child.longId=9007199254740993&names=x&names=y&otherName=€',
    200,
    {name: 'a &', child: {longId: '9007199254740993'}, names: ['x', 'y'], otherName: '€'},
  ],
  ['a form with an unknown field', 'application/x-www-form-urlencoded', 'nope=a', 400, 'nope'],
  ['a form with a singular field twice', 'application/x-www-form-urlencoded', 'name=a&name=a', 400, 'name'],
  ['a form with a message', 'application/x-www-form-urlencoded', 'child=a', 400, 'child'],
  ['a form with a bad value', 'application/x-www-form-urlencoded', 'flag=yes', 400, 'flag'],
  ['a form with a malformed escape', 'application/x-www-form-urlencoded', 'name=%zz', 400, 'name'],
] as const) {
  test.serial(`${words}: ${type} is ${status}`, async (t) => {
    const response = await app.send('POST /whole', {headers: type === undefined ? {} : {'content-type': type}, body})
    if (status === 200) t.deepEqual([response.status, response.json], [200, message], response.text)
    else refused(t, response, status, message ?? 'content-type')
    const types = 'application/json, application/x-www-form-urlencoded, multipart/form-data'
    t.is(response.headers.get('accept'), status === 415 ? types : undefined, 'RFC 9110, 15.5.16')
  })
}

test.serial('a form with 101 levels of names is 400', async (t) => {
  const headers = {'content-type': 'application/x-www-form-urlencoded'}
  refused(t, await app.send('POST /whole', {headers, body: `${deep(101)}=a`}), 400)
})

const multipart = {'content-type': 'multipart/form-data; boundary=cut'}
const parts = (...all: string[]) => `${all.map((part) => `--cut\r\n${part}\r\n`).join('')}--cut--\r\n`
const named = (name: string, value: string, more = '') =>
  `Content-Disposition: form-data; name="${name}"${more}\r\n\r\n${value}`

for (const [words, line, body, status, message] of [
  [
    'maps to fields by name',
    'PUT /whole/a',
    parts(named('child.long_id', '9007199254740993'), named('names', '€'), named('names', '')),
    200,
    {name: 'a', child: {longId: '9007199254740993'}, names: ['€', '']},
  ],
  [
    'a file is bytes as they are',
    'POST /whole',
    parts(named('data', 'ab\r\n', '; filename="x"\r\nContent-Type: image/png'), named('datas', 'AA==')),
    200,
    {data: 'YWINCg==', datas: ['AA==']},
  ],
  [
    'a file is an HttpBody',
    'POST /whole',
    parts(named('file', '\0', '; filename="x"\r\nContent-Type: image/png')),
    200,
    {file: {contentType: 'image/png', data: 'AA=='}},
  ],
  ['an empty part', 'POST /whole', parts(named('maybe_name', '')), 200, {maybeName: ''}],
  ['no parts', 'POST /whole', '--cut--\r\n', 200, {}],
  [
    'names are those of the field that is the body',
    'PATCH /whole/a/1',
    parts(named('age', '3')),
    200,
    {name: 'a', int64Value: '1', child: {age: 3}, mask: 'age'},
  ],
  ['an unknown field', 'POST /whole', parts(named('nope', 'x')), 400, 'nope'],
  ['a field that the path sets', 'PUT /whole/a', parts(named('name', 'x')), 400, 'name'],
  ['one that ends early', 'POST /whole', '--cut\r\nContent-Disposition: form-data; name="name"\r\n\r\nab', 400, 'body'],
  [
    'a part without a name',
    'POST /whole',
    '--cut\r\nContent-Disposition: form-data\r\n\r\nab\r\n--cut--\r\n',
    400,
    'body',
  ],
  [
    'a part that is none of a form is left out',
    'POST /whole',
    parts('Content-Disposition: attachment; name="name"\r\n\r\nx', named('flag', 'true')),
    200,
    {flag: true},
  ],
  ['one without a boundary in it', 'POST /whole', 'name=a', 400, 'body'],
  [
    'more than 1,000 parts',
    'POST /whole',
    parts(...Array.from({length: 1001}, () => named('names', 'a'))),
    413,
    'body',
  ],
] as const) {
  test.serial(`multipart/form-data: ${words} is ${status}`, async (t) => {
    const response = await app.send(line, {headers: multipart, body})
    if (status === 200) t.deepEqual([response.status, response.json], [200, message], response.text)
    else refused(t, response, status, message)
  })
}

test.serial('multipart/form-data without a boundary is 400', async (t) => {
  const headers = {'content-type': 'multipart/form-data'}
  refused(t, await app.send('POST /whole', {headers, body: parts(named('name', 'a'))}), 400, 'body')
})

for (const headers of [
  {'content-encoding': 'gzip', ...json},
  {'content-encoding': 'br', ...multipart},
]) {
  test.serial(`a compressed body is 415: ${JSON.stringify(headers)}`, async (t) => {
    refused(t, await app.send('POST /whole', {headers, body: '{}'}), 415, 'content-encoding')
  })
}

for (const [accept, status] of [
  ['application/json', 200],
  ['*/*', 200],
  ['application/*;q=0.1', 200],
  ['text/html, application/json;q=0.5', 200],
  ['application/json; charset=utf-8', 200],
  ['text/html', 406],
  ['application/json;q=0', 406],
  ['application/x-ndjson', 406],
] as const) {
  test.serial(`Accept: ${accept} is ${status}`, async (t) => {
    const response = await app.send('GET /one/a', {headers: {accept}})
    if (status === 200) t.is(response.status, 200)
    else refused(t, response, status, 'accept')
  })
}

test.serial('google.api.HttpBody as request and response: bytes and type unchanged', async (t) => {
  const body = Uint8Array.from({length: 256}, (_, byte) => byte)
  const response = await app.send('POST /bytes', {headers: {'content-type': 'image/png; a=b', accept: 'image/*'}, body})
  t.is(response.status, 200)
  t.is(response.headers.get('content-type'), 'image/png; a=b')
  t.is(response.headers.get('content-length'), '256')
})

test.serial('google.api.HttpBody as a field of either, together with path and query', async (t) => {
  const sent = {headers: {'content-type': 'text/csv'}, body: 'a,b\n'}
  const field = await app.send('POST /bytes/n?flag=true', sent)
  t.deepEqual(field.json, {name: 'n', flag: true, file: {contentType: 'text/csv', data: 'YSxiCg=='}})
  const file = await app.send('POST /bytes/n/file', sent)
  t.deepEqual([file.headers.get('content-type'), file.text], ['text/csv', 'a,b\n'])
})

test.serial('google.api.HttpBody without a type or bytes', async (t) => {
  const response = await app.send('POST /bytes')
  t.deepEqual([response.status, response.text], [200, ''])
  t.is(response.headers.get('content-type'), 'application/octet-stream')
})

test.serial('methods without a rule are at POST /<package.Service>/<Method> with body "*"', async (t) => {
  const response = await app.send('POST /served.Plain/One', {headers: json, body: '{"longId":9007199254740993}'})
  t.deepEqual(response.json, {longId: '9007199254740993'})
  t.is((await app.send('GET /served.Plain/One')).status, 405)
  t.is((await app.send('POST /served.Echo/Whole')).status, 404)
})

test.serial('proto2: presence, defaults, closed enums and required fields', async (t) => {
  const post = (body: string) => app.send('POST /old', {headers: json, body})
  t.deepEqual((await post('{"id":"a","count":0,"size":"LARGE","[every.weight]":9007199254740993}')).json, {
    id: 'a',
    count: 0,
    size: 'LARGE',
    '[every.weight]': '9007199254740993',
  })
  t.deepEqual((await app.send('GET /old/?count=1')).status, 404)
  t.deepEqual((await app.send('GET /old/a?parts.id=b')).status, 400)
  t.deepEqual((await app.send('GET /old/a?part.id=b&size=1')).json, {id: 'a', part: {id: 'b'}, size: 'SMALL'})
  refused(t, await post('{"id":"a","size":7}'), 400, 'size')
  refused(t, await post('{}'), 400, 'id')
  refused(t, await post('{"id":"a","parts":[{}]}'), 400, 'parts[0].id')
})

test.serial('editions: presence and closed enums for each field', async (t) => {
  const body = '{"name":"","implicitNumber":0,"part":{"name":"a"},"shape":"ROUND"}'
  const response = await app.send('POST /modern', {headers: json, body})
  t.deepEqual(response.json, {name: '', part: {name: 'a'}, shape: 'ROUND'})
  refused(t, await app.send('POST /modern', {headers: json, body: '{"shape":3}'}), 400, 'shape')
  t.deepEqual((await app.send('GET /modern/n?part.name=a')).json, {name: 'n', part: {name: 'a'}})
})

test.serial('a path with unescaped characters beyond ASCII is 400 before it reaches us', async (t) => {
  const calls = app.backend.log.length
  t.is((await app.send('GET /one/\xe2\x82\xac')).status, 400)
  t.is(app.backend.log.length, calls)
})

test.serial('a service that the backend does not have is 501', async (t) => {
  refused(t, await app.send('GET /v1/every'), 501)
})
