import {create, type Message} from '@bufbuild/protobuf'
import test from 'ava'
import {startBackend} from '../../local/grpc/backend.ts'
import {pattern} from '../../local/samples.ts'
import {Repo, type RepoCreateReply, RepoCreateRequestSchema} from '../../src/gen/repo_pb.js'
import {type Chunk, chunksOf} from '../../src/upload/chunks.ts'
import type {UploadOptions} from '../../src/upload/options.ts'
import {planOf} from '../../src/upload/plan.ts'
import {type Content, type Progress, sender} from '../../src/upload/send.ts'
import {faultOf, TestLife} from '../clients/life.ts'
import {runtimeOf} from '../clients/runtime.ts'

const KiB = 1024
const backend = await startBackend({sha256: true})
const runtime = runtimeOf({BACKEND_URL: backend.url, BACKEND_AUDIENCE: 'none'})
test.after.always(async () => {
  runtime.close()
  await backend.close(0)
})

const options = {
  method: Repo.method.createRepo,
  context: 'context',
  data: 'data',
  sizeOf: (reply: Message) => (reply as RepoCreateReply).size,
} as unknown as UploadOptions
const first = create(RepoCreateRequestSchema, {
  body: {case: 'context', value: {creatorId: 'me', name: 'it'}},
})

/** Sends `content` in the request context `life`. */
function send(life: TestLife, content: Content, more: Partial<UploadOptions> = {}, progress: Progress = begun()) {
  const all = {...options, ...more}
  return sender(runtime, runtime.config.backendOf('Repo'), planOf(all), all)(life, first, content, progress)
}

const begun = (): Progress => ({sent: 0, total: undefined})

/** Content without a known checksum: announced with `size` bytes, of which `came` arrive. */
const announced = (size: number, came: number): Content => ({
  size,
  pieces: async function* () {
    yield* pattern(came)
  },
})

for (const [size, came] of [
  [600 * KiB, 600 * KiB - 1],
  [600 * KiB, 600 * KiB + 1],
  [0, 1],
  [1, 0],
  [256 * KiB, 512 * KiB],
  [512 * KiB, 256 * KiB],
] as const) {
  test.serial(`${came} bytes that were announced as ${size} are refused, without a checksum`, async (t) => {
    const life = new TestLife()
    const kept = backend.repo.repos.length
    const next = backend.repo.next()
    const pieces: Content['pieces'] = async function* () {
      // The call has begun: the context is sent before the bytes.
      await next
      yield* pattern(came)
    }
    const fault = await faultOf(t, send(life, {size, pieces}))
    t.is(fault.code, 'DATA_LOSS')
    t.is(fault.message, `Received ${came} bytes: expected ${size}`)
    await (await next).over
    t.is(backend.repo.repos.length, kept)
    await life.quiet(t)
  })
}

test.serial('a reply with the announced size before all bytes were sent is not accepted', async (t) => {
  const life = new TestLife()
  const size = 1024 * KiB
  backend.repo.next({answerAfter: {bytes: 256 * KiB}, replySize: size})
  let read: AbortSignal | undefined
  const pieces: Content['pieces'] = async function* (signal) {
    read = signal
    yield* pattern(300 * KiB)
    // The rest never arrives, so only the reply can end the call.
    await new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
  }
  const fault = await faultOf(t, send(life, {size, pieces}))
  t.is(fault.code, 'DATA_LOSS')
  t.regex(fault.message, new RegExp(`^The backend kept ${size} bytes of more than \\d+$`))
  t.true(read?.aborted)
  await life.quiet(t)
})

test.serial('an upload of exactly the maximum is accepted, of known size or not; one byte more is not', async (t) => {
  const maxBytes = 10 * KiB
  const unknown = (came: number): Content => ({...announced(came, came), size: undefined})
  for (const content of [announced(maxBytes, maxBytes), unknown(maxBytes)]) {
    const life = new TestLife()
    const reply = (await send(life, content, {maxBytes})) as RepoCreateReply
    t.is(reply.size, maxBytes)
    await life.quiet(t)
  }
  const calls = backend.log.length
  const early = await faultOf(t, send(new TestLife(), announced(maxBytes + 1, maxBytes + 1), {maxBytes}))
  t.is(early.code, 'OUT_OF_RANGE')
  t.is(backend.log.length, calls)
  const life = new TestLife()
  const next = backend.repo.next()
  const pieces: Content['pieces'] = async function* () {
    await next
    yield* pattern(maxBytes + 1)
  }
  t.is((await faultOf(t, send(life, {pieces}, {maxBytes}))).code, 'OUT_OF_RANGE')
  await (await next).over
  await life.quiet(t)
})

test('a chunk is not overwritten until the chunk after the next is requested', async (t) => {
  async function* pieces() {
    for (const text of ['aa', 'bbc', 'cdd', 'e']) yield Buffer.from(text)
  }
  const chunks = chunksOf(pieces(), {size: 2, headroom: 4})
  const given: Chunk[] = []
  const texts = () => given.slice(-2).map(({bytes}) => Buffer.from(bytes).toString())
  for (const expected of [['aa'], ['aa', 'bb'], ['bb', 'cc'], ['cc', 'dd'], ['dd', 'e']]) {
    given.push((await chunks.next()).value as Chunk)
    t.deepEqual(texts(), expected)
  }
  t.deepEqual(
    given.map(({offset, last}) => [offset, last]),
    [
      [0, false],
      [2, false],
      [4, false],
      [6, false],
      [8, true],
    ],
  )
})

test.serial('progress counts the bytes that were sent, and ends with the last one', async (t) => {
  const life = new TestLife()
  const progress = begun()
  const seen: number[] = []
  const pieces: Content['pieces'] = async function* () {
    for (const piece of pattern(600 * KiB)) {
      seen.push(progress.sent)
      t.falsy(progress.ended)
      yield piece
    }
  }
  const reply = (await send(life, {size: 600 * KiB, pieces}, {}, progress)) as RepoCreateReply
  t.is(reply.size, 600 * KiB)
  t.deepEqual(
    [...new Set(seen)].filter((sent) => sent > 0),
    [256 * KiB, 512 * KiB],
  )
  t.deepEqual(
    seen,
    seen.toSorted((left, right) => left - right),
  )
  t.deepEqual(progress, {sent: 600 * KiB, ended: true, total: undefined})
  await life.quiet(t)
})

test.serial('verify gets the sent size, if it was not known before', async (t) => {
  const life = new TestLife()
  const sizes: unknown[] = []
  await send(life, {...announced(7, 7), size: undefined}, {verify: (_, {size}) => void sizes.push(size)})
  t.deepEqual(sizes, [7])
  await life.quiet(t)
})

test.serial('an upload has the deadline of its request, not that of unary calls', async (t) => {
  for (const timeout of [3_600_000, 120_000]) {
    const life = new TestLife({timeout})
    const next = backend.repo.next()
    await send(life, announced(7, 7))
    const {deadline} = (await next).context
    t.true(Math.abs(Number(deadline) - life.deadline) < 30_000, `${deadline}`)
    await life.quiet(t)
  }
})
