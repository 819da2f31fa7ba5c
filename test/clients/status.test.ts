import {once} from 'node:events'
import {
  createServer,
  type Http2Server,
  type OutgoingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2'
import type {AddressInfo} from 'node:net'
import {addAbortSignal} from 'node:stream'
import {deflateSync, gzipSync} from 'node:zlib'
import {create} from '@bufbuild/protobuf'
import {type Any, AnySchema, anyPack} from '@bufbuild/protobuf/wkt'
import {Metadata} from '@grpc/grpc-js'
import test, {type ExecutionContext} from 'ava'
import {startBackend} from '../../local/grpc/backend.ts'
import {StatusError} from '../../local/grpc/status-error.ts'
import {startMetadataServer} from '../../local/identity/metadata.ts'
import {invoke} from '../../src/clients/calls/interceptors.ts'
import {openCalls} from '../../src/clients/calls.ts'
import {healthOf} from '../../src/clients/health.ts'
import {callOf, onlyAnswer} from '../../src/clients/service-client.ts'
import {faultOf as endOf} from '../../src/clients/status.ts'
import {readConfig} from '../../src/core/config.ts'
import {codes} from '../../src/core/fault.ts'
import {ErrorInfoSchema, RetryInfoSchema} from '../../src/gen/google/rpc/error_details_pb.js'
import {detailsJson, failureHeaders, httpStatus, httpStatusOf} from '../../src/http/response/failure.ts'
import {runningTimers} from '../helpers/timers.ts'
import {Kinds, type Numbered} from '../local/kinds.ts'
import {KindsService, numbered} from './kinds.ts'
import {faultOf, reasonOf, TestLife} from './life.ts'
import {runtimeOf} from './runtime.ts'

const metadata = await startMetadataServer()
const kinds = new KindsService()
const backend = await startBackend({services: [kinds], iam: metadata})
const runtime = runtimeOf(metadata.env)
const {one, down, up} = Kinds.method

let life: TestLife
test.beforeEach(() => {
  life = new TestLife()
})
test.afterEach.always(async (t) => {
  await Promise.all([backend.idle(), metadata.idle()])
  await life.quiet(t)
  t.deepEqual({calls: openCalls(), timers: runningTimers()}, {calls: 0, timers: []})
  backend.iam!.audiences = [backend.url]
  backend.iam!.invokers = undefined
  kinds.handle({})
})
test.after.always(async () => {
  runtime.channels.close()
  await Promise.all([backend.close(), metadata.close()])
})

/** Options of a call of One of the backend at `url`. */
interface Asked {
  readonly audience?: string
  readonly timeout?: number
  readonly metadata?: Readonly<Record<string, string | Buffer>>
}

function ask(
  url = backend.url,
  {audience = url === backend.url ? url : 'none', timeout = 60_000, metadata = {}}: Asked = {},
) {
  const to = readConfig({BACKEND_URL: url, BACKEND_AUDIENCE: audience}).backendOf('test.Kinds')
  return onlyAnswer(
    callOf(runtime, {life, backend: to, method: one!, requests: () => [numbered(1)]}, {timeout, metadata}),
  ) as Promise<Numbered>
}

/** The URL of an HTTP/2 server that answers every request by `respond`. */
async function serving(t: ExecutionContext, respond: (stream: ServerHttp2Stream) => void): Promise<string> {
  const server: Http2Server = createServer().listen(0, '127.0.0.1')
  const sessions = new Set<ServerHttp2Session>()
  server.on('session', (session) => sessions.add(session))
  server.on('stream', (stream) => {
    stream.on('error', () => {})
    stream.resume()
    respond(stream)
  })
  await once(server, 'listening')
  t.teardown(async () => {
    runtime.channels.close()
    for (const session of sessions) session.destroy()
    await new Promise((resolve) => server.close(resolve))
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

const page = '<html><body><h1>An error of the front end</h1></body></html>'

for (const {status, reason, spoil} of [
  {
    status: 401,
    reason: 'BACKEND_UNAUTHENTICATED',
    spoil: () => {
      backend.iam!.audiences = ['https://another.a.run.app']
    },
  },
  {
    status: 403,
    reason: 'BACKEND_PERMISSION_DENIED',
    spoil: () => {
      backend.iam!.invokers = []
    },
  },
]) {
  test.serial(`${status} from Cloud Run's front end is 502, and the log says what to grant`, async (t) => {
    spoil()
    const fault = await faultOf(t, ask())
    t.is(fault.code, 'UNAVAILABLE')
    t.is(httpStatusOf(fault), 502)
    t.is(reasonOf(fault), reason)
    t.is(fault.message, 'The backend of test.Kinds.One turned this function away')
    t.true(fault.hint?.includes(`HTTP ${status}`))
    t.true(fault.hint?.includes(`"${backend.url}"`))
    t.true(fault.hint?.includes('roles/run.invoker'))
    t.is(Number(backend.iam?.refusals.at(-1)?.status), status)
  })
}

test.serial('a call without a token is rejected, and the log says that there was none', async (t) => {
  const fault = await faultOf(t, ask(backend.url, {audience: 'none'}))
  t.is(httpStatusOf(fault), 502)
  t.is(reasonOf(fault), 'BACKEND_UNAUTHENTICATED')
  t.regex(fault.hint ?? '', /without an ID token/)
})

test.serial("a service's own UNAUTHENTICATED and PERMISSION_DENIED stay 401 and 403", async (t) => {
  await ask()
  const tokens = metadata.identityRequests.length
  for (const [code, http] of [[16, 401] as const, [7, 403] as const]) {
    // Whatever the message says.
    for (const message of ['Log in first', `Received HTTP status code ${http}`]) {
      kinds.handle({
        one: () => {
          throw new StatusError(code, message)
        },
      })
      const fault = await faultOf(t, ask())
      t.is(httpStatusOf(fault), http)
      t.is(fault.message, message)
      t.is(fault.hint, undefined)
    }
  }
  kinds.handle({})
  await ask()
  t.is(metadata.identityRequests.length, tokens, 'the token is as good as before')
})

test.serial('a token that the front end rejected is replaced once, and is not sent again', async (t) => {
  await ask()
  const tokens = metadata.identityRequests.length
  const {audiences} = backend.iam!
  backend.iam!.audiences = ['https://another.a.run.app']
  // The front end takes every token for expired.
  backend.iam!.now = () => Date.now() + 3_600_000
  await faultOf(t, ask())
  backend.iam!.now = Date.now
  backend.iam!.audiences = audiences
  t.is(metadata.identityRequests.length, tokens + 1)
  t.is((await ask()).value, 2)
  t.is(metadata.identityRequests.length, tokens + 2)
})

test.serial('a call whose token the front end rejects continues with a new one', async (t) => {
  await ask()
  const tokens = metadata.identityRequests.length
  // For the front end the cached token has expired, and the new one has not.
  const old = backend.iam!.now
  backend.iam!.now = () => Date.now() + 3_600_000
  metadata.lifetimeSeconds = 7200
  t.is((await ask()).value, 2)
  backend.iam!.now = old
  metadata.lifetimeSeconds = 3600
  t.is(metadata.identityRequests.length, tokens + 1)
})

test.serial('the token of each call is in its metadata, unless the audience is "none"', async (t) => {
  const seen = kinds.next()
  await ask()
  t.regex(String((await seen).context.metadata.get('authorization')[0]), /^Bearer [\w-]+\.[\w-]+\.[\w-]+$/)
})

test.serial("a function's own authorization is kept, and no function can set the claims of a caller", async (t) => {
  const seen = kinds.next()
  await ask(backend.url, {metadata: {authorization: 'Bearer mine', 'x-verified-claims-bin': Buffer.from('{}')}})
  const sent = (await seen).context.metadata
  t.deepEqual(sent.get('authorization'), ['Bearer mine'])
  t.regex(String(sent.get('x-serverless-authorization')[0]), /^Bearer [\w-]+\.[\w-]+\.[\w-]+$/)
  t.deepEqual(sent.get('x-verified-claims-bin'), [])
})

test.serial('a missing token is UNAVAILABLE, and the backend is not called', async (t) => {
  metadata.fail(500, 3)
  const calls = backend.log.length
  const fault = await faultOf(t, ask(backend.url, {audience: 'https://no-token.a.run.app'}))
  t.is(httpStatusOf(fault), 503)
  t.is(reasonOf(fault), 'ID_TOKEN_UNAVAILABLE')
  t.is(backend.log.length, calls)
})

test.serial('a caller who hangs up while waiting for the token leaves nothing behind', async (t) => {
  metadata.hang(1)
  const asked = metadata.nextIdentityRequest()
  const answer = ask(backend.url, {audience: 'https://awaited.a.run.app'})
  await asked
  const reason = life.hangUp()
  t.is(await faultOf(t, answer), reason)
  await metadata.idle()
})

test.serial('waiting for the token counts towards the deadline of the call', async (t) => {
  metadata.hang(1)
  const fault = await faultOf(t, ask(backend.url, {audience: 'https://slow.a.run.app', timeout: 30}))
  t.is(fault.code, 'DEADLINE_EXCEEDED')
  t.is(httpStatusOf(fault), 504)
  // A second fetch would bring one: the call is over before, rather than made without time.
  t.is(reasonOf(fault), 'ID_TOKEN_UNAVAILABLE')
})

/** 499 would say that the caller hung up, but this caller waits for the answer. */
const seen = {...httpStatus, CANCELLED: 502}

for (const code of Object.keys(codes).filter((code) => code !== 'OK') as (keyof typeof codes)[]) {
  test.serial(`${code} of a service is ${seen[code]}, with the service's own message`, async (t) => {
    const message = `Die Straße – ${code} – 100% "of it"`
    kinds.handle({
      one: () => {
        throw new StatusError(codes[code], message)
      },
    })
    const fault = await faultOf(t, ask())
    t.is(fault.code, code)
    t.is(httpStatusOf(fault), seen[code])
    t.is(fault.message, message)
    t.is(
      failureHeaders(fault)['www-authenticate'],
      code === 'UNAUTHENTICATED' ? 'Bearer realm="grpc-functions"' : undefined,
    )
  })
}

for (const place of ['header', 'trailer'] as const) {
  test.serial(`a www-authenticate in a service's ${place} is forwarded`, async (t) => {
    const challenge = 'Bearer realm="shop", error="invalid_token"'
    kinds.handle({
      one: (_request, context) => {
        const metadata = place === 'trailer' ? context.trailer : context.metadata.clone()
        metadata.set('www-authenticate', challenge)
        if (place === 'header') context.sendHeader(metadata)
        throw new StatusError(codes.UNAUTHENTICATED, 'Log in')
      },
    })
    t.is(failureHeaders(await faultOf(t, ask()))['www-authenticate'], challenge)
  })
}

test.serial("the details of a service's error arrive, those of unknown types unchanged", async (t) => {
  const info = anyPack(ErrorInfoSchema, create(ErrorInfoSchema, {reason: 'STOCK', domain: 'shop', metadata: {a: 'b'}}))
  const retry = anyPack(RetryInfoSchema, create(RetryInfoSchema, {retryDelay: {seconds: 7n, nanos: 500_000_000}}))
  const unknown: Any = create(AnySchema, {typeUrl: 'type.googleapis.com/shop.Basket', value: Buffer.from('basket')})
  kinds.handle({
    one: () => {
      throw new StatusError(9, 'Sold out', [info, retry, unknown])
    },
  })
  const fault = await faultOf(t, ask())
  t.deepEqual(detailsJson(fault), [
    {'@type': 'type.googleapis.com/google.rpc.ErrorInfo', reason: 'STOCK', domain: 'shop', metadata: {a: 'b'}},
    {'@type': 'type.googleapis.com/google.rpc.RetryInfo', retryDelay: '7.500s'},
    {'@type': 'type.googleapis.com/shop.Basket', value: Buffer.from('basket').toString('base64')},
  ])
  t.is(failureHeaders(fault)['retry-after'], '8')
})

test.serial('details that cannot be decoded do not affect the rest of the error', async (t) => {
  kinds.handle({
    one: (_request, {trailer}) => {
      trailer.set('grpc-status-details-bin', Buffer.from('no protobuf'))
      throw new StatusError(9, 'Sold out')
    },
  })
  const fault = await faultOf(t, ask())
  t.is(fault.message, 'Sold out')
  t.deepEqual(fault.details, [])
})

test.serial("a service's message is kept, even if it begins like that of a broken connection", async (t) => {
  for (const message of [
    'read Every page first',
    'Connection dropped by the shop',
    'Deadline exceeded',
    'Connection dropped',
    'Call cancelled',
    'Deadline exceeded after 1.5s',
  ]) {
    kinds.handle({
      one: (_request, context) => {
        context.sendHeader()
        throw new StatusError(9, message)
      },
    })
    const fault = await faultOf(t, ask())
    t.deepEqual([fault.code, fault.message], ['FAILED_PRECONDITION', message])
  }
})

const grpc = {':status': 200, 'content-type': 'application/grpc'}

const encoded = [
  ['which%3F a%2Fb%23c%3A %24%26%2B%2C%3B%3D%40', 'which? a/b#c: $&+,;=@'],
  ['not https://a.example/%252Fb', 'not https://a.example/%2Fb'],
  ['Sp%c3%a4ter, 100%25', 'Später, 100%'],
  ['100% of %zz and %ff%41', '100% of %zz and %ff%41'],
] as const

for (const [place, respond] of [
  ['the head', (stream, status) => stream.respond({...grpc, ...status}, {endStream: true})],
  [
    'trailers',
    (stream, status) => {
      stream.on('wantTrailers', () => stream.sendTrailers(status))
      stream.respond(grpc, {waitForTrailers: true})
      stream.end()
    },
  ],
] as const satisfies [string, (stream: ServerHttp2Stream, status: Record<string, string>) => void][]) {
  test.serial(`all escapes of grpc-message in ${place} are decoded, once`, async (t) => {
    const messages = encoded.map(([message]) => message)
    const url = await serving(t, (stream) => respond(stream, {'grpc-status': '9', 'grpc-message': messages.shift()!}))
    for (const [, text] of encoded) t.is((await faultOf(t, ask(url))).message, text)
  })
}

test.serial('an error without a message gets one', async (t) => {
  kinds.handle({
    one: () => {
      throw new StatusError(9, '')
    },
  })
  t.is((await faultOf(t, ask())).message, 'test.Kinds.One failed')
})

/** How a server can reset a call, by the name of the error code that it sends, and the code that the caller then gets. */
const resets = {
  CANCEL: {code: 'CANCELLED', reset: (stream) => void addAbortSignal(AbortSignal.abort(), stream)},
  INTERNAL_ERROR: {code: 'INTERNAL', reset: (stream) => void stream.destroy(new Error('Broken'))},
  PROTOCOL_ERROR: {code: 'INTERNAL', reset: (stream) => stream.close(1)},
  NO_ERROR: {code: 'INTERNAL', reset: (stream) => stream.close(0)},
} satisfies Record<string, {code: string; reset: (stream: ServerHttp2Stream) => void}>

for (const [name, {code, reset}] of Object.entries(resets)) {
  for (const header of [false, true]) {
    const title = `${name} by the backend ${header ? 'after' : 'before'} its header`
    const respond = (stream: ServerHttp2Stream) => {
      if (header) stream.respond(grpc)
      // By then the header has been sent.
      if (header) setImmediate(reset, stream)
      else reset(stream)
    }

    test.serial(`a reset with ${title} is 504 if the deadline has almost passed`, async (t) => {
      const url = await serving(t, respond)
      // The reset arrives long before our own timer fires, but within 50 ms of the deadline, which counts as the deadline.
      const fault = await faultOf(t, ask(url, {timeout: 49}))
      t.is(fault.code, 'DEADLINE_EXCEEDED')
      t.is(httpStatusOf(fault), 504)
      t.is(fault.message, 'test.Kinds.One did not answer in time')
    })

    test.serial(`a reset with ${title} is 502 if there was time left, and never "hung up"`, async (t) => {
      const url = await serving(t, respond)
      const fault = await faultOf(t, ask(url))
      t.is(fault.code as string, code)
      t.is(httpStatusOf(fault), 502)
      t.is(reasonOf(fault), 'BACKEND_RESET')
      t.is(fault.message, 'The backend of test.Kinds.One reset the call')
      t.truthy(fault.cause)
    })
  }
}

for (const code of ['UNIMPLEMENTED', 'NOT_FOUND', 'UNAUTHENTICATED', 'PERMISSION_DENIED'] as const) {
  test.serial(`a backend whose health check answers ${code} is reachable`, async (t) => {
    const url = await serving(t, (stream) => stream.respond({...grpc, 'grpc-status': codes[code]}, {endStream: true}))
    const {status, note} = await healthOf(runtime, life, readConfig({BACKEND_URL: url}).backendOf('any'), 10_000)
    t.is(status, 'UNKNOWN')
    t.regex(note ?? '', /^it answers, and /)
  })
}

for (const code of ['UNAVAILABLE', 'INTERNAL', 'RESOURCE_EXHAUSTED'] as const) {
  test.serial(`a backend whose health check answers ${code} is not healthy`, async (t) => {
    const url = await serving(t, (stream) => stream.respond({...grpc, 'grpc-status': codes[code]}, {endStream: true}))
    const to = readConfig({BACKEND_URL: url}).backendOf('any')
    t.is((await faultOf(t, healthOf(runtime, life, to, 10_000))).code, code)
  })
}

test.serial('a front end that answers a health check with 404 or 403 without gRPC is UNAVAILABLE', async (t) => {
  for (const status of [403, 404]) {
    const url = await serving(t, (stream) => stream.respond({':status': status}, {endStream: true}))
    const to = readConfig({BACKEND_URL: url}).backendOf('any')
    t.is((await faultOf(t, healthOf(runtime, life, to, 10_000))).code, 'UNAVAILABLE')
  }
})

for (const [code, number] of [
  ['CANCELLED', 1],
  ['DEADLINE_EXCEEDED', 4],
  ['INTERNAL', 13],
] as const) {
  test.serial(`${code} from a service as the deadline passes is 504, and its message is for the log`, async (t) => {
    const url = await serving(t, (stream) =>
      stream.respond({...grpc, 'grpc-status': number, 'grpc-message': 'Context ended'}, {endStream: true}),
    )
    const fault = await faultOf(t, ask(url, {timeout: 49}))
    t.is(fault.code, 'DEADLINE_EXCEEDED')
    t.is(httpStatusOf(fault), 504)
    t.is(fault.message, 'test.Kinds.One did not answer in time')
  })
}

test('another status from a service as the deadline passes reaches the caller', async (t) => {
  const to = readConfig({BACKEND_URL: 'http://127.0.0.1:1'}).backendOf('test.Kinds')
  const call = callOf(runtime, {life: new TestLife(), backend: to, method: one!, requests: () => []}, {timeout: -1})
  const header = new Metadata()
  header.set('content-type', 'application/grpc')
  for (const code of ['NOT_FOUND', 'UNKNOWN', 'UNAVAILABLE', 'RESOURCE_EXHAUSTED'] as const) {
    const fault = await endOf({code: codes[code], details: 'In its words', metadata: header}, call)
    t.is(fault.message, 'In its words')
  }
})

/** A gRPC message, compressed with `encoding`. */
function compressed(bytes: Buffer): Buffer {
  const head = Buffer.alloc(5, 1)
  head.writeUInt32BE(bytes.length, 1)
  return Buffer.concat([head, bytes])
}

const large = Buffer.alloc(33 * 1024 * 1024)
for (const {title, encoding, message, reason} of [
  {title: 'a gzip bomb', encoding: 'gzip', message: gzipSync(large), reason: 'ANSWER_TOO_LARGE'},
  {title: 'a bomb of deflate', encoding: 'deflate', message: deflateSync(large), reason: 'ANSWER_TOO_LARGE'},
  {title: 'no gzip', encoding: 'gzip', message: Buffer.from('no gzip'), reason: 'ANSWER_UNREADABLE'},
  {title: 'an encoding that we do not know', encoding: 'br', message: Buffer.from('x'), reason: 'ANSWER_UNREADABLE'},
  {
    title: 'an encoding that it does not name',
    encoding: 'identity',
    message: Buffer.from('x'),
    reason: 'ANSWER_UNREADABLE',
  },
]) {
  test.serial(`an answer that is ${title} is 502 ${reason}`, async (t) => {
    const url = await serving(t, (stream) => {
      stream.respond({...grpc, 'grpc-encoding': encoding}, {waitForTrailers: true})
      stream.on('wantTrailers', () => stream.sendTrailers({'grpc-status': 0}))
      stream.end(compressed(message))
    })
    const fault = await faultOf(t, ask(url))
    t.is(httpStatusOf(fault), 502)
    t.is(reasonOf(fault), reason)
    t.is(fault.code, reason === 'ANSWER_TOO_LARGE' ? 'RESOURCE_EXHAUSTED' : 'INTERNAL')
    t.true(fault.message.startsWith('test.Kinds.One answered with a message '), fault.message)
    t.truthy(fault.cause)
  })
}

test.serial("a service's own status for a message that is too large for it is kept", async (t) => {
  const message = 'Received message larger than max (5000000 vs 4194304)'
  kinds.handle({
    one: () => {
      throw new StatusError(codes.RESOURCE_EXHAUSTED, message)
    },
  })
  t.is((await faultOf(t, ask())).message, message)
})

const html = {'content-type': 'text/html; charset=UTF-8'}
for (const {status, headers = html, http, reason} of [
  {status: 404, http: 502, reason: 'BACKEND_NOT_GRPC'},
  {status: 400, http: 502, reason: 'BACKEND_NOT_GRPC'},
  {status: 500, http: 502, reason: 'BACKEND_NOT_GRPC'},
  {status: 404, headers: {}, http: 502, reason: 'BACKEND_NOT_GRPC'},
  {status: 200, http: 502, reason: 'BACKEND_NOT_GRPC'},
  {status: 302, headers: {location: 'https://accounts.google.com/'}, http: 502, reason: 'BACKEND_NOT_GRPC'},
  {status: 429, http: 503, reason: 'BACKEND_UNAVAILABLE'},
  {status: 503, http: 503, reason: 'BACKEND_UNAVAILABLE'},
  {status: 504, http: 503, reason: 'BACKEND_UNAVAILABLE'},
] as {status: number; headers?: OutgoingHttpHeaders; http: number; reason: string}[]) {
  for (const body of [page, '']) {
    const title = `${status} ${headers === html ? 'in HTML' : 'of no type'}${body ? '' : ' without a body'}`
    test.serial(`an answer ${title} is ${http} ${reason}, and not shown to the caller`, async (t) => {
      const url = await serving(t, (stream) => {
        stream.respond({':status': status, ...headers}, {endStream: !body})
        if (body) stream.end(body)
      })
      const fault = await faultOf(t, ask(url))
      t.is(fault.code, 'UNAVAILABLE')
      t.is(httpStatusOf(fault), http)
      t.is(reasonOf(fault), reason)
      t.is(fault.retryAfter, http === 503 ? 1 : undefined)
      t.is(fault.message, 'The backend of test.Kinds.One is not available')
      t.true(fault.hint?.startsWith(`${url} answered HTTP ${status} without gRPC`), fault.hint)
    })
  }
}

/** Neither addresses nor details about the inner state of grpc-js reach the caller. */
function tellsNothing(t: ExecutionContext, {message}: Error): void {
  t.notRegex(message, /127\.0\.0\.1|localhost|\d{4,5}|ECONN|RST_STREAM|resolution|LB|dropped/)
}

test.serial('a backend that cannot be reached is 503, and its address is only for the log', async (t) => {
  const gone = await startBackend()
  const {url} = gone
  await gone.close()
  const fault = await faultOf(t, ask(url))
  t.is(fault.code, 'UNAVAILABLE')
  t.is(httpStatusOf(fault), 503)
  t.is(reasonOf(fault), 'BACKEND_UNAVAILABLE')
  t.is(fault.message, 'The backend of test.Kinds.One cannot be reached')
  tellsNothing(t, fault)
  t.regex(String(fault.cause), /ECONNREFUSED/)
})

test.serial('an unknown host name is 503', async (t) => {
  const fault = await faultOf(t, ask('http://nobody.invalid:9090'))
  t.is(httpStatusOf(fault), 503)
  t.is(fault.message, 'The backend of test.Kinds.One cannot be reached')
  tellsNothing(t, fault)
})

for (const header of [false, true]) {
  const when = header ? 'after its header' : 'before its header'

  test.serial(`a backend whose connection breaks ${when} is 503, without details of the connection`, async (t) => {
    const url = await serving(t, (stream) => {
      if (header) stream.respond({':status': 200, 'content-type': 'application/grpc+proto'})
      stream.session?.socket.destroy()
    })
    const fault = await faultOf(t, ask(url))
    t.is(fault.code, 'UNAVAILABLE')
    t.is(httpStatusOf(fault), 503)
    tellsNothing(t, fault)
  })

  test.serial(`a stream that is reset ${when} fails, without details of the stream`, async (t) => {
    for (const code of [0, 1, 2, 8, 11]) {
      const url = await serving(t, (stream) => {
        if (header) stream.respond({':status': 200, 'content-type': 'application/grpc'})
        stream.close(code)
      })
      tellsNothing(t, await faultOf(t, ask(url)))
    }
  })

  test.serial(`a deadline that passes ${when} is 504, without saying where`, async (t) => {
    const url = await serving(t, (stream) => {
      if (header) stream.respond({':status': 200, 'content-type': 'application/grpc'})
    })
    const fault = await faultOf(t, ask(url, {timeout: 50}))
    t.is(httpStatusOf(fault), 504)
    t.is(fault.message, 'test.Kinds.One did not answer in time')
    tellsNothing(t, fault)
  })
}

test.serial('an answer without a status is not accepted', async (t) => {
  const url = await serving(t, (stream) => {
    stream.respond({':status': 200, 'content-type': 'application/grpc'})
    stream.end()
  })
  const fault = await faultOf(t, ask(url))
  t.true(httpStatusOf(fault) >= 500)
  tellsNothing(t, fault)
})

test.serial('an answer whose trailers have no status is UNKNOWN, and the log says why', async (t) => {
  const url = await serving(t, (stream) => {
    stream.on('wantTrailers', () => stream.sendTrailers({'x-tail': 'a'}))
    stream.respond(grpc, {waitForTrailers: true})
    stream.end()
  })
  const fault = await faultOf(t, ask(url))
  t.deepEqual([fault.code, fault.message], ['UNKNOWN', 'test.Kinds.One failed'])
  t.regex(fault.hint ?? '', /without grpc-status/)
})

test.serial('answers that arrived before an error of the service are delivered first, at least one', async (t) => {
  kinds.handle({
    async *down() {
      yield {value: 1}
      throw new StatusError(9, 'Half way')
    },
  })
  const to = readConfig({BACKEND_URL: backend.url, BACKEND_AUDIENCE: backend.url}).backendOf('test.Kinds')
  const values: number[] = []
  const fault = await faultOf(
    t,
    (async () => {
      for await (const {value} of invoke(
        callOf(runtime, {life, backend: to, method: down!, requests: () => [numbered()]}),
      ) as AsyncIterable<Numbered>) {
        values.push(value)
      }
    })(),
  )
  t.is(fault.message, 'Half way')
  t.deepEqual(values, [1])
})

test.serial('a front end that rejects a long upload ends it', async (t) => {
  backend.iam!.invokers = []
  const to = readConfig({BACKEND_URL: backend.url, BACKEND_AUDIENCE: backend.url}).backendOf('test.Kinds')
  let told = false
  async function* endless(signal: AbortSignal) {
    try {
      while (!signal.aborted) yield numbered(1)
    } finally {
      told = signal.aborted
    }
  }
  const fault = await faultOf(t, onlyAnswer(callOf(runtime, {life, backend: to, method: up!, requests: endless})))
  t.is(httpStatusOf(fault), 502)
  t.true(told)
})
