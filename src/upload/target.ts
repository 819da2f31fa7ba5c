import {create, type Message} from '@bufbuild/protobuf'
import type {Runtime} from '../clients/runtime.ts'
import type {ObjectVersion} from '../clients/storage/objects.ts'
import {contractOf} from '../core/contract.ts'
import {Fault} from '../core/fault.ts'
import {shortened} from '../core/shortened.ts'
import type {Scope} from '../http/scope.ts'
import type {UploadMethod, UploadOptions} from './options.ts'
import {type Plan, planOf} from './plan.ts'
import {type Content, type Sender, sender} from './send.ts'

/** What all uploads of one function share; made once. */
export interface Target {
  readonly runtime: Runtime
  readonly plan: Plan
  readonly send: Sender
  readonly options: UploadOptions
  readonly buckets: ReadonlySet<string>
}

/** @throws {ConfigError} for a method that is not client-streaming or has no bytes field, and for names of missing fields */
export function targetOf<M extends UploadMethod>(runtime: Runtime, options: UploadOptions<M>): Target {
  const given = options as unknown as UploadOptions
  const plan = planOf(given)
  contractOf(runtime).learn([plan.method.parent])
  const backend = given.backend ?? runtime.config.backendOf(plan.method.parent.typeName)
  return {
    runtime,
    plan,
    options: given,
    send: sender(runtime, backend, plan, given),
    buckets: new Set(given.buckets ?? runtime.config.uploadBuckets),
  }
}

/** The method that an upload calls, `pkg.Service/Method`, for the access rules. */
export function accessOf({plan: {method}}: Target): {readonly methods: readonly string[]} {
  return {methods: [`${method.parent.typeName}/${method.name}`]}
}

/**
 * The content of one generation of an object, with its facts.
 * @throws {Fault} OUT_OF_RANGE beyond `maxBytes`
 */
export function contentOf(
  target: Target,
  version: ObjectVersion,
): Content & {readonly size: number; readonly generation: string} {
  const {object, size, crc32c, generation} = version
  refuseTooLarge(target, size, `Object "${shortened(object)}"`)
  return {size, crc32c, generation, pieces: (signal) => target.runtime.storage.readReusing(signal, version)}
}

/** @param what the subject of the message @throws {Fault} OUT_OF_RANGE beyond `maxBytes` */
export function refuseTooLarge({plan, options: {maxBytes}}: Target, size: number, what: string): void {
  if (maxBytes === undefined || size <= maxBytes) return
  const why = `${what} has ${size} bytes: ${plan.name} takes ${maxBytes} at most`
  throw new Fault('OUT_OF_RANGE', why, {reason: 'TOO_LARGE'})
}

/** @throws {Fault} PERMISSION_DENIED for an object that is not in UPLOAD_BUCKETS */
export function allow(
  {buckets}: Pick<Target, 'buckets'>,
  {bucket, object}: {readonly bucket: string; readonly object: string},
): void {
  if ([...buckets].some((place) => isIn(place, bucket, object))) return
  throw new Fault('PERMISSION_DENIED', `Bucket "${shortened(bucket)}" is not one that upload reads this object from`, {
    reason: 'BUCKET_NOT_ALLOWED',
    hint: `add it to UPLOAD_BUCKETS, which has ${[...buckets].join(', ') || 'none'}`,
  })
}

/** Whether an object is in `place`: a bucket, or a folder of it, whose name may end in `/`. */
function isIn(place: string, bucket: string, object: string): boolean {
  const [name, ...folders] = place.split('/')
  if (bucket !== name) return false
  const folder = folders.join('/').replace(/\/$/, '')
  if (folder === '') return true
  // Storage takes dots as they stand; what reads the object later may not.
  return object.startsWith(`${folder}/`) && !object.split('/').some((part) => part === '.' || part === '..')
}

/** The message that is sent before the bytes. */
export function firstMessage(
  {plan, options}: Target,
  scope: Scope,
  context: Message,
  content: Content,
): Message | undefined {
  const {input} = plan.method
  const message = withContext(plan, context)
  if (options.first) {
    const changed = options.first(message as never, content, scope)
    return changed && create(input, changed)
  }
  // A request that has only the bytes field has no context to send.
  return plan.contextField || input.fields.length > 1 ? message : undefined
}

function withContext({method, contextField}: Plan, value: Message): Message {
  if (!contextField) return value
  const {oneof, localName} = contextField
  return create(method.input, oneof ? {[oneof.localName]: {case: localName, value}} : {[localName]: value})
}
