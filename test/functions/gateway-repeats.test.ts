import {once} from 'node:events'
import {create, toBinary} from '@bufbuild/protobuf'
import test from 'ava'
import {WebSocket} from 'ws'
import {type FaultServer, startFaultServer} from '../../local/faults/server.ts'
import {admissionOf} from '../../src/http/admission.ts'
import {until} from '../clients/survival-rig.ts'
import {type Any, type Served, startServed} from './gateway-services.ts'
import {ask, envelope} from './rpc-client.ts'

// A call that no handler has seen is retried, for any protocol of the caller and any kind of method.

const maxDecoding = 1_000_000

const pure = `syntax = "proto3";
package pure;
import "every/every.proto";
service Pure {
  rpc Get(every.Every) returns (every.Every) { option idempotency_level = NO_SIDE_EFFECTS; }
  rpc Set(every.Every) returns (every.Every);
}`

let server: FaultServer
let app: Served
test.before(async () => {
  const first = (requests: readonly Uint8Array[]) => requests.slice(0, 1)
  const all = (requests: readonly Uint8Array[]) => requests
  server = await startFaultServer({
    methods: {
      '/served.Echo/Whole': first,
      '/served.Streams/Down': ([request]) => [request!, request!],
      '/served.Streams/Up': first,
      '/served.Streams/Both': all,
      '/pure.Pure/Get': first,
      '/pure.Pure/Set': first,
    },
  })
  app = await startServed({
    target: 'app',
    protos: {'pure.proto': pure},
    env: {
      BACKEND_URL: server.url,
      BACKEND_AUDIENCE: 'none',
      MCP: 'true',
      GATEWAY_WEBSOCKET: 'true',
      GATEWAY_MAX_BODY_BYTES: '900000',
      GATEWAY_MAX_DECODING_BYTES: String(maxDecoding),
    },
  })
})
test.afterEach.always(async (t) => {
  await app.quiet(t)
  t.is(admissionOf(app.runtime).kept, 0)
  server.clear()
})
test.after.always(async () => {
  await app.close()
  await server.close()
})

const json = {'content-type': 'application/json'}
const connect = {...json, 'connect-protocol-version': '1'}
const long = 'a'.repeat(300_000)

interface Answer {
  readonly status: number
  readonly text: string
}

const every = (fields: Any): Uint8Array => {
  const desc = app.schema.registry.getMessage('every.Every')!
  return toBinary(desc, create(desc, fields))
}

const rest = (line: string, more = {}) => app.send(line, more)

/** Requests whose call begins with one message; each answer has the name that was sent. */
const requests: Readonly<Record<string, () => Promise<Answer>>> = {
  'REST, by the query': () => rest('GET /whole?name=a'),
  'REST, by a body': () => rest('POST /whole', {headers: json, body: '{"name":"a"}'}),
  'REST, by a long body': () => rest('POST /whole', {headers: json, body: `{"name":"${long}"}`}),
  'REST, answered by a stream': () => rest('GET /down?name=a'),
  'REST, a body answered by a stream': () => rest('POST /down', {headers: json, body: '{"name":"a"}'}),
  'REST, a stream': () => rest('POST /up', {headers: json, body: '{"name":"a"}\n{"name":"b"}'}),
  'REST, both ways': () => rest('POST /both', {headers: json, body: '[{"name":"a"},{"name":"b"}]'}),
  Connect: () => ask(app.url(''), {path: '/served.Echo/Whole', headers: connect, body: '{"name":"a"}'}),
  'Connect, in protobuf': () =>
    ask(app.url(''), {
      path: '/served.Echo/Whole',
      headers: {...connect, 'content-type': 'application/proto'},
      body: every({name: 'a'}),
    }),
  'Connect, a stream': () =>
    ask(app.url(''), {
      path: '/served.Streams/Up',
      headers: {...connect, 'content-type': 'application/connect+json'},
      body: Buffer.concat([envelope('{"name":"a"}'), envelope('{"name":"b"}')]),
    }),
  'gRPC-Web': () =>
    ask(app.url(''), {
      path: '/served.Echo/Whole',
      headers: {'content-type': 'application/grpc-web+proto'},
      body: envelope(every({name: 'a'})),
    }),
  MCP: () =>
    rest('POST /mcp', {
      headers: {...json, accept: 'application/json, text/event-stream'},
      body: '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"Echo_Whole","arguments":{"name":"a"}}}',
    }),
  'a WebSocket': async () => {
    const socket = new WebSocket(app.url('/both').replace('http', 'ws'))
    await once(socket, 'open')
    socket.send('{"name":"a"}')
    socket.send('')
    const [data] = await once(socket, 'message')
    socket.close()
    await once(socket, 'close')
    return {status: 200, text: String(data)}
  },
}

const named = /"name\\*": ?\\*"a|\x0a\x01a|aaaaa/

for (const [name, send] of Object.entries(requests)) {
  test.serial(`${name}: a refused call is retried, and executed once`, async (t) => {
    for (const after of [0, 1]) {
      const {length} = server.executions
      server.next({kind: 'refuse', after})
      const {status, text} = await send()
      t.is(status, 200, text.slice(0, 500))
      t.regex(text.slice(0, 500), named)
      t.deepEqual(
        server.executions.slice(length).map(({previousAttempts}) => previousAttempts),
        [1],
      )
    }
  })

  test.serial(`${name}: a call above the last stream of a GOAWAY is retried`, async (t) => {
    server.dropConnections()
    t.is((await rest('GET /whole')).status, 200)
    const {length} = server.executions
    server.next({kind: 'stall'})
    const answer = send()
    await until(() => server.executions.length === length + 1)
    // The server lies: it has run the handler, and says that it has not.
    server.goaway({lastStream: 1})
    const {status, text} = await answer
    t.is(status, 200, text.slice(0, 500))
    t.regex(text.slice(0, 500), named)
    t.is(server.executions.length, length + 2)
  })
}

test.serial(
  'after an UNAVAILABLE a call is retried when its method has no side effects, and never otherwise',
  async (t) => {
    for (const [path, status, runs] of [
      ['/pure.Pure/Get', 200, 2],
      ['/pure.Pure/Set', 503, 1],
    ] as const) {
      const {length} = server.executions
      server.next({kind: 'status', code: 14})
      t.is((await rest(`POST ${path}`, {headers: json, body: '{"name":"a"}'})).status, status)
      t.is(server.executions.length - length, runs)
    }
  },
)

test.serial('a sent message is kept for a retry, until others need the room', async (t) => {
  const admission = admissionOf(app.runtime)
  const [first, second] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
  const {length} = server.executions
  server.next({kind: 'answer', until: first.promise}, {kind: 'answer', until: second.promise})
  const body = `{"name":"${'a'.repeat(600_000)}"}`
  const one = rest('POST /whole', {headers: json, body})
  await until(() => server.executions.length === length + 1)
  t.deepEqual([admission.bytes, admission.kept], [0, 600_004])
  const other = rest('POST /whole', {headers: json, body})
  await until(() => server.executions.length === length + 2)
  t.deepEqual([admission.bytes, admission.kept], [0, 600_004])
  // The message of the second call is still kept, that of the first is not.
  server.goaway({lastStream: 1})
  const {status, headers, json: failure} = await one
  t.deepEqual([status, headers.get('retry-after'), failure.error.details[0].reason], [503, '1', 'BACKEND_UNAVAILABLE'])
  t.is((await other).status, 200)
  t.is(server.executions.length, length + 3)
})

test.serial('a caller who hangs up, or whose deadline passes, leaves no kept message behind', async (t) => {
  for (const leave of ['hangs up', 'is late']) {
    const {length} = server.executions
    server.next({kind: 'stall'})
    const headers = {...json, ...(leave === 'is late' && {'grpc-timeout': '300m'})}
    const caller = new AbortController()
    const answer = fetch(app.url('/whole'), {
      method: 'POST',
      headers,
      body: `{"name":"${long}"}`,
      signal: caller.signal,
    })
    await until(() => server.executions.length === length + 1)
    if (leave === 'hangs up') caller.abort()
    if (leave === 'hangs up') await t.throwsAsync(answer, {name: 'AbortError'})
    else t.is((await answer).status, 504)
    await until(() => admissionOf(app.runtime).requests === 0)
    t.is(admissionOf(app.runtime).kept, 0)
  }
})
