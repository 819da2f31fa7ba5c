import {once} from 'node:events'
import {createServer, request as httpRequest} from 'node:http'
import {type AddressInfo, connect} from 'node:net'
import {status} from '@grpc/grpc-js'
import test, {type ExecutionContext} from 'ava'
import fc from 'fast-check'
import {StatusError} from '../../local/grpc/status-error.ts'
import {createRuntime} from '../../src/clients/runtime.ts'
import {ConfigError, readConfig} from '../../src/core/config.ts'
import {gateway} from '../../src/gateway/gateway.ts'
import {type App, startApp} from '../helpers/app.ts'
import {hasBrowser, startBrowser} from '../helpers/browser.ts'
import {textOf} from '../helpers/commands.ts'
import {connectTo} from '../http/connection.ts'
import {eventsIn, type SentEvent} from '../http/events.ts'
import {buildSchema, type Schema} from './gateway-schema.ts'
import {type Any, HeldService} from './gateway-services.ts'

const page = textOf('docs/streams.md')
const [, guideProto = ''] = /```proto\n(.*?)```/s.exec(page) ?? []
const [, guideRow = ''] = /^GATEWAY_EVENT_ID=(\S+) npm start$/m.exec(page) ?? []

const kindsProto = `
syntax = "proto3";
package kinds;
import "google/api/annotations.proto";
import "google/protobuf/timestamp.proto";
import "google/protobuf/wrappers.proto";
service Kinds {
  rpc Nested(Ask) returns (stream Say) {
    option (google.api.http) = {
      get: "/nested"
      additional_bindings {post: "/nested" body: "*"}
      additional_bindings {get: "/nested/{start.count}"}
    };
  }
  rpc Text(Ask) returns (stream Say) {option (google.api.http) = {get: "/text"};}
  rpc Times(Ask) returns (stream Say) {option (google.api.http) = {get: "/times"};}
  rpc Bytes(Ask) returns (stream Say) {option (google.api.http) = {get: "/bytes"};}
  rpc Unary(Ask) returns (Say) {option (google.api.http) = {get: "/unary"};}
  rpc Both(stream Ask) returns (stream Say) {option (google.api.http) = {post: "/both" body: "*"};}
  rpc NoRule(Ask) returns (stream Say);
}
message Place {
  oneof at {
    string cursor = 1;
    int32 count = 2;
    google.protobuf.Timestamp time = 3;
  }
  bytes data = 4;
  bool flag = 5;
  google.protobuf.StringValue wrapped = 6;
}
message Ask {
  Place start = 1;
  string name = 2;
  repeated string names = 3;
}
message Say {
  Place place = 1;
  optional string text = 2;
  repeated Place places = 3;
  map<string, string> labels = 4;
}
`

const rows = [
  guideRow,
  'kinds.Kinds/Nested=place.count:start.cursor',
  'kinds.Kinds/Text=text:start.cursor',
  'kinds.Kinds/Times=place.time:start.time',
  'kinds.Kinds/Bytes=place.data:start.data',
].join(',')

let schema: Schema
let app: App
let feed: HeldService
let kinds: HeldService
/** The number of items in a stream. */
let items = 300

test.before(async () => {
  schema = buildSchema({'feed.proto': guideProto, 'kinds.proto': kindsProto})
  feed = new HeldService(schema.registry.getService('feed.Feed')!, {
    async *watch({topic, after}: Any) {
      for (let sequence = Number(after) + 1; sequence <= items; sequence++) {
        yield {sequence: BigInt(sequence), text: `${topic} ${'.'.repeat(sequence % 50)}`}
      }
    },
  })
  const none = async function* () {}
  const unary = () => ({})
  kinds = new HeldService(schema.registry.getService('kinds.Kinds')!, {
    ...{nested: none, text: none, times: none, bytes: none, both: none, noRule: none, unary},
  })
  app = await startApp({
    target: 'gateway',
    env: {GATEWAY_DESCRIPTORS: schema.path, GATEWAY_EVENT_ID: rows},
    backend: {services: [feed, kinds]},
  })
})
test.afterEach.always((t) => app.quiet(t))
test.after.always(async () => {
  await app.close()
  schema[Symbol.dispose]()
})

/** The events that an EventSource gets from `path` on one connection, which is cut after `bytes` bytes of the body. */
async function cutAfter(path: string, lastId: string, bytes: number): Promise<{status: number; events: SentEvent[]}> {
  const {port} = new URL(app.url('/'))
  const socket = connect(Number(port), '127.0.0.1')
  const id = lastId ? `last-event-id: ${lastId}\r\n` : ''
  socket.write(`GET ${path} HTTP/1.0\r\nhost: test\r\naccept: text/event-stream\r\n${id}\r\n`)
  let text = ''
  for await (const piece of socket.setEncoding('latin1') as AsyncIterable<string>) {
    text += piece
    const body = text.indexOf('\r\n\r\n') + 4
    if (body > 3 && text.length - body >= bytes) break
  }
  socket.destroy()
  const body = text.indexOf('\r\n\r\n') + 4
  const {events} = eventsIn(text.slice(body, body + bytes))
  return {status: Number(text.split(' ', 2)[1]), events: events.map((event) => ({...event, id: event.id || lastId}))}
}

/** All messages that a client gets that is cut after each of `cuts`, and reconnects until it gets 204. */
async function watch(path: string, cuts: readonly number[]): Promise<{seen: SentEvent[]; statuses: number[]}> {
  const seen: SentEvent[] = []
  const statuses: number[] = []
  let lastId = ''
  for (const cut of [...cuts, Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY]) {
    const {status, events} = await cutAfter(path, lastId, cut)
    statuses.push(status)
    seen.push(...events)
    lastId = seen.at(-1)?.id ?? ''
    if (status === 204) break
  }
  return {seen, statuses}
}

const sequencesOf = (events: readonly SentEvent[]) =>
  events.filter(({event}) => event === 'message').map(({data}) => Number(JSON.parse(data).sequence))

test.serial(
  'a client that is cut at random places sees each message exactly once, and is told when to stop',
  async (t) => {
    items = 40
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({min: 0, max: 1200}), {maxLength: 20}), async (cuts) => {
        const {seen, statuses} = await watch('/v1/topics/a:watch', cuts)
        t.deepEqual(
          sequencesOf(seen),
          Array.from({length: items}, (_, index) => index + 1),
        )
        t.is(statuses.at(-1), 204)
      }),
      {numRuns: 20},
    )
  },
)

test.serial('a client that is cut a hundred times sees each message exactly once', async (t) => {
  items = 300
  const [cuts = []] = fc.sample(fc.array(fc.integer({min: 0, max: 300}), {minLength: 100, maxLength: 100}), 1)
  const {seen, statuses} = await watch('/v1/topics/a:watch', cuts)
  t.deepEqual(
    sequencesOf(seen),
    Array.from({length: items}, (_, index) => index + 1),
    String(cuts),
  )
  t.deepEqual(seen.at(-1), {event: 'end', data: '{}', id: '300;end'})
  t.is(statuses.length, 102, 'whole after a hundred cuts, then 204')
})

;(hasBrowser ? test.serial : test.serial.skip)(
  'an EventSource of a real browser that is cut many times sees each message exactly once',
  async (t) => {
    items = 200
    let cut = 0
    const proxy = createServer((incoming, outgoing) => {
      const {host: _, connection: __, ...headers} = incoming.headers
      const forwarded = httpRequest(app.url(incoming.url ?? '/'), {headers}, (answer) => {
        outgoing.writeHead(answer.statusCode ?? 500, answer.headers)
        if (answer.statusCode !== 200 || !/event-stream/.test(answer.headers['content-type'] ?? '')) {
          answer.pipe(outgoing)
          return
        }
        // Sets the reconnection time: without it, a browser waits for seconds.
        outgoing.write('retry: 1\n\n')
        let left = cut < 40 ? Math.floor(Math.random() * 900) : Number.POSITIVE_INFINITY
        answer.on('data', (bytes: Buffer) => {
          outgoing.write(bytes.subarray(0, left))
          left -= bytes.length
          if (left > 0) return
          cut++
          answer.destroy()
          outgoing.destroy()
        })
        answer.on('end', () => outgoing.end())
        answer.on('error', () => {})
      })
      forwarded.end()
    }).listen(0, '127.0.0.1')
    await once(proxy, 'listening')
    await using browser = await startBrowser()
    const view = await browser.context.newPage()
    const origin = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`
    await view.goto(`${origin}/openapi.json`)
    const seen = await view.evaluate(
      (url) =>
        new Promise<number[]>((resolve) => {
          const sequences: number[] = []
          const source = new EventSource(url)
          source.onmessage = ({data}) => sequences.push(Number(JSON.parse(data).sequence))
          source.onerror = () => source.readyState === EventSource.CLOSED && resolve(sequences)
        }),
      `${origin}/v1/topics/a:watch`,
    )
    await view.close()
    proxy.closeAllConnections()
    proxy.close()
    t.true(cut >= 20, `${cut} cuts`)
    t.deepEqual(
      seen,
      Array.from({length: items}, (_, index) => index + 1),
    )
  },
)

/** The events of `path`, and the requests that the service got. */
async function ask(path: string, lastId: string | undefined, init: RequestInit = {}) {
  const headers = {accept: 'text/event-stream', ...(lastId !== undefined && {'last-event-id': lastId}), ...init.headers}
  const response = await fetch(app.url(path), {...init, headers})
  const text = await response.text()
  return {status: response.status, text, ...eventsIn(text)}
}

/** Collects the requests of `method` of kinds.Kinds, while it answers with `answers`. */
function answering(method: string, ...answers: object[]) {
  const asked: Any[] = []
  const handling = kinds.handle({
    async *[method](request: Any) {
      asked.push(request)
      yield* answers
    },
  })
  return {asked, [Symbol.dispose]: () => handling[Symbol.dispose]()}
}

const place = (name: string, value: unknown) => ({place: {at: {case: name, value}}})

test.serial('ids and requests may be nested, and of other types', async (t) => {
  using nested = answering('nested', place('count', 7), place('count', 0), place('cursor', 'x'), {})
  const {events} = await ask('/nested', '5')
  t.deepEqual(
    events.map(({id}) => id),
    // An item without a count gets no id, so that the previous id stays.
    ['7', '0', '0', '0', '0;end'],
  )
  t.deepEqual(nested.asked[0].start.at, {case: 'cursor', value: '5'})
  using times = answering('times', place('time', {seconds: 60n}))
  t.is((await ask('/times', '1970-01-01T00:00:01Z')).events[0]?.id, '1970-01-01T00:01:00Z')
  t.is(times.asked[0].start.at.value.seconds, 1n)
  using bytes = answering('bytes', {place: {data: Buffer.from([251, 255])}}, {place: {}})
  t.deepEqual(
    (await ask('/bytes', 'AQI=')).events.map(({id}) => id),
    ['+/8=', '+/8=', '+/8=;end'],
  )
  t.deepEqual([...bytes.asked[0].start.data], [1, 2])
})

test.serial('the last id has priority over path, query and body, also over another member of its oneof', async (t) => {
  using nested = answering('nested')
  const body = {method: 'POST', headers: {'content-type': 'application/json'}}
  await ask('/nested?start.cursor=1', '5')
  await ask('/nested?start.count=1&name=n', '5')
  await ask('/nested/9', '5')
  await ask('/nested', '5', {...body, body: '{"start": {"time": "1970-01-01T00:00:01Z", "flag": true}}'})
  for (const {start} of nested.asked) t.deepEqual(start.at, {case: 'cursor', value: '5'})
  t.is(nested.asked[1].name, 'n')
  t.true(nested.asked[3].start.flag)
  await ask('/nested?start.cursor=1', undefined)
  await ask('/nested?start.cursor=1', '')
  for (const {start} of nested.asked.slice(4)) t.is(start.at.value, '1')
})

test.serial('any text comes back unchanged, and is never read as the end', async (t) => {
  const texts = [
    'a b',
    ' a ',
    'ü€🎈',
    '100%',
    '%41',
    'a\nb\r\0',
    ';end',
    'x;end',
    'a;b',
    '/+=?&;',
    '\ud800'.toWellFormed(),
  ]
  for (const text of texts) {
    using given = answering('text', {text})
    const {events} = await ask('/text', undefined)
    const id = events[0]?.id ?? ''
    t.regex(id, /^[!-~](?:[ -~]*[!-~])?$/, text)
    t.is((await ask('/text', id)).status, 200)
    t.is(given.asked[1].start.at.value, text)
    t.is((await ask('/text', events.at(-1)?.id)).status, 204)
  }
  using empty = answering('text', {text: ''}, {})
  t.is(
    (await ask('/text', undefined)).text,
    ':\n\ndata: {"text":""}\n\ndata: {}\n\nid: 0;end\nevent: end\ndata: {}\n\n',
  )
  t.is(empty.asked.length, 1)
})

test.serial('an invalid id is 400, and the service is not called', async (t) => {
  const calls = app.backend.log.length
  for (const [path, id] of [
    ['/v1/topics/a:watch', 'x'],
    ['/times', '17'],
    ['/text', '%zz'],
  ] as const) {
    const {status, text} = await ask(path, id)
    t.is(status, 400)
    t.is(JSON.parse(text).error.details[0].fieldViolations[0].field, 'last-event-id')
  }
  t.is(app.backend.log.length, calls)
})

test.serial('other formats have no ids, and accept none', async (t) => {
  items = 3
  const response = await fetch(app.url('/v1/topics/a:watch'), {headers: {'last-event-id': '2'}})
  t.is((await response.text()).split('\n').length, 4)
})

test.serial('/openapi.json has Last-Event-ID where events can be resumed', async (t) => {
  const document = (await (await fetch(app.url('/openapi.json'))).json()) as Any
  const idOf = (path: string) => document.paths[path].get.parameters.find(({name}: Any) => name === 'Last-Event-ID')
  t.is(idOf('/v1/topics/{topicsId}:watch').schema.pattern, undefined)
  t.is(idOf('/text').schema.pattern, '^[!-$&-~]*$')
  t.is(idOf('/unary'), undefined)
})

test.serial('a transient error keeps the last id, a permanent one marks the end', async (t) => {
  for (const [code, id] of [
    [status.UNAVAILABLE, 'x'],
    [status.NOT_FOUND, 'x;end'],
  ] as const) {
    using _ = kinds.handle({
      async *text() {
        yield {text: 'x'}
        throw new StatusError(code, 'Late')
      },
    })
    await using connection = await connectTo(app.url(''))
    connection.send('GET /text HTTP/1.1\nhost: test\naccept: text/event-stream\n\n')
    const {events} = eventsIn((await connection.response()).text)
    t.deepEqual(
      events.map((event) => [event.event, event.id]),
      [
        ['message', 'x'],
        ['error', id],
      ],
    )
  }
})

for (const [row, expected] of [
  ['kinds.Kinds/Nothing=text:name', /no method "kinds.Kinds\/Nothing" is served: did you mean kinds.Kinds\/\w+\?/],
  ['kinds.Kinds/NoRule=text:name', /no method "kinds.Kinds\/NoRule" is served/],
  ['kinds.Kinds/Unary=text:name', /kinds.Kinds\/Unary is unary: expected a server stream/],
  ['kinds.Kinds/Both=text:name', /is bidirectional: expected a server stream/],
  ['kinds.Kinds/Text=nope:name', /"nope": kinds.Say has no field "nope"/],
  ['kinds.Kinds/Text=place.nope:name', /"place.nope": kinds.Place has no field "nope"/],
  ['kinds.Kinds/Text=text.nope:name', /"text" is a scalar, which has no fields/],
  ['kinds.Kinds/Text=places.data:name', /"places" is a repeated message, which has no fields/],
  ['kinds.Kinds/Text=place:name', /"place" is a message: expected a scalar/],
  ['kinds.Kinds/Text=labels:name', /"labels" is a map: expected a scalar/],
  ['kinds.Kinds/Text=text:names', /"names" is a repeated field: expected a scalar/],
  ['kinds.Kinds/Text=text:nope', /"nope": kinds.Ask has no field "nope"/],
  ['kinds.Kinds/Text=place.time:start.count', /"start.count" takes an integer.*: expected a field that takes what/],
  ['kinds.Kinds/Nested=place.count:start.count', /"start.count" is in the path of get: "\/nested\/\{start.count\}"/],
  ['kinds.Kinds/Text=text:name;kinds.Kinds/Text=text:name', /there is another row for kinds.Kinds\/Text/],
  ['kinds.Kinds.Text=text:name', /^GATEWAY_EVENT_ID="kinds.Kinds.Text=text:name": expected "pkg.Service\/Method=/],
  ['kinds.Kinds/Text', /expected "pkg.Service\/Method=/],
] as const) {
  test(`GATEWAY_EVENT_ID=${row} stops the start`, (t: ExecutionContext) => {
    const env = {BACKEND_URL: 'http://localhost:1', GATEWAY_DESCRIPTORS: schema.path, LOG_LEVEL: 'silent'}
    const error = t.throws(() => gateway(createRuntime(readConfig({...env, GATEWAY_EVENT_ID: row}))), {
      instanceOf: ConfigError,
    })
    t.regex(error.message, expected)
    t.regex(error.message, /^GATEWAY_EVENT_ID="/)
    t.notRegex(error.message, /\n/)
  })
}
