import {once} from 'node:events'
import {connect} from 'node:net'
import {create, fromBinary, toBinary, toJson} from '@bufbuild/protobuf'
import {status} from '@grpc/grpc-js'
import test from 'ava'
import {type Logger, pino} from 'pino'
import {WebSocket} from 'ws'
import type {CallContext} from '../../local/grpc/implement.ts'
import {StatusError} from '../../local/grpc/status-error.ts'
import {startStack} from '../../local/stack.ts'
import {codes} from '../../src/core/fault.ts'
import {admissionOf} from '../../src/http/admission.ts'
import {keepUpgrade, type Upgrade} from '../../src/http/response/upgrade.ts'
import {hasBrowser, startBrowser} from '../helpers/browser.ts'
import {settled} from '../helpers/settled.ts'
import {startChild} from '../http/child.ts'
import {connectTo} from '../http/connection.ts'
import {type Any, type Served, silence, startServed} from './gateway-services.ts'

const records: Any[] = []
const log = pino({messageKey: 'message'}, {write: (line: string) => void records.push(JSON.parse(line))}) as Logger

let app: Served
test.before(async () => {
  app = await startServed({
    log,
    env: {GATEWAY_WEBSOCKET: 'true', CORS_ORIGINS: 'https://a.example', EVENT_STREAM_PING_SECONDS: '0.2'},
  })
})
test.afterEach.always((t) => app.quiet(t))
test.after.always(() => app.close())

/** The client side of a WebSocket, with all that it has received. */
class Client implements AsyncDisposable {
  readonly socket: WebSocket
  readonly frames: (string | Buffer)[] = []
  readonly closed: Promise<{code: number; reason: string}>
  #wake = () => {}

  constructor(path: string, protocols: string[] = [], options = {}) {
    this.socket = new WebSocket(app.url(path).replace('http', 'ws'), protocols, options)
    this.socket.on('message', (data, isBinary) => {
      this.frames.push(isBinary ? (data as Buffer) : String(data))
      this.#wake()
    })
    this.closed = new Promise((resolve) => {
      this.socket.on('close', (code, reason) => {
        resolve({code, reason: String(reason)})
        this.#wake()
      })
    })
    this.socket.on('error', () => {})
  }

  async open(): Promise<this> {
    await once(this.socket, 'open')
    return this
  }

  send(value: unknown): void {
    this.socket.send(typeof value === 'string' || Buffer.isBuffer(value) ? value : JSON.stringify(value))
  }

  /** The next frame, parsed as JSON. */
  async next(): Promise<Any> {
    while (this.frames.length === 0) {
      if (this.socket.readyState === WebSocket.CLOSED)
        throw new Error(`It is closed: ${JSON.stringify(await this.closed)}`)
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
    return JSON.parse(String(this.frames.shift()))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.socket.terminate()
    await this.closed
  }
}

const open = (path: string, protocols?: string[], options?: object) => new Client(path, protocols, options).open()

/** The status and the error with which a WebSocket handshake is refused. */
async function refusal(path: string, headers: Record<string, string> = {}, protocols: string[] = []) {
  const client = new Client(path, protocols, {headers})
  const [, response] = await once(client.socket, 'unexpected-response')
  const pieces: Buffer[] = []
  for await (const piece of response) pieces.push(piece)
  client.socket.terminate()
  return {
    status: response.statusCode as number,
    headers: response.headers,
    ...JSON.parse(String(Buffer.concat(pieces))),
  }
}

test.serial('bidi: answers arrive while frames are being sent, and an empty frame ends the request', async (t) => {
  await using client = await open('/both')
  client.send({name: 'a'})
  t.deepEqual(await client.next(), {name: 'a'})
  client.send({name: 'b'})
  t.deepEqual(await client.next(), {name: 'b'})
  client.send('')
  t.deepEqual(await client.closed, {code: 1000, reason: ''})
})

test.serial('bidi: path and query bindings are in every message', async (t) => {
  await using client = await open('/both/n%2F?flag=true')
  for (const age of [1, 2]) {
    client.send({age})
    t.deepEqual(await client.next(), {name: 'n/', flag: true, child: {age}})
  }
  client.send('')
  t.is((await client.closed).code, 1000)
})

test.serial('a client stream is answered with one frame', async (t) => {
  await using client = await open('/up')
  for (const name of ['a', 'b']) client.send({name})
  client.send('')
  t.deepEqual(await client.next(), {names: ['a', 'b']})
  t.is((await client.closed).code, 1000)
})

test.serial('a service may send first, and end first', async (t) => {
  using _ = app.streams.handle({
    async *both() {
      yield {name: 'hello'}
    },
  })
  await using client = await open('/both')
  t.deepEqual(await client.next(), {name: 'hello'})
  t.is((await client.closed).code, 1000)
})

test.serial('proto: frames are whole messages, to which path and query are added', async (t) => {
  const {registry} = app.schema
  const child = registry.getMessage('every.Child')!
  const every = registry.getMessage('every.Every')!
  const seen = async (client: Client) => {
    while (client.frames.length === 0) await once(client.socket, 'message')
    return client.frames.shift() as Buffer
  }
  await using plain = await open('/served.Plain/Both', ['proto', 'json'])
  t.is(plain.socket.protocol, 'proto')
  for (const init of [{age: 1}, {}]) {
    const bytes = toBinary(child, create(child, init))
    plain.send(Buffer.from(bytes))
    t.deepEqual([...(await seen(plain))], [...bytes])
  }
  plain.send('')
  t.is((await plain.closed).code, 1000)
  await using bound = await open('/both/n?flag=true', ['proto'])
  bound.send(Buffer.from(toBinary(every, create(every, {int32Value: 7}))))
  t.deepEqual(toJson(every, fromBinary(every, await seen(bound))), {name: 'n', flag: true, int32Value: 7})
  bound.send('')
  t.is((await bound.closed).code, 1000)
})

for (const [words, frame] of [
  ['text', '{}'],
  ['an invalid message', Buffer.from([0xff, 0xff])],
  ['too many values', Buffer.from(Array.from({length: 40_002}, (_, index) => (index % 2 ? 0 : 0x0a)))],
] as const) {
  test.serial(`proto: ${words} ends the call with INVALID_ARGUMENT`, async (t) => {
    await using client = await open('/both', ['proto'])
    client.send(frame)
    t.is((await client.next()).error.details[0].fieldViolations[0].field, 'body')
    t.is((await client.closed).code, 4003)
  })
}

test.serial('the routing header has the variables of the path', async (t) => {
  const call = app.streams.next()
  await using client = await open('/both/n')
  t.deepEqual((await call).context.metadata.get('x-goog-request-params'), ['name=n'])
  client.send('')
  await client.closed
})

test.serial('methods without a rule are at their own path', async (t) => {
  await using client = await open('/served.Plain/Both', ['json'])
  t.is(client.socket.protocol, 'json')
  client.send({age: 1})
  t.deepEqual(await client.next(), {age: 1})
  client.send('')
  t.is((await client.closed).code, 1000)
})

for (const [name, code] of Object.entries(status).filter(([name]) => name in codes && name !== 'OK')) {
  test.serial(`${name} of the service is a last frame and the close code ${4000 + Number(code)}`, async (t) => {
    using _ = app.streams.handle({
      async *both() {
        yield {name: 'a'}
        throw new StatusError(code as status, 'Late')
      },
    })
    await using client = await open('/both')
    t.deepEqual(await client.next(), {name: 'a'})
    t.like((await client.next()).error, {status: name, message: 'Late'})
    t.deepEqual(await client.closed, {code: 4000 + Number(code), reason: name})
  })
}

for (const [words, frame, field] of [
  ['malformed JSON', 'nope', 'body'],
  ['an unknown field', '{"nope":1}', 'nope'],
  ['two messages', '{}{}', 'body'],
  ['a binary frame', Buffer.from('{}'), 'body'],
  ['what the path sets otherwise', '{"name":"b"}', 'name'],
] as const) {
  test.serial(`${words} ends the call with INVALID_ARGUMENT, and the service sees CANCELLED`, async (t) => {
    const call = app.streams.next()
    await using client = await open(field === 'name' ? '/up/n' : '/both')
    client.send(frame)
    const {error} = await client.next()
    t.is(error.details[0].fieldViolations[0].field, field)
    t.is((await client.closed).code, 4003)
    await (await call).cancelled
  })
}

test.serial('a frame after the end of the request, and a frame that is too long, end the call', async (t) => {
  {
    using _ = app.streams.handle({up: (_: Any, context: CallContext) => silence(context)})
    await using late = await open('/up')
    late.send('')
    late.send({})
    t.is((await late.closed).code, 4003)
  }
  await using long = await open('/up')
  long.send({name: 'x'.repeat(2 ** 20)})
  long.send('')
  // The status code that RFC 6455 (section 7.4.1) has for messages that are too big.
  t.is((await long.closed).code, 1009)
})

test.serial('closing, or hanging up, cancels the call at once', async (t) => {
  for (const leave of [({socket}: Client) => socket.close(1000), ({socket}: Client) => socket.terminate()]) {
    using _ = app.streams.handle({
      async *both(_: Any, context: CallContext) {
        await silence(context)
        yield {}
      },
    })
    const call = app.streams.next()
    await using client = await open('/both')
    const {cancelled} = await call
    leave(client)
    await cancelled
    await app.backend.idle()
    t.is(app.backend.log.at(-1)?.code, 'CANCELLED')
  }
})

test.serial('a caller who does not answer a close frame is cut off when its grace period ends', async (t) => {
  const end = Promise.withResolvers<void>()
  using _ = app.streams.handle({
    // biome-ignore lint/correctness/useYield: it answers nothing
    async *both() {
      await end.promise
    },
  })
  const call = app.streams.next()
  await using connection = await connectTo(app.url(''))
  connection.socket.write(`GET /both HTTP/1.1\r\n${handshake(key, 'sec-websocket-version: 13')}`)
  await call
  const {setTimeout} = globalThis
  t.teardown(() => Object.assign(globalThis, {setTimeout}))
  const graces: (() => void)[] = []
  Object.assign(globalThis, {
    setTimeout: (...args: unknown[]) => {
      if (args[1] === 2000) graces.push(args[0] as () => void)
      return Reflect.apply(setTimeout, undefined, args)
    },
  })
  end.resolve()
  // The close frame, with the code 1000.
  await connection.until(/\x88\x02\x03\xe8$/)
  t.false(connection.socket.destroyed)
  t.is(graces.length, 1)
  graces[0]!()
  await connection.closed
})

test.serial('a passed deadline ends the call', async (t) => {
  using _ = app.streams.handle({up: (_: Any, context: CallContext) => silence(context)})
  await using client = await open('/up', [], {headers: {'x-server-timeout': '0.3'}})
  t.is((await client.next()).error.status, 'DEADLINE_EXCEEDED')
  t.deepEqual(await client.closed, {code: 4004, reason: 'DEADLINE_EXCEEDED'})
})

test.serial('pings keep the connection open', async (t) => {
  await using client = await open('/both')
  await once(client.socket, 'ping')
  await once(client.socket, 'ping')
  client.send('')
  t.is((await client.closed).code, 1000)
})

const filler = 'x'.repeat(64 * 1024)

const MiB = 2 ** 20

test.serial(
  'a service that reads nothing stops the reading of frames, and is pinged once; then all arrive',
  async (t) => {
    const gate = Promise.withResolvers<void>()
    using _ = app.streams.handle({
      async up(requests) {
        await gate.promise
        let int32Value = 0
        for await (const {name} of requests) int32Value += name.length
        return {int32Value}
      },
    })
    await using client = await open('/up')
    let pings = 0
    client.socket.on('ping', () => pings++)
    const size = 40 * MiB
    try {
      for (let sent = 0; sent < size; sent += filler.length) client.send({name: filler})
      client.send('')
      const left = await settled(() => client.socket.bufferedAmount)
      t.true(size - left < 24 * MiB, `${size - left} bytes were taken from the caller, none of which the service took`)
      t.true(admissionOf(app.runtime).bytes >= filler.length, 'the frames that wait take no room')
      const before = pings
      await settled(() => pings)
      // More pings would queue the caller's pongs behind its frames.
      t.true(pings <= before + 1)
    } finally {
      gate.resolve()
    }
    t.is((await client.next()).int32Value, size)
  },
)

test.serial('a caller that reads nothing stops the service', async (t) => {
  let made = 0
  using _ = app.streams.handle({
    async *both() {
      for (; made < 40 * MiB; made += filler.length) yield {name: filler}
    },
  })
  await using client = await open('/both')
  client.socket.pause()
  while (made === 0) await new Promise(setImmediate)
  const before = await settled(() => made)
  t.true(before < 24 * MiB, `${before} bytes were made, none of which the caller read`)
  client.socket.resume()
  t.is((await client.closed).code, 1000)
  t.is(client.frames.length, (40 * MiB) / filler.length)
})

test.serial('a request that cannot become a WebSocket is answered normally', async (t) => {
  const calls = app.backend.log.length
  for (const [path, expected] of [
    ['/nothing', 404],
    ['/whole', 400],
    ['/down', 400],
    ['/both?nope=1', 400],
    ['/both/%zz', 400],
  ] as const) {
    const {status, error, headers} = await refusal(path)
    t.deepEqual([status, error.code], [expected, expected], path)
    t.is(headers.connection, 'close')
    t.truthy(headers['x-request-id'])
  }
  const {status, error} = await refusal('/both', {}, ['soap', 'mqtt'])
  t.deepEqual([status, error.details[0].fieldViolations[0].field], [400, 'sec-websocket-protocol'])
  t.is(app.backend.log.length, calls)
})

test.serial('only pages that may call may open a WebSocket', async (t) => {
  t.is((await refusal('/both', {origin: 'https://b.example'})).status, 403)
  for (const origin of ['https://a.example', app.url('')]) {
    await using client = await open('/both', [], {headers: {origin}})
    client.send('')
    t.is((await client.closed).code, 1000)
  }
})

const handshake = (...lines: string[]) =>
  ['host: test', 'connection: Upgrade', 'upgrade: websocket', ...lines, '', ''].join('\r\n')
const key = 'sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA=='

for (const [words, text, expected] of [
  ['another version', `GET /both HTTP/1.1\r\n${handshake(key, 'sec-websocket-version: 8')}`, 426],
  ['no key', `GET /both HTTP/1.1\r\n${handshake('sec-websocket-version: 13')}`, 400],
  ['another method', `POST /both HTTP/1.1\r\n${handshake(key, 'sec-websocket-version: 13', 'content-length: 0')}`, 400],
] as const) {
  test.serial(`a handshake with ${words} is ${expected}, and the service is not called`, async (t) => {
    const calls = app.backend.log.length
    await using connection = await connectTo(app.url(''))
    connection.socket.write(text)
    const {status, json} = await connection.response()
    t.is(status, expected)
    t.is(json.error.code, expected)
    await connection.closed
    t.is(app.backend.log.length, calls)
  })
}

test.serial('a handshake with another version gets the protocol and the version that are served', async (t) => {
  await using connection = await connectTo(app.url(''))
  connection.socket.write(`GET /both HTTP/1.1\r\n${handshake(key, 'sec-websocket-version: 8')}`)
  const {status, headers} = await connection.response()
  t.is(status, 426)
  t.is(headers.get('upgrade'), 'websocket')
  t.is(headers.get('sec-websocket-version'), '13')
  t.deepEqual(headers.get('connection')?.split(', ').sort(), ['close', 'upgrade'])
  await connection.closed
})

test.serial('the name of the protocol may have capitals', async (t) => {
  const call = app.streams.next()
  await using connection = await connectTo(app.url(''))
  connection.get(
    '/both',
    'Connection: Upgrade',
    'Upgrade: WebSocket',
    'Sec-WebSocket-Version: 13',
    'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
  )
  const {status, headers} = await connection.response()
  // RFC 6455 has this key, and the answer to it.
  t.deepEqual([status, headers.get('sec-websocket-accept')], [101, 's3pPLMBiTxaQ9kYGzzhZRbK+xOo='])
  const {cancelled} = await call
  connection.socket.destroy()
  await cancelled
})

test.serial('an upgrade in HTTP/1.0 is ignored, because HTTP/1.0 has none', async (t) => {
  const calls = app.backend.log.length
  await using connection = await connectTo(app.url(''))
  connection.socket.write(`GET /both HTTP/1.0\r\n${handshake(key, 'sec-websocket-version: 13')}`)
  const {status, headers} = await connection.response()
  t.is(status, 405)
  t.is(headers.get('upgrade'), undefined)
  await connection.closed
  t.is(app.backend.log.length, calls)
})

test.serial('another upgrade is a normal request, with its body', async (t) => {
  await using connection = await connectTo(app.url(''))
  const body = '{"name":"a"}'
  connection.socket.write(
    `POST /whole HTTP/1.1\r\nhost: test\r\nconnection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
  )
  t.deepEqual((await connection.response()).json, {name: 'a'})
})

test.serial('an upgrade after another request on its connection ends the connection', async (t) => {
  using _ = app.echo.handle({whole: (_: Any, context: CallContext) => silence(context)})
  const call = app.echo.next()
  const socket = connect(Number(new URL(app.url('/')).port), '127.0.0.1')
  socket.on('error', () => {})
  socket.write('GET /whole HTTP/1.1\r\nhost: test\r\n\r\n')
  socket.resume()
  const {cancelled} = await call
  socket.write(`GET /both HTTP/1.1\r\n${handshake(key, 'sec-websocket-version: 13')}`)
  await cancelled
  if (!socket.closed) await once(socket, 'close')
  t.pass()
})

test.serial('a WebSocket has one record, with its status, its call and the bytes of its frames', async (t) => {
  const client = await open('/both/n?flag=true')
  client.send({age: 1})
  await client.next()
  client.send('')
  await client.closed
  await app.quiet(t)
  const responseSize = String('{"name":"n","flag":true,"child":{"age":1}}'.length)
  t.like(records.at(-1), {
    httpRequest: {status: 101, requestMethod: 'GET', responseSize},
    grpc: {method: 'served.Streams/Both', code: 'OK'},
  })
  const refused = await open('/both')
  refused.send('nope')
  await refused.closed
  await app.quiet(t)
  t.like(records.at(-1), {code: 'INVALID_ARGUMENT', httpRequest: {status: 101}})
})

;(hasBrowser ? test.serial : test.serial.skip)(
  'a page of a real browser talks both ways, and reads why a call failed',
  async (t) => {
    using _ = app.streams.handle({
      async *both(requests) {
        for await (const {name} of requests) {
          if (name === 'stop') throw new StatusError(status.NOT_FOUND, 'No more')
          yield {name: `${name}!`}
        }
      },
    })
    await using browser = await startBrowser()
    const page = await browser.context.newPage()
    await page.goto(app.url('/openapi.json'))
    const talk = (words: string[], protocols: string[]) =>
      page.evaluate(
        ({url, words, protocols}) =>
          new Promise<string[]>((resolve) => {
            const seen: string[] = []
            const socket = new WebSocket(url, protocols)
            const say = () => socket.send(words.shift() ?? '')
            socket.onopen = say
            socket.onmessage = ({data}) => {
              seen.push(String(data))
              say()
            }
            socket.onclose = ({code, reason}) => resolve([...seen, `${code} ${reason}`])
          }),
        {url: app.url('/both').replace('http', 'ws'), words, protocols},
      )
    t.deepEqual(await talk(['{"name":"a"}', '{"name":"b"}'], []), ['{"name":"a!"}', '{"name":"b!"}', '1000 '])
    const failed = await talk(['{"name":"stop"}'], ['json'])
    t.is(failed.at(-1), '4005 NOT_FOUND')
    t.is(JSON.parse(failed[0]!).error.message, 'No more')
    await page.goto('data:text/html,another origin')
    t.deepEqual(await talk([], []), ['1006 '])
    await page.close()
  },
)

for (const target of ['gateway', 'app', 'all']) {
  test.serial(`${target}, as it is deployed, opens WebSockets, and has the format of errors that is set`, async (t) => {
    await using stack = await startStack()
    await using child = await startChild(target, {
      ...stack.env,
      LOG_LEVEL: 'silent',
      GATEWAY_WEBSOCKET: 'true',
      GATEWAY_ERRORS: 'status',
    })
    const socket = new WebSocket(`${child.url.replace('http', 'ws')}/api/repos`)
    await once(socket, 'open')
    socket.send('{"context": {"creatorId": "me", "name": "lines"}}')
    socket.send('{"data": "aGVsbG8="}')
    socket.send('')
    const [[answer], [code]] = await Promise.all([once(socket, 'message'), once(socket, 'close')])
    t.is(JSON.parse(String(answer)).size, 5)
    t.is(code, 1000)
    await using connection = await connectTo(child.url)
    connection.get('/nowhere')
    t.like((await connection.response()).json, {code: codes.NOT_FOUND})
    connection.send('nonsense\n\n')
    t.like((await connection.response()).json, {code: codes.INVALID_ARGUMENT})
  })
}

test('a token as a subprotocol is the authorization, unless the request has its own', (t) => {
  for (const [headers, authorization] of [
    [{'sec-websocket-protocol': 'json, bearer.a.b.c'}, 'Bearer a.b.c'],
    [{'sec-websocket-protocol': 'json, bearer.a.b.c', authorization: 'Bearer own'}, 'Bearer own'],
    [{'sec-websocket-protocol': 'json, bearer.'}, undefined],
    [{}, undefined],
  ] as const) {
    const request = {headers: {...headers}} as unknown as Upgrade['request']
    keepUpgrade({request} as Upgrade)
    t.is(request.headers.authorization, authorization)
  }
})
