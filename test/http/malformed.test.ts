import {subscribe, unsubscribe} from 'node:diagnostics_channel'
import {once} from 'node:events'
import type {Server} from 'node:http'
import test from 'ava'
import {json} from '../../src/http/response/reply.ts'
import {type App, startApp} from '../helpers/app.ts'
import {isFault} from './answers.ts'
import {type Connection, connectTo} from './connection.ts'
import {aborted, held, serverSocket} from './handlers.ts'

let app: App
test.before(async () => {
  app = await startApp({target: 'ping'})
})
test.afterEach.always((t) => app.quiet(t))
test.after.always(() => app.close())

const host = 'Host: test\n'
const chunked = 'Transfer-Encoding: chunked\n'
const long = 'x'.repeat(20_000)

/** Requests for which no function is called, and their responses. */
const refused: Readonly<Record<string, readonly [sent: string, http: number, code?: string]>> = {
  'no HTTP': ['nonsense\n\n', 400],
  'no HTTP behind a path': ['GET / nonsense\n\n', 400],
  'bytes that are no HTTP': ['\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03', 400],
  'a byte that a path cannot have': [`GET /\x80 HTTP/1.1\n${host}\n`, 400],
  'an unknown method': [`FOO / HTTP/1.1\n${host}\n`, 400],
  'a header name with a space': [`GET / HTTP/1.1\n${host}Bad Header: x\n\n`, 400],
  'a header that is none': [`GET / HTTP/1.1\n${host}no header\n\n`, 400],
  'a length beside chunks': [`POST / HTTP/1.1\n${host}${chunked}Content-Length: 2\n\n2\n{}\n0\n\n`, 400],
  'two lengths': [`POST / HTTP/1.1\n${host}Content-Length: 2\nContent-Length: 2\n\n{}`, 400],
  'headers without end': [`GET / HTTP/1.1\n${host}x: ${long}\n\n`, 431],
  'a path without end': [`GET /${long} HTTP/1.1\n${host}\n`, 431],
  'no Host': ['GET / HTTP/1.1\n\n', 400],
  'two Hosts': [`GET / HTTP/1.1\n${host}Host: other\n\n`, 400],
  'the same Host twice': [`GET / HTTP/1.1\n${host}${host}\n`, 400],
  'two Hosts in HTTP/1.0': [`GET / HTTP/1.0\n${host}${host}\n`, 400],
  'a second Host behind a thousand headers': [`GET / HTTP/1.1\n${host}${'a:\n'.repeat(1500)}${host}\n`, 400],
  'a Host with a path': ['GET / HTTP/1.1\nHost: test/path\n\n', 400],
  'a Host with a user': ['GET / HTTP/1.1\nHost: user@test\n\n', 400],
  'a Host with a space': ['GET / HTTP/1.1\nHost: test other\n\n', 400],
  'an unknown expectation': [`POST / HTTP/1.1\n${host}Expect: more\nContent-Length: 2\n\n{}`, 417],
  'an unknown expectation beside the known one': [
    `POST / HTTP/1.1\n${host}Expect: 100-continue, more\nContent-Length: 2\n\n{}`,
    417,
  ],
  'an unknown coding': [
    `POST / HTTP/1.1\n${host}Transfer-Encoding: gzip, chunked\n\n2\n{}\n0\n\n`,
    501,
    'UNIMPLEMENTED',
  ],
  'an unknown coding in a line of its own': [
    `POST / HTTP/1.1\n${host}Transfer-Encoding: gzip\n${chunked}\n2\n{}\n0\n\n`,
    501,
    'UNIMPLEMENTED',
  ],
  'a coding that does not say where the body ends': [`POST / HTTP/1.1\n${host}Transfer-Encoding: gzip\n\n`, 400],
  'chunks twice': [`POST / HTTP/1.1\n${host}Transfer-Encoding: chunked, chunked\n\n0\n\n`, 400],
  'chunks in HTTP/1.0': [`POST / HTTP/1.0\n${host}${chunked}\n2\n{}\n0\n\n`, 400],
  'HTTP/0.9': ['GET /\n\n', 505, 'UNIMPLEMENTED'],
  'HTTP/1.2': [`GET / HTTP/1.2\n${host}\n`, 400],
  'HTTP/2.0': [`GET / HTTP/2.0\n${host}\n`, 505, 'UNIMPLEMENTED'],
  'HTTP/2': ['PRI * HTTP/2.0\n\nSM\n\n', 505, 'UNIMPLEMENTED'],
  CONNECT: [`CONNECT other:443 HTTP/1.1\n${host}\n`, 501, 'UNIMPLEMENTED'],
}

for (const [title, [sent, http, code = 'INVALID_ARGUMENT']] of Object.entries(refused)) {
  test.serial(
    `${title} is answered with ${http} in the format of all errors, as first and as second request`,
    async (t) => {
      const {url} = await app.serve(({path}) => (path === '/well' ? json({all: 'well'}) : (t.fail() as never)))
      for (const before of [0, 1]) {
        await using connection = await connectTo(url)
        if (before) connection.get('/well')
        if (before) t.is((await connection.response()).status, 200)
        connection.send(sent)
        const response = await connection.response()
        isFault(t, response, http, code)
        t.is(response.headers.get('connection'), 'close')
        t.regex(response.headers.get('date') ?? '', /^\w{3}, \d\d \w{3} \d{4} [\d:]{8} GMT$/)
        t.is(await connection.closed, undefined)
        t.is(connection.rest, '')
      }
    },
  )
}

test.serial('HEAD without a Host is answered without a body', async (t) => {
  const {url} = await app.serve(() => t.fail() as never)
  await using connection = await connectTo(url)
  connection.send('HEAD / HTTP/1.1\n\n')
  t.is((await connection.response('HEAD')).status, 400)
  await connection.closed
  t.is(connection.rest, '')
})

for (const [title, sent] of [
  ['no Host in HTTP/1.0', 'GET / HTTP/1.0\n\n'],
  ['an empty Host', 'GET / HTTP/1.1\nHost:\n\n'],
  ['a Host that is an address', 'GET / HTTP/1.1\nHost: [::1]:8080\n\n'],
  ['a Host that differs from its target', 'GET http://other/ HTTP/1.1\nHost: test\n\n'],
  ['CHUNKED', `POST / HTTP/1.1\n${host}Transfer-Encoding: CHUNKED\n\n2\n{}\n0\n\n`],
  ['an expectation in HTTP/1.0', `POST / HTTP/1.0\n${host}Expect: more\nContent-Length: 2\n\n{}`],
  ['an offer to change to another protocol', `GET / HTTP/1.1\n${host}Connection: Upgrade\nUpgrade: h2c\n\n`],
  ['an empty line before it', `\nGET / HTTP/1.1\n${host}\n`],
] as const) {
  test.serial(`a request with ${title} is served`, async (t) => {
    const {url} = await app.serve(() => json({all: 'well'}))
    await using connection = await connectTo(url)
    connection.send(sent)
    t.is((await connection.response()).text, '{"all":"well"}')
  })
}

test.serial('a header after the first thousand is read', async (t) => {
  const {url} = await app.serve(({headers}) => json({last: headers.last as string}))
  await using connection = await connectTo(url)
  connection.get('/', ...Array.from({length: 2000}, () => 'a:'), 'last: seen')
  t.deepEqual((await connection.response()).json, {last: 'seen'})
})

/** Bytes after a complete request that are not a request themselves. */
const stray: Readonly<Record<string, string>> = {
  'a stray byte': 'X',
  'a stray brace': '}',
  'a line that is not HTTP': 'nonsense\n\n',
  'headers without end': `GET / HTTP/1.1\n${host}x: ${long}`,
  CONNECT: `CONNECT other:443 HTTP/1.1\n${host}\n`,
  'HTTP/2': 'PRI * HTTP/2.0\n\nSM\n\n',
}

const whole = {
  GET: `GET /1 HTTP/1.1\n${host}\n`,
  'POST with a length': `POST /1 HTTP/1.1\n${host}Content-Length: 2\n\n{}`,
  'POST in chunks': `POST /1 HTTP/1.1\n${host}${chunked}\n2\n{}\n0\n\n`,
  'POST that waits for 100': `POST /1 HTTP/1.1\n${host}Expect: 100-continue\nContent-Length: 2\n\n{}`,
} as const

/** Expects the answers 1 and 2 on `connection`, complete, and then its end. */
async function answersAndEnd(connection: Connection, ...expected: string[]) {
  const texts: string[] = []
  while (texts.length < expected.length) {
    const {status, text, whole} = await connection.response()
    if (status !== 100) texts.push(whole ? text : `${text} cut`)
  }
  return {texts, error: await connection.closed, rest: connection.rest}
}

for (const [title, bytes] of Object.entries(stray)) {
  for (const [kind, request] of Object.entries(whole)) {
    test.serial(
      `${title} after a ${kind} takes nothing from its answer, after which the connection ends`,
      async (t) => {
        let calls = 0
        const {url} = await app.serve(async (scope) => {
          calls++
          return json({read: (await scope.bytes()).length})
        })
        await using connection = await connectTo(url)
        connection.send(request + bytes)
        const text = kind === 'GET' ? '{"read":0}' : '{"read":2}'
        t.deepEqual(await answersAndEnd(connection, text), {texts: [text], error: undefined, rest: ''})
        t.is(calls, 1)
      },
    )
  }

  test.serial(`${title} during other requests does not prevent their answers`, async (t) => {
    const {handler, scope, reply} = held()
    const {url} = await app.serve((one) =>
      one.path === '/1'
        ? handler(one)
        : {
            body: (async function* () {
              yield '<1>'
              yield '<2>'
            })(),
          },
    )
    const accepted = serverSocket()
    await using connection = await connectTo(url)
    connection.get('/1')
    connection.get('/2')
    const {signal} = await scope
    const socket = await accepted
    const before = socket.bytesRead
    connection.send(bytes)
    while (socket.bytesRead === before) await new Promise(setImmediate)
    connection.send('and more of it')
    await new Promise(setImmediate)
    t.false(signal.aborted)
    reply(json({first: true}))
    const expected = ['{"first":true}', '<1><2>']
    t.deepEqual(await answersAndEnd(connection, ...expected), {texts: expected, error: undefined, rest: ''})
  })
}

test.serial('a stray byte after an answer has begun does not stop it', async (t) => {
  const more = Promise.withResolvers<void>()
  const {url} = await app.serve(() => ({
    body: (async function* () {
      yield '<1>'
      await more.promise
      yield '<2>'
    })(),
  }))
  const accepted = serverSocket()
  await using connection = await connectTo(url)
  connection.get('/')
  await connection.until(/<1>/)
  const socket = await accepted
  const before = socket.bytesRead
  connection.send('X')
  while (socket.bytesRead === before) await new Promise(setImmediate)
  more.resolve()
  t.deepEqual(await answersAndEnd(connection, '<1><2>'), {texts: ['<1><2>'], error: undefined, rest: ''})
})

test.serial('a caller that hangs up after a stray byte ends its request', async (t) => {
  const {handler, scope, reply} = held()
  const {url} = await app.serve(handler)
  await using connection = await connectTo(url)
  connection.get('/')
  const running = await scope
  connection.send('X')
  connection.socket.end()
  t.is((await aborted(running)).code, 'CANCELLED')
  reply(json({}))
})

test.serial('only a limited part of malformed HTTP is read while an answer is made', async (t) => {
  const {handler, scope, reply} = held()
  const {url} = await app.serve(handler)
  const accepted = serverSocket()
  await using connection = await connectTo(url)
  connection.get('/')
  await scope
  const socket = await accepted
  connection.socket.write('X'.repeat(32 * 1024 * 1024))
  while (!socket.isPaused()) await new Promise(setImmediate)
  t.true(socket.bytesRead < 2 * 1024 * 1024, `${socket.bytesRead} bytes were read`)
  reply(json({all: 'well'}))
  t.is((await connection.response()).text, '{"all":"well"}')
})

test.serial('a body that turns out to be malformed after the answer gets no second answer', async (t) => {
  const {url} = await app.serve(() => json({all: 'well'}))
  await using connection = await connectTo(url)
  connection.send(`POST / HTTP/1.1\n${host}${chunked}\n`)
  t.is((await connection.response()).text, '{"all":"well"}')
  connection.send('this is no chunk\n')
  await connection.closed
  t.is(connection.rest, '')
})

for (const [title, sent, http] of [
  ['is malformed', 'this is no chunk\n', 400],
  ['has chunks with long extensions', `2;${long}\n{}\n0\n\n`, 413],
  ['has trailers without end', `2\n{}\n0\nx: ${long}\n\n`, 431],
] as const) {
  for (const waits of [false, true]) {
    test.serial(`a body that ${title} gets only the answer ${http}${waits ? ', in its turn' : ''}`, async (t) => {
      const {handler, scope, reply} = held()
      const {url} = await app.serve(async (one) => (one.path === '/1' ? handler(one) : {body: await one.bytes()}))
      await using connection = await connectTo(url)
      if (waits) connection.get('/1')
      connection.send(`POST / HTTP/1.1\n${host}${chunked}\n${sent}`)
      if (waits) {
        await scope
        reply(json({first: true}))
        t.is((await connection.response()).text, '{"first":true}')
      }
      const response = await connection.response()
      isFault(t, response, http, 'INVALID_ARGUMENT')
      t.is(response.headers.get('connection'), 'close')
      t.is(await connection.closed, undefined)
      t.is(connection.rest, '')
    })
  }
}

test.serial(
  'a request whose head does not arrive in time is answered with 408 in the format of all errors',
  async (t) => {
    const listening = Promise.withResolvers<Server>()
    const onListen = (message: unknown) => listening.resolve((message as {server: Server}).server)
    subscribe('tracing:net.server.listen:asyncEnd', onListen)
    const {url} = await app.serve(() => json({}))
    unsubscribe('tracing:net.server.listen:asyncEnd', onListen)
    // Lets the check that Node makes every 30 s run at once: Node starts it when a server listens.
    const server = Object.assign(await listening.promise, {headersTimeout: 10, connectionsCheckingInterval: 10})
    server.emit('listening')
    await using connection = await connectTo(url)
    connection.send('GET / HTTP/1.1\n')
    isFault(t, await connection.response(), 408, 'DEADLINE_EXCEEDED')
    await connection.closed
  },
)

test.serial('a caller that ends in the middle of a body is told so, and its request ends as cancelled', async (t) => {
  const {handler, scope, reply} = held()
  const {url} = await app.serve(handler)
  const accepted = serverSocket()
  await using connection = await connectTo(url)
  connection.send(`POST / HTTP/1.1\n${host}Content-Length: 10\n\nhalf`)
  const running = await scope
  const closed = once(await accepted, 'close')
  connection.socket.end()
  isFault(t, await connection.response(), 400, 'INVALID_ARGUMENT')
  t.is((await aborted(running)).code, 'CANCELLED')
  reply(json({}))
  await closed
})
