import {once} from 'node:events'
import test from 'ava'
import {type Code, Fault} from '../../src/core/fault.ts'
import {pause} from '../../src/core/waiting.ts'
import {eventStream, json, ndjson} from '../../src/http/response/reply.ts'
import type {Scope} from '../../src/http/scope.ts'
import {type App, startApp} from '../helpers/app.ts'
import {askOnce} from './answers.ts'
import {connectTo} from './connection.ts'
import {eventsIn} from './events.ts'
import {garbage, serverSocket} from './handlers.ts'

let app: App
test.before(async () => {
  app = await startApp()
})
test.afterEach.always((t) => app.quiet(t))
test.after.always(() => app.close())

test.serial('the chunks of a stream arrive as they are produced', async (t) => {
  const second = Promise.withResolvers<string>()
  const {url} = await app.serve(() => ({
    headers: {'content-type': 'text/plain', 'Content-Length': '3', 'Transfer-Encoding': 'gzip', Connection: 'close'},
    body: (async function* () {
      yield 'first'
      yield new TextEncoder().encode(await second.promise)
    })(),
  }))
  await using connection = await connectTo(url)
  connection.get('/')
  await connection.until(/first/)
  second.resolve(', second')
  const {status, text, whole, headers} = await connection.response()
  t.deepEqual({status, text, whole}, {status: 200, text: 'first, second', whole: true})
  t.is(headers.get('transfer-encoding'), 'chunked')
  t.is(headers.get('connection'), 'keep-alive')
})

for (const [type, reply] of [
  ['application/x-ndjson; charset=utf-8', ndjson],
  ['text/event-stream; charset=utf-8', eventStream],
] as const) {
  test.serial(`a stream of ${type} is kept by no cache`, async (t) => {
    const {url} = await app.serve(() => reply(ReadableStream.from(['{}'])))
    const {headers, body} = await fetch(url)
    t.deepEqual([headers.get('content-type'), headers.get('cache-control')], [type, 'no-store'])
    await body?.cancel()
  })
}

test.serial('an empty stream is an empty body', async (t) => {
  const {url} = await app.serve(() => ({body: (async function* () {})()}))
  await using connection = await connectTo(url)
  connection.get('/')
  const {status, text, whole} = await connection.response()
  t.deepEqual({status, text, whole}, {status: 200, text: '', whole: true})
})

for (const [title, body] of [
  ['a short text', 'ab'],
  ['a short text with more than ASCII', 'aéb漢'],
  ['a long text', 'ab'.repeat(9000)],
  ['bytes', new TextEncoder().encode('aé')],
] as const) {
  test.serial(`${title} arrives as UTF-8, and a header unchanged`, async (t) => {
    const {url} = await app.serve(() => ({headers: {'x-name': 'Ren\xe9'}, body}))
    await using connection = await connectTo(url)
    connection.get('/')
    const {headers, text, whole} = await connection.response()
    const bytes = Buffer.from(text, 'latin1')
    t.deepEqual({bytes, whole}, {bytes: Buffer.from(body), whole: true})
    t.is(headers.get('x-name'), 'Ren\xe9')
    t.is(headers.get('content-length'), String(bytes.length))
  })
}

async function* failingAfterOne(code: Code = 'DATA_LOSS'): AsyncGenerator<string> {
  yield '{"n":1}'
  throw new Fault(code, 'Lost it', {cause: new Error('secret')})
}

const lost = '{"error":{"code":500,"message":"Lost it","status":"DATA_LOSS","details":[]}}'

for (const [title, reply, sent] of [
  ['a body', () => ({body: failingAfterOne()}), '{"n":1}'],
  ['ndjson', () => ndjson(failingAfterOne()), `{"n":1}\n${lost}\n`],
  [
    'an event stream, by what may pass,',
    () => eventStream(failingAfterOne('UNAVAILABLE')),
    `id: 1
data: {"n":1}

event: error
data: ${lost.replace('500', '503').replace('DATA_LOSS', 'UNAVAILABLE')}

`,
  ],
  [
    'a body whose second piece is none',
    () =>
      garbage({
        body: (async function* () {
          yield '{"n":1}'
          yield {}
        })(),
      }),
    '{"n":1}',
  ],
] as const) {
  test.serial(`${title} that fails after its first chunk is cut, and no other answer follows`, async (t) => {
    const {url} = await app.serve(reply)
    await using connection = await connectTo(url)
    connection.get('/')
    const {status, text, whole} = await connection.response()
    t.deepEqual({status, text, whole}, {status: 200, text: sent, whole: false})
    await connection.closed
    t.is(connection.rest, '')
  })
}

test.serial('an event stream with a permanent error is read to its end, and its connection stays open', async (t) => {
  const {url} = await app.serve(({path}) => (path === '/well' ? json({all: 'well'}) : eventStream(failingAfterOne())))
  await using connection = await connectTo(url)
  const {status, text, whole} = await askOnce(t, connection, '/')
  t.deepEqual(
    {status, text, whole},
    {status: 200, text: `id: 1\ndata: {"n":1}\n\nid: 1;end\nevent: error\ndata: ${lost}\n\n`, whole: true},
  )
})

const data = [
  '{\n  "pretty": true\n}',
  'one\r\ntwo\rthree\n\nfive',
  '',
  '\n',
  ' : data: x\nid: 9\nevent: other\nretry: 1',
  '€🎈\u2028\u0085\0',
]

test.serial('events hold text with any line breaks, one after the other', async (t) => {
  const {url} = await app.serve(() => eventStream(ReadableStream.from(data)))
  const {events, retry} = eventsIn(await (await fetch(url)).text())
  t.deepEqual(
    events,
    [...data.map((text) => text.replaceAll(/\r\n|\r/g, '\n')), '{}'].map((text, index) => ({
      event: index === data.length ? 'end' : 'message',
      data: text,
      id: index === data.length ? `${index};end` : String(index + 1),
    })),
  )
  t.is(retry, undefined)
})

test.serial('lines of NDJSON hold JSON that has line breaks', async (t) => {
  const value = {a: [1, {b: 'c\nd'}]}
  const {url} = await app.serve(() => ndjson(ReadableStream.from([JSON.stringify(value, null, 2), '{}\r\n'])))
  const lines = (await (await fetch(url)).text()).split('\n')
  t.deepEqual(
    lines.slice(0, -1).map((line) => JSON.parse(line)),
    [value, {}],
  )
  t.is(lines.at(-1), '')
})

test.serial('a stream whose last chunk fails too is cut', async (t) => {
  const {url} = await app.serve(() => ({
    body: failingAfterOne(),
    failure: () => {
      throw new Error('no word')
    },
  }))
  await using connection = await connectTo(url)
  connection.get('/')
  await connection.closed
  t.notRegex(connection.rest, /0\r\n\r\n$/)
})

test.serial('fetch detects that a stream was cut', async (t) => {
  const {url} = await app.serve(() => ndjson(failingAfterOne()))
  const response = await fetch(url)
  t.is(response.status, 200)
  await t.throwsAsync(response.text(), {message: 'terminated'})
})

test.serial('an HTTP/1.0 caller detects that a stream was cut', async (t) => {
  const {url} = await app.serve(() => ({body: failingAfterOne()}))
  await using connection = await connectTo(url)
  connection.send('GET / HTTP/1.0\n\n')
  t.is((await connection.closed)?.code, 'ECONNRESET')
})

test.serial('an HTTP/1.0 caller gets a complete stream, to the end of the connection', async (t) => {
  const {url} = await app.serve(() => ({
    body: (async function* () {
      yield 'a'
      yield 'b'
    })(),
  }))
  await using connection = await connectTo(url)
  connection.send('GET / HTTP/1.0\n\n')
  const {text, headers} = await connection.response()
  t.is(text, 'ab')
  t.false(headers.has('transfer-encoding'))
  t.is(await connection.closed, undefined)
})

for (const [title, piece] of [
  ['waits for its next piece', (scope: Scope) => pause(600_000, scope.signal).then(() => 'never')],
  ['sends without end', async () => 'x'.repeat(1000)],
] as const) {
  test.serial(`the source of a stream that ${title} is ended when the caller hangs up`, async (t) => {
    const left = Promise.withResolvers<void>()
    const {url} = await app.serve((scope) => ({
      body: (async function* () {
        try {
          yield 'first'
          for (;;) yield await piece(scope)
        } finally {
          left.resolve()
        }
      })(),
    }))
    await using connection = await connectTo(url)
    connection.get('/')
    await connection.until(/first/)
    connection.socket.destroy()
    await t.notThrowsAsync(left.promise)
  })
}

test.serial('a caller that hangs up while a stream is being finished leaves nothing behind', async (t) => {
  const gone = Promise.withResolvers<void>()
  const ending = Promise.withResolvers<void>()
  const {url} = await app.serve((scope) => {
    scope.signal.addEventListener('abort', () => ending.resolve())
    scope.track(gone.promise)
    return {
      body: (async function* () {
        yield 'all of it'
      })(),
    }
  })
  const accepted = serverSocket()
  await using connection = await connectTo(url)
  connection.get('/')
  const closed = once(await accepted, 'close')
  await ending.promise
  connection.socket.destroy()
  await closed
  gone.resolve()
  await app.quiet(t)
})

for (const [title, method, piece] of [
  ['of a HEAD', 'HEAD', 'first'],
  ['of a HEAD, in lines,', 'HEAD', '{}'],
  ['that fails for its last piece is no text', 'GET', 5 as unknown as string],
] as const) {
  test.serial(`an answer ${title} ends only after its source has ended, however long that takes`, async (t) => {
    const events: string[] = []
    const body: AsyncIterable<string> = {
      [Symbol.asyncIterator]: () => ({
        next: async () => ({done: false, value: piece}),
        async return() {
          for (let turn = 0; turn < 10; turn++) await new Promise(setImmediate)
          events.push('left')
          return {done: true, value: undefined}
        },
      }),
    }
    const {url} = await app.serve(() => (piece === '{}' ? ndjson(body) : {body}))
    await fetch(url, {method}).then((response) => response.text())
    events.push('answered')
    t.deepEqual(events, ['left', 'answered'])
  })
}

/** Resolves when `count` has not changed for a few hundred turns of the event loop. */
async function still(count: () => number): Promise<void> {
  for (let turns = 0, last = -1; turns < 300; turns++) {
    await new Promise(setImmediate)
    if (count() === last) continue
    last = count()
    turns = 0
  }
}

test.serial('a caller that reads slowly slows down the stream, and gets all of it', async (t) => {
  const pieces = 1024
  const bytes = Buffer.alloc(64 * 1024, 'x')
  let made = 0
  const {url} = await app.serve(() => ({
    body: (async function* () {
      for (; made < pieces; made++) yield bytes
    })(),
  }))
  await using connection = await connectTo(url)
  connection.socket.pause()
  connection.get('/')
  await still(() => made)
  t.true(made > 0)
  t.true(made < pieces / 2, `${made} pieces were made for a caller that read none`)
  connection.socket.resume()
  const {text, whole} = await connection.response()
  t.true(whole)
  t.is(text.length, pieces * bytes.length)
})

test.serial('a caller that has stopped reading is cut at the deadline, without its last line', async (t) => {
  const left = Promise.withResolvers<void>()
  const line = JSON.stringify('x'.repeat(64 * 1024))
  const {url} = await app.serve(() =>
    ndjson(
      (async function* () {
        try {
          for (;;) yield line
        } finally {
          left.resolve()
        }
      })(),
    ),
  )
  const accepted = serverSocket()
  await using connection = await connectTo(url)
  connection.socket.pause()
  connection.get('/', 'x-server-timeout: 0.2')
  const closed = once(await accepted, 'close')
  await left.promise
  await closed
  connection.socket.resume()
  t.false((await connection.response()).whole)
})

test.serial('a caller that does not read does not affect the answers of others', async (t) => {
  const {url} = await app.serve((scope) =>
    scope.path === '/well'
      ? json({all: 'well'})
      : {
          body: (async function* () {
            for (;;) yield 'x'.repeat(64 * 1024)
          })(),
        },
  )
  await using stalled = await connectTo(url)
  stalled.socket.pause()
  stalled.get('/')
  await using connection = await connectTo(url)
  t.is((await askOnce(t, connection, '/well')).status, 200)
})
