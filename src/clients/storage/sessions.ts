import {Fault} from '../../core/fault.ts'
import {shortened} from '../../core/shortened.ts'
import {type Source, sent, textOf, whyNot} from './request.ts'

/** An object to be written. */
export interface NewObject {
  readonly bucket: string
  readonly object: string
  /** The exact size, in bytes. */
  readonly size: number
  readonly contentType: string
  /** The origin of the page that will send the bytes; undefined for senders other than browsers. */
  readonly origin: string | undefined
}

/**
 * Creates a resumable upload, and returns the URL for its bytes. Everybody who has the URL can write this one object, without a token.
 * It never replaces an object.
 * @throws {Fault} PERMISSION_DENIED, NOT_FOUND
 * @throws {Error} for a transient error
 * @see https://cloud.google.com/storage/docs/resumable-uploads
 */
export async function newSession(
  signal: AbortSignal,
  source: Source,
  given: NewObject,
  fresh: boolean,
): Promise<string> {
  const {bucket, object, size, contentType, origin} = given
  const query = new URLSearchParams({uploadType: 'resumable', name: object, ifGenerationMatch: '0'})
  const response = await sent(signal, source, {
    method: 'POST',
    before: '/upload',
    path: `/b/${encodeURIComponent(bucket)}/o?${query}`,
    headers: {
      'content-length': '0',
      'x-upload-content-type': contentType,
      'x-upload-content-length': String(size),
      // Storage lets pages of this origin send the bytes.
      ...(origin !== undefined && {origin}),
    },
    fresh,
  })
  const {statusCode, headers} = response
  if (statusCode !== 200 && statusCode !== 201)
    throw refusal(statusCode ?? 0, await whyNot(response, source.stall), bucket)
  await textOf(response, source.stall)
  if (headers.location) return headers.location
  throw new Fault('INTERNAL', 'Internal error', {cause: 'Storage began a resumable upload, and did not say where'})
}

function refusal(status: number, cause: string, name: string): Fault {
  const bucket = shortened(name)
  if (status === 401 || status === 403) {
    return new Fault('PERMISSION_DENIED', `No permission to write into bucket "${bucket}"`, {
      cause,
      reason: 'STORAGE_PERMISSION_DENIED',
      hint: `grant roles/storage.objectCreator on bucket "${bucket}" to this function's service account`,
    })
  }
  if (status === 404)
    return new Fault('NOT_FOUND', `There is no bucket "${bucket}"`, {cause, reason: 'BUCKET_NOT_FOUND'})
  return new Fault('INTERNAL', 'Internal error', {cause: `Storage answered ${status}: ${cause}`})
}
