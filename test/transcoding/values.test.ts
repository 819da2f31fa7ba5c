import type {Message} from '@bufbuild/protobuf'
import {toJson} from '@bufbuild/protobuf'
import test from 'ava'
import {httpStatusOf} from '../../src/http/response/failure.ts'
import type {Part} from '../../src/transcoding/requests.ts'
import {caught, decode, decodeRequest, fieldOf, readMessages, registry, transcode} from './schema.ts'

const maxValues = 20
const rules = [
  {post: '/every', body: '*'},
  {post: '/struct', body: '*', input: 'google.protobuf.Struct'},
  {post: '/children', body: 'children'},
  {post: '/child', body: 'child'},
  {get: '/query'},
  {get: '/mask/{mask}'},
]
const transcoder = transcode(rules, {maxValues})
const form = 'application/x-www-form-urlencoded'

function times(count: number, text: string, separator = ','): string {
  return Array(count).fill(text).join(separator)
}

/** Requests with any given number of values, above a small minimum. */
const forms: Record<string, (values: number) => [path: string, body?: string | Part[], type?: string]> = {
  'strings in an array': (values) => ['/every', `{"names":[${times(values - 2, '"a"')}]}`],
  'empty messages': (values) => ['/every', `{"children":[${times(values - 2, '{}')}]}`],
  'messages in messages': (values) => ['/every', `{"children":[{"child":{}},${times(values - 4, '{}')}]}`],
  'numbers, also those that a double rounds': (values) => [
    '/every',
    `{"longs":[9007199254740993,${times(values - 3, '-1e1')}]}`,
  ],
  'numbers with a sign in their exponent': (values) => [
    '/every',
    `{"values":[${times(values - 4, '1e-5')},1E+5,2.5e-10]}`,
  ],
  'true, false and null': (values) => ['/every', `{"flag":true,"values":[false,${times(values - 4, 'null')}]}`],
  'entries of a map': (values) => [
    '/every',
    `{"labels":{${Array.from({length: values - 2}, (_, index) => `"${index}":"a"`)}}}`,
  ],
  'white space anywhere': (values) => ['/every', ` { "names" : [ ${times(values - 2, '"a"', ' , ')} ] } `],
  'strings with what looks like more': (values) => [
    '/every',
    `{"names":[${times(values - 2, String.raw`"[{,\\\",1:null"`)}]}`,
  ],
  'any JSON': (values) => ['/struct', `{"a":[${times(values - 2, '{}')}]}`],
  'a body that is one field': (values) => ['/children', `[${times(values - 1, '{}')}]`],
  'a body and a query': (values) => ['/children?names=a&names=b', `[${times(values - 3, '{}')}]`],
  'paths of a FieldMask': (values) => ['/every', `{"mask":"${times(values - 1, 'a')}"}`],
  'paths of FieldMasks in a query': (values) => [`/query?mask=${times(values, 'a')}`],
  'paths of FieldMasks in a path': (values) => [`/mask/${times(values + 1, 'a')}`],
  'paths of a FieldMask in a form': (values) => ['/every', `mask=${times(values, 'a')}`, form],
  'query parameters': (values) => [`/query?${times(values, 'names=a', '&')}`],
  'query parameters and the messages that they make': (values) => [
    `/query?${times(values - 2, 'names=a', '&')}&child.name=a`,
  ],
  'query parameters into one message': (values) => [
    `/query?child.name=a&child.age=1&${times(values - 3, 'names=a', '&')}`,
  ],
  'pairs of a form': (values) => ['/every', times(values, 'names=a', '&'), form],
  'pairs of a form, and empty ones': (values) => ['/every', times(values, 'names=a', '&&&'), form],
  'pairs of a form and the messages that they make': (values) => [
    '/every',
    `${times(values - 3, 'names=a', '&')}&child.child.name=a`,
    form,
  ],
  'parts of a multipart body': (values) => [
    '/every',
    Array<Part>(values).fill({name: 'names', value: 'a'}),
    'multipart/form-data; boundary=x',
  ],
}

for (const [name, request] of Object.entries(forms)) {
  test(`values: ${maxValues} are read as ${name}, ${maxValues + 1} are 400`, (t) => {
    const [path, body, type] = request(maxValues)
    t.notThrows(() => decodeParts(path, body, type))
    const fault = caught(() => decodeParts(...request(maxValues + 1)))
    t.is(httpStatusOf(fault), 400)
    t.is(fieldOf(fault), 'body')
    t.is(fault.message, `Cannot read the request: a message has more than ${maxValues} values`)
  })
}

test('values: they are counted before anything is built: a text that is cut short has too many all the same', (t) => {
  t.regex(caught(() => decodeParts('/every', `{"names":[${times(20, '"a"')}`)).message, /more than 20 values/)
  t.regex(caught(() => decodeParts('/every', `{"names":[${times(5, '"a"')}`)).message, /as JSON/)
})

test('values: 20,000 by default', (t) => {
  const usual = transcode(rules)
  t.notThrows(() => decode(usual, 'POST', '/every', `{"names":[${times(19_998, '""')}]}`))
  t.regex(
    caught(() => decode(usual, 'POST', '/every', `{"names":[${times(19_999, '""')}]}`)).message,
    /more than 20000 values/,
  )
})

test('values: each message of a stream has its own limit, including path and query', (t) => {
  const match = transcoder.route('POST', '/children')
  if ('status' in match) return t.fail()
  const reader = readMessages(transcoder, match, {query: 'names=a&child.name=b'}, maxValues)
  for (let round = 0; round < 3; round++) {
    t.is((json(reader.json(`[${times(16, '{}')}]`)) as {children: unknown[]}).children.length, 16)
    t.is(fieldOf(caught(() => reader.json(`[${times(17, '{}')}]`))), 'body')
  }
})

test('values: path and query of a stream are short, because each of its messages has them', (t) => {
  const match = transcoder.route('POST', '/children')
  if ('status' in match) return t.fail()
  t.notThrows(() => readMessages(transcoder, match, {query: `name=${'a'.repeat(4091)}`}))
  const fault = caught(() => readMessages(transcoder, match, {query: `name=${'a'.repeat(4092)}`}))
  t.is(httpStatusOf(fault), 400)
  t.is(fieldOf(fault), 'query')
})

function decodeParts(path: string, body?: string | Part[], type?: string): Message {
  const [bare = '', query] = path.split('?')
  const match = transcoder.route(body === undefined ? 'GET' : 'POST', bare)
  if ('status' in match) throw new Error(`${match.status} for ${path}`)
  return decodeRequest(transcoder, match, {query, body, contentType: type})
}

function json(message: Message) {
  return toJson(registry.getMessage(message.$typeName)!, message, {registry})
}
