import {randomUUID} from 'node:crypto'
import type {Runtime} from '../clients/runtime.ts'
import {ConfigError} from '../core/config.ts'
import {Fault} from '../core/fault.ts'
import {only} from '../http/request/methods.ts'
import {json, type Reply} from '../http/response/reply.ts'
import type {Handler, Scope} from '../http/scope.ts'
import type {UploadMethod, UploadOptions} from './options.ts'
import {accessOf, allow, refuseTooLarge, type Target, targetOf} from './target.ts'

/** Limit for the body of a request, in bytes. */
const maxBody = 4096

/** A media type (RFC 9110 8.3.1), with parameters. */
const mediaType = /^[\w!#$&^.+-]{1,127}\/[\w!#$&^.+-]{1,127}(?:\s*;[\x20-\x7e]{1,200})?$/

/**
 * A function that begins the upload of a file that is too large for one request. POST `{"size", "contentType"?}` is answered with
 * `{"uri", "bucket", "object"}`. The client sends the file's bytes to `uri`, a resumable upload of Storage that needs no token. Then it
 * calls `upload`, made with the same options, for the object. UPLOAD_SESSIONS configures the bucket. Each object has a unique name.
 * @throws {ConfigError} for a place that is not in `buckets`, from which upload could not read
 * @example
 * register(runtime, {
 *   session: (runtime) => uploadSession(runtime, {method: Repo.method.createRepo, context: 'context', data: 'data'}),
 * })
 */
export function uploadSession<M extends UploadMethod>(runtime: Runtime, options: UploadOptions<M>): Handler {
  const target = targetOf(runtime, options)
  const place = runtime.config.uploadSessions
  if (!place) throw new ConfigError('UPLOAD_SESSIONS is not set: expected a bucket, or a folder in one')
  const {bucket, folder} = place
  try {
    allow(target, {bucket, object: folder})
  } catch {
    throw new ConfigError(`UPLOAD_SESSIONS="${bucket}/${folder}": expected a place that is in UPLOAD_BUCKETS too`)
  }
  return Object.assign(
    only(['POST'], (scope) => answer(target, scope, place)),
    {access: accessOf(target), form: {uploadSession: true as const}},
  )
}

async function answer(
  target: Target,
  scope: Scope,
  {bucket, folder}: {readonly bucket: string; readonly folder: string},
): Promise<Reply> {
  const {size, contentType} = wish(await scope.bytes(maxBody))
  scope.hold(0)
  refuseTooLarge(target, size, 'A file')
  const object = `${folder}${randomUUID()}`
  const {origin} = scope.headers
  const uri = await target.runtime.storage.newSession(scope.signal, {bucket, object, size, contentType, origin})
  return json({uri, bucket, object}, {headers: {'cache-control': 'no-store'}})
}

/** @throws {Fault} 400 that names the malformed field */
function wish(body: Buffer): {readonly size: number; readonly contentType: string} {
  const {size, contentType = 'application/octet-stream'} = objectIn(body.toString())
  if (typeof size !== 'number' || !Number.isSafeInteger(size) || size < 0) {
    throw Fault.invalid('size', 'Cannot read "size": expected the number of bytes of the file')
  }
  if (typeof contentType !== 'string' || !mediaType.test(contentType)) {
    throw Fault.invalid('contentType', 'Cannot read "contentType": expected a media type such as "video/mp4"')
  }
  return {size, contentType}
}

function objectIn(text: string): Record<string, unknown> {
  try {
    return Object(JSON.parse(text)) as Record<string, unknown>
  } catch (cause) {
    throw Fault.invalid('body', 'Cannot read the body: expected JSON such as {"size": 1000}', {cause})
  }
}
