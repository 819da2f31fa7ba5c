import {once} from 'node:events'
import test from 'ava'
import {Fault} from '../../src/core/fault.ts'
import {json} from '../../src/http/response/reply.ts'
import type {Handler} from '../../src/http/scope.ts'
import {type App, startApp} from '../helpers/app.ts'
import {askOnce, isFault} from './answers.ts'
import {type Connection, connectTo} from './connection.ts'
import {never, serverSocket} from './handlers.ts'

let app: App
test.before(async () => {
  app = await startApp()
})
test.afterEach.always((t) => app.quiet(t))
test.after.always(() => app.close())

const mib = 1024 * 1024
const chunk = `8000\n${'x'.repeat(0x8000)}\n`

/** Bodies of which the function reads only a part, and the responses. */
const unread: Readonly<Record<string, {head: string; body: string; status: number; read: Handler}>> = {
  'too long by its length': {
    head: 'Content-Length: 1000000',
    body: 'x'.repeat(1_000_000),
    status: 413,
    read: async (scope) => json((await scope.bytes(10)).length),
  },
  'too long in the end': {
    head: 'Transfer-Encoding: chunked',
    body: `${chunk.repeat(60)}0\n\n`,
    status: 413,
    read: async (scope) => json((await scope.bytes()).length),
  },
  'too long for a limit of its own': {
    head: 'Transfer-Encoding: chunked',
    body: '5\n12345\n6\n678901\n0\n\n',
    status: 413,
    read: async (scope) => json((await scope.bytes(10)).length),
  },
  compressed: {
    head: 'Content-Encoding: gzip\nContent-Length: 3',
    body: 'abc',
    status: 415,
    read: async (scope) => json((await scope.bytes()).length),
  },
  'not read': {head: 'Content-Length: 300000', body: 'x'.repeat(300_000), status: 200, read: () => ({})},
  'left after its first piece': {
    head: 'Content-Length: 300000',
    body: 'x'.repeat(300_000),
    status: 200,
    read: async (scope) => {
      for await (const _ of scope.body) break
      return {}
    },
  },
  'left before its second piece has come': {
    head: 'Content-Length: 300000',
    body: 'x'.repeat(300_000),
    status: 200,
    read: async (scope) => {
      const pieces = scope.body[Symbol.asyncIterator]()
      pieces.next()
      pieces.next().catch(() => {})
      return {}
    },
  },
  'refused before it is read': {
    head: 'x-server-timeout: soon\nContent-Length: 300000',
    body: 'x'.repeat(300_000),
    status: 400,
    read: () => ({}),
  },
}

for (const [title, {head, body, status, read}] of Object.entries(unread)) {
  test.serial(`after a body that is ${title} (${status}) the connection is still used`, async (t) => {
    const {url} = await app.serve((scope) => (scope.path === '/well' ? json({all: 'well'}) : read(scope)))
    await using connection = await connectTo(url)
    connection.send(`POST / HTTP/1.1\nHost: test\n${head}\n\n${body}`)
    const response = await connection.response()
    t.is(response.status, status)
    if (status >= 400) isFault(t, response, status, 'INVALID_ARGUMENT')
    t.is((await askOnce(t, connection, '/well')).status, 200)
  })
}

test.serial('a body of many chunks is read completely', async (t) => {
  const {url} = await app.serve(async (scope) => ({body: await scope.bytes()}))
  const pieces = ['a', 'bc', 'd'.repeat(5000), 'e', 'f'.repeat(7000), 'g'.repeat(3000), 'h'.repeat(3000), 'i']
  await using connection = await connectTo(url)
  const chunks = pieces.map((piece) => `${piece.length.toString(16)}\n${piece}\n`)
  connection.send(`POST / HTTP/1.1\nHost: test\nTransfer-Encoding: chunked\n\n${chunks.join('')}0\n\n`)
  t.is((await connection.response()).text, pieces.join(''))
})

test.serial('a body is read only without a content coding, for which "Identity" is another name', async (t) => {
  const {url} = await app.serve(async (scope) => ({body: await scope.bytes()}))
  for (const [coding, status] of [
    ['Identity', 200],
    ['gzip', 415],
  ] as const) {
    await using connection = await connectTo(url)
    connection.send(`POST / HTTP/1.1\nHost: test\nContent-Encoding: ${coding}\nContent-Length: 2\n\nhi`)
    const {status: answered, headers} = await connection.response()
    t.is(answered, status)
    t.is(headers.get('accept-encoding'), status === 415 ? 'identity' : undefined)
  }
})

test.serial('a body as long as the limit is read, with and without a Content-Length', async (t) => {
  const {url} = await app.serve(async (scope) => json({length: (await scope.bytes(10)).length}))
  await using connection = await connectTo(url)
  connection.send('POST / HTTP/1.1\nHost: test\nContent-Length: 10\n\n0123456789')
  t.deepEqual((await connection.response()).json, {length: 10})
  connection.send('POST / HTTP/1.1\nHost: test\nTransfer-Encoding: chunked\n\na\n0123456789\n0\n\n')
  t.deepEqual((await connection.response()).json, {length: 10})
})

/** Sends `body` again and again until the connection has ended. Returns how often it could be sent. */
async function sendWithoutEnd({socket, closed}: Connection, body: string): Promise<number> {
  let over = false
  closed.then(() => {
    over = true
  })
  let times = 0
  for (; !over; times++) {
    if (!socket.write(body)) await Promise.race([once(socket, 'drain').catch(() => {}), closed])
    await new Promise(setImmediate)
  }
  return times
}

/** Responses to an endless body that are sent before its end, and how many bytes of it may be read first. */
const early: Readonly<Record<string, {head?: string; status: number; bytes?: number; read: Handler}>> = {
  'that nobody reads': {
    status: 404,
    read: () => {
      throw new Fault('NOT_FOUND', 'No such thing')
    },
  },
  'that is too long': {status: 413, bytes: mib, read: async (scope) => json((await scope.bytes()).length)},
  'that is too long for a limit of its own': {
    status: 413,
    read: async (scope) => json((await scope.bytes(100)).length),
  },
  'that is left after its first piece': {
    status: 200,
    read: async (scope) => {
      for await (const _ of scope.body) break
      return json({})
    },
  },
  'that is answered with a stream': {
    status: 200,
    read: () => ({
      body: (async function* () {
        yield '{}'
      })(),
    }),
  },
  'of a request that is refused by its head': {head: 'Expect: more', status: 417, read: () => ({})},
  'of a request whose deadline passes': {head: 'x-server-timeout: 0.05', status: 504, read: never},
}

for (const [framing, announced, piece] of [
  ['chunks', 'Transfer-Encoding: chunked', `10000\r\n${'x'.repeat(0x10000)}\r\n`],
  ['a length of 1.3 GB', 'Content-Length: 1300000000', 'x'.repeat(0x10000)],
] as const) {
  for (const [title, {head, status, bytes = 0, read}] of Object.entries(early)) {
    test.serial(`of a body in ${framing} ${title} at most 1 MiB is read after the answer`, async (t) => {
      const {url} = await app.serve(read)
      const accepted = serverSocket()
      await using connection = await connectTo(url)
      connection.send(`${['POST / HTTP/1.1', 'Host: test', announced, ...(head ? [head] : [])].join('\n')}\n\n`)
      const socket = await accepted
      await sendWithoutEnd(connection, piece)
      const response = await connection.response()
      t.is(response.status, status)
      t.true(response.whole)
      const behind = socket.bytesRead - bytes
      t.true(behind < 1.25 * mib, `${behind} bytes were read`)
    })
  }
}

for (const [title, sent, body] of [
  ['1.5 MB', 'Content-Length: 1500000', 'x'.repeat(1_500_000)],
  ['chunks of 1.5 MB', 'Transfer-Encoding: chunked', `${chunk.repeat(46)}0\n\n`],
] as const) {
  test.serial(`a caller that reads only after it has sent all of its ${title} gets the answer`, async (t) => {
    const {url} = await app.serve(async (scope) => json((await scope.bytes(100)).length))
    await using connection = await connectTo(url)
    connection.socket.pause()
    connection.send(`POST / HTTP/1.1\nHost: test\n${sent}\n\n${body}`)
    await new Promise<void>((resolve) => connection.socket.write('', () => resolve()))
    connection.socket.resume()
    const response = await connection.response()
    isFault(t, response, 413, 'INVALID_ARGUMENT')
    t.true(response.whole)
  })
}

test.serial(
  'if a body is announced as longer than what is read and dropped, the connection ends with its answer',
  async (t) => {
    const {url} = await app.serve(() => json({}))
    await using connection = await connectTo(url)
    connection.send('POST / HTTP/1.1\nHost: test\nContent-Length: 1048577\n\n')
    const {status, headers} = await connection.response()
    t.deepEqual([status, headers.get('connection')], [200, 'close'])
    t.is(await connection.closed, undefined)
  },
)

test.serial('a request after a body that ends the connection is not carried out', async (t) => {
  const paths: string[] = []
  const {url} = await app.serve(({path}) => {
    paths.push(path)
    return json({})
  })
  await using connection = await connectTo(url)
  connection.send('POST /1 HTTP/1.1\nHost: test\nContent-Length: 1048577\n\n')
  connection.send(`${'x'.repeat(1_048_577)}GET /2 HTTP/1.1\nHost: test\n\n`)
  t.is((await connection.response()).status, 200)
  await connection.closed
  t.deepEqual([paths, connection.rest], [['/1'], ''])
})

test.serial('a caller that expects 100 Continue does not get it if nobody reads the body', async (t) => {
  const {url} = await app.serve((scope) => (scope.path === '/long' ? scope.bytes(10).then(() => ({})) : json({})))
  for (const [path, status] of [
    ['/', 200],
    ['/long', 413],
  ] as const) {
    await using connection = await connectTo(url)
    connection.send(`POST ${path} HTTP/1.1\nHost: test\nExpect: 100-continue\nContent-Length: 20\n\n`)
    const response = await connection.response()
    t.deepEqual([response.status, response.headers.get('connection')], [status, 'close'])
    await connection.closed
  }
})
