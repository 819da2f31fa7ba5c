import {Buffer} from 'node:buffer'
import {randomBytes} from 'node:crypto'
import {getEventListeners} from 'node:events'
import {gzipSync} from 'node:zlib'
import test from 'ava'
import {startMetadataServer} from '../../local/identity/metadata.ts'
import {startStorage} from '../../local/storage/server.ts'
import {Fault} from '../../src/core/fault.ts'
import {httpStatusOf} from '../../src/http/response/failure.ts'
import {runningTimers} from '../helpers/timers.ts'
import {inChild} from './child.ts'
import {faultOf, reasonOf} from './life.ts'
import {runtimeOf} from './runtime.ts'

const server = await startStorage()
const {storage} = runtimeOf({STORAGE_EMULATOR_HOST: server.url, STORAGE_STALL_SECONDS: '1'})

const bucket = 'b'
const size = 1_100_003
const bytes = randomBytes(size)
await server.put(bucket, 'o', bytes)
await server.put(bucket, 'empty', '')

let end: AbortController
test.beforeEach(() => {
  end = new AbortController()
})
test.afterEach.always(async (t) => {
  await server.idle()
  t.is(server.openRequests(), 0)
  // A request removes its listener from the signal when its socket has closed, in one of the next turns.
  for (let turn = 0; turn < 100 && listeners() > 0; turn++) await new Promise(setImmediate)
  t.is(listeners(), 0)
  t.deepEqual(runningTimers(), [])
})
test.after.always(() => server.close())

function listeners(): number {
  return getEventListeners(end.signal, 'abort').length
}

/** Reads the whole object. */
async function read(object = 'o', {signal} = end): Promise<Buffer> {
  return Buffer.concat(await Array.fromAsync(storage.read(signal, await storage.versionOf(signal, {bucket, object}))))
}

/** Returns a function that gives the requests for the object's bytes since this call. */
function media() {
  const before = server.requests.length
  return () => server.requests.slice(before).filter(({kind}) => kind === 'media')
}

test.serial('an object is read completely, from its pinned generation, in one request', async (t) => {
  const requests = media()
  const version = await storage.versionOf(end.signal, {bucket, object: 'o'})
  t.is(version.size, size)
  t.true(bytes.equals(await read()))
  t.is(requests().length, 1)
  t.true(requests()[0]?.url.includes(`generation=${version.generation}`))
})

test.serial('an empty object is read without a request for its bytes', async (t) => {
  const requests = media()
  t.is((await read('empty')).length, 0)
  t.deepEqual(requests(), [])
})

for (const [title, fault] of Object.entries({
  'three 503s': {status: 503, retryAfter: 0, times: 3},
  'a 500': {status: 500},
  'a 429': {status: 429, retryAfter: '0'},
  'a 408': {status: 408},
  'a 503 that names a date': {status: 503, retryAfter: new Date(0).toUTCString()},
  'a 503 that says nothing of use': {status: 503, retryAfter: 'soon'},
  'no answer': {stall: 'headers' as const},
})) {
  for (const kind of ['metadata', 'media'] as const) {
    test.serial(`${title} in front of ${kind} only costs time`, async (t) => {
      server.fault({kind, ...fault})
      t.true(bytes.equals(await read()))
    })
  }
}

for (const at of [0, 1, 65_536, 500_000, size - 1]) {
  for (const [title, fault] of Object.entries({
    'is cut': {cutAt: at},
    'stands still': {stallAt: at},
    'ends well, and too early,': {endAt: at},
  })) {
    test.serial(`a body that ${title} at byte ${at} is resumed there`, async (t) => {
      const requests = media()
      server.fault({object: 'o', ...fault})
      t.true(bytes.equals(await read()))
      const [first, second, ...more] = requests().map(({range}) => Number(/\d+/.exec(range ?? '')?.[0] ?? 0))
      t.is(first, 0)
      // Bytes in flight may be lost when a connection is cut.
      if ('cutAt' in fault) t.true(second! <= at)
      else t.is(second, at)
      t.deepEqual(more, [])
    })
  }
}

test.serial('a read that breaks again and again is resumed each time, as long as bytes arrive', async (t) => {
  const requests = media()
  const cuts = Array.from({length: 9}, (_, index) => (index + 1) * 100_000)
  for (const cutAt of cuts) server.fault({object: 'o', cutAt})
  t.true(bytes.equals(await read()))
  t.is(requests().length, cuts.length + 1)
})

for (const [title, kind, fault] of [
  ['a read that stood still', 'media', {stallAt: 5}],
  ['a read that ended early', 'media', {endAt: 5}],
  ['a question about an object', 'metadata', {stall: 'headers'}],
] as const) {
  test.serial(`after ${title} the next attempt has a new connection: the last one may be dead`, async (t) => {
    const before = server.requests.length
    server.fault({object: 'o', kind, ...fault})
    await read()
    t.deepEqual(
      server.requests.slice(before).flatMap((request) => (request.kind === kind ? [request.headers.connection] : [])),
      ['keep-alive', 'close'],
    )
  })
}

test.serial('an object that is longer than its size is DATA_LOSS, without any byte beyond the size', async (t) => {
  const version = await storage.versionOf(end.signal, {bucket, object: 'o'})
  let got = 0
  const fault = await faultOf(
    t,
    (async () => {
      for await (const piece of storage.read(end.signal, {...version, size: size - 1})) got += piece.length
    })(),
  )
  t.is(fault.code, 'DATA_LOSS')
  t.is(httpStatusOf(fault), 502)
  t.true(got < size)
})

test.serial('a response that ignores the range is not read as the range', async (t) => {
  server.fault({object: 'o', cutAt: 1000})
  // The second request arrives without its range.
  let media = 0
  using _ = server.onRequest((request) => {
    if (request.kind === 'media' && ++media === 2) delete (request.headers as Record<string, unknown>).range
  })
  t.true(bytes.equals(await read()))
  t.is(media, 3)
})

test.serial('if all attempts fail it is UNAVAILABLE, for metadata and for bytes', async (t) => {
  for (const kind of ['metadata', 'media'] as const) {
    using _ = server.fault({kind, status: 503, retryAfter: 0, times: Number.POSITIVE_INFINITY})
    const fault = await faultOf(t, read())
    t.is(fault.code, 'UNAVAILABLE')
    t.is(httpStatusOf(fault), 503)
    t.notRegex(fault.message, /127\.0\.0\.1/)
  }
})

test.serial('a caller who hangs up ends the pause between two attempts', async (t) => {
  using _ = server.fault({kind: 'metadata', status: 503, retryAfter: 3600})
  const reason = new Fault('CANCELLED', 'The caller hung up')
  const failed = Promise.withResolvers<void>()
  using __ = server.onRequest(() => failed.resolve())
  const answer = read()
  await failed.promise
  await server.idle()
  end.abort(reason)
  t.is(await faultOf(t, answer), reason)
})

test.serial('an object that is replaced while it is read is ABORTED, without any byte of the new one', async (t) => {
  await server.put(bucket, 'replaced', bytes)
  const version = await storage.versionOf(end.signal, {bucket, object: 'replaced'})
  server.fault({object: 'replaced', cutAt: 100_000})
  let read = 0
  const fault = await faultOf(
    t,
    (async () => {
      for await (const piece of storage.read(end.signal, version)) {
        t.true(bytes.subarray(read, read + piece.length).equals(piece))
        if (read === 0) await server.put(bucket, 'replaced', randomBytes(size))
        read += piece.length
      }
    })(),
  )
  t.is(fault.code, 'ABORTED')
  t.is(httpStatusOf(fault), 409)
  t.true(read > 0 && read <= 100_000)
})

test.serial('an old generation is read to its end if the bucket keeps it', async (t) => {
  server.createBucket('versioned', {versioning: {enabled: true}})
  const old = await server.put('versioned', 'o', bytes)
  await server.put('versioned', 'o', 'new')
  const name = {bucket: 'versioned', object: 'o', generation: old.generation}
  const version = await storage.versionOf(end.signal, name)
  t.true(bytes.equals(Buffer.concat(await Array.fromAsync(storage.read(end.signal, version)))))
})

for (const {title, name, code, http, reason} of [
  {
    title: 'an object that is not there',
    name: {bucket, object: 'x'},
    code: 'NOT_FOUND',
    http: 404,
    reason: 'OBJECT_NOT_FOUND',
  },
  {
    title: 'a bucket that is not there',
    name: {bucket: 'x', object: 'o'},
    code: 'NOT_FOUND',
    http: 404,
    reason: 'BUCKET_NOT_FOUND',
  },
  {
    title: 'a generation that is not there',
    name: {bucket, object: 'o', generation: '1'},
    code: 'FAILED_PRECONDITION',
    http: 412,
    reason: 'GENERATION_MISMATCH',
  },
  {
    title: 'a generation of an object that is not there',
    name: {bucket, object: 'x', generation: '1'},
    code: 'NOT_FOUND',
    http: 404,
    reason: 'OBJECT_NOT_FOUND',
  },
  {
    title: 'an object named as if it were a bucket',
    name: {bucket, object: 'bucket'},
    code: 'NOT_FOUND',
    http: 404,
    reason: 'OBJECT_NOT_FOUND',
  },
]) {
  test.serial(`${title} is ${code} ${http}, and not retried`, async (t) => {
    const before = server.requests.length
    const fault = await faultOf(t, storage.versionOf(end.signal, name))
    t.is(fault.code as string, code)
    t.is(httpStatusOf(fault), http)
    t.is(reasonOf(fault), reason)
    t.true(fault.message.includes(`"${reason === 'BUCKET_NOT_FOUND' ? name.bucket : name.object}"`))
    t.true(server.requests.length - before <= 2)
  })
}

test.serial('a missing permission is 403, and the log says what to grant', async (t) => {
  const version = await storage.versionOf(end.signal, {bucket, object: 'o'})
  using _ = server.forbid(bucket)
  for (const work of [
    storage.versionOf(end.signal, {bucket, object: 'o'}),
    Array.fromAsync(storage.read(end.signal, version)),
  ]) {
    const fault = await faultOf(t, work)
    t.is(fault.code, 'PERMISSION_DENIED')
    t.is(httpStatusOf(fault), 403)
    t.is(reasonOf(fault), 'STORAGE_PERMISSION_DENIED')
    t.regex(fault.hint ?? '', /roles\/storage\.objectViewer on bucket "b"/)
    t.notRegex(fault.message, /iam\.gserviceaccount/)
  }
})

test.serial('compressed objects are read as they are stored', async (t) => {
  const stored = gzipSync(Buffer.alloc(300_000, 'text '))
  await server.put(bucket, 'zipped', stored, {contentEncoding: 'gzip', contentType: 'text/plain'})
  t.true(stored.equals(await read('zipped')))
  server.fault({object: 'zipped', cutAt: 100})
  t.true(stored.equals(await read('zipped')))
})

for (const object of [
  'a/b/c',
  '..',
  '.',
  '../o',
  'a/../o',
  '/o',
  'o/',
  '//',
  'o%2Fo',
  'o?generation=1',
  'o#x',
  'o&alt=json',
  'a b+c',
  'Füße/日本/🐘',
  'dots...',
  'o;x=1',
  "o'(!)*",
  'o\\x',
  'x'.repeat(1024),
]) {
  test.serial(`an object named ${JSON.stringify(object.slice(0, 20))} is this object and no other`, async (t) => {
    t.is((await faultOf(t, storage.versionOf(end.signal, {bucket, object}))).code, 'NOT_FOUND')
    const content = Buffer.from(`the content of ${object}`)
    await server.put(bucket, object, content)
    t.true(content.equals(await read(object)))
    t.is(server.requests.at(-1)?.object, object)
  })
}

for (const name of ['b/o/o', 'b%2Fo', '../b', 'b?x', 'b#x', '..', '']) {
  test.serial(`a bucket name ${JSON.stringify(name)} does not lead to another bucket`, async (t) => {
    const fault = await faultOf(t, storage.versionOf(end.signal, {bucket: name, object: 'o'}))
    t.true(httpStatusOf(fault) >= 400)
    t.deepEqual(
      server.requests.slice(-1).filter(({status, bucket}) => status === 200 && bucket === 'b'),
      [],
    )
  })
}

test.serial('a name that is not valid Unicode, or too long, is refused at once', async (t) => {
  for (const name of [
    {bucket, object: 'o\ud800'},
    {bucket: 'b\udc00', object: 'o'},
    {bucket, object: 'x'.repeat(1025)},
    {bucket, object: '€'.repeat(342)},
  ]) {
    const before = server.requests.length
    const fault = await faultOf(t, storage.versionOf(end.signal, name))
    t.is(fault.code, 'INVALID_ARGUMENT')
    t.is(server.requests.length, before)
  }
})

for (const kind of ['metadata', 'media'] as const) {
  test.serial(`a caller who hangs up while waiting for the response for ${kind} leaves no request`, async (t) => {
    using _ = server.fault({kind, stall: 'headers'})
    const reason = new Fault('CANCELLED', 'The caller hung up')
    const stalled = Promise.withResolvers<void>()
    using __ = server.onRequest((request) => request.kind === kind && stalled.resolve())
    const answer = read()
    await stalled.promise
    end.abort(reason)
    t.is(await faultOf(t, answer), reason)
    await server.idle()
    t.true(server.requests.at(-1)?.aborted)
  })
}

test.serial('a caller who hangs up while waiting for bytes leaves no request', async (t) => {
  const reason = new Fault('CANCELLED', 'The caller hung up')
  const pieces = storage.read(end.signal, await storage.versionOf(end.signal, {bucket, object: 'o'}))
  server.fault({object: 'o', stallAt: 1})
  t.is((await pieces.next()).value?.length, 1)
  const next = pieces.next()
  end.abort(reason)
  t.is(await faultOf(t, next), reason)
  await server.idle()
  t.true(server.requests.at(-1)?.aborted)
})

test.serial('a caller who hangs up between two chunks leaves no request', async (t) => {
  const reason = new Fault('CANCELLED', 'The caller hung up')
  const fault = await faultOf(
    t,
    (async () => {
      const version = await storage.versionOf(end.signal, {bucket, object: 'o'})
      for await (const _ of storage.read(end.signal, version)) end.abort(reason)
    })(),
  )
  t.is(fault, reason)
})

test.serial('a caller who hangs up before the first request causes none', async (t) => {
  const version = await storage.versionOf(end.signal, {bucket, object: 'o'})
  const before = server.requests.length
  const reason = new Fault('CANCELLED', 'The caller hung up')
  end.abort(reason)
  t.is(await faultOf(t, storage.versionOf(end.signal, {bucket, object: 'o'})), reason)
  t.is(await faultOf(t, Array.fromAsync(storage.read(end.signal, version))), reason)
  t.is(server.requests.length, before)
})

test.serial('breaking out of the loop over the chunks ends the read', async (t) => {
  await server.put(bucket, 'large', randomBytes(20_000_000))
  for await (const _ of storage.read(end.signal, await storage.versionOf(end.signal, {bucket, object: 'large'}))) break
  await server.idle()
  t.true(server.requests.at(-1)?.aborted)
  t.true(server.requests.at(-1)!.bytesSent < 20_000_000)
})

test.serial('of two concurrent reads one is cancelled, and the other arrives completely', async (t) => {
  const other = new AbortController()
  const version = await storage.versionOf(end.signal, {bucket, object: 'o'})
  const reason = new Fault('CANCELLED', 'The caller hung up')
  const begun = Promise.withResolvers<void>()
  const broken = (async () => {
    for await (const _ of storage.read(other.signal, version)) {
      begun.resolve()
      await new Promise(setImmediate)
    }
  })()
  server.fault({object: 'o', stallAt: 500_000})
  const whole = read()
  await begun.promise
  other.abort(reason)
  const [fault, got] = await Promise.all([faultOf(t, broken), whole])
  t.is(fault, reason)
  t.true(bytes.equals(got))
})

test.serial('twenty concurrent reads with faults among them all arrive completely', async (t) => {
  for (let index = 0; index < 10; index++) server.fault({object: 'o', cutAt: index * 1000})
  const all = await Promise.all(Array.from({length: 20}, () => read()))
  t.true(all.every((got) => bytes.equals(got)))
})

test.serial('a slow reader does not count as a stalled Storage, and a later stall does', async (t) => {
  const requests = media()
  server.fault({object: 'o', stallAt: size - 1})
  const version = await storage.versionOf(end.signal, {bucket, object: 'o'})
  let got = 0
  for await (const piece of storage.read(end.signal, version)) {
    // Pauses once, for longer than the timeout for Storage itself.
    if (got === 0) await new Promise((resolve) => setTimeout(resolve, 1100))
    got += piece.length
  }
  t.is(got, size)
  t.deepEqual(
    requests().map(({range}) => range),
    [undefined, `bytes=${size - 1}-`],
  )
})

test('a function that reads no object does not load a Google library for calls of a backend', async (t) => {
  const metadata = await startMetadataServer()
  t.teardown(() => metadata.close())
  const env = {
    BACKEND_URL: 'http://127.0.0.1:1',
    STORAGE_EMULATOR_HOST: server.url,
    GCE_METADATA_HOST: metadata.host,
  }
  const {value} = await inChild({env, arg: undefined}, async () => {
    const {registerHooks} = await import('node:module')
    const loaded: string[] = []
    registerHooks({
      load(url, context, next) {
        loaded.push(url)
        return next(url, context)
      },
    })
    const storages = () => loaded.filter((url) => /@google-cloud\/storage|google-auth-library/.test(url)).length
    await import('../../src/functions/ping.ts')
    const {runtimeOf} = await import('./runtime.ts')
    const {TestLife} = await import('./life.ts')
    const {storage, idTokens} = runtimeOf(process.env)
    await idTokens.for('https://ping.a.run.app').token(new TestLife())
    const before = storages()
    await storage.client()
    return {before, after: storages() > 0}
  })
  t.deepEqual(value, {before: 0, after: true})
})
