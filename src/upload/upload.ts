import {Readable} from 'node:stream'
import {type Message, toJsonString} from '@bufbuild/protobuf'
import type {Runtime} from '../clients/runtime.ts'
import {hadAllEvents} from '../core/event-stream.ts'
import {Fault} from '../core/fault.ts'
import {atMost} from '../core/waiting.ts'
import {only} from '../http/request/methods.ts'
import {httpStatusOf} from '../http/response/failure.ts'
import {eventStream, message, ndjson, noMoreEvents, type Reply} from '../http/response/reply.ts'
import type {Handler, Scope} from '../http/scope.ts'
import {negotiate} from '../transcoding/media.ts'
import {contextFromQuery, type Job, jobReader, jsonPath, parameterOf} from './job.ts'
import type {UploadMethod, UploadOptions} from './options.ts'
import type {Content, Progress} from './send.ts'
import {accessOf, allow, contentOf, firstMessage, type Target, targetOf} from './target.ts'

export type {Chunk} from './chunks.ts'
export type {Facts, UploadMethod, UploadOptions} from './options.ts'

/** One upload function; made once. */
interface Upload extends Target {
  readonly readJob: (body: Uint8Array, creator?: string) => Job
}

/** Interval between two progress events, in ms. */
const progressEvery = 250

/** Limit for a body without a Content-Length, which is buffered, in bytes. */
const maxUnannounced = 1024 * 1024

/**
 * A function that streams into a client-streaming method whose request has a bytes field.
 *
 * POST `{"bucket", "object", "generation"?, "context": {…}}` sends that Storage object. A body of any type other than JSON is itself
 * uploaded, with its context in the query.
 * @throws {ConfigError} for a method that is not client-streaming or has no bytes field, and for names of missing fields
 * @example
 * register(runtime, {
 *   store: (runtime) =>
 *     upload(runtime, {
 *       method: Repo.method.createRepo,
 *       context: 'context',
 *       data: 'data',
 *       required: ['creatorId', 'name'],
 *       sizeOf: (reply) => reply.size,
 *     }),
 * })
 */
export function upload<M extends UploadMethod>(runtime: Runtime, options: UploadOptions<M>): Handler {
  const target = targetOf(runtime, options)
  const made: Upload = {...target, readJob: jobReader(target.plan)}
  return Object.assign(
    only(['POST'], (scope) => answer(made, scope)),
    {access: accessOf(target), form: formOf(target)},
  )
}

/** What the page needs to know to show a form for it. */
function formOf({plan: {method, context, required}}: Target) {
  return {upload: {method: `${method.parent.typeName}/${method.name}`, context, required: required.map(jsonPath)}}
}

async function answer(upload: Upload, scope: Scope): Promise<Reply> {
  const type = negotiate(scope.headers.accept, ['application/json', 'application/x-ndjson', 'text/event-stream'])
  if (type === 'text/event-stream' && hadAllEvents(scope.headers['last-event-id'])) return noMoreEvents
  const {context, content} = isJob(upload, scope) ? await fromStorage(upload, scope) : await fromBody(upload, scope)
  const progress: Progress = {sent: 0, total: content.size}
  const reply = upload.send(scope, firstMessage(upload, scope, context, content), content, progress)
  const {output} = upload.plan.method
  if (type === 'application/json') return message(output, await reply)
  const lines = progressAndReply(
    progress,
    reply.then((value) => toJsonString(output, value)),
  )
  return type === 'text/event-stream' ? eventStream(lines) : ndjson(lines)
}

/** Yields progress until there is a reply, and then the reply: each as JSON. */
async function* progressAndReply(progress: Progress, reply: Promise<string>): AsyncGenerator<string> {
  for (let done = false; !done; ) {
    done = await atMost(progressEvery, reply)
    yield JSON.stringify({progress: {sent: progress.sent, total: progress.total}})
  }
  yield await reply
}

/** Whether the body names an object to upload, rather than being the content itself. */
function isJob({plan}: Upload, {contentType, query}: Scope): boolean {
  if (!contentType) return !query.keys().some((name) => parameterOf(plan.context, name))
  return /^application\/json\s*(;|$)/i.test(contentType.trim())
}

interface Source {
  readonly context: Message
  readonly content: Content
}

async function fromStorage(upload: Upload, scope: Scope): Promise<Source> {
  const {context, ...name} = upload.readJob(await scope.bytes(), creatorOf(upload, scope))
  scope.hold(0)
  allow(upload, name)
  return {context, content: contentOf(upload, await upload.runtime.storage.versionOf(scope.signal, name))}
}

/** The caller's claim that names the creator. @throws {Fault} 403 when the caller does not have it */
function creatorOf({runtime: {config}, plan}: Upload, {caller}: Scope): string | undefined {
  const {uploadCreator: claim} = config
  if (claim === undefined || !plan.creator) return undefined
  const value = caller?.kind === 'token' && Object.hasOwn(caller.claims, claim) ? caller.claims[claim] : undefined
  if (typeof value === 'string' && value !== '') return value
  throw new Fault('PERMISSION_DENIED', 'The caller cannot be the creator of an upload', {
    reason: 'CREATOR_NOT_CALLER',
    hint: `UPLOAD_CREATOR="${claim}", and the caller has no such claim`,
  })
}

async function fromBody(upload: Upload, scope: Scope): Promise<Source> {
  const context = contextFromQuery(upload.plan, scope.query, creatorOf(upload, scope))
  const length = scope.headers['content-length']
  if (length !== undefined) return {context, content: {size: Number(length), pieces: () => scope.body}}
  const bytes = await unannounced(scope)
  return {context, content: {size: bytes.length, pieces: () => Readable.from([bytes])}}
}

/**
 * Reads a body without a Content-Length. It is buffered before anything is sent: a backend could mistake a cancellation for the end, and
 * without an announced size it would keep an incomplete upload.
 * @throws {Fault} 411 when it is longer than the buffer may be
 */
async function unannounced(scope: Scope): Promise<Buffer> {
  try {
    return await scope.bytesAsSent(maxUnannounced)
  } catch (error) {
    if (!(error instanceof Fault) || httpStatusOf(error) !== 413) throw error
    throw Fault.invalid(
      'content-length',
      `A body of more than ${maxUnannounced} bytes needs the header Content-Length`,
      {
        http: 411,
      },
    )
  }
}
