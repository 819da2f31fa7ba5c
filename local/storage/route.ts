import {type ErrorForm, StorageError} from './error.ts'

/** The target of a request. `resource` and the method select the operation. */
export interface Route {
  readonly resource:
    | 'buckets'
    | 'bucket'
    | 'objects'
    | 'object'
    | 'media'
    | 'rewriteTo'
    | 'copyTo'
    | 'upload'
    | 'xml'
    | 'nothing'
  readonly bucket?: string
  readonly object?: string
  /** The destination of rewriteTo and copyTo. */
  readonly to?: {readonly bucket: string; readonly object: string}
  readonly query: URLSearchParams
  readonly form: ErrorForm
}

const bases = /^\/(?:(upload|resumable\/upload|download)\/)?(?:storage\/v1\/)?(b(?:\/.*)?)$/

/** Parses a request's raw URL. A `/` in a name is `%2F` there, so each segment is decoded separately. */
export function routeOf(url: string): Route {
  const [path = '', search = ''] = split(url, '?')
  const query = new URLSearchParams(search)
  const [, base, rest] = bases.exec(path) ?? []
  if (!rest) return xmlRoute(path, query)
  const [, bucket, , object, copy, , toBucket, , toObject] = rest.split('/').map(decoded)
  const shape = shapeOf(rest)
  if (base?.endsWith('upload')) {
    return {resource: shape === 'objects' ? 'upload' : 'nothing', bucket, query, form: 'json'}
  }
  if (shape === 'object' && (base === 'download' || query.get('alt') === 'media')) {
    return {resource: 'media', bucket, object, query, form: 'text'}
  }
  if (shape === 'copy' && (copy === 'rewriteTo' || copy === 'copyTo')) {
    return {resource: copy, bucket, object, to: {bucket: toBucket!, object: toObject!}, query, form: 'json'}
  }
  return {resource: shape === 'copy' ? 'nothing' : shape, bucket, object, query, form: 'json'}
}

const shapes = [
  [/^b$/, 'buckets'],
  [/^b\/[^/]+$/, 'bucket'],
  [/^b\/[^/]+\/o$/, 'objects'],
  [/^b\/[^/]+\/o\/[^/]+$/, 'object'],
  [/^b\/[^/]+\/o\/[^/]+\/\w+\/b\/[^/]+\/o\/[^/]+$/, 'copy'],
] as const

function shapeOf(path: string): (typeof shapes)[number][1] | 'nothing' {
  return shapes.find(([pattern]) => pattern.test(path))?.[1] ?? 'nothing'
}

/** The XML API's `/bucket/object`, which signed URLs use: a `/` in the name need not be escaped. */
function xmlRoute(path: string, query: URLSearchParams): Route {
  const [bucket = '', object = ''] = split(path.slice(1), '/').map(decoded)
  return {resource: bucket && object ? 'xml' : 'nothing', bucket, object, query, form: 'xml'}
}

function split(text: string, separator: string): string[] {
  const at = text.indexOf(separator)
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + 1)]
}

function decoded(segment: string): string {
  try {
    return decodeURIComponent(segment)
  } catch (cause) {
    throw Object.assign(new StorageError(400, `Cannot decode "${segment}" of the path: not percent-encoded UTF-8`), {
      cause,
    })
  }
}
