import {subscribe, unsubscribe} from 'node:diagnostics_channel'
import {EventEmitter, once} from 'node:events'
import {readFile} from 'node:fs'
import type {Socket} from 'node:net'
import test, {type ExecutionContext} from 'ava'
import {Fault} from '../../src/fault.ts'
import {eventStream, json, ndjson, type Reply} from '../../src/http/reply.ts'
import type {Handler, Scope} from '../../src/http/scope.ts'
import {pause} from '../../src/life.ts'
import {type App, startApp} from '../helpers/app.ts'
import {runningTimers} from '../helpers/timers.ts'
import {type Connection, connectTo, type Response} from './connection.ts'

let app: App
test.before(async () => {
  app = await startApp()
})
test.afterEach.always((t) => app.quiet(t))
test.after.always(() => app.close())

const never = () => new Promise<never>(() => {})

/** What a handler may return although its type says otherwise. */
const garbage = (value: unknown) => value as Reply

/** Does nothing until its signal aborts, and then is not done at once. */
async function endingSlowly(signal: AbortSignal, done: () => void): Promise<void> {
  await once(signal, 'abort')
  for (let turns = 0; turns < 10; turns++) await new Promise(setImmediate)
  done()
}

/** A handler for the test to hold: `scope` once it has been called, `reply` when it shall be over. */
function held() {
  const called = Promise.withResolvers<Scope>()
  const reply = Promise.withResolvers<Reply>()
  const handler: Handler = (scope) => {
    called.resolve(scope)
    return reply.promise
  }
  return {handler, scope: called.promise, reply: reply.resolve}
}

async function aborted({signal}: Scope): Promise<Fault> {
  if (!signal.aborted) await once(signal, 'abort')
  return signal.reason
}

function isFault(t: ExecutionContext, {status, headers, json, whole}: Response, http: number, code: string): void {
  t.true(whole)
  t.is(status, http)
  t.is(headers.get('content-type'), 'application/json; charset=utf-8')
  t.regex(headers.get('x-request-id') ?? '', /^[\da-f-]{36}$/)
  t.deepEqual(Object.keys(json), ['error'])
  t.deepEqual(Object.keys(json.error), ['code', 'message', 'status', 'details'])
  t.is(json.error.code, http)
  t.is(json.error.status, code)
}

/** Asks for `path` on `connection`, sees that nothing but the one answer came, and that the connection serves on. */
async function askOnce(t: ExecutionContext, connection: Connection, path: string): Promise<Response> {
  connection.get(path)
  const response = await connection.response()
  connection.get('/well')
  const next = await connection.response()
  t.is(next.text, '{"all":"well"}')
  t.is(connection.rest, '')
  return response
}

const failing: Readonly<Record<string, {handler: Handler; status?: number; code?: string}>> = {
  'throws an Error': {
    handler: () => {
      throw new Error('secret')
    },
  },
  'throws a Fault': {
    handler: () => {
      throw new Fault('NOT_FOUND', 'No such thing', {cause: new Error('secret')})
    },
    status: 404,
    code: 'NOT_FOUND',
  },
  'throws a string': {
    handler: () => {
      throw 'secret'
    },
  },
  'throws undefined': {
    handler: () => {
      throw undefined
    },
  },
  'throws what has no text': {
    handler: () => {
      throw Object.create(null)
    },
  },
  'throws a Fault whose cause has no text': {
    handler: () => {
      throw new Fault('ABORTED', 'No', {cause: Object.create(null)})
    },
    status: 409,
    code: 'ABORTED',
  },
  'throws a Fault whose header cannot be sent': {
    handler: () => {
      throw new Fault('NOT_FOUND', 'No', {headers: {'x-secret': 'a\nb'}})
    },
  },
  'throws a Fault whose status is none': {
    handler: () => {
      throw new Fault('NOT_FOUND', 'No', {http: 42})
    },
  },
  rejects: {handler: () => Promise.reject(new Error('secret'))},
  'returns nothing': {handler: () => garbage(undefined)},
  'returns null': {handler: () => garbage(null)},
  'returns a promise of nothing': {handler: () => Promise.resolve(garbage(undefined))},
  'returns text': {handler: () => garbage('secret')},
  'returns a symbol': {handler: () => garbage(Symbol('secret'))},
  'replies with a number for a body': {handler: () => garbage({body: 42})},
  'replies with null for a body': {handler: () => garbage({body: null})},
  'replies with a list for a body': {handler: () => garbage({body: ['secret']})},
  'replies with a status that is none': {handler: () => ({status: 42})},
  'replies with a status of text': {handler: () => garbage({status: 'secret'})},
  'replies with an interim status': {handler: () => ({status: 101})},
  'replies with a header value that cannot be sent': {handler: () => ({headers: {'x-secret': 'a\r\nb: c'}})},
  'replies with a header value that is missing': {handler: () => garbage({headers: {'x-secret': undefined}})},
  'replies with a header name that cannot be sent': {handler: () => ({headers: {'x secret': 'a'}})},
  'throws in a getter of its reply': {
    handler: () => ({
      get body(): string {
        throw new Error('secret')
      },
    }),
  },
  'throws in a timer': {
    handler: () => {
      setTimeout(() => {
        throw new Error('secret')
      })
      return never()
    },
  },
  'throws a Fault in a timer': {
    handler: () => {
      setTimeout(() => {
        throw new Fault('RESOURCE_EXHAUSTED', 'Too many')
      })
      return never()
    },
    status: 429,
    code: 'RESOURCE_EXHAUSTED',
  },
  'throws in a callback': {
    handler: () => {
      readFile(import.meta.filename, () => {
        throw new Error('secret')
      })
      return never()
    },
  },
  'has an emitter whose error nobody hears': {
    handler: () => {
      const emitter = new EventEmitter()
      setImmediate(() => emitter.emit('error', new Error('secret')))
      return never()
    },
  },
  'has a body that cannot be iterated': {
    handler: () => ({
      body: {
        [Symbol.asyncIterator]() {
          throw new Error('secret')
        },
      },
    }),
  },
  'has a body that throws before its first piece': {
    handler: () => ({
      // biome-ignore lint/correctness/useYield: that it does not is the point
      body: (async function* () {
        throw new Fault('NOT_FOUND', 'No such thing')
      })(),
    }),
    status: 404,
    code: 'NOT_FOUND',
  },
  'streams ndjson that throws before its first line': {
    handler: () =>
      ndjson(
        // biome-ignore lint/correctness/useYield: that it does not is the point
        (async function* () {
          throw new Fault('UNAVAILABLE', 'Not now')
        })(),
      ),
    status: 503,
    code: 'UNAVAILABLE',
  },
  'has a body whose first piece is none': {
    handler: () =>
      garbage({
        body: (async function* () {
          yield 42
        })(),
      }),
  },
  'has a body whose iterator gives nothing': {
    handler: () => garbage({body: {[Symbol.asyncIterator]: () => ({next: () => undefined})}}),
  },
}

for (const [title, {handler, status = 500, code = 'INTERNAL'}] of Object.entries(failing)) {
  test.serial(`a function that ${title} is answered once, with ${status}, and gives nothing away`, async (t) => {
    const {url} = await app.serve((scope) => (scope.path === '/well' ? json({all: 'well'}) : handler(scope)))
    await using connection = await connectTo(url)
    const response = await askOnce(t, connection, '/ill')
    isFault(t, response, status, code)
    t.notRegex(response.text, /secret/)
    if (code === 'INTERNAL') t.is(response.json.error.message, 'Internal error')
  })
}

test.serial('what throws after the answer harms neither it nor the next one', async (t) => {
  let thrown = Promise.withResolvers<void>()
  const {url} = await app.serve((scope) => {
    if (scope.path === '/well') return json({all: 'well'})
    scope.signal.addEventListener('abort', () =>
      setTimeout(() => {
        thrown.resolve()
        throw new Error('too late')
      }),
    )
    return json({fine: true})
  })
  await using connection = await connectTo(url)
  for (let times = 0; times < 2; times++) {
    thrown = Promise.withResolvers()
    t.is((await askOnce(t, connection, '/')).text, '{"fine":true}')
    await thrown.promise
  }
})

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

test.serial('a body that never gives its first piece is answered with 504', async (t) => {
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

test.serial('a body that never gives its second piece is cut at the deadline', async (t) => {
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

test.serial('a handler that ignores its signal is not waited for long', async (t) => {
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
  ['x-server-timeout', '1e3'],
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
  [['grpc-timeout: 99999999H'], 299],
  [['x-server-timeout: 10', 'grpc-timeout: 5S'], 5],
  [['x-server-timeout: 2.5', 'grpc-timeout: 5S'], 2.5],
  [['grpc-timeout: 2M'], 120],
  [['grpc-timeout: 90000m'], 90],
] as const) {
  test.serial(`with ${headers.join(' and ') || 'nothing said'} a request lasts ${seconds} s at most`, async (t) => {
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

/** Each way in which a request can end. */
const ends: Readonly<Record<string, (scope: Scope) => Reply | Promise<Reply>>> = {
  'an answer': () => json({}),
  'no content': () => ({status: 204}),
  'a failure': () => {
    throw new Fault('ABORTED', 'No')
  },
  'a deadline': () => never(),
  'a stream': () => ({
    body: (async function* () {
      yield 'a'
      yield 'b'
    })(),
  }),
  'a stream that fails before its first piece': () => ({
    // biome-ignore lint/correctness/useYield: that it does not is the point
    body: (async function* () {
      throw new Error('no')
    })(),
  }),
  'a stream that fails after its first piece': () => ({
    body: (async function* () {
      yield 'a'
      throw new Error('no')
    })(),
  }),
}

for (const [title, end] of Object.entries(ends)) {
  test.serial(`all that was begun has ended when ${title} has arrived`, async (t) => {
    const open = new Set(['tracked', 'begun at the end'])
    const {url} = await app.serve((scope) => {
      scope.track(endingSlowly(scope.signal, () => open.delete('tracked')))
      scope.signal.addEventListener('abort', () =>
        scope.track(new Promise(setImmediate).then(() => open.delete('begun at the end'))),
      )
      pause(600_000, scope.signal).catch(() => {})
      return end(scope)
    })
    await using connection = await connectTo(url)
    connection.get('/', ...(title === 'a deadline' ? ['x-server-timeout: 0.02'] : []))
    await connection.response()
    t.deepEqual([...open], [])
    t.deepEqual(runningTimers(), [])
  })
}

test.serial('the pieces of a stream arrive as they are made', async (t) => {
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

test.serial('a stream of nothing is an empty body', async (t) => {
  const {url} = await app.serve(() => ({body: (async function* () {})()}))
  await using connection = await connectTo(url)
  connection.get('/')
  const {status, text, whole} = await connection.response()
  t.deepEqual({status, text, whole}, {status: 200, text: '', whole: true})
})

async function* failingAfterOne(): AsyncGenerator<string> {
  yield '{"n":1}'
  throw new Fault('DATA_LOSS', 'Lost it', {cause: new Error('secret')})
}

const lost = '{"error":{"code":500,"message":"Lost it","status":"DATA_LOSS","details":[]}}'

for (const [title, reply, sent] of [
  ['a body', () => ({body: failingAfterOne()}), '{"n":1}'],
  ['ndjson', () => ndjson(failingAfterOne()), `{"n":1}\n${lost}\n`],
  ['an event stream', () => eventStream(failingAfterOne()), `id: 1\ndata: {"n":1}\n\nevent: error\ndata: ${lost}\n\n`],
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
  test.serial(`${title} that fails after its first piece is cut, and no other answer follows`, async (t) => {
    const {url} = await app.serve(reply)
    await using connection = await connectTo(url)
    connection.get('/')
    const {status, text, whole} = await connection.response()
    t.deepEqual({status, text, whole}, {status: 200, text: sent, whole: false})
    await connection.closed
    t.is(connection.rest, '')
  })
}

test.serial('a stream whose last word fails too is cut', async (t) => {
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

test.serial('fetch sees that a stream was cut', async (t) => {
  const {url} = await app.serve(() => ndjson(failingAfterOne()))
  const response = await fetch(url)
  t.is(response.status, 200)
  await t.throwsAsync(response.text(), {message: 'terminated'})
})

test.serial('a caller of HTTP/1.0 sees that a stream was cut', async (t) => {
  const {url} = await app.serve(() => ({body: failingAfterOne()}))
  await using connection = await connectTo(url)
  connection.send('GET / HTTP/1.0\n\n')
  t.is((await connection.closed)?.code, 'ECONNRESET')
})

test.serial('a caller of HTTP/1.0 gets a stream whole, to the end of the connection', async (t) => {
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

for (const [title, piece] of [
  ['waits for its next piece', (scope: Scope) => pause(600_000, scope.signal).then(() => 'never')],
  ['sends without end', async () => 'x'.repeat(1000)],
] as const) {
  test.serial(`a stream that ${title} is left when its caller hangs up`, async (t) => {
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

test.serial('a caller that hangs up with two requests on one connection ends both', async (t) => {
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

test.serial('a caller that hangs up with a finished answer waiting behind another leaves nothing behind', async (t) => {
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

/** The server's end of the next connection that a request comes in on. */
function serverSocket(): Promise<Socket> {
  const {promise, resolve} = Promise.withResolvers<Socket>()
  const listener = (message: unknown) => {
    unsubscribe('http.server.request.start', listener)
    resolve((message as {socket: Socket}).socket)
  }
  subscribe('http.server.request.start', listener)
  return promise
}

/** Resolves when `count` stands still for as long as the loop takes to turn a few hundred times. */
async function still(count: () => number): Promise<void> {
  for (let turns = 0, last = -1; turns < 300; turns++) {
    await new Promise(setImmediate)
    if (count() === last) continue
    last = count()
    turns = 0
  }
}

test.serial('a caller that reads slowly slows the stream, and then gets all of it', async (t) => {
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

test.serial('a caller that does not read leaves the answers of others alone', async (t) => {
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

test.serial('the request id is taken when it can be one, or else made, and returned', async (t) => {
  const {url} = await app.serve(({id}) => json({id}, {headers: {'X-Request-Id': 'not mine'}}))
  await using connection = await connectTo(url)
  for (const [given, taken] of [
    ['mine-1', true],
    ['x'.repeat(128), true],
    ['x'.repeat(129), false],
    ['two words', false],
    ['caf\u00e9', false],
    ['', false],
  ] as const) {
    connection.get('/', `x-request-id: ${given}`)
    const {headers, json} = await connection.response()
    t.is(headers.get('x-request-id'), json.id)
    if (taken) t.is(json.id, given)
    else t.regex(json.id, /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/)
  }
})

test.serial('a failure carries the request id as well', async (t) => {
  const {url} = await app.serve(() => {
    throw new Fault('NOT_FOUND', 'No')
  })
  const response = await fetch(url, {headers: {'x-request-id': 'mine-2'}})
  t.is(response.headers.get('x-request-id'), 'mine-2')
  await response.body?.cancel()
})

test.serial('HEAD is answered with the head of a GET, whatever the body', async (t) => {
  let left = false
  const {url} = await app.serve(({path}) => {
    if (path === '/fails') throw new Fault('NOT_FOUND', 'No')
    if (path === '/whole') return json({all: 'well'})
    return {
      body: (async function* () {
        try {
          for (;;) yield 'without end'
        } finally {
          left = true
        }
      })(),
    }
  })
  await using connection = await connectTo(url)
  for (const path of ['/whole', '/fails', '/stream', '/whole']) {
    connection.send(`HEAD ${path} HTTP/1.1\nHost: test\n\n`)
    const head = await connection.response('HEAD')
    t.is(connection.rest, '')
    if (path === '/stream') continue
    connection.get(path)
    const {status, headers} = await connection.response()
    t.deepEqual([head.status, head.headers.get('content-length')], [status, headers.get('content-length')])
  }
  t.true(left)
})

test.serial('an answer without content has no body and no length', async (t) => {
  const {url} = await app.serve(({path}) => ({
    status: Number(path.slice(1)),
    headers: {'content-length': '4', etag: '"1"'},
    body: 'body',
  }))
  await using connection = await connectTo(url)
  for (const status of [204, 304, 204]) {
    connection.get(`/${status}`)
    const response = await connection.response()
    t.is(response.status, status)
    t.is(response.headers.get('etag'), '"1"')
    t.false(response.headers.has('content-length'))
    t.false(response.headers.has('transfer-encoding'))
    t.is(connection.rest, '')
  }
})

test.serial('an answer of nothing is an empty body', async (t) => {
  const {url} = await app.serve(() => ({}))
  await using connection = await connectTo(url)
  connection.get('/')
  const {status, text, headers} = await connection.response()
  t.deepEqual({status, text, length: headers.get('content-length')}, {status: 200, text: '', length: '0'})
})

test.serial('the length of an answer is its own, whatever the function says of it', async (t) => {
  const {url} = await app.serve(({path}) =>
    path === '/well'
      ? json({all: 'well'})
      : {
          status: 201,
          headers: {'Content-Length': '3', 'Transfer-Encoding': 'chunked', 'Keep-Alive': 'x', 'Set-Cookie': ['a=1']},
          body: new TextEncoder().encode('caf\u00e9'),
        },
  )
  await using connection = await connectTo(url)
  const {status, text, headers} = await askOnce(t, connection, '/')
  t.is(status, 201)
  t.is(Buffer.from(text, 'latin1').toString(), 'caf\u00e9')
  t.is(headers.get('content-length'), '5')
  t.is(headers.get('set-cookie'), 'a=1')
  t.false(headers.has('transfer-encoding'))
})

test.serial('requests that wait in line on one connection are answered in their order', async (t) => {
  const first = Promise.withResolvers<void>()
  const {url} = await app.serve(async ({path}) => {
    if (path === '/1') await first.promise
    if (path === '/2') throw new Fault('NOT_FOUND', 'No')
    if (path === '/3') first.resolve()
    return json({path})
  })
  await using connection = await connectTo(url)
  for (const path of ['/1', '/2', '/3']) connection.get(path)
  t.deepEqual((await connection.response()).json, {path: '/1'})
  t.is((await connection.response()).status, 404)
  t.deepEqual((await connection.response()).json, {path: '/3'})
})

const chunk = `8000\n${'x'.repeat(0x8000)}\n`

/** How much of a body is read, and what it then is answered with. */
const unread: Readonly<Record<string, {head: string; body: string; status: number; read: Handler}>> = {
  'too long by its length': {
    head: 'Content-Length: 2000000',
    body: 'x'.repeat(2_000_000),
    status: 413,
    read: async (scope) => json((await scope.bytes()).length),
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
  'not wanted': {head: 'Content-Length: 300000', body: 'x'.repeat(300_000), status: 200, read: () => ({})},
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
  test.serial(`after a body that is ${title} (${status}) the connection serves on`, async (t) => {
    const {url} = await app.serve((scope) => (scope.path === '/well' ? json({all: 'well'}) : read(scope)))
    await using connection = await connectTo(url)
    connection.send(`POST / HTTP/1.1\nHost: test\n${head}\n\n${body}`)
    const response = await connection.response()
    t.is(response.status, status)
    if (status >= 400) isFault(t, response, status, 'INVALID_ARGUMENT')
    t.is((await askOnce(t, connection, '/well')).status, 200)
  })
}

test.serial('a body that is as long as the limit is read, with a length and without', async (t) => {
  const {url} = await app.serve(async (scope) => json({length: (await scope.bytes(10)).length}))
  await using connection = await connectTo(url)
  connection.send('POST / HTTP/1.1\nHost: test\nContent-Length: 10\n\n0123456789')
  t.deepEqual((await connection.response()).json, {length: 10})
  connection.send('POST / HTTP/1.1\nHost: test\nTransfer-Encoding: chunked\n\na\n0123456789\n0\n\n')
  t.deepEqual((await connection.response()).json, {length: 10})
})

test.serial('what is not there is 404, and another method 405 with Allow, in the shape of every failure', async (t) => {
  await using connection = await connectTo(app.url('/'))
  connection.get('/nowhere')
  const missing = await connection.response()
  isFault(t, missing, 404, 'NOT_FOUND')
  connection.send('PUT /ping HTTP/1.1\nHost: test\nContent-Length: 0\n\n')
  const refused = await connection.response()
  isFault(t, refused, 405, 'UNIMPLEMENTED')
  t.is(refused.headers.get('allow'), 'GET, POST, HEAD')
  t.is(refused.json.error.details[0].reason, 'METHOD_NOT_ALLOWED')
})
