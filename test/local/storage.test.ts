import {spawn} from 'node:child_process'
import {createHash, generateKeyPair} from 'node:crypto'
import {once} from 'node:events'
import {mkdtemp, readdir, rm} from 'node:fs/promises'
import {request} from 'node:http'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {createInterface} from 'node:readline'
import {Readable} from 'node:stream'
import {pipeline} from 'node:stream/promises'
import {promisify} from 'node:util'
import {Storage} from '@google-cloud/storage'
import {crc32c} from '@node-rs/crc32'
import test from 'ava'
import {startStorage} from '../../local/storage/server.ts'

const dir = await mkdtemp(join(tmpdir(), 'storage-test-'))
const server = await startStorage({dir})
const client = new Storage({apiEndpoint: server.url, projectId: 'local'})

test.after.always('closing ends everything and removes the bytes', async (t) => {
  await server.idle()
  t.is(server.openRequests(), 0)
  await server.close()
  t.deepEqual(await readdir(dir), [])
  await rm(dir, {recursive: true})
})

const url = (path: string): string => `${server.url}${path}`
const object = (bucket: string, name: string): string => url(`/storage/v1/b/${bucket}/o/${encodeURIComponent(name)}`)
const media = async (bucket: string, name: string): Promise<string> => {
  const response = await fetch(`${object(bucket, name)}?alt=media`)
  return response.ok ? response.text() : `${response.status}`
}
const filesOnDisk = async (): Promise<number> => (await readdir(dir, {recursive: true})).length - 1

test('the client creates, gets, lists, changes and deletes buckets', async (t) => {
  const [bucket] = await client.createBucket('buckets-one')
  const [metadata] = await bucket.getMetadata()
  t.like(metadata, {kind: 'storage#bucket', name: 'buckets-one', location: 'US', storageClass: 'STANDARD'})

  await client.createBucket('buckets-two')
  const [listed] = await client.getBuckets({prefix: 'buckets-'})
  t.deepEqual(
    listed.map(({name}) => name),
    ['buckets-one', 'buckets-two'],
  )

  await bucket.setMetadata({labels: {team: 'a'}})
  t.like((await bucket.getMetadata())[0], {labels: {team: 'a'}, metageneration: '2'})

  await bucket.file('a').save('a', {resumable: false})
  await t.throwsAsync(bucket.delete(), {message: 'The bucket you tried to delete is not empty.'})
  await bucket.file('a').delete()
  await bucket.delete()
  t.deepEqual(await bucket.exists(), [false])
})

test('a bucket that exists is not created again, and a missing bucket is reported', async (t) => {
  await client.createBucket('created-once')
  await t.throwsAsync(client.createBucket('created-once'), {message: /you already own it/})
  const error = await t.throwsAsync(client.bucket('created-never').file('a').getMetadata())
  t.like(error, {code: 404, message: 'The specified bucket does not exist.'})
})

test('the client works with STORAGE_EMULATOR_HOST, without /storage/v1 in it', async (t) => {
  process.env.STORAGE_EMULATOR_HOST = server.url
  const bare = new Storage({projectId: 'local'})
  delete process.env.STORAGE_EMULATOR_HOST
  const [bucket] = await bare.createBucket('bare')
  await bucket.file('a/b').save('hello', {resumable: false})
  await bucket.file('c').save('world', {resumable: true})
  t.is((await bucket.file('a/b').download())[0].toString(), 'hello')
  t.true(server.requests.some(({url}) => url.startsWith('/b/bare/o/a%2Fb')))
})

test('an object comes back unchanged, with its metadata in the real format', async (t) => {
  const bytes = Buffer.from('The quick brown fox')
  await server.put('format', 'fox', bytes, {contentType: 'text/plain', metadata: {by: 'me'}})
  const before = Date.now() * 1000
  const [metadata] = await client.bucket('format').file('fox').getMetadata()
  const crc = Buffer.alloc(4)
  crc.writeUInt32BE(crc32c(bytes))
  t.like(metadata, {
    kind: 'storage#object',
    name: 'fox',
    bucket: 'format',
    size: '19',
    metageneration: '1',
    contentType: 'text/plain',
    crc32c: crc.toString('base64'),
    md5Hash: createHash('md5').update(bytes).digest('base64'),
    storageClass: 'STANDARD',
  })
  t.deepEqual(metadata.metadata, {by: 'me'})
  t.is(metadata.id, `format/fox/${metadata.generation}`)
  t.regex(String(metadata.generation), /^\d{16}$/)
  t.true(Math.abs(Number(metadata.generation) - before) < 60e6, 'a generation is the time in microseconds')
  t.regex(String(metadata.timeCreated), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
  t.regex(metadata.etag!, /^C.*EAE=$/)
  t.is(await (await fetch(metadata.mediaLink!)).text(), 'The quick brown fox')
})

test('names with slashes, spaces, percent signs and other letters are kept', async (t) => {
  const names = ['a/b/c', 'a b', '100%', 'ü/日本', 'q?x=1#y', 'a%2Fb', '+']
  const bucket = client.bucket('names')
  await client.createBucket('names')
  for (const name of names) await bucket.file(name).save(`I am ${name}`, {resumable: false})
  for (const name of names) {
    t.is((await bucket.file(name).download())[0].toString(), `I am ${name}`)
    t.is((await bucket.file(name).getMetadata())[0].name, name)
  }
  const [listed] = await bucket.getFiles()
  t.deepEqual(listed.map(({name}) => name).sort(), names.toSorted())
})

for (const base of ['/storage/v1/b', '/b', '/download/storage/v1/b']) {
  test(`a download is served under ${base}`, async (t) => {
    await server.put('bases', 'x/y', 'here')
    const response = await fetch(url(`${base}/bases/o/x%2Fy?alt=media`))
    t.is(await response.text(), 'here')
  })
}

for (const resumable of [false, true]) {
  test(`the client uploads and reads back with its own checks, resumable: ${resumable}`, async (t) => {
    server.createBucket(`upload-${resumable}`)
    const bytes = Buffer.alloc(3_000_001, 'some bytes\r\n--')
    const file = client.bucket(`upload-${resumable}`).file('dir/big')
    await file.save(bytes, {
      resumable,
      contentType: 'text/x-thing',
      metadata: {metadata: {a: 'b'}},
      validation: 'crc32c',
    })
    const [metadata] = await file.getMetadata()
    t.like(metadata, {size: '3000001', contentType: 'text/x-thing', metadata: {a: 'b'}})
    t.true(bytes.equals((await file.download())[0]))
  })
}

test('an empty object can be uploaded in each way', async (t) => {
  const bucket = client.bucket('empty')
  server.createBucket('empty')
  await bucket.file('multipart').save('', {resumable: false})
  await bucket.file('resumable').save('', {resumable: true})
  await fetch(url('/upload/storage/v1/b/empty/o?uploadType=media&name=media'), {method: 'POST'})
  const [files] = await bucket.getFiles()
  t.deepEqual(
    files.map(({name, metadata}) => [name, metadata.size]),
    [
      ['media', '0'],
      ['multipart', '0'],
      ['resumable', '0'],
    ],
  )
  t.is(await media('empty', 'media'), '')
})

test('a simple upload is the request body, with its content type', async (t) => {
  server.createBucket('simple')
  const response = await fetch(url('/upload/storage/v1/b/simple/o?uploadType=media&name=a%2Fb'), {
    method: 'POST',
    headers: {'content-type': 'text/csv'},
    body: '1,2',
  })
  t.like(await response.json(), {name: 'a/b', contentType: 'text/csv', size: '3'})
  t.is(await media('simple', 'a/b'), '1,2')
})

test("the client's chunked resumable upload uses 308, and ends as one object", async (t) => {
  server.createBucket('chunked')
  const bytes = Buffer.alloc(1024 * 1024 + 5, 'abcdefg')
  const file = client.bucket('chunked').file('x')
  await pipeline(Readable.from([bytes]), file.createWriteStream({resumable: true, chunkSize: 256 * 1024}))
  t.true(bytes.equals((await file.download())[0]))
  const puts = server.requests.filter(({bucket, method}) => bucket === 'chunked' && method === 'PUT')
  t.deepEqual(
    puts.map(({status}) => status),
    [308, 308, 308, 308, 200],
  )
})

const startResumable = async (bucket: string, query = 'uploadType=resumable&name=x'): Promise<string> => {
  const response = await fetch(url(`/upload/storage/v1/b/${bucket}/o?${query}`), {method: 'POST'})
  return response.headers.get('location')!
}
const put = (location: string, range: string, body?: string): Promise<Response> =>
  fetch(location, {method: 'PUT', headers: {'content-range': range}, body})

test('a resumable upload reports its progress, ignores overlapping bytes, and can be queried afterwards', async (t) => {
  server.createBucket('status')
  const location = await startResumable('status')
  const none = await put(location, 'bytes */*')
  t.deepEqual([none.status, none.headers.get('range')], [308, null])
  t.is((await put(location, 'bytes 0-3/*', 'abcd')).status, 308)
  const some = await put(location, 'bytes */10')
  t.deepEqual([some.status, some.headers.get('range')], [308, 'bytes=0-3'])
  t.is((await put(location, 'bytes 7-9/10', 'hij')).status, 400)
  t.is(await media('status', 'x'), '404')
  t.is((await put(location, 'bytes 2-9/10', 'cdefghij')).status, 200)
  t.is(await media('status', 'x'), 'abcdefghij')
  const after = await put(location, 'bytes */10')
  t.like([after.status, await after.json()], [200, {size: '10'}])
})

test('a cancelled resumable upload answers 499 from then on, and an unknown one 404', async (t) => {
  server.createBucket('cancelled')
  const location = await startResumable('cancelled')
  await put(location, 'bytes 0-3/*', 'abcd')
  t.is((await fetch(location, {method: 'DELETE'})).status, 499)
  t.is((await put(location, 'bytes 4-5/6', 'ef')).status, 499)
  t.is(await media('cancelled', 'x'), '404')
  t.is((await put(`${location}x`, 'bytes */*')).status, 404)
})

/** Sends the head and part of the body, then hangs up; resolves when the server has noticed. */
const breakOff = async (location: string, method: string, headers: Record<string, string>, body: string) => {
  const arrived = Promise.withResolvers<void>()
  using _hook = server.onRequest(() => arrived.resolve())
  const broken = request(location, {method, headers: {...headers, 'content-length': '1000'}})
  const closed = new Promise((resolve) => broken.on('close', resolve))
  broken.on('error', () => {})
  await new Promise((resolve) => broken.write(body, resolve))
  await arrived.promise
  broken.destroy()
  await closed
  await server.idle()
}

test.serial('bytes of a resumable request that broke off are kept', async (t) => {
  server.createBucket('resumed')
  const location = await startResumable('resumed')
  await breakOff(location, 'PUT', {'content-range': 'bytes 0-999/1000'}, 'abcde')
  t.like(server.requests.at(-1), {method: 'PUT', aborted: true, status: 0, done: true})
  const kept = await put(location, 'bytes */10')
  t.deepEqual([kept.status, kept.headers.get('range')], [308, 'bytes=0-4'])
  t.is((await put(location, 'bytes 5-9/10', 'fghij')).status, 200)
  t.is(await media('resumed', 'x'), 'abcdefghij')
})

test.serial('a resumable request takes over from one that still seems to be sending', async (t) => {
  server.createBucket('taken-over')
  const location = await startResumable('taken-over')
  const arrived = Promise.withResolvers<void>()
  using _hook = server.onRequest(() => arrived.resolve())
  const stuck = request(location, {method: 'PUT', headers: {'content-range': 'bytes 0-*/*'}})
  const ended = new Promise((resolve) => stuck.on('error', resolve))
  stuck.write('abc')
  await arrived.promise
  t.is((await put(location, 'bytes */*')).status, 308)
  t.like(await ended, {code: 'ECONNRESET'})
})

for (const [uploadType, head] of [
  ['media', ''],
  ['multipart', '--b\r\n\r\n{"name": "x"}\r\n--b\r\nContent-Type: text/plain\r\n\r\n'],
] as const) {
  test.serial(`a broken ${uploadType} upload leaves nothing behind`, async (t) => {
    const bucket = `broken-${uploadType}`
    await server.put(bucket, 'x', 'old')
    await server.idle()
    const before = await filesOnDisk()
    const path = url(`/upload/storage/v1/b/${bucket}/o?uploadType=${uploadType}&name=x`)
    await breakOff(path, 'POST', {'content-type': 'multipart/related; boundary=b'}, `${head}half of it`)
    t.is(await media(bucket, 'x'), 'old')
    t.is(await filesOnDisk(), before)
  })
}

test('a multipart upload is read correctly, wherever its body is cut into chunks', async (t) => {
  server.createBucket('cut-anywhere')
  const content = '\r\n--\r\n--boundar\r\n-'
  const body = `--boundary\r\ncontent-type: application/json\r\n\r\n{"name": "x"}\r\n--boundary\r\ncontent-type: text/x\r\n\r\n${content}\r\n--boundary--`
  for (let at = 1; at < body.length; at += 1) {
    const response = await fetch(url('/upload/storage/v1/b/cut-anywhere/o?uploadType=multipart'), {
      method: 'POST',
      headers: {'content-type': 'multipart/related; boundary="boundary"'},
      body: Readable.toWeb(
        Readable.from([Buffer.from(body.slice(0, at)), Buffer.from(body.slice(at))]),
      ) as ReadableStream,
      duplex: 'half',
    } as RequestInit)
    t.like(await response.json(), {contentType: 'text/x', size: String(content.length)})
    t.is(await media('cut-anywhere', 'x'), content)
  }
})

test('an upload with a wrong checksum is refused', async (t) => {
  server.createBucket('checked')
  const response = await fetch(url('/upload/storage/v1/b/checked/o?uploadType=media&name=x'), {
    method: 'POST',
    headers: {'x-goog-hash': 'crc32c=AAAAAA=='},
    body: 'abc',
  })
  t.is(response.status, 400)
  t.like(await response.json(), {error: {code: 400, errors: [{reason: 'invalid', domain: 'global'}]}})
  t.is(await media('checked', 'x'), '404')
})

test('an upload with ifGenerationMatch happens only if it matches', async (t) => {
  server.createBucket('conditions')
  const file = client.bucket('conditions').file('x')
  const save = (text: string, ifGenerationMatch: string | number) =>
    file.save(text, {resumable: false, preconditionOpts: {ifGenerationMatch}})
  await save('one', 0)
  t.like(await t.throwsAsync(save('two', 0)), {
    code: 412,
    message: 'At least one of the pre-conditions you specified did not hold.',
  })
  const [{generation}] = await file.getMetadata()
  await save('three', generation!)
  t.is(await media('conditions', 'x'), 'three')
})

test('objects are listed by prefix and delimiter, page by page, in byte order', async (t) => {
  for (const name of ['b', 'a/1', 'a/2', 'a/x/3', 'a/y/4', 'c', 'Z', 'ﬀ', '𝒳']) await server.put('list', name, name)
  const bucket = client.bucket('list')
  const names = async (options: object) => (await bucket.getFiles(options))[0].map(({name}) => name)
  t.deepEqual(await names({}), ['Z', 'a/1', 'a/2', 'a/x/3', 'a/y/4', 'b', 'c', 'ﬀ', '𝒳'])
  t.deepEqual(await names({prefix: 'a/x'}), ['a/x/3'])
  t.deepEqual(await names({maxResults: 2}), ['Z', 'a/1'])

  const seen: string[] = []
  let pageToken = ''
  let pages = 0
  do {
    const query = new URLSearchParams({prefix: 'a/', delimiter: '/', maxResults: '3', pageToken})
    const page = (await (await fetch(url(`/storage/v1/b/list/o?${query}`))).json()) as {
      items?: {name: string}[]
      prefixes?: string[]
      nextPageToken?: string
    }
    seen.push(...(page.items ?? []).map(({name}) => name), ...(page.prefixes ?? []))
    pageToken = page.nextPageToken ?? ''
    pages += 1
  } while (pageToken)
  t.deepEqual(seen, ['a/1', 'a/2', 'a/x/', 'a/y/'])
  t.is(pages, 2)
})

test('without versioning an overwritten generation is gone', async (t) => {
  const {generation} = await server.put('overwritten', 'x', 'old')
  await server.put('overwritten', 'x', 'new')
  const response = await fetch(`${object('overwritten', 'x')}?alt=media&generation=${generation}`)
  t.is(response.status, 404)
  t.is(await response.text(), `No such object: overwritten/x#${generation}`)
})

test('with versioning old generations are listed and readable until they are deleted themselves', async (t) => {
  const [bucket] = await client.createBucket('versioned', {versioning: {enabled: true}})
  const generations: string[] = []
  for (const text of ['one', 'two', 'three']) generations.push((await server.put('versioned', 'x', text)).generation)
  t.deepEqual(generations, [...new Set(generations)].sort())
  const old = bucket.file('x', {generation: generations[0]})
  t.is((await old.download())[0].toString(), 'one')
  t.truthy((await old.getMetadata())[0].timeDeleted)

  await bucket.file('x').delete()
  t.is(await media('versioned', 'x'), '404')
  const listed = async () => (await bucket.getFiles({versions: true}))[0].map(({metadata}) => metadata.generation)
  t.deepEqual(await listed(), generations)
  await old.delete()
  t.deepEqual(await listed(), generations.slice(1))
  t.deepEqual((await bucket.getFiles())[0], [])
})

test('PATCH changes metadata, raises the metageneration and keeps the bytes', async (t) => {
  const put = await server.put('patched', 'x', 'bytes', {metadata: {a: '1', b: '2'}, cacheControl: 'no-store'})
  const file = client.bucket('patched').file('x')
  await file.setMetadata({contentType: 'text/x', cacheControl: undefined, metadata: {a: null, c: '3'}, size: 77})
  const [metadata] = await file.getMetadata()
  t.like(metadata, {contentType: 'text/x', metageneration: '2', generation: put.generation, size: '5'})
  t.deepEqual(metadata.metadata, {b: '2', c: '3'})
  t.not(metadata.etag, put.etag)
  const late = file.setMetadata({contentType: 'x'}, {ifMetagenerationMatch: 1})
  t.like(await t.throwsAsync(late), {code: 412})
  t.is(await media('patched', 'x'), 'bytes')
})

test('an object is copied with its metadata, and moved', async (t) => {
  await server.put('copied', 'a/b', 'bytes', {contentType: 'text/x'})
  server.createBucket('copied-to')
  const source = client.bucket('copied').file('a/b')
  const [copy] = await source.copy(client.bucket('copied-to').file('c/d'))
  t.like((await copy.getMetadata())[0], {contentType: 'text/x', size: '5', name: 'c/d'})
  await source.delete()
  t.is(await media('copied-to', 'c/d'), 'bytes')
})

test('an error has the format and the text of real Storage: JSON for metadata, plain text for bytes', async (t) => {
  server.createBucket('absent')
  const message = 'No such object: absent/a/b'
  const metadata = await fetch(object('absent', 'a/b'))
  t.is(metadata.status, 404)
  t.deepEqual(await metadata.json(), {
    error: {code: 404, message, errors: [{message, domain: 'global', reason: 'notFound'}]},
  })
  const bytes = await fetch(`${object('absent', 'a/b')}?alt=media`)
  t.deepEqual([bytes.status, await bytes.text()], [404, message])
  t.like(await t.throwsAsync(client.bucket('absent').file('a/b').getMetadata()), {code: 404, message})
})

test('an unknown path is 404, and a path that cannot be decoded is 400', async (t) => {
  for (const path of ['/', '/storage/v1/b/x/o/y/z', '/storage/v1/b/x/acl', '/upload/storage/v1/b/x']) {
    t.is((await fetch(url(path))).status, 404, path)
  }
  t.is((await fetch(url('/storage/v1/b/x/o/%E0%A4%A'))).status, 400)
  t.is((await fetch(url('/upload/storage/v1/b/absent/o?uploadType=other'), {method: 'POST'})).status, 400)
  const unparsable = await fetch(url('/storage/v1/b'), {method: 'POST', body: '{'})
  t.like([unparsable.status, await unparsable.json()], [400, {error: {message: 'Parse Error'}}])
})

test('a forbidden bucket answers 403 until it is allowed again', async (t) => {
  await server.put('forbidden', 'x', 'secret')
  const ban = server.forbid('forbidden')
  const error = await t.throwsAsync(client.bucket('forbidden').file('x').getMetadata(), {
    message: /does not have storage\.objects\.get access to the Google Cloud Storage object/,
  })
  t.like(error, {code: 403})
  t.is(await media('forbidden', 'x'), '403')
  ban[Symbol.dispose]()
  t.is(await media('forbidden', 'x'), 'secret')
})

test('signed URLs get, put, delete and start resumable uploads', async (t) => {
  server.createBucket('signed')
  const credentials = await keys()
  const signer = new Storage({apiEndpoint: server.url, projectId: 'local', credentials})
  const file = signer.bucket('signed').file('dir/a b')
  const signed = async (action: 'read' | 'write' | 'delete' | 'resumable') =>
    (await file.getSignedUrl({version: 'v4', action, expires: Date.now() + 60_000}))[0]

  const put = await fetch(await signed('write'), {method: 'PUT', body: 'one', headers: {'x-goog-meta-by': 'me'}})
  t.is(put.status, 200)
  const got = await fetch(await signed('read'))
  t.deepEqual([await got.text(), got.headers.get('x-goog-meta-by')], ['one', 'me'])
  t.is(got.headers.get('x-goog-generation'), put.headers.get('x-goog-generation'))
  const head = await fetch(await signed('read'), {method: 'HEAD'})
  t.deepEqual([head.status, head.headers.get('content-length')], [200, '3'])

  const start = await fetch(await signed('resumable'), {method: 'POST', headers: {'x-goog-resumable': 'start'}})
  t.is(start.status, 201)
  t.is((await fetch(start.headers.get('location')!, {method: 'PUT', body: 'two'})).status, 200)
  t.is(await media('signed', 'dir/a b'), 'two')

  t.is((await fetch(await signed('delete'), {method: 'DELETE'})).status, 204)
  const gone = await fetch(await signed('read'))
  t.is(gone.status, 404)
  t.regex(await gone.text(), /<Code>NoSuchKey<\/Code>/)
})

async function keys(): Promise<{client_email: string; private_key: string}> {
  const {privateKey} = await promisify(generateKeyPair)('rsa', {modulusLength: 2048})
  return {
    client_email: 'local@local.iam.gserviceaccount.com',
    private_key: privateKey.export({type: 'pkcs8', format: 'pem'}).toString(),
  }
}

/** A server in its own process with a 256 MiB object from a generator; it prints its URL. */
const lonelyServer = `
  const {startStorage} = await import(${JSON.stringify(new URL('../../local/storage/server.ts', import.meta.url))})
  const server = await startStorage()
  const chunk = Buffer.alloc(1024 * 1024, 'abc')
  await server.put('large', 'x', Array(256).values().map(() => chunk))
  console.log(server.url)
  await new Promise((resolve) => process.stdin.on('end', resolve).resume())
  await server.close()
`

test('256 MiB are put, downloaded and uploaded completely, by a server in its own process', async (t) => {
  const child = spawn(process.execPath, ['--input-type=module', '-e', lonelyServer], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const lines = createInterface({input: child.stdout})[Symbol.asyncIterator]()
  const {value: origin} = await lines.next()
  const download = await fetch(`${origin}/storage/v1/b/large/o/x?alt=media`)
  const upload = await fetch(`${origin}/upload/storage/v1/b/large/o?uploadType=media&name=y`, {
    method: 'POST',
    body: download.body,
    duplex: 'half',
  } as RequestInit)
  const {size, crc32c} = (await upload.json()) as {size: string; crc32c: string}
  const {crc32c: expected} = (await (await fetch(`${origin}/storage/v1/b/large/o/x`)).json()) as {crc32c: string}
  t.deepEqual([size, crc32c], [String(256 * 1024 * 1024), expected])
  child.stdin.end()
  const [code] = await once(child, 'exit')
  t.is(code, 0)
})

test('a put that fails leaves nothing behind', async (t) => {
  async function* failing() {
    yield Buffer.from('half')
    throw new Error('no more')
  }
  await t.throwsAsync(server.put('put-fails', 'x', failing()), {message: 'no more'})
  t.is(await media('put-fails', 'x'), '404')
})
