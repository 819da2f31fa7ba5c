import {
  copyObject,
  createBucket,
  deleteBucket,
  deleteObject,
  getBucket,
  getObject,
  patchBucket,
  patchObject,
  rewriteObject,
} from './changes.ts'
import {download} from './download.ts'
import {StorageError} from './error.ts'
import {type Exchange, headerOf} from './exchange.ts'
import type {RequestKind} from './faults.ts'
import {listBuckets, listObjects} from './list.ts'
import type {Route} from './route.ts'
import {putSigned, uploadMedia, uploadMultipart} from './uploads/upload.ts'

/** The handler of a request, and the request's kind. */
export interface Operation {
  readonly kind: RequestKind
  readonly run: (exchange: Exchange) => void | Promise<void>
}

const operations: Readonly<Record<string, Operation>> = {
  'GET buckets': {kind: 'list', run: listBuckets},
  'POST buckets': {kind: 'change', run: createBucket},
  'GET bucket': {kind: 'metadata', run: getBucket},
  'PATCH bucket': {kind: 'change', run: patchBucket},
  'DELETE bucket': {kind: 'change', run: deleteBucket},
  'GET objects': {kind: 'list', run: listObjects},
  'GET object': {kind: 'metadata', run: getObject},
  'PATCH object': {kind: 'change', run: patchObject},
  'DELETE object': {kind: 'change', run: deleteObject},
  'POST rewriteTo': {kind: 'change', run: rewriteObject},
  'POST copyTo': {kind: 'change', run: copyObject},
  'GET media': {kind: 'media', run: download},
  'POST upload': {kind: 'upload', run: beginUpload},
  'PUT upload': {kind: 'upload', run: (exchange) => exchange.resumables.put(exchange)},
  'DELETE upload': {kind: 'upload', run: (exchange) => exchange.resumables.cancel(exchange)},
  'GET xml': {kind: 'media', run: download},
  'HEAD xml': {kind: 'metadata', run: download},
  'PUT xml': {kind: 'upload', run: putXml},
  'POST xml': {kind: 'upload', run: postXml},
  'DELETE xml': {kind: 'change', run: deleteXml},
}

/** The operation for a request, if there is one. */
export function operationOf(method: string, {resource}: Route): Operation | undefined {
  return operations[`${method} ${resource}`]
}

const uploadTypes: Readonly<Record<string, Operation['run']>> = {
  media: uploadMedia,
  multipart: uploadMultipart,
  resumable: (exchange) => exchange.resumables.start(exchange),
}

function beginUpload(exchange: Exchange): void | Promise<void> {
  const type = exchange.route.query.get('uploadType') ?? ''
  const run = uploadTypes[type]
  if (!run) throw new StorageError(400, `Invalid uploadType: "${type}".`)
  return run(exchange)
}

function putXml(exchange: Exchange): Promise<void> {
  return exchange.route.query.has('upload_id') ? exchange.resumables.put(exchange) : putSigned(exchange)
}

function postXml(exchange: Exchange): Promise<void> {
  if (headerOf(exchange, 'x-goog-resumable') === 'start') return exchange.resumables.startSigned(exchange)
  throw new StorageError(400, 'Cannot POST to an object without "x-goog-resumable: start"')
}

function deleteXml(exchange: Exchange): void | Promise<void> {
  return exchange.route.query.has('upload_id') ? exchange.resumables.cancel(exchange) : deleteObject(exchange)
}
