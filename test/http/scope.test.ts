import {EventEmitter, once} from 'node:events'
import {readFile} from 'node:fs'
import test from 'ava'
import {Fault} from '../../src/core/fault.ts'
import {pause} from '../../src/core/waiting.ts'
import {only} from '../../src/http/request/methods.ts'
import {json, ndjson, type Reply} from '../../src/http/response/reply.ts'
import type {Handler, Scope} from '../../src/http/scope.ts'
import {type App, startApp} from '../helpers/app.ts'
import {runningTimers} from '../helpers/timers.ts'
import {askOnce, isFault} from './answers.ts'
import {connectTo} from './connection.ts'
import {garbage, never} from './handlers.ts'

let app: App
test.before(async () => {
  app = await startApp()
})
test.afterEach.always((t) => app.quiet(t))
test.after.always(() => app.close())

/** Waits until its signal aborts, and takes some more turns to end. */
async function endingSlowly(signal: AbortSignal, done: () => void): Promise<void> {
  await once(signal, 'abort')
  for (let turns = 0; turns < 10; turns++) await new Promise(setImmediate)
  done()
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
  'replies with a status beyond all classes': {handler: () => ({status: 600})},
  'replies with a status that is no whole number': {handler: () => ({status: 200.5})},
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
  test.serial(`a function that ${title} is answered once, with ${status}, without internal details`, async (t) => {
    const {url} = await app.serve((scope) => (scope.path === '/well' ? json({all: 'well'}) : handler(scope)))
    await using connection = await connectTo(url)
    const response = await askOnce(t, connection, '/ill')
    isFault(t, response, status, code)
    t.notRegex(response.text, /secret/)
    if (code === 'INTERNAL') t.is(response.json.error.message, 'Internal error')
  })
}

test.serial('an exception after the answer affects neither it nor the next one', async (t) => {
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

/** All the ways in which a request can end. */
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
  test.serial(`all work of the request has ended when ${title} has arrived`, async (t) => {
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

test.serial('a valid request id is used, otherwise a new one is generated, and both are returned', async (t) => {
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

test.serial('a 401 says how to log in, unless the error says so itself', async (t) => {
  const own = {'www-authenticate': 'Basic realm="own"'}
  const {url} = await app.serve(({path}) => {
    throw new Fault('UNAUTHENTICATED', 'Who are you?', path === '/own' ? {headers: own} : {})
  })
  await using connection = await connectTo(url)
  for (const [path, challenge] of [
    ['/', 'Bearer realm="grpc-functions"'],
    ['/own', 'Basic realm="own"'],
  ] as const) {
    connection.get(path)
    const response = await connection.response()
    t.is(response.status, 401)
    t.is(response.headers.get('www-authenticate'), challenge)
  }
})

test.serial('an error has the request id too', async (t) => {
  const {url} = await app.serve(() => {
    throw new Fault('NOT_FOUND', 'No')
  })
  const response = await fetch(url, {headers: {'x-request-id': 'mine-2'}})
  t.is(response.headers.get('x-request-id'), 'mine-2')
  await response.body?.cancel()
})

test.serial('HEAD is answered with the head of a GET, for any body', async (t) => {
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

test.serial('JSON has the type of JSON, unless the function names another one', async (t) => {
  const {url} = await app.serve(({path}) =>
    path === '/own'
      ? json({a: 'é'}, {status: 201, headers: {'content-type': 'application/problem+json', 'x-own': 'b'}})
      : json({a: 'é'}, {headers: {'x-own': 'b'}}),
  )
  for (const [path, status, type] of [
    ['/', 200, 'application/json; charset=utf-8'],
    ['/own', 201, 'application/problem+json'],
  ] as const) {
    const response = await fetch(url + path)
    const {headers} = response
    t.deepEqual([response.status, headers.get('content-type'), headers.get('x-own')], [status, type, 'b'])
    t.is(await response.text(), '{"a":"é"}')
  }
})

test.serial('a handler that is restricted to methods is otherwise unchanged', async (t) => {
  const open = Object.assign(() => json({all: 'well'}), {
    access: {isOpen: true as const},
    exempt: true,
    errorShape: 'status' as const,
  })
  const handler = only(['PUT'], open)
  t.like({...handler}, {methods: ['PUT'], access: {isOpen: true}, exempt: true, errorShape: 'status'})
  const {url} = await app.serve(handler)
  t.is((await fetch(url, {method: 'PUT'})).status, 200)
  const refused = await fetch(url)
  t.deepEqual([refused.status, refused.headers.get('allow')], [405, 'OPTIONS, PUT'])
  t.is(((await refused.json()) as {code: number}).code, 12, 'a google.rpc.Status')
})

test.serial('an answer without a body has an empty body', async (t) => {
  const {url} = await app.serve(() => ({}))
  await using connection = await connectTo(url)
  connection.get('/')
  const {status, text, headers} = await connection.response()
  t.deepEqual({status, text, length: headers.get('content-length')}, {status: 200, text: '', length: '0'})
})

test.serial('the length of an answer is its real one, whatever the function says', async (t) => {
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

test.serial('pipelined requests on a connection are answered in order', async (t) => {
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

test.serial('an unknown path is 404, and another method 405 with Allow, in the format of all errors', async (t) => {
  await using connection = await connectTo(app.url('/'))
  connection.get('/nowhere')
  const missing = await connection.response()
  isFault(t, missing, 404, 'NOT_FOUND')
  connection.send('PUT /ping HTTP/1.1\nHost: test\nContent-Length: 0\n\n')
  const refused = await connection.response()
  isFault(t, refused, 405, 'UNIMPLEMENTED')
  t.is(refused.headers.get('allow'), 'GET, HEAD, OPTIONS, POST')
  t.is(refused.json.error.details[0].reason, 'METHOD_NOT_ALLOWED')
})
