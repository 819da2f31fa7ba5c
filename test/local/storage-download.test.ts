import {createHash} from 'node:crypto'
import {type IncomingHttpHeaders, type IncomingMessage, request} from 'node:http'
import {gzipSync} from 'node:zlib'
import {Storage} from '@google-cloud/storage'
import test from 'ava'
import {type LoggedRequest, startStorage} from '../../local/storage/server.ts'

const server = await startStorage()
const client = new Storage({apiEndpoint: server.url, projectId: 'local'})

test.after.always('nothing is left open at the end', async (t) => {
  await server.idle()
  t.is(server.openRequests(), 0)
  await server.close()
})

/** A response as received. */
interface Answer {
  status: number
  headers: IncomingHttpHeaders
  body: Buffer
  /** Whether the body is complete; false if the connection broke before its end. */
  ended: boolean
}

const path = (bucket: string, name: string, query = ''): string =>
  `/storage/v1/b/${bucket}/o/${encodeURIComponent(name)}?alt=media${query}`

const respond = (url: string, headers: Record<string, string> = {}, signal?: AbortSignal): Promise<IncomingMessage> =>
  new Promise((resolve, reject) => {
    request(server.url + url, {headers, signal}, resolve)
      .on('error', reject)
      .end()
  })

/** A GET by node:http, which sends no headers of its own, does not decompress, and does not retry. */
async function get(url: string, headers: Record<string, string> = {}): Promise<Answer> {
  const response = await respond(url, headers)
  const chunks: Buffer[] = []
  let ended = true
  try {
    for await (const chunk of response) chunks.push(chunk)
  } catch {
    ended = false
  }
  return {status: response.statusCode!, headers: response.headers, body: Buffer.concat(chunks), ended}
}

/** Reads `count` bytes, and leaves the rest of the response unread. */
async function take(response: IncomingMessage, count: number): Promise<Buffer> {
  const chunks: Buffer[] = []
  let got = 0
  for await (const chunk of response.iterator({destroyOnReturn: false})) {
    chunks.push(chunk)
    got += chunk.length
    if (got >= count) break
  }
  return Buffer.concat(chunks)
}

const lastOf = (bucket: string): LoggedRequest => server.requests.findLast((logged) => logged.bucket === bucket)!

const letters = 'abcdefghijklmnopqrstuvwxyz'

test('a download has the headers of real Storage', async (t) => {
  const put = await server.put('headers', 'x', letters, {contentType: 'text/plain', cacheControl: 'no-store'})
  const {status, headers, body} = await get(path('headers', 'x'))
  t.is(status, 200)
  t.is(body.toString(), letters)
  t.like(headers, {
    'content-type': 'text/plain',
    'content-length': '26',
    'cache-control': 'no-store',
    'accept-ranges': 'bytes',
    etag: put.etag,
    'x-goog-generation': put.generation,
    'x-goog-metageneration': '1',
    'x-goog-hash': `crc32c=${put.crc32c},md5=${put.md5Hash}`,
    'x-goog-stored-content-encoding': 'identity',
    'x-goog-stored-content-length': '26',
  })
  t.is(put.md5Hash, createHash('md5').update(letters).digest('base64'))
  t.is(put.crc32c, 'nubvJQ==')
})

const ranges = [
  ['bytes=0-', 206, 'bytes 0-25/26', letters],
  ['bytes=3-5', 206, 'bytes 3-5/26', 'def'],
  ['bytes=20-', 206, 'bytes 20-25/26', 'uvwxyz'],
  ['bytes=20-99', 206, 'bytes 20-25/26', 'uvwxyz'],
  ['bytes=-2', 206, 'bytes 24-25/26', 'yz'],
  ['bytes=-99', 206, 'bytes 0-25/26', letters],
  ['bytes=26-', 416, 'bytes */26', 'Request range not satisfiable'],
  ['bytes=-0', 416, 'bytes */26', 'Request range not satisfiable'],
  ['bytes=5-3', 200, undefined, letters],
  ['bytes=0-1,4-5', 200, undefined, letters],
  ['lines=1-2', 200, undefined, letters],
] as const

test('a range is answered with 206 and its bytes, with 416, or ignored if it is malformed', async (t) => {
  await server.put('ranges', 'x', letters)
  for (const [range, status, contentRange, text] of ranges) {
    const answer = await get(path('ranges', 'x'), {range})
    t.deepEqual(
      [answer.status, answer.headers['content-range'], answer.body.toString()],
      [status, contentRange, text],
      range,
    )
    t.is(answer.headers['content-length'], String(text.length))
  }
  await server.put('ranges', 'empty', '')
  t.is((await get(path('ranges', 'empty'), {range: 'bytes=0-'})).status, 416)
})

test('a precondition that fails is answered with 412, or with 304 if nothing has changed', async (t) => {
  const {generation} = await server.put('preconditions', 'x', letters)
  const other = String(Number(generation) - 1)
  for (const [query, status] of [
    [`ifGenerationMatch=${generation}`, 200],
    [`ifGenerationMatch=${other}`, 412],
    ['ifGenerationMatch=0', 412],
    [`ifGenerationNotMatch=${other}`, 200],
    [`ifGenerationNotMatch=${generation}`, 304],
    ['ifMetagenerationMatch=1', 200],
    ['ifMetagenerationMatch=2', 412],
    ['ifMetagenerationNotMatch=1', 304],
    [`generation=${generation}`, 200],
    [`generation=${other}`, 404],
  ] as const) {
    t.is((await get(path('preconditions', 'x', `&${query}`))).status, status, query)
  }
})

test('a stored gzip object is sent unchanged to callers that accept gzip, and decompressed to others', async (t) => {
  const text = letters.repeat(100_000)
  const stored = gzipSync(text)
  const put = await server.put('gzip', 'x', stored, {contentEncoding: 'gzip', contentType: 'text/plain'})

  const asStored = await get(path('gzip', 'x'), {'accept-encoding': 'gzip, deflate', range: 'bytes=0-'})
  t.like([asStored.status, asStored.headers['content-encoding']], [206, 'gzip'])
  t.true(stored.equals(asStored.body))

  for (const coding of [undefined, 'identity', 'gzip;q=0']) {
    const inflated = await get(path('gzip', 'x'), {range: 'bytes=5-9', ...(coding && {'accept-encoding': coding})})
    t.is(inflated.status, 200)
    t.true(inflated.body.equals(Buffer.from(text)))
    t.is(inflated.headers['content-length'], undefined)
    t.is(inflated.headers['content-encoding'], undefined)
    t.like(inflated.headers, {
      'x-goog-stored-content-encoding': 'gzip',
      'x-goog-stored-content-length': String(stored.length),
      'x-goog-hash': `crc32c=${put.crc32c},md5=${put.md5Hash}`,
    })
  }
  t.is((await client.bucket('gzip').file('x').download())[0].toString(), text)
})

test('a reader continues with the generation that it opened while the object is overwritten', async (t) => {
  const old = Buffer.alloc(32 * 1024 * 1024, 'old')
  await server.put('overwriting', 'x', old)
  const response = await respond(path('overwriting', 'x'))
  const first = await take(response, 1)
  await server.put('overwriting', 'x', 'new')
  const rest = await take(response, old.length - first.length)
  t.true(old.equals(Buffer.concat([first, rest])))
  t.is((await get(path('overwriting', 'x'))).body.toString(), 'new')
})

test('many concurrent readers and writers of one object each get or write one complete version', async (t) => {
  const version = (letter: string) => Buffer.alloc(300_000, letter)
  await server.put('busy', 'x', version('a'))
  const writers = [...letters].map((letter) => server.put('busy', 'x', version(letter)))
  const readers = Array.from({length: 40}, () => get(path('busy', 'x')))
  const generations = (await Promise.all(writers)).map(({generation}) => generation)
  t.is(new Set(generations).size, letters.length)
  for (const {body} of await Promise.all(readers)) t.true(body.equals(version(String.fromCharCode(body[0]!))))
})

test('a cut download has exactly the bytes before the position, in any range, and then works again', async (t) => {
  const bytes = Buffer.alloc(5_000_000, letters)
  await server.put('cut', 'x', bytes)
  server.fault({cutAt: 2_345_678, bucket: 'cut', times: 3})

  const whole = await get(path('cut', 'x'))
  t.deepEqual([whole.status, whole.ended, whole.headers['content-length']], [200, false, '5000000'])
  t.true(whole.body.equals(bytes.subarray(0, 2_345_678)))
  t.like(lastOf('cut'), {status: 200, bytesSent: 2_345_678})

  const part = await get(path('cut', 'x'), {range: 'bytes=2345600-'})
  t.deepEqual([part.status, part.ended, part.body.length], [206, false, 78])
  const none = await get(path('cut', 'x'), {range: 'bytes=2345678-'})
  t.deepEqual([none.status, none.ended, none.body.length], [206, false, 0])

  const again = await get(path('cut', 'x'), {range: 'bytes=2345678-'})
  t.deepEqual([again.status, again.ended], [206, true])
  t.true(again.body.equals(bytes.subarray(2_345_678)))
})

test('a fault waits for its request, and can be removed', async (t) => {
  await server.put('chosen', 'x', letters)
  await server.put('chosen', 'y', letters)
  const fault = server.fault({cutAt: 1, bucket: 'chosen', object: 'y', times: Infinity})
  t.true((await get(path('chosen', 'x'))).ended)
  t.is((await get(path('chosen', 'absent'))).status, 404)
  t.false((await get(path('chosen', 'y'))).ended)
  t.false((await get(path('chosen', 'y'))).ended)
  fault[Symbol.dispose]()
  t.true((await get(path('chosen', 'y'))).ended)
})

for (const status of [401, 403, 412, 429, 500, 503]) {
  test(`the next requests are answered with ${status} if configured`, async (t) => {
    const bucket = `status-${status}`
    await server.put(bucket, 'x', letters)
    server.fault({status, retryAfter: 7, bucket, kind: 'media', times: 2})
    const metadata = await get(`/storage/v1/b/${bucket}/o/x`)
    t.is(metadata.status, 200)
    for (let i = 0; i < 2; i += 1) {
      const answer = await get(path(bucket, 'x'))
      t.deepEqual([answer.status, answer.headers['retry-after']], [status, '7'])
    }
    t.is((await get(path(bucket, 'x'))).status, 200)
  })
}

test('each kind of request can fail separately', async (t) => {
  await server.put('kinds', 'x', letters)
  const requests = {
    metadata: () => fetch(`${server.url}/storage/v1/b/kinds/o/x`),
    media: () => fetch(server.url + path('kinds', 'x')),
    list: () => fetch(`${server.url}/storage/v1/b/kinds/o`),
    upload: () =>
      fetch(`${server.url}/upload/storage/v1/b/kinds/o?uploadType=media&name=u`, {method: 'POST', body: 'u'}),
    change: () => fetch(`${server.url}/storage/v1/b/kinds/o/x`, {method: 'PATCH', body: '{}'}),
  } as const
  for (const kind of Object.keys(requests) as (keyof typeof requests)[]) {
    using _fault = server.fault({status: 503, bucket: 'kinds', kind, times: Infinity})
    for (const [other, send] of Object.entries(requests)) {
      t.is((await send()).status, other === kind ? 503 : 200, `${other} while ${kind} fails`)
    }
  }
})

test('the client sees an injected error of a metadata request, and its reason', async (t) => {
  await server.put('reasons', 'x', letters)
  server.fault({status: 503, bucket: 'reasons', message: 'Not now'})
  const impatient = new Storage({apiEndpoint: server.url, projectId: 'local', retryOptions: {autoRetry: false}})
  const error = await t.throwsAsync(impatient.bucket('reasons').file('x').getMetadata(), {message: 'Not now'})
  t.like(error, {code: 503, errors: [{reason: 'backendError'}]})
})

test('a request can stay unanswered until its client hangs up', async (t) => {
  await server.put('silent', 'x', letters)
  const arrived = Promise.withResolvers<void>()
  using _hook = server.onRequest(({bucket}) => bucket === 'silent' && arrived.resolve())
  server.fault({stall: 'headers', bucket: 'silent'})
  const caller = new AbortController()
  const response = respond(path('silent', 'x'), {}, caller.signal)
  await arrived.promise
  t.like(lastOf('silent'), {status: 0, done: false})
  t.true(server.openRequests() > 0)
  caller.abort()
  await t.throwsAsync(response, {name: 'AbortError'})
})

test.serial('a body can stop in the middle, with the request open until its client hangs up', async (t) => {
  await server.put('stopped', 'x', letters)
  server.fault({stallAt: 10, bucket: 'stopped'})
  const response = await respond(path('stopped', 'x'))
  t.is((await take(response, 10)).toString(), letters.slice(0, 10))
  t.like(lastOf('stopped'), {status: 200, bytesSent: 10, aborted: false, done: false})
  t.is(server.openRequests(), 1)
  const idle = server.idle()
  response.destroy()
  await idle
  t.like(lastOf('stopped'), {bytesSent: 10, aborted: true, done: true})
  t.is(server.openRequests(), 0)
})

test('a body can stop before its first byte', async (t) => {
  await server.put('stopped-at-once', 'x', letters)
  server.fault({stallAt: 0, bucket: 'stopped-at-once'})
  const response = await respond(path('stopped-at-once', 'x'))
  t.deepEqual([response.statusCode, response.headers['content-length']], [200, '26'])
  response.destroy()
})

test('one byte can be wrong', async (t) => {
  const bytes = Buffer.alloc(3_000_000, letters)
  await server.put('corrupt', 'x', bytes)
  server.fault({flipAt: 2_000_000, bucket: 'corrupt', times: 2})
  const {body, ended} = await get(path('corrupt', 'x'))
  t.true(ended)
  t.is(body[2_000_000], bytes[2_000_000]! ^ 0xff)
  body[2_000_000] = bytes[2_000_000]!
  t.true(body.equals(bytes))
  await t.throwsAsync(client.bucket('corrupt').file('x').download(), {message: /did not match/})
  t.true(bytes.equals((await get(path('corrupt', 'x'))).body))
})

test('a body can end too early as if it were complete', async (t) => {
  await server.put('short', 'x', letters)
  server.fault({endAt: 10, bucket: 'short'})
  const {status, headers, body, ended} = await get(path('short', 'x'))
  t.deepEqual([status, ended, body.toString()], [200, true, letters.slice(0, 10)])
  t.is(headers['content-length'], undefined)
  t.is(headers['x-goog-stored-content-length'], '26')
})

test('a body can be slow', async (t) => {
  await server.put('slow', 'x', Buffer.alloc(100_000))
  server.fault({bytesPerMs: 0.001, bucket: 'slow'})
  const slow = await respond(path('slow', 'x'))
  t.is((await take(slow, 1)).length, 1)
  // A later request is answered first: the slow one gets a byte per second.
  server.fault({bytesPerMs: 10_000, bucket: 'slow'})
  t.is((await get(path('slow', 'x'))).body.length, 100_000)
  t.false(slow.readableEnded)
  slow.destroy()
})

test('an object can be overwritten between the request for its metadata and the request for its bytes', async (t) => {
  const {generation} = await server.put('between', 'x', 'old')
  using _hook = server.onRequest(async ({kind, bucket}) => {
    if (kind === 'media' && bucket === 'between') await server.put('between', 'x', 'new')
  })
  const pinned = await get(path('between', 'x', `&generation=${generation}`))
  t.is(pinned.status, 404)
  t.is((await get(path('between', 'x'))).body.toString(), 'new')
})

test('a hook that fails is a 500, and a client that hangs up does not wait for it', async (t) => {
  await server.put('hooked', 'x', letters)
  {
    using _hook = server.onRequest(({bucket}) => {
      if (bucket === 'hooked') throw new Error('no')
    })
    t.is((await get(path('hooked', 'x'))).status, 500)
  }
  const arrived = Promise.withResolvers<void>()
  using _hook = server.onRequest(({bucket}) => {
    if (bucket !== 'hooked') return
    arrived.resolve()
    return new Promise(() => {})
  })
  const caller = new AbortController()
  const response = respond(path('hooked', 'x'), {}, caller.signal)
  await arrived.promise
  caller.abort()
  await t.throwsAsync(response, {name: 'AbortError'})
})

test.serial('the log has the requests and the responses', async (t) => {
  await server.put('logged', 'a/b', letters)
  await get(path('logged', 'a/b'), {range: 'bytes=1-3'})
  await get('/storage/v1/b/logged/o/none')
  await server.idle()
  const [download, metadata] = server.requests.filter(({bucket}) => bucket === 'logged')
  t.like(download, {
    method: 'GET',
    url: path('logged', 'a/b'),
    kind: 'media',
    bucket: 'logged',
    object: 'a/b',
    range: 'bytes=1-3',
    status: 206,
    bytesSent: 3,
    aborted: false,
    done: true,
  })
  t.like(metadata, {kind: 'metadata', object: 'none', status: 404, aborted: false, done: true})
})

test.serial('a reader that hangs up is noticed, and the rest is not read from disk', async (t) => {
  await server.put('hung-up', 'x', Buffer.alloc(64 * 1024 * 1024))
  const response = await respond(path('hung-up', 'x'))
  await take(response, 1)
  response.destroy()
  await server.idle()
  const {aborted, done, bytesSent} = lastOf('hung-up')
  t.deepEqual([aborted, done], [true, true])
  t.true(bytesSent < 32 * 1024 * 1024)
})

test('closing ends requests that would never end', async (t) => {
  await using other = await startStorage()
  await other.put('b', 'x', letters)
  other.fault({stallAt: 5, times: Infinity})
  const response = await fetch(`${other.url}${path('b', 'x')}`)
  const reading = response.text()
  await other.close()
  await t.throwsAsync(reading)
  t.is(other.openRequests(), 0)
  await t.throwsAsync(fetch(`${other.url}${path('b', 'x')}`))
})
