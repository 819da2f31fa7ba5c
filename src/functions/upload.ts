import {Readable} from 'node:stream'
import {toJsonString} from '@bufbuild/protobuf'
import {type Content, createRepo, mostBytes, type Progress} from '../clients/repo/create-repo.ts'
import type {Runtime} from '../clients/runtime.ts'
import {hadAllEvents} from '../core/event-stream.ts'
import {Fault} from '../core/fault.ts'
import {shortened} from '../core/shortened.ts'
import {atMost} from '../core/waiting.ts'
import {type UploadRequest, UploadRequestSchema} from '../gen/functions/upload_pb.js'
import {type RepoCreateReply, RepoCreateReplySchema} from '../gen/repo_pb.js'
import {httpStatusOf} from '../http/failure.ts'
import {only} from '../http/methods.ts'
import {eventStream, message, ndjson, noMoreEvents, type Reply} from '../http/reply.ts'
import type {Handler, Scope} from '../http/scope.ts'
import {messageFromJson} from '../transcoding/json/message.ts'
import {negotiate} from '../transcoding/media.ts'

/** What goes to the backend, and as whose. */
interface Upload {
  readonly context: {readonly creatorId: string; readonly name: string}
  readonly content: Content
}

/** How often a caller who wants to see progress sees some, in ms. */
const progressEvery = 250

/** A body that does not say its length is read whole, if it is no longer than this, in bytes. */
const mostUnannounced = 1024 * 1024

/**
 * POST {"bucket", "object", "generation"?, "context": {"creatorId", "name"}}: streams the Storage object into
 * Repo.CreateRepo. A body of any other type than JSON, with ?creatorId=…&name=…, is itself what is streamed.
 */
export function upload(runtime: Runtime): Handler {
  return only(['POST'], (scope) => uploaded(runtime, scope))
}

async function uploaded(runtime: Runtime, scope: Scope): Promise<Reply> {
  const shape = negotiate(scope.headers.accept, ['application/json', 'application/x-ndjson', 'text/event-stream'])
  if (shape === 'text/event-stream' && hadAllEvents(scope.headers['last-event-id'])) return noMoreEvents
  const {context, content} = isJob(scope) ? await fromStorage(runtime, scope) : await fromBody(scope)
  const progress: Progress = {sent: 0, total: content.size}
  const reply = createRepo(runtime, scope, context, content, progress)
  return shape === 'application/json'
    ? message(RepoCreateReplySchema, await reply)
    : streams[shape](lines(reply, progress))
}

const streams = {
  'application/x-ndjson': ndjson,
  'text/event-stream': eventStream,
} satisfies Record<string, (lines: AsyncIterable<string>) => Reply>

/** Progress while there is none to see otherwise, and then the reply. */
async function* lines(reply: Promise<RepoCreateReply>, progress: Progress): AsyncGenerator<string> {
  for (let done = false; !done; ) {
    done = await atMost(progressEvery, reply)
    yield JSON.stringify({progress: {sent: progress.sent, total: progress.total}})
  }
  yield toJsonString(RepoCreateReplySchema, await reply)
}

/** Whether the body says what to upload, rather than being it. */
function isJob({contentType, query}: Scope): boolean {
  if (!contentType) return !query.has('creatorId')
  return /^application\/json\s*(;|$)/i.test(contentType.trim())
}

async function fromStorage({storage, config}: Runtime, scope: Scope): Promise<Upload> {
  const request = messageFromJson(UploadRequestSchema, await scope.bytes())
  scope.hold(0)
  const {bucket, object, generation} = request
  const context = {
    creatorId: request.context?.creatorId ?? '',
    name: request.context?.name ?? '',
  }
  for (const [field, value] of [
    ['bucket', bucket],
    ['object', object],
    ['context.creatorId', context.creatorId],
    ['context.name', context.name],
  ] as const) {
    if (!value) throw Fault.invalid(field, `Field "${field}" is missing`)
  }
  allow(request, config.uploadBuckets)
  const version = await storage.versionOf(scope.signal, {bucket, object, generation: generation?.toString()})
  const {size, crc32c} = version
  if (size > mostBytes) {
    throw new Fault(
      'OUT_OF_RANGE',
      `Object "${shortened(object)}" has ${size} bytes: a Repo holds ${mostBytes} at most`,
      {
        reason: 'TOO_LARGE',
      },
    )
  }
  const pieces = (signal: AbortSignal) => storage.read(signal, version)
  return {context, content: {size, crc32c, generation: version.generation, pieces}}
}

function allow({bucket}: UploadRequest, buckets: ReadonlySet<string>): void {
  if (buckets.has(bucket)) return
  throw new Fault('PERMISSION_DENIED', `Bucket "${shortened(bucket)}" is not one that upload reads from`, {
    reason: 'BUCKET_NOT_ALLOWED',
    hint: `add it to UPLOAD_BUCKETS, which has ${[...buckets].join(', ') || 'none'}`,
  })
}

async function fromBody(scope: Scope): Promise<Upload> {
  const context = {creatorId: parameter(scope, 'creatorId'), name: parameter(scope, 'name')}
  const length = scope.headers['content-length']
  if (length !== undefined) return {context, content: {size: Number(length), pieces: () => scope.body}}
  const bytes = await unannounced(scope)
  return {context, content: {size: bytes.length, pieces: () => Readable.from([bytes])}}
}

/**
 * A body whose length is known only at its end. It is not sent on before: the backend could take a cancel for the end,
 * and without a size announced it would keep a part for the whole.
 * @throws {Fault} 411 when it is too long for that
 */
async function unannounced(scope: Scope): Promise<Buffer> {
  try {
    return await scope.bytesAsSent(mostUnannounced)
  } catch (error) {
    if (!(error instanceof Fault) || httpStatusOf(error) !== 413) throw error
    throw Fault.invalid('content-length', `A body of more than ${mostUnannounced} bytes has to say its length`, {
      http: 411,
    })
  }
}

function parameter({query}: Scope, name: string): string {
  const value = query.get(name)
  if (value) return value
  throw Fault.invalid(
    name,
    `Parameter "${name}" is missing: a body that is not JSON is uploaded as it is, as whose its query says`,
  )
}
