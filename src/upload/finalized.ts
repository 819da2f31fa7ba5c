import type {Message} from '@bufbuild/protobuf'
import type {Runtime} from '../clients/runtime.ts'
import {ConfigError} from '../core/config.ts'
import {Fault} from '../core/fault.ts'
import {type ContextField, contextFieldsIn} from '../core/settings.ts'
import {shortened} from '../core/shortened.ts'
import {type CloudEvent, serveEvent} from '../events/serve-event.ts'
import {type StorageObjectData, StorageObjectDataSchema} from '../gen/google/events/cloud/storage/v1/data_pb.js'
import {message, type Reply} from '../http/response/reply.ts'
import type {Handler, Scope} from '../http/scope.ts'
import type {UploadMethod, UploadOptions} from './options.ts'
import type {Progress} from './send.ts'
import {accessOf, allow, contentOf, firstMessage, type Target, targetOf} from './target.ts'
import {contextMaker} from './template.ts'

/** Options for uploading finalized Storage objects. */
export interface FinalizedOptions<M extends UploadMethod = UploadMethod> extends Omit<UploadOptions<M>, 'creator'> {
  /** `field={object}; field={metadata.key}`: the context of an upload; UPLOAD_CONTEXT unless given. */
  readonly template?: string
  /** Expected minimum throughput, in bytes per second: 16 MiB unless given. Objects too large for the remaining time are refused. */
  readonly bytesPerSecond?: number
}

/** The type of accepted events. */
const finalizedType = 'google.cloud.storage.object.v1.finalized'

/** The platform's timeout for an event, in ms. Then the event is sent again, and an event-driven function is ended. */
const eventTimeout = 540_000

/** Default minimum throughput, in bytes per second: a tenth of what one CPU reaches. */
const leastRate = 16 * 1024 * 1024

/**
 * A function that streams each object that Storage finalizes into a client-streaming method, as upload() does for objects that a caller
 * names. It accepts events from Eventarc, and Storage notifications in Pub/Sub pushes.
 *
 * Events are delivered at least once. So each call has the metadata `idempotency-key` with `bucket/object#generation`, and the answer
 * ALREADY_EXISTS counts as success. An event that can never succeed is acknowledged and logged. Others are sent again.
 * @throws {ConfigError} as upload() does, and without a template for the context
 * @example
 * register(runtime, {
 *   store: (runtime) =>
 *     finalized(runtime, {
 *       method: Repo.method.createRepo,
 *       context: 'context',
 *       required: ['creatorId', 'name'],
 *       template: 'creatorId={metadata.creator}; name={object}',
 *     }),
 * })
 */
export function finalized<M extends UploadMethod>(runtime: Runtime, options: FinalizedOptions<M>): Handler {
  const {template, bytesPerSecond = leastRate, ...given} = options
  const target = targetOf(runtime, given as unknown as UploadOptions)
  const contextOf = contextMaker(target.plan, fieldsOf(template, runtime))
  const {output} = target.plan.method
  const handler = serveEvent(
    StorageObjectDataSchema,
    async (event, scope): Promise<Reply | undefined> => {
      const reply = await uploaded(target, scope, {name: objectIn(event), contextOf, bytesPerSecond})
      return reply && message(output, reply)
    },
    {key: ({data: {bucket, name, generation}}) => keyOf({bucket, object: name, generation: String(generation)})},
  )
  return Object.assign(handler, {access: accessOf(target)})
}

/** @throws {ConfigError} for a missing or malformed template */
function fieldsOf(template: string | undefined, {config}: Runtime): readonly ContextField[] {
  const fields = template === undefined ? config.uploadContext : contextFieldsIn(template)
  if (fields) return fields
  const expected = 'expected the fields of the context, such as "creatorId={metadata.creator}; name={object}"'
  throw new ConfigError(
    template === undefined ? `UPLOAD_CONTEXT is not set: ${expected}` : `"${template}": ${expected}`,
  )
}

interface ObjectName {
  readonly bucket: string
  readonly object: string
  /** The generation; the live one if undefined. */
  readonly generation: string | undefined
}

/** @throws {Fault} INVALID_ARGUMENT for an event of another type, or without an object */
function objectIn({type, data}: CloudEvent<StorageObjectData>): ObjectName {
  if (type !== finalizedType) {
    throw Fault.invalid('type', `Cannot upload for this event: expected the type ${finalizedType}`, {
      callerOnly: `, got "${shortened(type)}"`,
    })
  }
  const {bucket, name: object, generation} = data
  for (const [field, value] of Object.entries({bucket, name: object}))
    if (!value) throw Fault.invalid(`data.${field}`, `Field "data.${field}" is missing`)
  return {bucket, object, generation: generation ? String(generation) : undefined}
}

interface Job {
  readonly name: ObjectName
  readonly contextOf: ReturnType<typeof contextMaker>
  readonly bytesPerSecond: number
}

/**
 * Uploads the object. Returns the backend's reply, or undefined if the backend had the object already. Only the name is taken from the
 * event: everything else is read from Storage, so that the sender of an event cannot forge it.
 */
async function uploaded(
  target: Target,
  scope: Scope,
  {name, contextOf, bytesPerSecond}: Job,
): Promise<Message | undefined> {
  allow(target, name)
  const version = await target.runtime.storage.describedVersionOf(scope.signal, name).catch(asOurs)
  const content = contentOf(target, version)
  refuseTooSlow(content, scope, bytesPerSecond)
  const context = contextOf(version)
  const idempotencyKey = keyOf(version)
  const progress: Progress = {sent: 0, total: content.size}
  try {
    const first = firstMessage(target, scope, context, content)
    return await target.send(scope, first, {...content, idempotencyKey}, progress)
  } catch (error) {
    if (!(error instanceof Fault) || error.code !== 'ALREADY_EXISTS') throw error
    scope.log.info({idempotencyKey}, `${target.plan.name} has it already: ${error.logMessage}`)
    return undefined
  }
}

/** @throws {Fault} OUT_OF_RANGE for an object that cannot be uploaded before the event is sent again, so that it would never succeed */
function refuseTooSlow({size}: {readonly size: number}, {deadline}: Scope, bytesPerSecond: number): void {
  const seconds = Math.min(deadline - Date.now(), eventTimeout) / 1000
  if (size <= seconds * bytesPerSecond) return
  const why = `The object has ${size} bytes: expected at most ${Math.floor(seconds * bytesPerSecond)} in ${Math.ceil(seconds)} s`
  throw new Fault('OUT_OF_RANGE', why, {
    reason: 'TOO_LARGE',
    hint: 'a longer timeout, up to 540 s, gives it more time. Objects that need longer have to be uploaded by upload',
  })
}

/** `bucket/object#generation`, with characters outside of printable ASCII percent-encoded, as metadata requires. */
function keyOf({bucket, object, generation}: Omit<ObjectName, 'generation'> & {readonly generation: string}): string {
  return `${bucket}/${object}#${generation}`.replace(/[^!-$&-~]/gu, encodeURIComponent)
}

/** Converts a missing role of our own service account to 502, which is retried: the role may be granted in the meantime. */
function asOurs(error: unknown): never {
  if (!(error instanceof Fault) || error.code !== 'PERMISSION_DENIED') throw error
  const {code, logMessage, details, cause, hint} = error
  throw new Fault(code, logMessage, {http: 502, details: [...details], cause, ...(hint && {hint})})
}
