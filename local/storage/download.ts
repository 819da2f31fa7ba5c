import {createReadStream} from 'node:fs'
import type {OutgoingHttpHeaders} from 'node:http'
import {pipeline} from 'node:stream'
import {createGunzip} from 'node:zlib'
import {sendBody} from './body.ts'
import {checkRead, conditionsOf} from './conditions.ts'
import {type Exchange, headerOf, nameOf, sendHead} from './exchange.ts'
import {fileChunks} from './file-chunks.ts'
import {rangeOf} from './range.ts'
import type {ObjectMetadata} from './resource.ts'
import type {Version} from './store.ts'

/** GET …/o/{object}?alt=media; GET and HEAD of a signed URL. */
export async function download(exchange: Exchange): Promise<void> {
  const {route, store} = exchange
  const version = store.find(nameOf(exchange), route.query.get('generation') ?? undefined)
  checkRead(conditionsOf(exchange), version)
  if (isInflated(exchange, version.metadata)) return inflate(exchange, version)

  const size = Number(version.metadata.size)
  const range = rangeOf(headerOf(exchange, 'range'), size)
  const {start, end} = range ?? {start: 0, end: size}
  const headers: OutgoingHttpHeaders = {
    ...headersOf(exchange, version.metadata),
    ...(version.metadata.contentEncoding && {'Content-Encoding': version.metadata.contentEncoding}),
    ...(range && {'Content-Range': `bytes ${start}-${end - 1}/${size}`}),
    'Accept-Ranges': 'bytes',
    'Content-Length': end - start,
  }
  if (exchange.request.method === 'HEAD') return sendHeadOnly(exchange, headers)
  const fault = exchange.faults.body(exchange.log)
  // Chunked: the client cannot tell that bytes are missing.
  if (fault && 'endAt' in fault) delete headers['Content-Length']
  sendHead(exchange, range ? 206 : 200, headers)
  await sendBody(exchange, {chunks: fileChunks(store.open(version), {start, end}), start, fault})
}

function sendHeadOnly(exchange: Exchange, headers: OutgoingHttpHeaders): void {
  sendHead(exchange, 200, headers)
  exchange.response.end()
}

/**
 * Decompressive transcoding: sends the whole object decompressed, without a Content-Length. A requested range is ignored. The
 * checksums in the headers are those of the stored bytes.
 */
async function inflate(exchange: Exchange, version: Version): Promise<void> {
  const headers = {
    ...headersOf(exchange, version.metadata),
    'Accept-Ranges': 'none',
    Warning: '214 UploadServer gunzipped',
  }
  if (exchange.request.method === 'HEAD') return sendHeadOnly(exchange, headers)
  const fault = exchange.faults.body(exchange.log)
  sendHead(exchange, 200, headers)
  const stored = createReadStream('', {fd: exchange.store.open(version)})
  const chunks = pipeline(stored, createGunzip({chunkSize: 256 * 1024}), () => {})
  await sendBody(exchange, {chunks, start: 0, fault})
}

function isInflated(exchange: Exchange, {contentEncoding, cacheControl}: ObjectMetadata): boolean {
  return contentEncoding === 'gzip' && !/no-transform/i.test(cacheControl ?? '') && !acceptsGzip(exchange)
}

function acceptsGzip(exchange: Exchange): boolean {
  const codings = (headerOf(exchange, 'accept-encoding') ?? '').split(',')
  return codings.some((coding) => /^\s*(?:x-)?gzip\s*(?:;\s*q=(?!0(?:\.0*)?\s*$).*)?$/i.test(coding))
}

function headersOf({route}: Exchange, metadata: ObjectMetadata): OutgoingHttpHeaders {
  const {contentDisposition, contentLanguage} = metadata
  return {
    'Content-Type': metadata.contentType ?? 'application/octet-stream',
    'Cache-Control': metadata.cacheControl ?? 'no-cache, no-store, max-age=0, must-revalidate',
    ...(contentDisposition && {'Content-Disposition': contentDisposition}),
    ...(contentLanguage && {'Content-Language': contentLanguage}),
    'Last-Modified': new Date(metadata.updated).toUTCString(),
    ETag: route.form === 'xml' ? `"${Buffer.from(metadata.md5Hash, 'base64').toString('hex')}"` : metadata.etag,
    'x-goog-generation': metadata.generation,
    'x-goog-metageneration': metadata.metageneration,
    'x-goog-hash': `crc32c=${metadata.crc32c},md5=${metadata.md5Hash}`,
    'x-goog-storage-class': metadata.storageClass,
    'x-goog-stored-content-encoding': metadata.contentEncoding ?? 'identity',
    'x-goog-stored-content-length': metadata.size,
    ...(route.form === 'xml' && customHeaders(metadata)),
  }
}

function customHeaders({metadata = {}}: ObjectMetadata): OutgoingHttpHeaders {
  return Object.fromEntries(Object.entries(metadata).map(([key, value]) => [`x-goog-meta-${key}`, value]))
}
