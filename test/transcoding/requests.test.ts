import {type JsonValue, type Message, toJson} from '@bufbuild/protobuf'
import test from 'ava'
import {failureHeaders, httpStatusOf} from '../../src/http/response/failure.ts'
import type {Part} from '../../src/transcoding/requests.ts'
import {held} from '../helpers/held.ts'
import {
  caught,
  decode,
  decodeJson,
  decodeRequest,
  fieldOf,
  type RequestParts,
  readMessages,
  refusal,
  registry,
  transcode,
} from './schema.ts'

const transcoder = transcode([
  {post: '/whole/{renamed}', body: '*'},
  {post: '/child', body: 'child'},
  {post: '/names', body: 'names'},
  {post: '/raw/{content_type=text}', body: '*', input: 'google.api.HttpBody'},
  {post: '/raw', body: '*', input: 'google.api.HttpBody'},
  {post: '/file/{name}', body: 'file'},
])

const form = 'application/x-www-form-urlencoded'

/**
 * Forms (application/x-www-form-urlencoded), whose names are field names: path, body, and the message or the field that the error
 * names.
 */
const forms: [path: string, body: string, outcome: object | string][] = [
  [
    '/whole/r',
    'name=a+b&names=x&names=y&child.age=5',
    {name: 'a b', names: ['x', 'y'], child: {age: 5}, otherName: 'r'},
  ],
  ['/whole/r', 'name=%E2%82%AC&data=AQ%3D%3D', {name: '€', data: 'AQ==', otherName: 'r'}],
  ['/whole/r', 'name=€', {name: '€', otherName: 'r'}],
  ['/whole/r', 'name=\ud800', {name: '\ufffd', otherName: 'r'}],
  ['/whole/r', '', {otherName: 'r'}],
  ['/whole/r', 'name=a&name=b', 'name'],
  ['/whole/r', 'renamed=a', 'renamed'],
  ['/whole/r', 'nope=a', 'nope'],
  ['/whole/r', 'children.name=a', 'children.name'],
  ['/whole/r', 'choice_text=a&choice_long=1', 'choice_long'],
  ['/whole/r', 'name=%zz', 'name'],
  ['/child', 'name=a&age=1', {child: {name: 'a', age: 1}}],
  ['/child', 'child.name=a', {child: {child: {name: 'a'}}}],
  ['/child', 'flag=true', 'flag'],
  ['/names', 'names=a&names=b', {names: ['a', 'b']}],
  ['/names', 'name=a', 'name'],
]

for (const [path, body, outcome] of forms) {
  test(`a form: POST ${path} ${body} → ${JSON.stringify(outcome)}`, (t) => {
    if (typeof outcome === 'string') t.is(refusal(transcoder, 'POST', path, body, form)[0], outcome)
    else t.deepEqual(decodeJson(transcoder, 'POST', path, body, form), outcome as JsonValue)
  })
}

const file = {value: Uint8Array.of(0xff, 0), filename: 'a.bin', contentType: 'image/png'}

/** Bodies of multipart/form-data, whose names are field names: path, parts, and the message or the field that the error names. */
const multiparts: [key: string, path: string, parts: Part[], outcome: object | string][] = [
  [
    'text',
    '/whole/r',
    [
      {name: 'name', value: 'a'},
      {name: 'numbers', value: '1'},
    ],
    {name: 'a', numbers: [1], otherName: 'r'},
  ],
  ['text as bytes', '/whole/r', [{name: 'name', value: new TextEncoder().encode('€')}], {name: '€', otherName: 'r'}],
  ['a file', '/whole/r', [{name: 'data', ...file}], {data: '/wA=', otherName: 'r'}],
  [
    'files',
    '/whole/r',
    [
      {name: 'datas', ...file},
      {name: 'datas', ...file},
    ],
    {datas: ['/wA=', '/wA='], otherName: 'r'},
  ],
  ['bytes as text', '/whole/r', [{name: 'data', value: '_wA'}], {data: '/wA=', otherName: 'r'}],
  [
    'a file for an HttpBody',
    '/whole/r',
    [{name: 'file', ...file}],
    {file: {contentType: 'image/png', data: '/wA='}, otherName: 'r'},
  ],
  ['below the body', '/child', [{name: 'name', value: 'a'}], {child: {name: 'a'}}],
  ['bytes that are no text', '/whole/r', [{name: 'name', value: file.value}], 'name'],
  ['100 levels', '/whole/r', [{name: `${'child.'.repeat(99)}age`, value: '0'}], deep(99, {otherName: 'r'})],
  [
    'twice',
    '/whole/r',
    [
      {name: 'data', ...file},
      {name: 'data', ...file},
    ],
    'data',
  ],
  ['unknown', '/whole/r', [{name: 'nope', value: 'a'}], 'nope'],
  ['bound by the path', '/whole/r', [{name: 'otherName', value: 'a'}], 'otherName'],
  ['a message', '/whole/r', [{name: 'child', value: 'a'}], 'child'],
]

for (const [key, path, body, outcome] of multiparts) {
  test(`multipart: ${key}`, (t) => {
    const match = transcoder.route('POST', path)
    if ('status' in match) return t.fail()
    const parts = {contentType: 'multipart/form-data; boundary=x', body}
    const act = () => decodeRequest(transcoder, match, parts)
    if (typeof outcome === 'string') return t.is(fieldOf(caught(act)), outcome)
    return t.deepEqual(json(act()), outcome as JsonValue)
  })
}

function deep(levels: number, beside: object): object {
  let child = {}
  for (let level = 1; level < levels; level++) child = {child}
  return {child, ...beside}
}

test('a form: each path of a FieldMask counts, and each message on the way to a field', (t) => {
  const leastLimit = (body: string) => {
    for (let maxValues = 1; ; maxValues++) {
      try {
        decode(transcode([{post: '/whole', body: '*'}], {maxValues}), 'POST', '/whole', body, form)
        return maxValues
      } catch {
        if (maxValues === 20) throw new Error('There is no such limit')
      }
    }
  }
  t.is(leastLimit('mask=a,b,c') - leastLimit('mask=a'), 2)
  t.is(leastLimit('child.child.name=a') - leastLimit('name=a'), 2)
})

test('a form: 100 levels are read, 101 refused', (t) => {
  t.notThrows(() => decode(transcoder, 'POST', '/whole/r', `${'child.'.repeat(99)}age=1`, form))
  for (const depth of [100, 3000, 200_000]) {
    const [, message] = refusal(transcoder, 'POST', '/whole/r', `${'child.'.repeat(depth)}age=1`, form)
    t.true(message.endsWith(': it nests deeper than 100 levels'), message)
  }
})

test('text that is not UTF-8 is named by its place: a form, a part', (t) => {
  t.deepEqual(refusal(transcoder, 'POST', '/whole/r', Uint8Array.of(0x61, 0xff), form), [
    'body',
    'Cannot read the body as a form: it is not UTF-8',
  ])
  const match = transcoder.route('POST', '/whole/r')
  if ('status' in match) return t.fail()
  const body = [{name: 'name', value: Uint8Array.of(0xff)}]
  const fault = caught(() => decodeRequest(transcoder, match, {contentType: 'multipart/form-data', body}))
  t.is(fault.message, 'Cannot set "name": it is not UTF-8')
})

test('an empty body is the empty message, for any content type', (t) => {
  t.deepEqual(decodeJson(transcoder, 'POST', '/whole/r', '', 'text/plain'), {otherName: 'r'})
})

test('HttpBody as request: the raw body, for any content type', (t) => {
  const bytes = Uint8Array.of(0, 0xff)
  t.like(decode(transcoder, 'POST', '/raw', bytes, 'image/png'), {contentType: 'image/png', data: bytes})
  t.like(decode(transcoder, 'POST', '/raw', 'null', 'application/json'), {contentType: 'application/json'})
  t.like(decode(transcoder, 'POST', '/raw', undefined, 'text/plain'), {
    contentType: 'text/plain',
    data: new Uint8Array(),
  })
})

test('HttpBody as a field of a request: the body is in it, and the path beside it', (t) => {
  t.deepEqual(decodeJson(transcoder, 'POST', '/file/a?flag=true', Uint8Array.of(0xff, 0), 'image/png'), {
    name: 'a',
    flag: true,
    file: {contentType: 'image/png', data: '/wA='},
  })
})

test('a body of white space, if the rule takes none, is read up to 1024 bytes', (t) => {
  const bare = transcode([{get: '/n/{name}'}])
  t.deepEqual(decodeJson(bare, 'GET', '/n/a', ' '.repeat(1024)), {name: 'a'})
  t.is(refusal(bare, 'GET', '/n/a', ' '.repeat(1025))[0], 'body')
})

test('unknown names of parameters are not kept in memory', (t) => {
  const bare = transcode([{get: '/n/{name}'}])
  const before = held()
  for (let index = 0; index < 50; index++) {
    const name = `${index}${'x'.repeat(1_000_000)}`
    t.true(refusal(bare, 'GET', `/n/a?${name}=1`)[0].startsWith(`${index}x`))
  }
  t.true(held() - before < 20_000_000)
})

test('415 for a body of a type that is not supported, with those that are', (t) => {
  const fault = caught(() => decode(transcoder, 'POST', '/child', '{}', 'text/plain'))
  t.is(httpStatusOf(fault), 415)
  t.is(
    fault.message,
    'Cannot read a body of type "text/plain": expected application/json, application/x-www-form-urlencoded, multipart/form-data, in UTF-8',
  )
  t.is(failureHeaders(fault).accept, 'application/json, application/x-www-form-urlencoded, multipart/form-data')
})

function reader(method: string, url: string, parts: RequestParts = {}) {
  const [path = '', query] = url.split('?')
  const match = streams.route(method, path)
  if ('status' in match) throw new Error(`${match.status}`)
  return readMessages(streams, match, {query, ...parts})
}

const streams = transcode([
  {post: '/s/{name}', body: '*'},
  {post: '/c/{name}', body: 'child'},
  {post: '/r/{name}', body: 'file'},
  {post: '/h', body: '*', input: 'google.api.HttpBody'},
  {get: '/n/{name}'},
])

test('client streams: path and query bindings are in every message', (t) => {
  const child = reader('POST', '/c/a?names=x&names=y')
  t.deepEqual(json(child.json('{"age":1}')), {name: 'a', names: ['x', 'y'], child: {age: 1}})
  t.deepEqual(json(child.json('{}')), {name: 'a', names: ['x', 'y'], child: {}})
  const whole = reader('POST', '/s/a')
  t.deepEqual(json(whole.json('{"flag":true}')), {name: 'a', flag: true})
  t.deepEqual(json(whole.json('{"int64Value":9007199254740993}')), {name: 'a', int64Value: '9007199254740993'})
  t.deepEqual(json(reader('GET', '/n/a?flag=true').bare()), {name: 'a', flag: true})
})

test('client streams: an error in path or query comes before the first message, one in a message by itself', (t) => {
  t.is(fieldOf(caught(() => reader('POST', '/c/a?flag=1'))), 'flag')
  t.is(fieldOf(caught(() => reader('POST', '/c/a?nope=1'))), 'nope')
  t.is(fieldOf(caught(() => reader('GET', '/n/a?choiceText=a&choiceLong=1'))), 'choiceLong')
  t.is(fieldOf(caught(() => reader('POST', '/s/a').json('{"name":"b"}'))), 'name')
  t.is(fieldOf(caught(() => reader('POST', '/s/a').json('null'))), 'body')
  t.is(fieldOf(caught(() => reader('GET', '/n/a').json('{}'))), 'body')
})

test('HttpBody in a client stream: the content type is in the first message, the path in each', (t) => {
  const raw = reader('POST', '/r/a', {contentType: 'image/png'})
  t.deepEqual(json(raw.raw(Uint8Array.of(1))), {name: 'a', file: {contentType: 'image/png', data: 'AQ=='}})
  t.deepEqual(json(raw.raw(Uint8Array.of(2))), {name: 'a', file: {data: 'Ag=='}})
  t.deepEqual(json(reader('POST', '/h').raw(Uint8Array.of(1))), {data: 'AQ=='})
})

function json(message: Message): JsonValue {
  return toJson(registry.getMessage(message.$typeName)!, message, {registry})
}
