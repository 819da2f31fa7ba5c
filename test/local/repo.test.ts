import {createHash} from 'node:crypto'
import {once} from 'node:events'
import http2 from 'node:http2'
import {type Client, status} from '@grpc/grpc-js'
import {crc32c} from '@node-rs/crc32'
import test, {type ExecutionContext} from 'ava'
import {type BackendOptions, startBackend} from '../../local/grpc/backend.ts'
import {Repo} from '../../src/gen/repo_pb.js'
import {ask, type BeginOptions, begin, clientOf} from './caller.ts'

const {createRepo} = Repo.method
const context = {body: {case: 'context', value: {name: 'one', creatorId: 'me'}}} as const

async function start(t: ExecutionContext, options: BackendOptions = {}) {
  const backend = await startBackend(options)
  const client = clientOf(backend.target)
  t.teardown(async () => {
    client.close()
    await backend.close(0)
  })
  return {backend, repo: backend.repo, client}
}

const dataOf = (value: Uint8Array) => ({body: {case: 'data', value}}) as const
const chunks = (count: number, size = 1000) => Array.from({length: count}, (_, index) => Buffer.alloc(size, index))
const upload = (client: Client, data: Uint8Array[], metadata: Record<string, string> = {}) =>
  ask(client, createRepo, [context, ...data.map(dataOf)], {metadata})

function announce(data: Uint8Array[]): Record<string, string> {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(crc32c(Buffer.concat(data)))
  return {'x-object-size': String(Buffer.concat(data).length), 'x-object-crc32c': bytes.toString('base64')}
}

/** Begins an upload and sends its context and `data`. */
function beginUpload(client: Client, data: Uint8Array[] = [], options: BeginOptions = {}) {
  const begun = begin(client, createRepo, options)
  begun.call.write(context)
  for (const chunk of data) begun.call.write(dataOf(chunk))
  return begun
}

test('a complete upload is stored, as a digest', async (t) => {
  const {repo, client} = await start(t, {sha256: true})
  const data = [...chunks(5), Buffer.alloc(500_000, 'x'), Buffer.alloc(0)]
  const metadata: Record<string, string> = {...announce(data), 'x-object-generation': '1700000000000001'}
  const {status: end, replies} = await upload(client, data, metadata)
  t.is(end.code, status.OK, end.details)
  t.like(replies, [{size: 505_000, repo: {id: 'repo-1', name: 'one'}}])
  t.like(repo.repos, [
    {
      id: 'repo-1',
      name: 'one',
      creatorId: 'me',
      size: 505_000,
      crc32c: metadata['x-object-crc32c'],
      sha256: createHash('sha256').update(Buffer.concat(data)).digest('hex'),
      generation: '1700000000000001',
      messages: {count: 7, max: 500_000},
      metadata,
    },
  ])
  t.is(repo.bytesReceived, 505_000)
  t.is(repo.repos.length, 1)
})

test('without an announcement nothing is checked; an empty upload is complete too', async (t) => {
  const {repo, client} = await start(t)
  t.is((await upload(client, chunks(3))).status.code, status.OK)
  t.is((await upload(client, [])).status.code, status.OK)
  t.like(repo.repos, [
    {size: 3000, sha256: undefined},
    {size: 0, crc32c: 'AAAAAA=='},
  ])
})

test('an upload that is too short, too long or damaged is DATA_LOSS, and not stored', async (t) => {
  const {repo, client} = await start(t)
  const good = chunks(3)
  const cases: [string, Uint8Array[], Record<string, string>, RegExp][] = [
    ['short', good.slice(1), announce(good), /2000 of the announced 3000 bytes/],
    ['long', [...good, Buffer.from('x')], announce(good), /More than the announced 3000 bytes/],
    ['damaged', [...good.slice(1), Buffer.alloc(1000, 9)], announce(good), /CRC32C/],
    ['other checksum', good, {'x-object-crc32c': 'AAAAAA=='}, /"AAAAAA==" was announced/],
  ]
  for (const [name, data, metadata, expected] of cases) {
    const {status: end} = await upload(client, data, metadata)
    t.is(end.code, status.DATA_LOSS, name)
    t.regex(end.details, expected, name)
  }
  t.deepEqual(repo.repos, [])
})

test('the context is the first message, and only the first', async (t) => {
  const {repo, client} = await start(t)
  const one = dataOf(Buffer.alloc(1))
  const cases = [
    [[], /first message is nothing/],
    [[one], /first message is data/],
    [[context, one, context], /later message is context/],
    [[{}], /^Message doesn't contain context or data$/],
    [[context, {}], /^Message doesn't contain context or data$/],
    [[context, one, {}], /^Message doesn't contain context or data$/],
  ] as const
  for (const [requests, expected] of cases) {
    const {status: end} = await ask(client, createRepo, [...requests])
    t.is(end.code, status.INVALID_ARGUMENT)
    t.regex(end.details, expected)
  }
  t.is((await upload(client, [], {'x-object-size': 'many'})).status.code, status.INVALID_ARGUMENT)
  t.is((await upload(client, [], {'x-object-size': '2147483648'})).status.code, status.OUT_OF_RANGE)
  t.deepEqual(repo.repos, [])
})

test('a cancel never stores a part, whether the size was announced or not', async (t) => {
  const {backend, repo, client} = await start(t)
  for (let time = 0; time < 20; time++) {
    const next = repo.next()
    const {call, status: end} = beginUpload(client, chunks(3), time % 2 ? {metadata: announce(chunks(4))} : {})
    const begun = await next
    await begun.received(3000)
    t.is(repo.open().length, 1)
    call.cancel()
    await Promise.all([end, begun.cancelled, begun.over])
  }
  await backend.idle()
  t.deepEqual(repo.repos, [])
  t.deepEqual(
    backend.log.map(({code}) => code),
    Array(20).fill('CANCELLED'),
  )
})

test('a cancel right after the end of the stream stores nothing', async (t) => {
  const {backend, repo} = await start(t)
  const session = http2.connect(backend.url)
  t.teardown(() => session.close())
  const path = `/${createRepo.parent.typeName}/${createRepo.name}`
  const next = repo.next()
  const stream = session.request({':method': 'POST', ':path': path, 'content-type': 'application/grpc'})
  stream.on('error', () => {})
  // A context, "\n\0", in a frame of two bytes.
  stream.end(Buffer.from([0, 0, 0, 0, 2, 0x0a, 0]))
  await once(stream, 'finish')
  stream.close(http2.constants.NGHTTP2_CANCEL)
  await (await next).over
  t.deepEqual(repo.repos, [])
})

test('a slow Repo reads no more than the test says, and its caller has to wait', async (t) => {
  const {repo, client} = await start(t, {window: 65535})
  const next = repo.next({slow: true})
  const {call, status: end, replies} = beginUpload(client)
  const slow = await next
  let sent = 0
  for (let index = 0; index < 40; index++) call.write(dataOf(Buffer.alloc(100_000)), () => sent++)
  slow.read(3)
  await slow.received(200_000)
  t.is(slow.bytes, 200_000)
  t.is(slow.messages, 2)
  t.true(sent < 40)
  call.end()
  slow.readAll()
  await slow.ended
  t.is((await end).code, status.OK)
  t.like(replies, [{size: 4_000_000}])
  t.is(sent, 40)
})

test('Repo fails after the configured number of bytes', async (t) => {
  const {backend, repo, client} = await start(t)
  const next = repo.next({failAfter: {bytes: 2000, code: status.RESOURCE_EXHAUSTED, message: 'full'}})
  const {status: end} = beginUpload(client, chunks(3))
  const {code, details} = await end
  t.is(code, status.RESOURCE_EXHAUSTED)
  t.is(details, 'full')
  await (await next).over
  await backend.idle()
  t.deepEqual(repo.repos, [])
  t.is((await upload(client, chunks(1))).status.code, status.OK)
})

test('Repo answers before the end of the stream, with or without an error, if configured', async (t) => {
  const {backend, repo, client} = await start(t)
  const first = repo.next({answerAfter: {bytes: 1000}})
  const early = beginUpload(client, chunks(1))
  t.is((await early.status).code, status.OK)
  t.like(early.replies, [{size: 1000}])
  await (await first).over

  const second = repo.next()
  const failed = beginUpload(client)
  ;(await second).fail(status.ABORTED)
  t.is((await failed.status).code, status.ABORTED)

  const third = repo.next({slow: true})
  const answered = beginUpload(client, chunks(2))
  ;(await third).answer({size: 7})
  t.is((await answered.status).code, status.OK)
  t.like(answered.replies, [{size: 7}])

  await backend.idle()
  t.deepEqual(repo.repos, [])
})

test('Repo reports another size if configured', async (t) => {
  const {repo, client} = await start(t)
  repo.next({replySize: 5})
  const {replies} = await upload(client, chunks(1))
  t.like(replies, [{size: 5}])
  t.is(repo.repos[0]?.size, 1000)
})

test('a silent Repo reads everything and answers only when the test says so', async (t) => {
  const {backend, repo, client} = await start(t)
  const next = repo.next({silent: true})
  const {call, status: end} = beginUpload(client, chunks(1))
  call.end()
  const silent = await next
  await silent.ended
  t.is(backend.openCalls(), 1)
  call.cancel()
  t.is((await end).code, status.CANCELLED)
  await Promise.all([silent.cancelled, silent.over, backend.idle()])
  t.deepEqual(repo.repos, [])
})

test('a connection that breaks stores nothing', async (t) => {
  const {backend, repo, client} = await start(t)
  const next = repo.next()
  const {status: end} = beginUpload(client, chunks(2))
  const begun = await next
  await begun.received(2000)
  backend.dropConnections()
  t.is((await end).code, status.UNAVAILABLE)
  await Promise.all([begun.cancelled, begun.over, backend.idle()])
  t.deepEqual(repo.repos, [])
})
