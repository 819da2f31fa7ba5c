import {once} from 'node:events'
import type {Socket} from 'node:net'
import test from 'ava'
import {Fault} from '../../src/core/fault.ts'
import {pause} from '../../src/core/waiting.ts'
import {requestsInFlight} from '../../src/http/in-flight.ts'
import {json} from '../../src/http/response/reply.ts'
import type {Scope} from '../../src/http/scope.ts'
import {type App, startApp} from '../helpers/app.ts'
import {runningTimers} from '../helpers/timers.ts'
import {isFault} from './answers.ts'
import {connectTo} from './connection.ts'
import {aborted, held, never, serverResponse, serverSocket} from './handlers.ts'

let app: App
test.before(async () => {
  app = await startApp()
})
test.afterEach.always((t) => app.quiet(t))
test.after.always(() => app.close())

for (const header of ['x-server-timeout: 0.05', 'grpc-timeout: 50m']) {
  test.serial(`a function that never settles is answered with 504 at the end of ${header}`, async (t) => {
    const {handler, scope} = held()
    const {url} = await app.serve(handler)
    await using connection = await connectTo(url)
    connection.get('/', header)
    const response = await connection.response()
    isFault(t, response, 504, 'DEADLINE_EXCEEDED')
    t.is(response.json.error.message, 'No answer within 0.05 s')
    t.is((await aborted(await scope)).code, 'DEADLINE_EXCEEDED')
  })
}

for (const seconds of ['0', '-0.0', '5e-324', '0.00000000000001']) {
  test.serial(`a request may have a deadline as short as ${seconds} s`, async (t) => {
    const {url} = await app.serve(held().handler)
    await using connection = await connectTo(url)
    connection.get('/', `x-server-timeout: ${seconds}`)
    isFault(t, await connection.response(), 504, 'DEADLINE_EXCEEDED')
  })
}

test.serial('a body of a request that does not arrive is given up at the deadline', async (t) => {
  const result = Promise.withResolvers<unknown>()
  const {url} = await app.serve(async (scope) => {
    await scope.bytes().catch(result.resolve)
    return json({})
  })
  await using connection = await connectTo(url)
  connection.send('POST / HTTP/1.1\nHost: test\nX-Server-Timeout: 0.05\nContent-Length: 10\n\nhalf')
  t.is(((await result.promise) as Fault).code, 'DEADLINE_EXCEEDED')
  isFault(t, await connection.response(), 504, 'DEADLINE_EXCEEDED')
})

test.serial('a body that never yields its first chunk is answered with 504', async (t) => {
  const left = Promise.withResolvers<void>()
  const {url} = await app.serve((scope) => ({
    body: (async function* () {
      try {
        await pause(600_000, scope.signal)
        yield 'never'
      } finally {
        left.resolve()
      }
    })(),
  }))
  await using connection = await connectTo(url)
  connection.get('/', 'x-server-timeout: 0.05')
  isFault(t, await connection.response(), 504, 'DEADLINE_EXCEEDED')
  t.deepEqual(runningTimers(), [])
  await left.promise
})

test.serial('a body that never yields its second chunk is cut at the deadline', async (t) => {
  const {url} = await app.serve(() => ({
    body: (async function* () {
      yield 'first'
      await never()
    })(),
  }))
  await using connection = await connectTo(url)
  connection.get('/', 'x-server-timeout: 0.05')
  const {status, text, whole} = await connection.response()
  t.deepEqual({status, text, whole}, {status: 200, text: 'first', whole: false})
})

test.serial('a handler that ignores its signal is not awaited for long', async (t) => {
  const {url} = await app.serve((scope) => {
    scope.track(never())
    return json({})
  })
  await using connection = await connectTo(url)
  connection.get('/')
  t.is((await connection.response()).status, 200)
})

for (const [name, value] of [
  ['grpc-timeout', ''],
  ['grpc-timeout', '1'],
  ['grpc-timeout', '1s'],
  ['grpc-timeout', '-1S'],
  ['grpc-timeout', '123456789S'],
  ['grpc-timeout', '1S, 2S'],
  ['x-server-timeout', ''],
  ['x-server-timeout', 'soon'],
  ['x-server-timeout', '-1'],
  ['x-server-timeout', '-1e-9'],
  ['x-server-timeout', '0x10'],
  ['x-server-timeout', '1.'],
  ['x-server-timeout', '1, 2'],
  ['x-server-timeout', 'Infinity'],
] as const) {
  test.serial(`${name}: "${value}" is answered with 400 that names it, before the function is called`, async (t) => {
    const {url} = await app.serve(() => t.fail() as never)
    await using connection = await connectTo(url)
    connection.get('/', `${name}: ${value}`)
    const response = await connection.response()
    isFault(t, response, 400, 'INVALID_ARGUMENT')
    t.is(response.json.error.details[0].fieldViolations[0].field, name)
    t.true(response.json.error.message.includes(`"${value}"`))
  })
}

for (const [headers, seconds] of [
  [[], 299],
  [['x-server-timeout: 3600'], 299],
  [['x-server-timeout: 1e2'], 100],
  [['x-server-timeout: 12345.678e-3'], 12.345678],
  [['x-server-timeout: 7.12345678901234567890'], 7.123456789012345],
  [['x-server-timeout: 10000000000000000000000'], 299],
  [['x-server-timeout: 1.7976931348623157e+308'], 299],
  [['x-server-timeout: 1E999'], 299],
  [['grpc-timeout: 99999999H'], 299],
  [['x-server-timeout: 10', 'grpc-timeout: 5S'], 5],
  [['x-server-timeout: 2.5', 'grpc-timeout: 5S'], 2.5],
  [['grpc-timeout: 2M'], 120],
  [['grpc-timeout: 90000m'], 90],
] as const) {
  test.serial(`with ${headers.join(' and ') || 'nothing said'} a request lasts at most ${seconds} s`, async (t) => {
    const {handler, scope, reply} = held()
    const {url} = await app.serve(handler)
    await using connection = await connectTo(url)
    const before = Date.now()
    connection.get('/', ...headers)
    const {deadline} = await scope
    t.true(deadline >= before + seconds * 1000)
    t.true(deadline <= Date.now() + seconds * 1000)
    reply(json({}))
    await connection.response()
  })
}

test.serial('an answer that is ready before the deadline is sent, even if the work ends after it', async (t) => {
  const {url} = await app.serve((scope) => {
    scope.track(new Promise((resolve) => setTimeout(resolve, scope.deadline - Date.now() + 10)))
    return json({all: 'well'})
  })
  await using connection = await connectTo(url)
  connection.get('/', 'x-server-timeout: 0.05')
  t.is((await connection.response()).text, '{"all":"well"}')
})

const large = 64 * 1024 * 1024

/** Chunks until the caller has stopped reading them. */
async function* untilStalled(socket: Promise<Socket>): AsyncGenerator<Buffer> {
  const {writableLength} = await socket
  while ((await socket).writableLength <= writableLength) {
    yield Buffer.alloc(16 * 1024)
    await new Promise(setImmediate)
  }
}

for (const [title, body, seconds = 0.3] of [
  ['a whole answer', () => Buffer.alloc(large)],
  [
    'a stream',
    async function* () {
      for (;;) yield Buffer.alloc(64 * 1024)
    },
  ],
  [
    'a stream of one large piece',
    async function* () {
      yield Buffer.alloc(large)
    },
  ],
  // A longer deadline, because the body has to end before it.
  ['the end of a stream', untilStalled, 2],
] as const) {
  test.serial(`${title} that the caller does not read is dropped at the deadline`, async (t) => {
    const begun = serverResponse()
    const {url} = await app.serve(() => ({body: body(begun.then(({socket}) => socket))}))
    await using connection = await connectTo(url)
    connection.socket.pause()
    connection.get('/', `x-server-timeout: ${seconds}`)
    const {response, socket} = await begun
    const errors: Error[] = []
    response.on('error', (error) => errors.push(error))
    await once(socket, 'close')
    t.is(socket.writableLength, 0)
    await app.quiet(t)
    t.deepEqual(errors, [])
    connection.socket.resume()
    const {status, whole} = await connection.response()
    t.deepEqual({status, whole}, {status: 200, whole: false})
  })
}

test.serial('an error that the caller does not read is dropped too', async (t) => {
  const {url} = await app.serve(() => {
    throw new Fault('NOT_FOUND', 'No such thing', {headers: {'x-large': 'x'.repeat(large)}})
  })
  const accepted = serverSocket()
  await using connection = await connectTo(url)
  connection.socket.pause()
  connection.get('/', 'x-server-timeout: 0.1')
  await once(await accepted, 'close')
  connection.socket.resume()
  await t.throwsAsync(connection.response(), {message: /ended before/})
})

test.serial('the deadline of an answer that waits for another one begins when its turn comes', async (t) => {
  const {handler, scope, reply} = held()
  const second = Promise.withResolvers<Scope>()
  const {url} = await app.serve((one) => {
    if (one.path === '/1') return handler(one)
    second.resolve(one)
    return json({all: 'well'})
  })
  await using connection = await connectTo(url)
  connection.get('/1')
  connection.get('/2', 'x-server-timeout: 0.05')
  await scope
  const {deadline} = await second.promise
  while (Date.now() < deadline + 1000) await new Promise((resolve) => setTimeout(resolve, 20))
  reply(json({first: true}))
  t.is((await connection.response()).text, '{"first":true}')
  t.is((await connection.response()).text, '{"all":"well"}')
})

test.serial('a stream that breaks while it waits for another answer is cut in its turn', async (t) => {
  const {handler, scope, reply} = held()
  const {url} = await app.serve((one) => {
    if (one.path === '/1') return handler(one)
    return {
      body: (async function* () {
        yield 'first'
        throw new Fault('DATA_LOSS', 'Lost it')
      })(),
    }
  })
  await using connection = await connectTo(url)
  connection.get('/1')
  connection.get('/2')
  await scope
  while (requestsInFlight() < 2) await new Promise(setImmediate)
  while (requestsInFlight() > 1) await new Promise(setImmediate)
  reply(json({first: true}))
  t.is((await connection.response()).text, '{"first":true}')
  const {text, whole} = await connection.response()
  t.deepEqual({text, whole}, {text: 'first', whole: false})
  await connection.closed
})
