import {once} from 'node:events'
import {createServer} from 'node:http'
import {type AddressInfo, connect} from 'node:net'
import {text} from 'node:stream/consumers'
import test from 'ava'
import type {Fault} from '../../src/core/fault.ts'
import {json} from '../../src/http/response/reply.ts'
import {Responder} from '../../src/http/response/responder.ts'
import type {Scope} from '../../src/http/scope.ts'
import {type App, startApp} from '../helpers/app.ts'
import {isFault} from './answers.ts'
import {connectTo} from './connection.ts'
import {aborted, held, serverSocket} from './handlers.ts'

let app: App
test.before(async () => {
  app = await startApp()
})
test.afterEach.always((t) => app.quiet(t))
test.after.always(() => app.close())

test.serial('a caller that hangs up ends the request at once, as cancelled', async (t) => {
  const {handler, scope, reply} = held()
  const {url} = await app.serve(handler)
  await using connection = await connectTo(url)
  connection.get('/')
  const {signal} = await scope
  t.false(signal.aborted)
  connection.socket.destroy()
  const {code, message} = await aborted(await scope)
  t.deepEqual({code, message}, {code: 'CANCELLED', message: 'The caller hung up'})
  reply(json({}))
})

test.serial('a caller that hangs up while its body is read ends the request as cancelled', async (t) => {
  const result = Promise.withResolvers<unknown>()
  const reading = Promise.withResolvers<Scope>()
  const {url} = await app.serve(async (scope) => {
    reading.resolve(scope)
    await scope.bytes().catch(result.resolve)
    return json({})
  })
  await using connection = await connectTo(url)
  connection.send('POST / HTTP/1.1\nHost: test\nContent-Length: 10\n\nhalf')
  await reading.promise
  connection.socket.destroy()
  t.is(((await result.promise) as Fault).code, 'CANCELLED')
})

test.serial('a caller that hangs up in the middle of a long answer leaves nothing behind', async (t) => {
  const {url} = await app.serve(() => ({body: Buffer.alloc(64 * 1024 * 1024)}))
  const accepted = serverSocket()
  await using connection = await connectTo(url)
  connection.get('/')
  const closed = once(await accepted, 'close').catch(() => {})
  await once(connection.socket, 'data')
  connection.socket.destroy()
  await closed
  await app.quiet(t)
})

test.serial('a broken body ends the request, and its caller gets one answer', async (t) => {
  const {handler, scope, reply} = held()
  const {url} = await app.serve(handler)
  await using connection = await connectTo(url)
  connection.send('POST / HTTP/1.1\nHost: test\nTransfer-Encoding: chunked\n\n3\nabc\n')
  await scope
  connection.send('nonsense\n')
  t.is((await aborted(await scope)).code, 'INVALID_ARGUMENT')
  reply(json({}))
  isFault(t, await connection.response(), 400, 'INVALID_ARGUMENT')
  await connection.closed
  t.is(connection.rest, '')
})

test.serial('a caller that hangs up with two requests on a connection ends both', async (t) => {
  const scopes: Scope[] = []
  const both = Promise.withResolvers<void>()
  const {url} = await app.serve((scope) => {
    if (scopes.push(scope) === 2) both.resolve()
    return once(scope.signal, 'abort').then(() => json({}))
  })
  await using connection = await connectTo(url)
  connection.get('/1')
  connection.get('/2')
  await both.promise
  connection.socket.destroy()
  t.deepEqual(
    (await Promise.all(scopes.map(aborted))).map(({code}) => code),
    ['CANCELLED', 'CANCELLED'],
  )
})

test.serial('a caller that hangs up while a finished answer waits for another leaves nothing behind', async (t) => {
  const {handler, scope, reply} = held()
  const second = Promise.withResolvers<void>()
  const {url} = await app.serve((one) => {
    if (one.path === '/1') return handler(one)
    one.signal.addEventListener('abort', () => second.resolve())
    return json({})
  })
  await using connection = await connectTo(url)
  connection.get('/1')
  connection.get('/2')
  await second.promise
  connection.socket.destroy()
  t.is((await aborted(await scope)).code, 'CANCELLED')
  reply(json({}))
})

test.serial('an answer is cut and its connection closed even if our side of it has just ended', async (t) => {
  for (const version of ['1.0', '1.1']) {
    const server = createServer((request, response) => {
      response.write('some')
      request.socket.end()
      new Responder(request, response).cut()
    }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const {port} = server.address() as AddressInfo
    await using connection = await connectTo(`http://127.0.0.1:${port}`)
    connection.send(`GET / HTTP/${version}\nHost: localhost\n\n`)
    await connection.closed
    server.close()
    await once(server, 'close')
    t.pass()
  }
})

test.serial('a caller can read the last answer, and is cut off if it does not close its side then', async (t) => {
  const {url} = await app.serve(() => json({all: 'well'}))
  const {setTimeout: set} = globalThis
  const grace = Promise.withResolvers<() => void>()
  const held = (callback: () => void, ms?: number, ...more: []) => {
    if (ms === 2000) grace.resolve(callback)
    return set(callback, ms, ...more)
  }
  globalThis.setTimeout = Object.assign(held, set) as typeof setTimeout
  t.teardown(() => {
    globalThis.setTimeout = set
  })
  const accepted = serverSocket()
  const socket = connect({port: Number(new URL(url).port), host: '127.0.0.1', allowHalfOpen: true})
  t.teardown(() => socket.destroy())
  socket.write('GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n')
  t.regex(await text(socket), /\{"all":"well"\}$/)
  const server = await accepted
  t.false(server.destroyed)
  const end = await grace.promise
  end()
  t.true(server.destroyed)
})

test.serial('an idle connection that times out is closed, unless a request has arrived on it', async (t) => {
  const {url} = await app.serve(() => json({all: 'well'}))
  await using connection = await connectTo(url)
  const server = serverSocket()
  connection.get('/')
  t.is((await connection.response()).headers.get('keep-alive'), 'timeout=620')
  const socket = await server
  // As after a freeze: the timer fires before the socket is read.
  connection.get('/')
  await new Promise((resolve) => connection.socket.write('', resolve))
  socket.emit('timeout')
  t.is((await connection.response()).status, 200)
  socket.emit('timeout')
  await connection.closed
})
