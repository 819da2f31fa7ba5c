import {createHash} from 'node:crypto'
import {once} from 'node:events'
import {type IncomingMessage, request} from 'node:http'
import {gzipSync} from 'node:zlib'
import test from 'ava'
import {pattern} from '../../local/samples.ts'
import {admissionOf} from '../../src/http/admission.ts'
import {type App, startApp} from '../helpers/app.ts'
import {eventsIn} from '../http/events.ts'

const MiB = 1024 * 1024
let app: App

test.before(async () => {
  app = await startApp({
    target: 'upload',
    env: {UPLOAD_BUCKETS: 'samples, other,forbidden,gone', STORAGE_STALL_SECONDS: '0.2'},
    backend: {sha256: true},
  })
  app.storage.createBucket('samples')
})
test.afterEach.always((t) => app.quiet(t))
test.after.always(() => app.close())

const context = {creatorId: 'me', name: 'it'}
const headers = {'content-type': 'application/json'}
const job = (object: string, more: object = {}) => ({
  method: 'POST',
  headers,
  body: JSON.stringify({bucket: 'samples', object, context, ...more}),
})
const sha256 = (pieces: Iterable<Uint8Array>) => {
  const hash = createHash('sha256')
  for (const piece of pieces) hash.update(piece)
  return hash.digest('hex')
}
const lastRepo = () => app.backend.repo.repos.at(-1)

test.serial('an object arrives completely, after its context, with its size and checksum ahead', async (t) => {
  const size = 5 * MiB + 3
  const object = await app.storage.put('samples', 'five.bin', pattern(size))
  const answer = await app.ask(t, '/', job('five.bin'))
  t.is(answer.status, 200)
  t.deepEqual(Object.keys(answer.json), ['repo', 'size'])
  t.is(answer.json.size, size)
  t.is(answer.json.repo.name, 'it')
  const repo = lastRepo()
  t.is(repo?.creatorId, 'me')
  t.is(repo?.sha256, sha256(pattern(size)))
  t.is(repo?.metadata['x-object-size'], String(size))
  t.is(repo?.metadata['x-object-crc32c'], object.crc32c)
  t.is(repo?.metadata['x-object-generation'], object.generation)
})

for (const size of [0, 1, 256 * 1024, 256 * 1024 + 1, MiB]) {
  test.serial(`an object of ${size} bytes arrives completely`, async (t) => {
    await app.storage.put('samples', 'some.bin', pattern(size))
    const answer = await app.ask(t, '/', job('some.bin'))
    t.is(answer.json.size ?? 0, size)
    t.is(lastRepo()?.size, size)
    t.is(lastRepo()?.sha256, sha256(pattern(size)))
    t.is(lastRepo()?.messages.count, Math.ceil(size / (256 * 1024)))
  })
}

test.serial('messages have 256 KiB for any size of the received chunks', async (t) => {
  await app.storage.put('samples', 'ten.bin', pattern(10 * MiB))
  using _ = app.storage.fault({bytesPerMs: 200 * 1024, kind: 'media'})
  await app.ask(t, '/', job('ten.bin'))
  t.deepEqual(lastRepo()?.messages, {count: 40, max: 256 * 1024})
})

test.serial('a stored gzip object is sent unchanged', async (t) => {
  const stored = gzipSync('as it is\n'.repeat(10_000))
  await app.storage.put('samples', 'stored.gz', stored, {contentEncoding: 'gzip', contentType: 'text/plain'})
  const answer = await app.ask(t, '/', job('stored.gz'))
  t.is(answer.json.size, stored.length)
  t.is(lastRepo()?.sha256, sha256([stored]))
})

for (const object of [
  'a/b/c.txt',
  '..',
  '../other/x',
  '%2e%2e',
  'q?alt=json#frag',
  'ünïcödé 🎈',
  ' ',
  'x&generation=1',
]) {
  test.serial(`the object name "${object}" is taken as data`, async (t) => {
    const content = `this is ${object}`
    await app.storage.put('samples', object, content)
    const answer = await app.ask(t, '/', job(object))
    t.is(answer.status, 200)
    t.is(lastRepo()?.sha256, sha256([Buffer.from(content)]))
  })
}

for (const {title, body, status, code, field} of [
  {title: 'bad JSON', body: '{"bucket": ', status: 400, code: 'INVALID_ARGUMENT', field: 'body'},
  {title: 'no body', body: '', status: 400, code: 'INVALID_ARGUMENT', field: 'bucket'},
  {title: 'no bucket', body: {object: 'x', context}, status: 400, code: 'INVALID_ARGUMENT', field: 'bucket'},
  {title: 'no object', body: {bucket: 'samples', context}, status: 400, code: 'INVALID_ARGUMENT', field: 'object'},
  {
    title: 'no context',
    body: {bucket: 'samples', object: 'x'},
    status: 400,
    code: 'INVALID_ARGUMENT',
    field: 'context.creatorId',
  },
  {
    title: 'no name',
    body: {bucket: 'samples', object: 'x', context: {creatorId: 'me'}},
    status: 400,
    code: 'INVALID_ARGUMENT',
    field: 'context.name',
  },
  {
    title: 'a bucket that is no string',
    body: {bucket: 7, object: 'x', context},
    status: 400,
    code: 'INVALID_ARGUMENT',
    field: 'bucket',
  },
  {title: 'an unknown field', body: {bukkit: 'x'}, status: 400, code: 'INVALID_ARGUMENT', field: 'bukkit'},
  {
    title: 'a generation that is no number',
    body: {bucket: 'samples', object: 'x', context, generation: 'new'},
    status: 400,
    code: 'INVALID_ARGUMENT',
    field: 'generation',
  },
  {
    title: 'a bucket that is not in UPLOAD_BUCKETS',
    body: {bucket: 'private', object: 'x', context},
    status: 403,
    code: 'PERMISSION_DENIED',
  },
  {
    title: 'a bucket by a path',
    body: {bucket: 'samples/../private', object: 'x', context},
    status: 403,
    code: 'PERMISSION_DENIED',
  },
  {title: 'a missing object', body: {bucket: 'samples', object: 'nowhere', context}, status: 404, code: 'NOT_FOUND'},
  {title: 'a missing bucket', body: {bucket: 'gone', object: 'x', context}, status: 404, code: 'NOT_FOUND'},
] as const) {
  test.serial(`${title} is answered with ${status}, and nothing is sent`, async (t) => {
    const calls = app.backend.log.length
    const sent = typeof body === 'string' ? body : JSON.stringify(body)
    const answer = await app.ask(t, '/', {method: 'POST', headers, body: sent})
    t.is(answer.status, status)
    t.is(answer.json.error.status, code)
    if (field) t.is(answer.json.error.details[0].fieldViolations[0].field, field)
    t.is(app.backend.log.length, calls)
  })
}

test.serial('a missing bucket and a missing object have different errors', async (t) => {
  const object = await app.ask(t, '/', job('nowhere'))
  const bucket = await app.ask(t, '/', job('x', {bucket: 'gone'}))
  t.is(object.json.error.details[0].reason, 'OBJECT_NOT_FOUND')
  t.is(bucket.json.error.details[0].reason, 'BUCKET_NOT_FOUND')
})

test.serial('an object that this function may not read is answered with 403', async (t) => {
  await app.storage.put('forbidden', 'x', 'x')
  using _ = app.storage.forbid('forbidden')
  const answer = await app.ask(t, '/', job('x', {bucket: 'forbidden'}))
  t.is(answer.status, 403)
  t.is(answer.json.error.details[0].reason, 'STORAGE_PERMISSION_DENIED')
})

test.serial('a wrong generation is answered with 412, the right one is sent', async (t) => {
  const {generation} = await app.storage.put('samples', 'versions', 'one')
  t.is((await app.ask(t, '/', job('versions', {generation}))).status, 200)
  const answer = await app.ask(t, '/', job('versions', {generation: '12345'}))
  t.is(answer.status, 412)
  t.is(answer.json.error.details[0].metadata.liveGeneration, generation)
})

test.serial('an older generation can be requested if the bucket keeps it', async (t) => {
  app.storage.createBucket('other', {versioning: {enabled: true}})
  const {generation} = await app.storage.put('other', 'versions', 'one')
  await app.storage.put('other', 'versions', 'two')
  t.is((await app.ask(t, '/', job('versions', {bucket: 'other', generation}))).status, 200)
  t.is(lastRepo()?.sha256, sha256([Buffer.from('one')]))
})

test.serial('an object that is replaced between metadata and bytes is never sent instead', async (t) => {
  await app.storage.put('samples', 'changing', 'the first')
  const repos = app.backend.repo.repos.length
  using _ = app.storage.onRequest(async ({kind}) => {
    if (kind === 'media') await app.storage.put('samples', 'changing', 'the other')
  })
  const answer = await app.ask(t, '/', job('changing'))
  t.is(answer.status, 409)
  t.is(answer.json.error.status, 'ABORTED')
  t.is(app.backend.repo.repos.length, repos)
})

for (const {title, fault} of [
  {title: 'a 503 before the metadata', fault: {status: 503, kind: 'metadata'}},
  {title: 'a 503 before the bytes', fault: {status: 503, kind: 'media'}},
  {title: 'a 429 with Retry-After', fault: {status: 429, retryAfter: 0, times: 2}},
  {title: 'no headers for the metadata', fault: {stall: 'headers', kind: 'metadata'}},
  {title: 'no headers for the bytes', fault: {stall: 'headers', kind: 'media'}},
  {title: 'a break before the first byte', fault: {cutAt: 0}},
  {title: 'a break in the middle', fault: {cutAt: 3 * MiB + 17}},
  {title: 'a break at the last byte', fault: {cutAt: 6 * MiB - 1}},
  {title: 'several breaks', fault: {cutAt: 2 * MiB, times: 3}},
  {title: 'a stall in the middle', fault: {stallAt: 3 * MiB + 17}},
  {title: 'an end that comes early', fault: {endAt: 3 * MiB}},
] as const) {
  test.serial(`${title} only costs time`, async (t) => {
    await app.storage.put('samples', 'six.bin', pattern(6 * MiB))
    app.storage.fault(fault)
    const answer = await app.ask(t, '/', job('six.bin'))
    t.is(answer.status, 200)
    t.is(lastRepo()?.sha256, sha256(pattern(6 * MiB)))
  })
}

test.serial('Storage that never recovers is answered with 503, and nothing is stored', async (t) => {
  await app.storage.put('samples', 'six.bin', pattern(6 * MiB))
  const repos = app.backend.repo.repos.length
  using _ = app.storage.fault({cutAt: 3 * MiB, times: Number.POSITIVE_INFINITY})
  const answer = await app.ask(t, '/', job('six.bin'))
  t.is(answer.status, 503)
  t.is(app.backend.repo.repos.length, repos)
})

for (const size of [10, MiB]) {
  test.serial(
    `a byte that differs from the stored one, in ${size} bytes, is answered with DATA_LOSS, and nothing is stored`,
    async (t) => {
      await app.storage.put('samples', 'corrupt.bin', pattern(size))
      const repos = app.backend.repo.repos.length
      using _ = app.storage.fault({flipAt: size - 3, times: Number.POSITIVE_INFINITY})
      const upload = app.backend.repo.next()
      const answer = await app.ask(t, '/', job('corrupt.bin'))
      t.is(answer.status, 502)
      t.is(answer.json.error.status, 'DATA_LOSS')
      const call = await upload
      await call.over
      t.true(call.bytes < size, 'the last bytes were held back')
      t.is(app.backend.repo.repos.length, repos)
    },
  )
}

test.serial('a reply with another size is answered with 502 DATA_LOSS', async (t) => {
  await app.storage.put('samples', 'x', 'four')
  app.backend.repo.next({replySize: 3})
  const answer = await app.ask(t, '/', job('x'))
  t.is(answer.status, 502)
  t.is(answer.json.error.status, 'DATA_LOSS')
})

test.serial(
  'a backend that fails in the middle ends the Storage read at once, and its status reaches the caller',
  async (t) => {
    await app.storage.put('samples', 'big.bin', pattern(64 * MiB))
    app.backend.repo.next({failAfter: {bytes: MiB, code: 8, message: 'The repo is full'}})
    const answer = await app.ask(t, '/', job('big.bin'))
    t.is(answer.status, 429)
    t.is(answer.json.error.message, 'The repo is full')
    await app.storage.idle()
    const read = app.storage.requests.findLast(({kind}) => kind === 'media')
    t.true(read?.aborted)
  },
)

test.serial('a backend that answers OK too early is not believed', async (t) => {
  await app.storage.put('samples', 'big.bin', pattern(64 * MiB))
  app.backend.repo.next({answerAfter: {bytes: MiB}})
  const answer = await app.ask(t, '/', job('big.bin'))
  t.is(answer.status, 502)
  t.is(answer.json.error.status, 'DATA_LOSS')
})

test.serial(
  'a backend that answers OK for the part that it has, while Storage stalls, is not believed either',
  async (t) => {
    await app.storage.put('samples', 'six.bin', pattern(6 * MiB))
    using _ = app.storage.fault({stallAt: 300 * 1024, times: Number.POSITIVE_INFINITY})
    app.backend.repo.next({answerAfter: {bytes: 256 * 1024}, replySize: 256 * 1024})
    const answer = await app.ask(t, '/', job('six.bin'))
    t.is(answer.status, 502)
    t.is(answer.json.error.status, 'DATA_LOSS')
  },
)

test.serial('a slow backend slows down the Storage read', async (t) => {
  await app.storage.put('samples', 'big.bin', pattern(64 * MiB))
  const next = app.backend.repo.next({slow: true})
  const answer = app.ask(t, '/', job('big.bin'))
  const call = await next
  // The number of sent bytes settles as soon as all windows and buffers on the way are full.
  const sent = () => app.storage.requests.findLast(({kind}) => kind === 'media')?.bytesSent ?? 0
  let before = -1
  for (let still = 0; still < 20; still++) {
    await new Promise((resolve) => setTimeout(resolve, 10))
    if (sent() !== before) still = 0
    before = sent()
  }
  t.true(sent() < 32 * MiB, `${sent()} bytes were read of 64 MiB, none of which the backend took`)
  t.is(admissionOf(app.runtime).bytes, 0, 'the bytes of the job have been read')
  call.readAll()
  t.is((await answer).json.size, 64 * MiB)
})

test.serial('of two concurrent uploads one is cancelled, and the other arrives completely', async (t) => {
  await app.storage.put('samples', 'one.bin', pattern(8 * MiB))
  await app.storage.put('samples', 'two.bin', pattern(8 * MiB))
  const first = app.backend.repo.next({slow: true})
  const caller = new AbortController()
  const hungUp = fetch(app.url('/'), {...job('one.bin'), signal: caller.signal})
  const one = await first
  const second = app.backend.repo.next({slow: true})
  const answer = app.ask(t, '/', job('two.bin')).catch((error) => error)
  const two = await second
  caller.abort()
  await t.throwsAsync(hungUp, {name: 'AbortError'})
  await one.cancelled
  await one.over
  two.readAll()
  const response = await answer
  t.is(response.status, 200)
  t.is(lastRepo()?.sha256, sha256(pattern(8 * MiB)))
  t.is(lastRepo()?.name, 'it')
})

test.serial('a caller that hangs up in the middle leaves no Storage request and no call', async (t) => {
  await app.storage.put('samples', 'big.bin', pattern(64 * MiB))
  const repos = app.backend.repo.repos.length
  const next = app.backend.repo.next()
  const caller = new AbortController()
  using _ = app.storage.fault({stallAt: 32 * MiB})
  const response = fetch(app.url('/'), {...job('big.bin'), signal: caller.signal})
  const call = await next
  await call.received(MiB)
  caller.abort()
  await t.throwsAsync(response, {name: 'AbortError'})
  await call.cancelled
  await app.quiet(t)
  t.is(app.backend.repo.repos.length, repos)
})

test.serial('a caller with a deadline gets 504 from a backend that never answers', async (t) => {
  await app.storage.put('samples', 'x', 'x')
  const next = app.backend.repo.next({silent: true})
  const answer = await app.ask(t, '/', {...job('x'), headers: {...headers, 'x-server-timeout': '0.3'}})
  t.is(answer.status, 504)
  await (await next).cancelled
})

test.serial('a body larger than int32 is refused before anything is sent', async (t) => {
  const calls = app.backend.log.length
  const length = {'content-type': 'text/plain', 'content-length': String(2 ** 31)}
  const sent = request(app.url('/?creatorId=me&name=large'), {method: 'POST', headers: length})
  sent.flushHeaders()
  const [response] = (await once(sent, 'response')) as [IncomingMessage]
  const text = Buffer.concat(await Array.fromAsync(response as AsyncIterable<Buffer>)).toString()
  sent.destroy()
  t.is(response.statusCode, 400)
  t.is(JSON.parse(text).error.status, 'OUT_OF_RANGE')
  t.is(app.backend.log.length, calls)
})

for (const {accept, lines} of [
  {
    accept: 'application/x-ndjson',
    lines: (text: string) =>
      text
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line)),
  },
  {
    accept: 'text/event-stream',
    lines: (text: string) =>
      eventsIn(text)
        .events.filter(({event}) => event !== 'end')
        .map(({data}) => JSON.parse(data)),
  },
]) {
  test.serial(`${accept}: progress, and then the reply`, async (t) => {
    await app.storage.put('samples', 'ten.bin', pattern(10 * MiB))
    const next = app.backend.repo.next({slow: true})
    const response = await fetch(app.url('/'), {...job('ten.bin'), headers: {...headers, accept}})
    t.is(response.status, 200)
    t.true(response.headers.get('content-type')?.startsWith(accept))
    ;(await next).readAll()
    const all = lines(await response.text())
    const progress = all.slice(0, -1).map((line) => line.progress)
    t.true(progress.length >= 2)
    t.true(progress.every(({sent, total}, i) => total === 10 * MiB && sent >= (progress[i - 1]?.sent ?? 0)))
    t.is(progress.at(-1).sent, 10 * MiB)
    t.is(all.at(-1).size, 10 * MiB)
  })

  test.serial(`${accept}: an error in the middle is the last item, and the connection is cut`, async (t) => {
    await app.storage.put('samples', 'ten.bin', pattern(10 * MiB))
    const next = app.backend.repo.next({slow: true})
    const response = await fetch(app.url('/'), {...job('ten.bin'), headers: {...headers, accept}})
    ;(await next).fail(10, 'Somebody else was faster')
    let text = ''
    const read = async () => {
      for await (const piece of response.body!.pipeThrough(new TextDecoderStream())) text += piece
    }
    await t.throwsAsync(read())
    const last = lines(text).at(-1)
    t.is(last.error.status, 'ABORTED')
    t.is(last.error.message, 'Somebody else was faster')
  })

  test.serial(`${accept}: an error before any progress has its own status`, async (t) => {
    const answer = await app.ask(t, '/', {...job('nowhere'), headers: {...headers, accept}})
    t.is(answer.status, 404)
    t.is(answer.json.error.status, 'NOT_FOUND')
  })
}

test.serial(
  'text/event-stream: the last event is the end, and a reconnect after it gets 204 without a call',
  async (t) => {
    await app.storage.put('samples', 'some.bin', pattern(MiB))
    const accept = {...headers, accept: 'text/event-stream'}
    const answer = await app.ask(t, '/', {...job('some.bin'), headers: accept})
    const {events} = eventsIn(answer.text)
    const numbers = events.slice(0, -1).map((_, index) => String(index + 1))
    t.deepEqual(
      events.map(({id}) => id),
      [...numbers, `${numbers.length};end`],
    )
    t.deepEqual(events.at(-1), {event: 'end', data: '{}', id: `${numbers.length};end`})
    const before = {calls: app.backend.log.length, requests: app.storage.requests.length}
    const again = await app.ask(t, '/', {...job('some.bin'), headers: {...accept, 'last-event-id': events.at(-1)!.id}})
    t.deepEqual([again.status, again.text, again.headers.get('cache-control')], [204, '', 'no-store'])
    t.deepEqual({calls: app.backend.log.length, requests: app.storage.requests.length}, before)
    // A caller that does not read events has had none.
    const other = await app.ask(t, '/', {...job('some.bin'), headers: {...headers, 'last-event-id': events.at(-1)!.id}})
    t.is(other.json.size, MiB)
  },
)

for (const [code, id] of [
  [5, /^\d+;end$/],
  [14, /^\d*$/],
] as const) {
  const isFinal = code === 5
  test.serial(`text/event-stream: an upload that fails with ${code} ends with the id ${id}`, async (t) => {
    await app.storage.put('samples', 'ten.bin', pattern(10 * MiB))
    const next = app.backend.repo.next({slow: true})
    const response = await fetch(app.url('/'), {...job('ten.bin'), headers: {...headers, accept: 'text/event-stream'}})
    ;(await next).fail(code, 'No')
    let text = ''
    const read = async () => {
      for await (const piece of response.body!.pipeThrough(new TextDecoderStream())) text += piece
    }
    await (isFinal ? read() : t.throwsAsync(read()))
    const last = eventsIn(text).events.at(-1)!
    t.is(last.event, 'error')
    t.regex(last.id, id)
  })
}

test.serial('an Accept that cannot be met is answered with 406', async (t) => {
  const answer = await app.ask(t, '/', {...job('x'), headers: {...headers, accept: 'image/png'}})
  t.is(answer.status, 406)
})

test.serial('a body of another type is itself the data, and its size is sent ahead', async (t) => {
  const body = Buffer.concat([...pattern(3 * MiB + 5)])
  const type = {'content-type': 'application/octet-stream'}
  const answer = await app.ask(t, '/?creatorId=me&name=direct', {method: 'POST', headers: type, body})
  t.is(answer.json.size, body.length)
  t.is(lastRepo()?.name, 'direct')
  t.is(lastRepo()?.sha256, sha256([body]))
  t.is(String(lastRepo()?.metadata['x-object-size']), String(body.length))
})

for (const size of [0, 100, MiB]) {
  test.serial(`a body of ${size} bytes without a Content-Length arrives completely`, async (t) => {
    const body = ReadableStream.from(pattern(size).map((piece) => Buffer.from(piece)))
    const init = {method: 'POST', headers: {'content-type': 'text/plain'}, body, duplex: 'half'} as RequestInit
    const answer = await app.ask(t, '/?creatorId=me&name=chunked', init)
    t.is(answer.json.size ?? 0, size)
    t.is(lastRepo()?.sha256, sha256(pattern(size)))
  })
}

test.serial('a long body without a Content-Length is answered with 411, and nothing is sent', async (t) => {
  const calls = app.backend.log.length
  const body = ReadableStream.from(pattern(2 * MiB).map((piece) => Buffer.from(piece)))
  const init = {method: 'POST', headers: {'content-type': 'text/plain'}, body, duplex: 'half'} as RequestInit
  const answer = await app.ask(t, '/?creatorId=me&name=chunked', init)
  t.is(answer.status, 411)
  t.is(app.backend.log.length, calls)
})

for (const name of ['creatorId', 'name']) {
  test.serial(`a body that is data without ?${name}= is answered with 400 that names it`, async (t) => {
    const query = new URLSearchParams({creatorId: 'me', name: 'x'})
    query.delete(name)
    const answer = await app.ask(t, `/?${query}`, {method: 'POST', headers: {'content-type': 'text/plain'}, body: 'x'})
    t.is(answer.status, 400)
    t.is(answer.json.error.details[0].fieldViolations[0].field, name)
  })
}

test.serial('a caller that hangs up in the middle of its body stores nothing', async (t) => {
  const repos = app.backend.repo.repos.length
  const next = app.backend.repo.next()
  const headers = {'content-type': 'text/plain', 'content-length': String(2 * MiB)}
  const sent = request(app.url('/?creatorId=me&name=cut'), {method: 'POST', headers})
  sent.on('error', () => {})
  for (const piece of pattern(MiB)) sent.write(Buffer.from(piece))
  const call = await next
  await call.received(512 * 1024)
  sent.destroy()
  // The backend may take the cancellation for the end of the stream. Then the size is less than announced.
  await call.over
  t.is(app.backend.repo.repos.length, repos)
})

test.serial('another method is answered with 405', async (t) => {
  t.is((await app.ask(t, '/')).status, 405)
})
