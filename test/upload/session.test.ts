import ava from 'ava'
import {pattern} from '../../local/samples.ts'
import {ConfigError, readConfig} from '../../src/core/config.ts'
import {uploadSession} from '../../src/functions/upload-session.ts'
import {runtimeOf} from '../clients/runtime.ts'
import {type App, startApp} from '../helpers/app.ts'

// Files that are too large for one request: the caller sends the bytes to Storage itself, and then upload reads the object.
const test = ava.serial
const MiB = 1024 * 1024

let app: App
test.before(async () => {
  app = await startApp({env: {UPLOAD_BUCKETS: 'samples/incoming/', UPLOAD_SESSIONS: 'samples/incoming/'}})
  app.storage.createBucket('samples')
})
test.afterEach.always((t) => app.quiet(t))
test.after.always(() => app.close())

const origin = 'http://localhost:8080'
const asking = (body: unknown, headers: Record<string, string> = {}) => ({
  method: 'POST',
  headers: {'content-type': 'application/json', ...headers},
  body: typeof body === 'string' ? body : JSON.stringify(body),
})

test('a file is sent to Storage by a session, in chunks, and upload reads it', async (t) => {
  const size = 2 * MiB
  const bytes = Buffer.concat([...pattern(size)])
  const {status, headers, json} = await app.ask(t, '/upload/session', asking({size, contentType: 'video/mp4'}))
  t.is(status, 200)
  t.is(headers.get('cache-control'), 'no-store', 'whoever has the URL may send the bytes')
  const {uri, bucket, object} = json
  t.is(bucket, 'samples')
  t.regex(object, /^incoming\/[\da-f-]{36}$/)
  const half = await fetch(uri, {
    method: 'PUT',
    headers: {'content-range': `bytes 0-${MiB - 1}/${size}`},
    body: bytes.subarray(0, MiB),
  })
  t.is(half.status, 308)
  await half.arrayBuffer()
  const rest = await fetch(uri, {
    method: 'PUT',
    headers: {'content-range': `bytes ${MiB}-${size - 1}/${size}`},
    body: bytes.subarray(MiB),
  })
  t.is(rest.status, 200)
  await rest.arrayBuffer()
  const uploaded = await app.ask(t, '/upload', asking({bucket, object, context: {creatorId: 'me', name: 'film'}}))
  t.is(uploaded.json.size, size)
  const begun = app.storage.requests.find(({url}) => url.includes('uploadType=resumable'))
  t.like(begun?.headers, {'x-upload-content-type': 'video/mp4', 'x-upload-content-length': String(size)})
  t.regex(begun?.url ?? '', /ifGenerationMatch=0/)
})

test('only pages of the origin that started the session may send the bytes', async (t) => {
  const {json} = await app.ask(t, '/upload/session', asking({size: 3}, {origin, 'sec-fetch-site': 'same-origin'}))
  const preflight = async (from: string) => {
    const headers = {origin: from, 'access-control-request-method': 'PUT'}
    const {status, headers: allowed} = await fetch(json.uri, {method: 'OPTIONS', headers})
    return [status === 200, allowed.get('access-control-allow-origin')]
  }
  t.deepEqual(await preflight(origin), [true, origin])
  t.deepEqual(await preflight('http://evil.example'), [false, null])
})

for (const [what, body, field] of [
  ['no size', {}, 'size'],
  ['a negative size', {size: -1}, 'size'],
  ['a size in text', {size: '5'}, 'size'],
  ['a type with a line break', {size: 1, contentType: 'a/b\r\nx: y'}, 'contentType'],
  ['no JSON', 'size', 'body'],
] as const) {
  test(`a session is refused for ${what}`, async (t) => {
    const {status, json} = await app.ask(t, '/upload/session', asking(body))
    t.is(status, 400)
    t.is(json.error.details[0].fieldViolations[0].field, field)
  })
}

test('a session is refused for what upload would refuse, and for what the service account may not write', async (t) => {
  const large = await app.ask(t, '/upload/session', asking({size: 2 ** 31}))
  t.like(large.json.error, {code: 400, status: 'OUT_OF_RANGE'})
  const asked = app.storage.requests.length
  using _ = app.storage.forbid('samples')
  const {status, json} = await app.ask(t, '/upload/session', asking({size: 1}))
  t.is(status, 403)
  t.is(json.error.details[0].reason, 'STORAGE_PERMISSION_DENIED')
  t.is(app.storage.requests.length, asked + 1)
})

test('there are no sessions without UPLOAD_SESSIONS, or where upload may not read', (t) => {
  const env = {BACKEND_URL: 'http://localhost:1', UPLOAD_BUCKETS: 'one/incoming/'}
  t.throws(() => uploadSession(runtimeOf(env)), {instanceOf: ConfigError, message: /^UPLOAD_SESSIONS is not set/})
  for (const place of ['two', 'one', 'one/other/']) {
    t.throws(
      () => uploadSession(runtimeOf({...env, UPLOAD_SESSIONS: place})),
      {message: /is in UPLOAD_BUCKETS too$/},
      place,
    )
  }
  t.notThrows(() => uploadSession(runtimeOf({...env, UPLOAD_SESSIONS: 'one/incoming/'})))
  t.throws(() => readConfig({...env, UPLOAD_SESSIONS: 'one/incoming'}), {message: /^UPLOAD_SESSIONS="one\/incoming": /})
})
