import {type Conditions, conditionsOf, whenMet} from '../conditions.ts'
import {StorageError} from '../error.ts'
import {type Exchange, headerOf, nameOf, parseJson, send, sendJson} from '../exchange.ts'
import {type ObjectMetadata, type ObjectOptions, writableOf} from '../resource.ts'
import type {ObjectName, Store} from '../store.ts'
import type {Checksums, Draft} from './draft.ts'
import {multipartOf} from './multipart.ts'

/** The object that an upload creates once its bytes are complete. */
export interface Upload {
  readonly name: ObjectName
  readonly about: ObjectOptions
  readonly conditions: Conditions
  /** Checksums from the client. An upload with other bytes is refused. */
  readonly expected: Partial<Checksums>
}

/** POST /upload/…/o?uploadType=media&name=…: the body is the object. */
export async function uploadMedia(exchange: Exchange): Promise<void> {
  const {store, route, request} = exchange
  const name = nameOf({...exchange, route: {...route, object: route.query.get('name') ?? undefined}})
  const upload = {
    name,
    about: withType(
      {contentEncoding: route.query.get('contentEncoding') ?? undefined},
      headerOf(exchange, 'content-type'),
    ),
    conditions: conditionsOf(exchange),
    expected: hashesOf(exchange),
  }
  sendJson(exchange, await receive(store, upload, request))
}

/** POST /upload/…/o?uploadType=multipart: metadata and object in one multipart/related body. */
export async function uploadMultipart(exchange: Exchange): Promise<void> {
  const {store, request} = exchange
  const {metadata, contentType, content} = await multipartOf(request, headerOf(exchange, 'content-type') ?? '')
  sendJson(exchange, await receive(store, uploadOf(exchange, parseJson(metadata), contentType), content))
}

/** PUT of a signed URL: the body is the object, the headers its metadata. */
export async function putSigned(exchange: Exchange): Promise<void> {
  const about = headerMetadata(exchange)
  const upload = {name: nameOf(exchange), about, conditions: conditionsOf(exchange), expected: hashesOf(exchange)}
  const {generation, md5Hash, crc32c} = await receive(exchange.store, upload, exchange.request)
  send(exchange, 200, {
    ETag: `"${Buffer.from(md5Hash, 'base64').toString('hex')}"`,
    'x-goog-generation': generation,
    'x-goog-metageneration': '1',
    'x-goog-hash': `crc32c=${crc32c},md5=${md5Hash}`,
  })
}

/** The object that the metadata and query of a JSON upload describe. */
export function uploadOf(exchange: Exchange, said: Record<string, unknown>, contentType?: string): Upload {
  const object = exchange.route.query.get('name') ?? (typeof said.name === 'string' ? said.name : undefined)
  const name = nameOf({...exchange, route: {...exchange.route, object}})
  const {crc32c, md5Hash} = said
  return {
    name,
    about: withType(writableOf(said), contentType),
    conditions: conditionsOf(exchange),
    expected: {
      ...(typeof crc32c === 'string' && {crc32c}),
      ...(typeof md5Hash === 'string' && {md5Hash}),
      ...hashesOf(exchange),
    },
  }
}

/** The object's metadata in headers of the XML API. */
export function headerMetadata(exchange: Exchange): ObjectOptions {
  const {headers} = exchange.request
  const custom = Object.entries(headers).filter(([key]) => key.startsWith('x-goog-meta-'))
  const metadata = Object.fromEntries(custom.map(([key, value]) => [key.slice('x-goog-meta-'.length), String(value)]))
  return compact({
    contentType: headers['content-type'],
    contentEncoding: headerOf(exchange, 'content-encoding'),
    contentDisposition: headers['content-disposition'],
    contentLanguage: headerOf(exchange, 'content-language'),
    cacheControl: headers['cache-control'],
    metadata: custom.length > 0 ? metadata : undefined,
  })
}

/** The checksums in the x-goog-hash header. */
export function hashesOf(exchange: Exchange): Partial<Checksums> {
  const header = headerOf(exchange, 'x-goog-hash') ?? ''
  const [, crc32c] = /crc32c=([^,\s]+)/.exec(header) ?? []
  const [, md5Hash] = /md5=([^,\s]+)/.exec(header) ?? []
  return {...(crc32c && {crc32c}), ...(md5Hash && {md5Hash})}
}

/** Receives all of `content`, then makes it an object. An error before that leaves nothing behind. */
export async function receive(
  store: Store,
  upload: Upload,
  content: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): Promise<ObjectMetadata> {
  store.bucket(upload.name.bucket)
  const draft = await store.draft()
  try {
    await draft.writeAll(content)
    return await complete(store, upload, draft)
  } catch (error) {
    await draft.discard()
    throw error
  }
}

/** Makes a draft an object. Throws if a checksum differs or a precondition is not met. */
export async function complete(store: Store, upload: Upload, draft: Draft): Promise<ObjectMetadata> {
  const sums = await draft.finish()
  for (const [key, name] of [
    ['crc32c', 'CRC32C'],
    ['md5Hash', 'MD5 hash'],
  ] as const) {
    const expected = upload.expected[key]
    if (expected === undefined || expected === sums[key]) continue
    throw new StorageError(400, `Provided ${name} "${expected}" doesn't match calculated ${name} "${sums[key]}".`)
  }
  return store.publish(draft, upload.name, {...upload.about, ...sums}, whenMet(upload.conditions))
}

function withType(about: ObjectOptions, contentType?: string): ObjectOptions {
  return compact({...about, contentType: about.contentType ?? contentType})
}

function compact<T extends object>(value: T): T {
  return Object.fromEntries(Object.entries(value).filter(([, item]) => item !== undefined && item !== null)) as T
}
