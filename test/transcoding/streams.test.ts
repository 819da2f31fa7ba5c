import test from 'ava'
import {httpStatusOf} from '../../src/http/response/failure.ts'
import {JsonSplitter} from '../../src/transcoding/json/splitter.ts'
import {type MessageBatch, type MessageStreamOptions, messageStream} from '../../src/transcoding/message-stream.ts'
import {createTranscoder} from '../../src/transcoding/transcoder.ts'
import {bufBuild, protosIn} from '../helpers/buf.ts'
import {held} from '../helpers/held.ts'
import {caught, fieldOf, readMessages, transcode} from './schema.ts'

const utf8 = new TextEncoder()

test('a WebSocket finds a stream with a body: by a rule of any HTTP method too, also beside a GET', (t) => {
  const schema = bufBuild({
    ...protosIn('proto/google/api', 'google/api'),
    'file.proto': `syntax = "proto3"; import "google/api/annotations.proto"; message M {string name = 1;}
      service S {
        rpc Any(stream M) returns (stream M) {option (google.api.http) = {custom: {kind: "*" path: "/any"} body: "*"};}
        rpc Get(M) returns (M) {option (google.api.http) = {get: "/any" additional_bindings {get: "/get"}};}
        rpc Up(stream M) returns (M) {option (google.api.http) = {get: "/up" additional_bindings {custom: {kind: "*" path: "/too"} body: "*"}};}
      }`,
  })
  const transcoder = createTranscoder({schema})
  t.is(transcoder.routeStream('/any').binding.method.name, 'Any')
  t.is(transcoder.routeStream('/too').binding.method.name, 'Up')
  for (const path of ['/up', '/get'])
    t.throws(() => transcoder.routeStream(path), {message: /expected the path of a method that takes a stream/})
  t.throws(() => transcoder.routeStream('/none'), {message: /no method is bound/})
})

/** The body of a client stream as NDJSON, a JSON array or concatenated JSON values: its text, and the texts of the values. */
const split: [key: string, text: string, values: string[]][] = [
  ['nothing', '', []],
  ['white space', ' \n', []],
  ['NDJSON', '{"a":1}\n{"a":2}\n', ['{"a":1}', '{"a":2}']],
  ['NDJSON without the last newline', '{"a":1}\r\n{"a":2}', ['{"a":1}', '{"a":2}']],
  ['NDJSON with empty lines', '\n\n{}\n\n{}\n', ['{}', '{}']],
  ['concatenated', '{"a":1}{"a":2} {"a":3}', ['{"a":1}', '{"a":2}', '{"a":3}']],
  [
    'concatenated scalars',
    '1 2\n-3.5e7 true null "a""b"1"c"',
    ['1', '2', '-3.5e7', 'true', 'null', '"a"', '"b"', '1', '"c"'],
  ],
  ['a literal at the end', '{}\nfalse', ['{}', 'false']],
  ['an array later is a value', '{}[1,[2]]', ['{}', '[1,[2]]']],
  ['an array', '[{"a":1},{"a":2}]', ['{"a":1}', '{"a":2}']],
  ['an array, spaced', ' [ {"a":1} ,\n {"a":2} ] \n', ['{"a":1}', '{"a":2}']],
  ['an array of everything', '[1,"a",null,[1,2],{},-0.5]', ['1', '"a"', 'null', '[1,2]', '{}', '-0.5']],
  ['an empty array', '[ ]', []],
  ['brackets and commas in strings', '{"a":"}],[{\\"\\\\"}{"b":"\\\\"}', ['{"a":"}],[{\\"\\\\"}', '{"b":"\\\\"}']],
  ['escapes', '["\\u0041\\"",{"\\"":"\\\\"}]', ['"\\u0041\\""', '{"\\"":"\\\\"}']],
  ['characters of many bytes', '{"a":"€😀é"}\n"€"', ['{"a":"€😀é"}', '"€"']],
  ['pretty-printed', '{\n  "a": [\n    1\n  ]\n}\n', ['{\n  "a": [\n    1\n  ]\n}']],
]

for (const [key, text, values] of split) {
  for (const size of [1, 3, 1000]) {
    test(`splitter: ${key}, ${size} bytes at a time: ${text}`, (t) => t.deepEqual(pieces(text, size), values))
  }
}

/** Malformed bodies, which are 400 for `body`: the text, the values before the error, and a part of its reason. */
const malformed: [text: string, values: string[], reason: string][] = [
  ['{"a":1', [], 'the body ends within a value'],
  ['{}"a', ['{}'], 'the body ends within a value'],
  ['[1,2', ['1'], 'the body ends within a value'],
  ['["a"', ['"a"'], 'the body ends within an array'],
  ['[', [], 'the body ends within an array'],
  ['["a",', ['"a"'], 'the body ends within an array'],
  ['["a",]', ['"a"'], 'expected a value, found "]"'],
  ['[,"a"]', [], 'expected a value, found ","'],
  ['["a","b"]["c"]', ['"a"', '"b"'], 'something follows the array'],
  ['["a"]x', ['"a"'], 'something follows the array'],
  ['["a" "b"]', ['"a"'], 'expected "," or "]"'],
  ['["a"}', ['"a"'], 'expected "," or "]"'],
  ['{},{}', ['{}'], 'expected a value, found ","'],
  ['}', [], 'expected a value, found "}"'],
  ['{"a":[}]', [], '"}" closes what it did not open'],
  ['\ufeff{}', [], 'expected a value, found byte 0xef'],
  ["'a'", [], 'expected a value'],
  ['NaN', [], 'expected a value'],
]

for (const [text, values, reason] of malformed) {
  for (const size of [1, 3, 1000]) {
    test(`splitter: ${JSON.stringify(text)} is 400, ${size} bytes at a time`, (t) => {
      const seen: string[] = []
      const fault = caught(() => pieces(text, size, seen))
      t.deepEqual([httpStatusOf(fault), fieldOf(fault), seen], [400, 'body', values])
      t.true(fault.message.includes(reason), fault.message)
    })
  }
}

test('splitter: a complete value is available before the next byte', (t) => {
  const splitter = new JsonSplitter()
  t.deepEqual(splitter.push(utf8.encode('[{"a":1}')), ['{"a":1}'])
  t.deepEqual(splitter.push(utf8.encode(',{"a":')), [])
  t.deepEqual(splitter.push(utf8.encode('2}')), ['{"a":2}'])
})

test('splitter: a value of too many bytes is 413, for any chunking', (t) => {
  for (const text of ['"aaaaaaaaa"', '[1234567890123]', '{"a":"bcdefg"}', '{"aaaaaaaaaaaaaaa']) {
    for (const size of [1, 4, 1000]) {
      const splitter = new JsonSplitter({maxBytes: 10})
      const fault = caught(() => feed(splitter, utf8.encode(text), size, []))
      t.deepEqual([httpStatusOf(fault), fault.code], [413, 'RESOURCE_EXHAUSTED'])
    }
  }
  t.deepEqual(feed(new JsonSplitter({maxBytes: 10}), utf8.encode('"aaaaaaaa""bbbbbbbb"'), 7, []).length, 2)
})

test('splitter: 100 levels of a value are accepted, 101 are 400; the array around it does not count', (t) => {
  const nest = (depth: number) => `${'['.repeat(depth)}${']'.repeat(depth)}`
  for (const [before, after, values] of [
    ['[', ']', 1],
    ['{}', '', 2],
  ] as const) {
    t.is(pieces(`${before}${nest(100)}${after}`, 7).length, values)
    const fault = caught(() => pieces(`${before}${nest(101)}${after}`, 7))
    t.is(fieldOf(fault), 'body')
    t.regex(fault.message, /a value nests deeper than 100 levels$/)
  }
})

test('splitter: a long value in many chunks is complete', (t) => {
  const text = JSON.stringify(Array.from({length: 5000}, (_, index) => `${index}`))
  for (const size of [700, 1500, 4000]) t.deepEqual(pieces(`{}${text}`, size), ['{}', text])
})

test('splitter: the buffer of a long value is released', (t) => {
  const long = utf8.encode(`"${'a'.repeat(1_000_000)}"`)
  const before = held()
  const splitters = Array.from({length: 30}, () => {
    const splitter = new JsonSplitter()
    splitter.push(long.subarray(0, 500_000))
    t.is(splitter.push(long.subarray(500_000)).length, 1)
    return splitter
  })
  t.true(held() - before < 10_000_000)
  t.deepEqual(
    splitters.flatMap((splitter) => splitter.end()),
    [],
  )
})

const served = transcode([
  {post: '/s', body: '*'},
  {post: '/s/{name}', body: '*'},
  {post: '/raw', body: '*', input: 'google.api.HttpBody'},
])

/** The stream of messages at `path`. */
function streamAt(path: string, options: MessageStreamOptions = {raw: false}) {
  const match = served.route('POST', path)
  if ('status' in match) throw new Error(`${match.status}`)
  return messageStream(readMessages(served, match, {}), options)
}

const sizesOf = ({messages, count, size}: MessageBatch) => [[...messages].length, count, size]

test('a stream without a message has one if its path says something, unless it is an empty array', (t) => {
  for (const [path, body, left] of [
    ['/s', '', 0],
    ['/s', '[]', 0],
    ['/s/a', '', 1],
    ['/s/a', ' ', 1],
    ['/s/a', '[]', 0],
    ['/s/a', '{}', 0],
  ] as const) {
    const stream = streamAt(path)
    stream.push(utf8.encode(body))
    t.deepEqual(sizesOf(stream.end()), [left, left, 0], `${path} ${body}`)
  }
})

test('messages that come in one chunk are counted, with what is buffered of them', (t) => {
  const stream = streamAt('/s')
  t.is(stream.push(utf8.encode('{"name"')), undefined)
  t.deepEqual(sizesOf(stream.push(utf8.encode(':"a"}{}'))!), [2, 2, 14])
  const raw = streamAt('/raw', {raw: true})
  t.deepEqual(sizesOf(raw.push(Uint8Array.of(1, 2, 3))!), [1, 1, 3])
  t.deepEqual(sizesOf(raw.end()), [0, 0, 0])
  t.deepEqual(sizesOf(streamAt('/raw', {raw: true}).end()), [1, 1, 0])
})

test('a message of a stream has a limit of its own', (t) => {
  const body = utf8.encode('{"name":"aaaa"}')
  t.is(streamAt('/s', {raw: false, maxBytes: body.length}).push(body)?.count, 1)
  t.is(httpStatusOf(caught(() => streamAt('/s', {raw: false, maxBytes: body.length - 1}).push(body))), 413)
})

test('splitter: bytes that are not UTF-8 are 400', (t) => {
  t.is(fieldOf(caught(() => new JsonSplitter().push(Uint8Array.of(0x22, 0xff, 0x22)))), 'body')
})

function pieces(text: string, size: number, seen: string[] = []): string[] {
  return feed(new JsonSplitter(), utf8.encode(text), size, seen)
}

function feed(splitter: JsonSplitter, bytes: Uint8Array, size: number, seen: string[]): string[] {
  for (let at = 0; at < bytes.length; at += size) seen.push(...splitter.push(bytes.slice(at, at + size)))
  seen.push(...splitter.end())
  return seen
}
