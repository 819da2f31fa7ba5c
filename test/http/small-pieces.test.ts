import {subscribe, unsubscribe} from 'node:diagnostics_channel'
import {IncomingMessage} from 'node:http'
import {Socket} from 'node:net'
import test from 'ava'
import {turn} from '../../src/core/waiting.ts'
import {gatherSmallPieces} from '../../src/framework/small-pieces.ts'
import {json} from '../../src/http/response/reply.ts'
import {type App, startApp} from '../helpers/app.ts'
import {connectTo} from './connection.ts'

let app: App
test.before(async () => {
  app = await startApp()
})
test.afterEach.always((t) => app.quiet(t))
test.after.always(() => app.close())

/** Text that differs at each position. */
function text(length: number): string {
  return Array.from({length}, (_, index) => String.fromCharCode(0x21 + ((index * 31 + (index >> 6)) % 90))).join('')
}

/** `text` in chunks of these sizes in turn. */
function chunked(text: string, ...sizes: number[]): string {
  const chunks: string[] = []
  for (let at = 0; at < text.length; ) {
    const chunk = text.slice(at, at + sizes[chunks.length % sizes.length]!)
    chunks.push(`${chunk.length.toString(16)}\r\n${chunk}\r\n`)
    at += chunk.length
  }
  return chunks.join('')
}

/** The next request, as Node's IncomingMessage. */
function nextRequest(): Promise<IncomingMessage> {
  const {promise, resolve} = Promise.withResolvers<IncomingMessage>()
  const listener = (message: unknown) => {
    unsubscribe('http.server.request.start', listener)
    resolve((message as {request: IncomingMessage}).request)
  }
  subscribe('http.server.request.start', listener)
  return promise
}

const head = 'POST / HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n'

test.serial('a body in chunks of one byte that is not read yet is buffered in few pieces', async (t) => {
  const {promise: open, resolve: go} = Promise.withResolvers<void>()
  const {url} = await app.serve(async (scope) => {
    await open
    return json((await scope.bytes()).toString())
  })
  await using connection = await connectTo(url)
  const seen = nextRequest()
  const body = text(160_000)
  connection.socket.write(head + chunked(body, 1))
  const request = await seen
  const most = request.readableHighWaterMark + 32 * 1024
  while (!request.socket.isPaused() && request.readableLength <= most) await new Promise(setImmediate)
  const {buffer} = (request as unknown as {_readableState: {buffer: unknown[]}})._readableState
  t.true(buffer.length < 100, `${buffer.length} pieces`)
  t.true(request.readableLength <= most, `${request.readableLength} bytes`)
  go()
  connection.socket.write('0\r\n\r\n')
  t.is((await connection.response()).json, body)
})

for (const sizes of [[1], [511], [512], [513], [1, 600, 3], [4096, 1, 4096], [1, 70_000, 1], [100, 4000]]) {
  test.serial(`a body in chunks of ${sizes} bytes is read unchanged`, async (t) => {
    const {url} = await app.serve(async (scope) => json((await scope.bytes()).toString()))
    await using connection = await connectTo(url)
    const body = text(200_000)
    const sent = `${head}${chunked(body, ...sizes)}`
    connection.socket.write(`${sent}0\r\n\r\n${head}${chunked('next', 1)}0\r\n\r\n`)
    t.is((await connection.response()).json, body)
    t.is((await connection.response()).json, 'next')
  })
}

for (const sizes of [[1], [1, 600, 3], [600, 1]]) {
  test.serial(`a body in chunks of ${sizes} bytes that is read late is read unchanged`, async (t) => {
    const seen = nextRequest()
    const {url} = await app.serve(async (scope) => {
      const request = await seen
      while (!request.complete) await new Promise(setImmediate)
      return json((await scope.bytes()).toString())
    })
    await using connection = await connectTo(url)
    const body = text(30_000)
    const sent = `${head}${chunked(body, ...sizes)}`
    connection.socket.write(`${sent}0\r\n\r\n`)
    t.true((await connection.response()).json === body)
  })
}

test.serial('nothing is left of it when the body has been read', async (t) => {
  const {url} = await app.serve(async (scope) => {
    await scope.bytes()
    return json(true)
  })
  await using connection = await connectTo(url)
  const seen = nextRequest()
  connection.socket.write(`${head}${chunked('many small pieces', 1)}`)
  const request = await seen
  const {push, _read: read} = IncomingMessage.prototype
  t.not(request.push, push)
  connection.socket.write('0\r\n\r\n')
  await connection.response()
  t.deepEqual([request.push, request._read], [push, read])
})

test.serial('each small chunk reaches a waiting reader', async (t) => {
  const pieces: string[] = []
  let more = () => {}
  const {url} = await app.serve(async (scope) => {
    for await (const piece of scope.body) {
      pieces.push(piece.toString())
      more()
    }
    return json(pieces.length)
  })
  await using connection = await connectTo(url)
  connection.socket.write(head)
  for (let count = 0; count < 50; count++) {
    const came = new Promise<void>((resolve) => {
      more = resolve
    })
    connection.socket.write(chunked(`piece ${count}`, 100))
    await came
  }
  connection.socket.write('0\r\n\r\n')
  t.is((await connection.response()).json, 50)
  t.deepEqual(
    pieces,
    Array.from({length: 50}, (_, count) => `piece ${count}`),
  )
})

test('a small piece that came behind a large one is there when the large one has been read', async (t) => {
  const request = new IncomingMessage(new Socket())
  gatherSmallPieces(request)
  for (let count = 0; count < 20; count++) request.push(Buffer.from('x'))
  await turn()
  request.read()
  await turn()
  request.push(Buffer.alloc(600))
  await turn()
  request.push(Buffer.from('last'))
  await turn()
  t.is(request.read().length, 600)
  await turn()
  t.is(String(request.read()), 'last')
})
