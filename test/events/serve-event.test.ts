import {mkdtempSync, rmSync, writeFileSync} from 'node:fs'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {create, toBinary, toJsonString} from '@bufbuild/protobuf'
import test from 'ava'
import {CloudEvent as Event, HTTP, type Message} from 'cloudevents'
import {type Logger, pino} from 'pino'
import {RequestSchema} from '../../src/gen/ping/ping_pb.js'
import {admissionOf} from '../../src/http/admission.ts'
import {type CloudEvent, Fault, type Handler, json, serveEvent} from '../../src/index.ts'
import {type App, startApp} from '../helpers/app.ts'
import {stepsIn} from '../helpers/commands.ts'

const lines: string[] = []
const log = pino({messageKey: 'message'}, {write: (line: string) => void lines.push(line)}) as Logger

let app: App
test.before(async () => {
  app = await startApp({target: 'health', log})
})
test.afterEach.always((t) => app.quiet(t))
test.after.always(() => app.close())

interface Sent {
  readonly headers: Record<string, string>
  readonly body: string | Uint8Array<ArrayBuffer>
}

/** A request as the CloudEvents SDK makes it. */
function made({headers, body}: Message<unknown>): Sent {
  return {
    headers: headers as Record<string, string>,
    body: typeof body === 'string' ? body : body instanceof Uint8Array ? Uint8Array.from(body) : JSON.stringify(body),
  }
}

/** A Pub/Sub push, which has both spellings of each field. */
function push(data: string | Uint8Array, attributes: Record<string, string> = {}): Sent {
  const message = {
    ...{data: Buffer.from(data).toString('base64'), attributes, messageId: '7', message_id: '7', orderingKey: 'k'},
    ...{publishTime: '2026-01-02T03:04:05Z', publish_time: '2026-01-02T03:04:05Z'},
  }
  const body = JSON.stringify({message, subscription: 'projects/p/subscriptions/s', deliveryAttempt: 1})
  return {headers: {'content-type': 'application/json'}, body}
}

/** The event that a handler gets for a request, and the response. */
async function given(sent: Sent, take = (handler: (event: CloudEvent) => undefined): Handler => serveEvent(handler)) {
  const events: CloudEvent[] = []
  const {url, close} = await app.serve(take((event) => void events.push(event) as undefined))
  const response = await fetch(url, {method: 'POST', ...sent})
  const text = await response.text()
  await close()
  return {status: response.status, text, event: events[0]}
}

const attributes = {id: 'one', source: '/books', type: 'book.written', subject: 'Émile', extra: 'more'}

for (const [form, make] of Object.entries({binary: HTTP.binary, structured: HTTP.structured})) {
  test.serial(`an event of the CloudEvents SDK is read: ${form}`, async (t) => {
    const time = '2026-01-02T03:04:05.000Z'
    const sent = make(new Event({...attributes, time, data: {title: 'Emma', pages: [1, 2]}}))
    const {status, event} = await given(made(sent))
    t.is(status, 204)
    t.like(event, {
      id: 'one',
      source: '/books',
      type: 'book.written',
      time,
      extensions: {extra: 'more'},
      data: {title: 'Emma', pages: [1, 2]},
    })
    // The SDK does not percent-encode header values.
    if (form === 'structured') t.is(event?.subject, 'Émile')
  })

  test.serial(`its data is a message if there is a schema: ${form}`, async (t) => {
    const sent = make(new Event({...attributes, data: {message: 'hi', unknown: 1}}))
    const {status, event} = await given(made(sent), (handler) => serveEvent(RequestSchema, handler))
    t.is(status, 204)
    t.is(toJsonString(RequestSchema, event?.data as never), '{"message":"hi"}')
    const wrong = await given(made(make(new Event({...attributes, data: {message: 1}}))), (handler) =>
      serveEvent(RequestSchema, handler),
    )
    t.is(wrong.status, 200)
    t.regex(wrong.text, /"message"/)
    t.is(wrong.event, undefined)
  })
}

test.serial('an event in progress buffers no body, and until its end a duplicate is 503 with a delay', async (t) => {
  const begun: string[] = []
  const {promise: end, resolve: go} = Promise.withResolvers<void>()
  const {promise: bothBegun, resolve: haveBegun} = Promise.withResolvers<void>()
  const {url, close} = await app.serve(
    serveEvent(async ({source}) => {
      if (begun.push(source) === 2) haveBegun()
      await end
      return undefined
    }),
  )
  t.teardown(close)
  t.teardown(go)
  const send = (source: string) =>
    fetch(url, {method: 'POST', ...made(HTTP.binary(new Event({...attributes, source, data: {title: 'Emma'}})))})
  const first = [send('/books'), send('/films')]
  const early = await Promise.race([bothBegun, ...first])
  t.is(early?.status, undefined, 'answered before both had begun')
  t.is(admissionOf(app.runtime).bytes, 0)
  const duplicate = await send('/books')
  t.deepEqual([duplicate.status, duplicate.headers.get('retry-after')], [503, '10'])
  go()
  t.deepEqual(
    (await Promise.all(first)).map(({status}) => status),
    [204, 204],
  )
  t.deepEqual(begun.toSorted(), ['/books', '/films'])
})

test.serial('data that is a JSON string is this string, and text of another type is bytes', async (t) => {
  const structured = (more: object) => ({
    headers: {'content-type': 'application/cloudevents+json'},
    body: JSON.stringify({specversion: '1.0', id: '1', source: '/s', type: 't', ...more}),
  })
  t.is((await given(structured({datacontenttype: 'application/json', data: 'text'}))).event?.data, 'text')
  t.is((await given(structured({data: 'text'}))).event?.data, 'text')
  const plain = await given(structured({datacontenttype: 'text/plain', data: 'text'}))
  t.deepEqual(Buffer.from(plain.event?.data as Uint8Array).toString(), 'text')
})

test.serial('a push with only one spelling of its field names is read', async (t) => {
  for (const names of [
    {messageId: '7', publishTime: '2026-01-02T03:04:05Z'},
    {message_id: '7', publish_time: '2026-01-02T03:04:05Z'},
  ]) {
    const message = {data: Buffer.from('{}').toString('base64'), ...names}
    const body = JSON.stringify({message, subscription: 'projects/p/subscriptions/s'})
    const {status, event} = await given({headers: {'content-type': 'application/json'}, body})
    t.is(status, 204)
    t.like(event, {id: '7', message: {messageId: '7', publishTime: '2026-01-02T03:04:05Z'}})
  }
})

test.serial('data in protobuf is a message too, with the same limits as JSON', async (t) => {
  const data = Uint8Array.from(toBinary(RequestSchema, create(RequestSchema, {message: 'hi'})))
  const typed = (handler: (event: CloudEvent) => undefined) => serveEvent(RequestSchema, handler)
  const event = (data: Uint8Array) => new Event({...attributes, datacontenttype: 'application/protobuf', data})
  const requests = [
    made(HTTP.binary(event(data))),
    made(HTTP.structured(event(data))),
    push(data, {googclient_schemaencoding: 'BINARY'}),
    push(data, {'content-type': 'application/x-protobuf'}),
  ]
  for (const sent of requests)
    t.is(((await given(sent, typed)).event?.data as {message?: string} | undefined)?.message, 'hi')
  const many = Uint8Array.from({length: 60_000}, (_, index) => (index % 2 === 0 ? 0x0a : 0))
  for (const [wrong, reason] of [
    [Uint8Array.from([0x0a, 9, 1]), /is not a ping\.Request/],
    [many, /more than 20000 values/],
  ] as const) {
    const {status, text, event: seen} = await given(made(HTTP.binary(event(wrong))), typed)
    t.is(status, 200, text)
    t.regex(text, reason)
    t.is(seen, undefined)
  }
  const other = new Event({...attributes, datacontenttype: 'text/plain', data: 'hi'})
  t.regex((await given(made(HTTP.binary(other)), typed)).text, /expected JSON, or application\/protobuf/)
})

test.serial('text that a header cannot hold is percent-encoded in it', async (t) => {
  const headers = {
    'ce-id': '1',
    'ce-source': '/a',
    'ce-type': 'b',
    'ce-specversion': '1.0',
    'ce-subject': 'a%20%C3%89%25%22',
  }
  const {event} = await given({headers: {...headers, 'content-type': 'application/json'}, body: 'null'})
  t.is(event?.subject, 'a É%"')
})

for (const [sent, subject] of [
  ['"a b"', 'a b'],
  ['"a \\"b\\" \\\\"', 'a "b" \\'],
  ['"a%20%C3%89"', 'a É'],
  ['""', ''],
  ['a\\"b', 'a\\"b'],
  ['a "b"', 'a "b"'],
  ['"a" "b"', '"a" "b"'],
  ['"', '"'],
] as const) {
  test.serial(`the header ${sent} of an older sender means ${subject}`, async (t) => {
    const headers = {
      ...{'ce-id': '1', 'ce-source': '/a', 'ce-type': 'b', 'ce-specversion': '1.0', 'ce-subject': sent},
      'content-type': 'application/json',
    }
    const {event} = await given({headers, body: 'null'})
    t.is(event?.subject, subject)
  })
}

test.serial('data that is not JSON is bytes, and missing data is undefined', async (t) => {
  const text = await given(made(HTTP.binary(new Event({...attributes, datacontenttype: 'text/plain', data: 'hello'}))))
  t.is(Buffer.from(text.event?.data as Uint8Array).toString(), 'hello')
  const structured = await given(
    made(HTTP.structured(new Event({...attributes, datacontenttype: 'text/plain', data: 'hello'}))),
  )
  t.is(Buffer.from(structured.event?.data as Uint8Array).toString(), 'hello')
  const body = JSON.stringify({...attributes, specversion: '1.0', datacontenttype: 'image/png', data_base64: 'AAEC'})
  const base64 = await given({headers: {'content-type': 'application/cloudevents+json'}, body})
  t.deepEqual([...(base64.event!.data as Uint8Array)], [0, 1, 2])
  const none = await given({
    headers: {'content-type': 'application/cloudevents+json'},
    body: JSON.stringify({...attributes, specversion: '1.0'}),
  })
  t.is(none.event?.data, undefined)
  t.is(none.status, 204)
})

test.serial('integers of any size stay unchanged', async (t) => {
  const body = `{"specversion": "1.0", "id": "1", "source": "/a", "type": "b", "n": 9007199254740993, "data": {"index": 9007199254740993}}`
  const {event} = await given({headers: {'content-type': 'application/cloudevents+json'}, body})
  t.deepEqual(event?.data, {index: 9007199254740993n})
  t.is(event?.extensions.n, '9007199254740993')
})

test.serial('a Pub/Sub push is an event with its message', async (t) => {
  const {event, status} = await given(push('hello', {color: 'red'}))
  t.is(status, 204)
  t.like(event, {
    id: '7',
    type: 'google.cloud.pubsub.topic.v1.messagePublished',
    source: '//pubsub.googleapis.com/projects/p/subscriptions/s',
    time: '2026-01-02T03:04:05Z',
    message: {messageId: '7', orderingKey: 'k', attributes: {color: 'red'}, subscription: 'projects/p/subscriptions/s'},
  })
  t.is((event!.data as {message: {data: string}}).message.data, Buffer.from('hello').toString('base64'))
  const typed = await given(push('{"message": "hi"}'), (handler) => serveEvent(RequestSchema, handler))
  t.is((typed.event!.data as {message: string}).message, 'hi')
})

test.serial('a Pub/Sub message that Eventarc delivers is the same event', async (t) => {
  const {body} = push('{"message": "hi"}', {color: 'red'})
  const headers = {
    'ce-id': '9',
    'ce-source': '//pubsub.googleapis.com/projects/p/topics/t',
    'ce-type': 'google.cloud.pubsub.topic.v1.messagePublished',
    'ce-specversion': '1.0',
    'content-type': 'application/json',
  }
  const {event} = await given({headers, body}, (handler) => serveEvent(RequestSchema, handler))
  t.is((event!.data as {message: string}).message, 'hi')
  t.like(event, {id: '9', source: '//pubsub.googleapis.com/projects/p/topics/t', message: {attributes: {color: 'red'}}})
})

test.serial('an event inside a message is unwrapped', async (t) => {
  const structured = made(HTTP.structured(new Event({...attributes, data: {title: 'Emma'}}))).body
  const wrapped = await given(push(structured, {'content-type': 'application/cloudevents+json; charset=utf-8'}))
  t.like(wrapped.event, {id: 'one', type: 'book.written', data: {title: 'Emma'}, message: {messageId: '7'}})
  const binary = {
    'ce-id': 'two',
    'ce-source': '/b',
    'ce-type': 'book.sold',
    'ce-specversion': '1.0',
    'content-type': 'application/json',
  }
  t.like((await given(push('{"title": "Emma"}', binary))).event, {id: 'two', type: 'book.sold', data: {title: 'Emma'}})
})

test.serial('a Storage notification is the event that Eventarc would have sent', async (t) => {
  const named = {bucketId: 'b', objectId: 'a/b', objectGeneration: '5', eventTime: '2026-01-02T03:04:06Z'}
  const deleted = await given(push('', {...named, eventType: 'OBJECT_DELETE', payloadFormat: 'NONE'}))
  t.like(deleted.event, {
    type: 'google.cloud.storage.object.v1.deleted',
    source: '//storage.googleapis.com/projects/_/buckets/b',
    subject: 'objects/a/b',
    time: '2026-01-02T03:04:06Z',
    data: {bucket: 'b', name: 'a/b', generation: '5'},
  })
  const whole = await given(
    push('{"name": "x"}', {...named, eventType: 'OBJECT_FINALIZE', payloadFormat: 'JSON_API_V1'}),
  )
  t.like(whole.event, {type: 'google.cloud.storage.object.v1.finalized', data: {name: 'x'}})
})

test.serial('a message whose content cannot be read is given up; a request that is no push is refused', async (t) => {
  for (const sent of [
    push('{', {'content-type': 'application/cloudevents+json'}),
    push('{"specversion": "0.3"}', {'content-type': 'application/cloudevents+json'}),
  ]) {
    const {status, event} = await given(sent)
    t.is(status, 200)
    t.is(event, undefined)
  }
  const like = await given(push('x', {eventType: 'constructor', bucketId: 'b'}))
  t.is(like.event?.type, 'google.cloud.pubsub.topic.v1.messagePublished')
  for (const body of [
    '{}',
    '{"message": {}, "subscription": "s"}',
    '{"message": null, "subscription": "s"}',
    '[]',
    '1',
    '',
  ])
    t.is((await given({headers: {'content-type': 'application/json'}, body})).status, 400, body)
  const values = JSON.stringify(Array.from({length: 30_000}, () => 1))
  const body = JSON.stringify({...attributes, specversion: '1.0', data: JSON.parse(values)})
  t.is((await given({headers: {'content-type': 'application/cloudevents+json'}, body})).status, 400)
})

test.serial('what the handler throws decides whether the event is sent again', async (t) => {
  const sent = made(HTTP.binary(new Event({...attributes, data: {}})))
  for (const [error, expected] of [
    [new Fault('INVALID_ARGUMENT', 'no'), 200],
    [new Fault('ALREADY_EXISTS', 'no'), 200],
    [new Fault('UNIMPLEMENTED', 'no'), 501],
    [new Fault('UNAVAILABLE', 'no'), 503],
    [new Fault('ABORTED', 'no'), 503],
    [new Fault('CANCELLED', 'no'), 503],
    [new Fault('UNAUTHENTICATED', 'no'), 503],
    [new Fault('RESOURCE_EXHAUSTED', 'no'), 429],
    [new Fault('DATA_LOSS', 'no', {http: 502}), 502],
    [new Fault('PERMISSION_DENIED', 'no', {http: 502}), 502],
    [new Fault('FAILED_PRECONDITION', 'no', {retryAfter: 3}), 503],
    [new Error('a mistake in the handler'), 500],
  ] as const) {
    lines.length = 0
    const {url, close} = await app.serve(
      serveEvent(async () => {
        throw error
      }),
    )
    const response = await fetch(url, {method: 'POST', ...sent})
    await response.text()
    t.is(response.status, expected, String(error))
    t.is(lines.filter((line) => line.includes('Given up: event \\"one\\" of /books')).length, expected === 200 ? 1 : 0)
    if (error instanceof Fault && error.retryAfter) t.is(response.headers.get('retry-after'), '3')
    t.like(JSON.parse(lines.at(-1)!).event, {id: 'one', source: '/books', type: 'book.written'})
    await close()
  }
})

test.serial("an event is acknowledged when all work of its handler has ended, with the handler's reply", async (t) => {
  const began = Promise.withResolvers<void>()
  const end = Promise.withResolvers<void>()
  const {url, close} = await app.serve(
    serveEvent(async (_event, scope) => {
      scope.track(end.promise)
      began.resolve()
      return json({done: true}, {status: 202})
    }),
  )
  const sent = made(HTTP.binary(new Event({...attributes, data: {}})))
  let answered = false
  const response = fetch(url, {method: 'POST', ...sent}).then((response) => {
    answered = true
    return response
  })
  await began.promise
  await new Promise(setImmediate)
  t.false(answered)
  end.resolve()
  t.is((await response).status, 202)
  t.deepEqual(await (await response).json(), {done: true})
  await close()
})

test.serial('two events with the same key are not handled at the same time', async (t) => {
  const began = Promise.withResolvers<void>()
  const end = Promise.withResolvers<void>()
  const {url, close} = await app.serve(
    serveEvent(
      RequestSchema,
      async ({data}) => {
        if (data.message !== 'held') return
        began.resolve()
        await end.promise
      },
      {key: ({data}) => data.message.length.toString()},
    ),
  )
  const send = (id: string, message: string) =>
    fetch(url, {method: 'POST', ...made(HTTP.binary(new Event({...attributes, id, data: {message}})))})
  const first = send('1', 'held')
  await began.promise
  t.is((await send('2', 'four')).status, 503)
  t.is((await send('3', 'other')).status, 204)
  end.resolve()
  t.is((await first).status, 204)
  t.is((await send('2', 'four')).status, 204)
  await close()
})

test.serial('a body above the limit is refused', async (t) => {
  const {url, close} = await app.serve(serveEvent(async () => {}, {maxBytes: 100}))
  const response = await fetch(url, {method: 'POST', ...push('x'.repeat(200))})
  t.is(response.status, 413)
  await close()
})

test.serial('the function in docs/events.md does what it says', async (t) => {
  const code = stepsIn('docs/events.md').find((step) => step.kind === 'file' && step.text.includes('serveEvent('))
  const folder = mkdtempSync(join(tmpdir(), 'events-'))
  t.teardown(() => rmSync(folder, {recursive: true}))
  const source = join(import.meta.dirname, '../../src')
  const text = (code as {text: string}).text
    .replace("'grpc-functions/events'", `'${source}/events/index.ts'`)
    .replace("'grpc-functions'", `'${source}/index.ts'`)
  writeFileSync(join(folder, 'on-file.ts'), text)
  const {onFile} = (await import(join(folder, 'on-file.ts'))) as {onFile(): Handler}
  lines.length = 0
  const {url, close} = await app.serve(onFile())
  const notifications = app.storage.notify({url, form: 'structured'})
  await app.storage.put('bucket', 'it.txt', 'hello')
  await notifications.idle()
  t.like(notifications.deliveries, [{status: 204}])
  t.regex(lines.join(''), /bucket\/it\.txt has 5 bytes/)
  await notifications.close()
  await close()
})
