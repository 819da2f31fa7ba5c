import {status} from '@grpc/grpc-js'
import test from 'ava'
import {type Logger, pino} from 'pino'
import {type EventForm, type Notifications, newEvent, type Subscription} from '../../local/storage/notifications.ts'
import {ConfigError} from '../../src/core/config.ts'
import {finalized} from '../../src/functions/finalized.ts'
import {runtimeOf} from '../clients/runtime.ts'
import {type App, startApp} from '../helpers/app.ts'

const lines: string[] = []
const log = pino({messageKey: 'message'}, {write: (line: string) => void lines.push(line)}) as Logger

let app: App
test.before(async () => {
  app = await startApp({
    log,
    env: {
      UPLOAD_BUCKETS: 'inbox',
      UPLOAD_CONTEXT: 'creatorId={metadata.creator}; name={bucket}: {object} ({contentType})',
      CLOUD_RUN_TIMEOUT_SECONDS: '30',
    },
  })
  for (const bucket of ['inbox', 'other']) app.storage.createBucket(bucket)
})
test.beforeEach(() => {
  lines.length = 0
})
test.afterEach.always((t) => app.quiet(t))
test.after.always(() => app.close())

const about = {contentType: 'text/plain', metadata: {creator: 'ada'}}

function subscribe(more: Partial<Subscription> = {}): Notifications {
  return app.storage.notify({url: app.url('/finalized'), retryAfter: 1, ...more})
}

for (const form of ['binary', 'structured', 'push'] as const satisfies EventForm[]) {
  test.serial(`a finalized object is uploaded: ${form}`, async (t) => {
    await using events = subscribe({form})
    const name = `${form}/ä b"%.txt`
    const {generation} = await app.storage.put('inbox', name, 'hello', about)
    await events.idle()
    t.like(events.deliveries, [{attempt: 1, status: 200}])
    t.is(events.deliveries.length, 1)
    const kept = app.backend.repo.repos.at(-1)
    t.is(kept?.name, `inbox: ${name} (text/plain)`)
    t.is(kept?.creatorId, 'ada')
    t.is(kept?.size, 5)
    t.is(kept?.generation, generation)
    t.is(kept?.metadata['idempotency-key'], `inbox/${form}/%C3%A4%20b"%25.txt#${generation}`)
    t.deepEqual(JSON.parse(events.deliveries[0]!.text).size, 5)
    const record = JSON.parse(lines.at(-1)!)
    t.is(record.event.type, 'google.cloud.storage.object.v1.finalized')
    t.is(record.event.id, events.deliveries[0]?.event.id)
  })
}

test.serial("the object's metadata comes from Storage, not from the event", async (t) => {
  await app.storage.put('inbox', 'forged', 'hello', about)
  const send = async (headers: object, body: object) =>
    await app.ask(t, '/finalized', {
      method: 'POST',
      headers: {'content-type': 'application/json', ...headers},
      body: JSON.stringify(body),
    })
  const answer = await send(attributes, {
    ...{bucket: 'inbox', name: 'forged', contentType: 'text/html', size: '1'},
    metadata: {creator: 'eve'},
  })
  t.is(answer.status, 200, answer.text)
  t.like(app.backend.repo.repos.at(-1), {creatorId: 'ada', name: 'inbox: forged (text/plain)', size: 5})
  // A notification without a payload names only the object.
  await app.storage.put('inbox', 'named', 'hello', about)
  const message = {
    messageId: '1',
    attributes: {eventType: 'OBJECT_FINALIZE', payloadFormat: 'NONE', bucketId: 'inbox', objectId: 'named'},
  }
  t.is((await send({}, {message, subscription: 'projects/p/subscriptions/s'})).status, 200)
  t.like(app.backend.repo.repos.at(-1), {creatorId: 'ada', name: 'inbox: named (text/plain)'})
})

test.serial('an event that arrives twice is uploaded once, and acknowledged both times', async (t) => {
  await using events = subscribe()
  await app.storage.put('inbox', 'twice', 'hello', about)
  await events.idle()
  const {length} = app.backend.repo.repos
  events.send(events.deliveries[0]!.event)
  await events.idle()
  t.deepEqual(
    events.deliveries.map((delivery) => delivery.status),
    [200, 204],
  )
  t.is(app.backend.repo.repos.length, length)
  t.regex(lines.join(''), /has it already: .*inbox\/twice#\d+.* is kept already/)
  await app.storage.put('inbox', 'twice', 'hello again', about)
  await events.idle()
  t.is(app.backend.repo.repos.length, length + 1, 'another generation is another object')
})

test.serial('an upload whose reply has another size is not acknowledged', async (t) => {
  await using events = subscribe({maxAttempts: 1})
  app.backend.repo.next({replySize: 3})
  await app.storage.put('inbox', 'short', 'hello', about)
  await events.idle()
  t.is(events.deliveries[0]?.status, 502)
  t.regex(events.deliveries[0]?.text ?? '', /DATA_LOSS/)
})

test.serial('a duplicate that arrives during the upload has to be sent again', async (t) => {
  await using events = subscribe({maxAttempts: 1})
  const first = app.backend.repo.next({slow: true})
  await app.storage.put('inbox', 'slow', 'hello', about)
  const call = await first
  const {url} = app
  const object = {bucket: 'inbox', name: 'slow'}
  const {generation} = (await (await fetch(`${app.storage.url}/storage/v1/b/inbox/o/slow`)).json()) as {
    generation: string
  }
  const again = await fetch(url('/finalized'), {
    method: 'POST',
    headers: {...attributes, 'ce-id': 'another', 'content-type': 'application/json'},
    body: JSON.stringify({...object, generation}),
  })
  t.is(again.status, 503)
  t.is(again.headers.get('retry-after'), '10')
  t.regex(await again.text(), /EVENT_IN_PROGRESS/)
  call.readAll()
  await events.idle()
  t.is(events.deliveries[0]?.status, 200)
})

test.serial('while another instance uploads it, the backend says so, and the event is sent again', async (t) => {
  const other = await app.serve(finalized(app.runtime))
  await using events = subscribe()
  await using others = app.storage.notify({url: other.url, maxAttempts: 1})
  const first = app.backend.repo.next({slow: true})
  await app.storage.put('inbox', 'two instances', 'hello', about)
  const call = await first
  const [refused] = await Promise.race([events.next(), others.next()].map(async (delivery) => [await delivery]))
  t.is(refused?.status, 503)
  t.regex(refused?.text ?? '', /ABORTED/)
  call.readAll()
  await Promise.all([events.idle(), others.idle()])
  t.is(app.backend.repo.repos.filter(({name}) => name.includes('two instances')).length, 1)
  await other.close()
})

const attributes = {
  'ce-specversion': '1.0',
  'ce-id': 'one',
  'ce-source': '//storage.googleapis.com/projects/_/buckets/inbox',
  'ce-type': 'google.cloud.storage.object.v1.finalized',
}

test.serial('a transient error is not acknowledged, and the next attempt succeeds', async (t) => {
  for (const code of [status.UNAVAILABLE, status.ABORTED, status.INTERNAL, status.RESOURCE_EXHAUSTED]) {
    await using events = subscribe()
    const call = app.backend.repo.next({slow: true})
    await app.storage.put('inbox', `fails-with-${status[code]}`, 'hello', about)
    ;(await call).fail(code)
    await events.idle()
    const [first, second] = events.deliveries
    t.true(first!.status === 429 || first!.status! >= 500, `${first?.status} for ${status[code]}`)
    t.is(second?.status, 200)
    t.is(app.backend.repo.repos.at(-1)?.name, `inbox: fails-with-${status[code]} (text/plain)`)
  }
})

test.serial('an event that is never acknowledged goes to the dead-letter topic', async (t) => {
  await using events = subscribe({maxAttempts: 3})
  using _ = app.storage.forbid('inbox')
  await app.storage.put('inbox', 'forbidden', 'hello', about)
  await events.idle()
  t.deepEqual(
    events.deliveries.map((delivery) => delivery.status),
    [502, 502, 502],
    'a role that is missing can be granted',
  )
  t.is(events.deadLetters.length, 1)
})

test.serial('a permanent error is acknowledged, and logged', async (t) => {
  await using events = subscribe()
  const given = async (put: () => Promise<unknown>) => {
    lines.length = 0
    const {length} = events.deliveries
    await put()
    await events.idle()
    t.is(events.deliveries.length, length + 1)
    const {status, text} = events.deliveries.at(-1)!
    t.is(status, 200)
    t.truthy(JSON.parse(text).error)
    return lines.find((line) => /Given up/.test(line)) ?? ''
  }
  const {repos} = app.backend.repo
  const {length} = repos
  t.regex(
    await given(() => app.storage.put('inbox', 'nobody', 'x')),
    /INVALID_ARGUMENT: The object has no metadata \\"creator\\"/,
  )
  const unnamed = {...about, metadata: {creator: ''}}
  t.regex(await given(() => app.storage.put('inbox', 'unnamed', 'x', unnamed)), /Field \\"creator_id\\" .* is empty/)
  t.regex(await given(() => app.storage.put('other', 'it', 'x', about)), /PERMISSION_DENIED: Bucket \\"other\\"/)
  t.regex(
    await given(async () => {
      const call = app.backend.repo.next({slow: true})
      await app.storage.put('inbox', 'refused', 'x', about)
      ;(await call).fail(status.INVALID_ARGUMENT, 'no such thing')
    }),
    /INVALID_ARGUMENT: no such thing/,
  )
  const gone = newEvent({...(await app.storage.put('other', 'gone', 'x', about)), bucket: 'inbox'})
  await events.idle()
  t.regex(await given(async () => events.send(gone)), /NOT_FOUND: There is no object/)
  t.is(repos.length, length)
  t.is(events.deadLetters.length, 0)
  t.true(lines.some((line) => JSON.parse(line).level === 50 && JSON.parse(line).event.id === gone.id))
})

test.serial('events of another kind and events without an object are acknowledged and dropped', async (t) => {
  const send = async (headers: object, body: unknown) =>
    await app.ask(t, '/finalized', {
      method: 'POST',
      headers: {...attributes, 'content-type': 'application/json', ...headers},
      body: typeof body === 'string' ? body : JSON.stringify(body),
    })
  for (const [headers, body, reason] of [
    [{'ce-type': 'google.cloud.storage.object.v1.deleted'}, {bucket: 'inbox', name: 'x'}, /expected the type/],
    [{}, {name: 'x'}, /data\.bucket/],
    [{}, {bucket: 'inbox'}, /data\.name/],
    [{}, '{"bucket": ', /Cannot read the body as JSON/],
    [{}, {bucket: 'inbox', name: 'x', generation: 'none'}, /generation/],
    [{'content-type': 'text/plain'}, 'x', /expected JSON/],
    [{}, {bucket: 'inbox', name: '\ud800', metadata: {creator: 'x'}}, /./],
  ] as const) {
    const answer = await send(headers, body)
    t.is(answer.status, 200, answer.text)
    t.regex(answer.text, reason)
  }
})

test.serial('a request that is not an event is refused, and not acknowledged', async (t) => {
  const send = async (headers: Record<string, string>, body = '{}') =>
    (await app.ask(t, '/finalized', {method: 'POST', headers, body})).status
  t.is(await send({'content-type': 'text/plain'}), 415)
  t.is(await send({'content-type': 'application/cloudevents-batch+json'}, '[]'), 415)
  t.is(await send({'content-type': 'application/json'}), 400)
  t.is(await send({...attributes, 'ce-specversion': '0.3', 'content-type': 'application/json'}), 400)
  t.is(await send({...attributes, 'ce-id': '', 'content-type': 'application/json'}), 400)
  t.is(await send({'content-type': 'application/cloudevents+json'}, '{"specversion": "1.0", "id": "1"}'), 400)
  t.is((await app.ask(t, '/finalized')).status, 405)
})

test.serial('an object that takes longer than the remaining time is given up before anything is sent', async (t) => {
  const other = await startApp({
    env: {UPLOAD_BUCKETS: 'inbox', UPLOAD_CONTEXT: 'creatorId=x; name={object}', CLOUD_RUN_TIMEOUT_SECONDS: '2'},
  })
  await using events = other.storage.notify({url: other.url('/finalized')})
  await other.storage.put('inbox', 'large', Buffer.alloc(17 * 1024 * 1024))
  await events.idle()
  t.is(events.deliveries[0]?.status, 200)
  t.regex(events.deliveries[0]?.text ?? '', /The object has 17825792 bytes: expected at most 1\d{7} in 1 s/)
  t.is(other.backend.repo.bytesReceived, 0)
  await events.close()
  await other.close()
})

test.serial('an error in the middle of an object is not acknowledged, and no part is stored', async (t) => {
  await using events = subscribe()
  const {length} = app.backend.repo.repos
  app.storage.fault({bucket: 'inbox', object: 'flipped', flipAt: 10})
  await app.storage.put('inbox', 'flipped', 'x'.repeat(1000), about)
  await events.idle()
  t.deepEqual(
    events.deliveries.map((delivery) => delivery.status),
    [502, 200],
  )
  t.is(app.backend.repo.repos.length, length + 1)
})

test('the context is checked at the start', (t) => {
  const start = (UPLOAD_CONTEXT: string) => () =>
    finalized(runtimeOf({BACKEND_URL: 'http://localhost:1', UPLOAD_CONTEXT}))
  const message = (text: string) => ({instanceOf: ConfigError, message: text})
  t.throws(start(''), {
    instanceOf: ConfigError,
    message: /^UPLOAD_CONTEXT is not set: expected the fields of the context/,
  })
  t.throws(start('creatorId={object}'), message('UPLOAD_CONTEXT: "name" is missing, which Repo/CreateRepo needs'))
  t.throws(
    start('creatorId=x; name=y; owner=z'),
    message('UPLOAD_CONTEXT: "owner": expected a field of RepoContext that text can set'),
  )
  t.throws(start('creatorId=x; name=y; creator_id=z'), message('UPLOAD_CONTEXT: "creator_id" is there twice'))
  for (const text of ['creatorId', 'creatorId={nothing}', 'creatorId={object', 'creatorId={metadata.}', '=x'])
    t.throws(start(text), {instanceOf: ConfigError, message: /^UPLOAD_CONTEXT="[^"]+": expected fields of the context/})
})
