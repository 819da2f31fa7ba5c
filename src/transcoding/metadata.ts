import {base64Encode} from '@bufbuild/protobuf/wire'
import {Fault} from '../core/fault.ts'
import {shortened} from '../core/shortened.ts'
import {readBase64} from './fields/scalars.ts'

/** One entry of gRPC metadata: a key in lower case, and bytes where the key ends in `-bin`. */
export type MetadataEntry = readonly [key: string, value: string | Uint8Array]

/** Headers as Node gives them: names in lower case. */
export type RequestHeaders = Readonly<Record<string, string | readonly string[] | undefined>>

export interface MetadataOptions {
  /** Whether `authorization` is forwarded to the backend: false unless given. */
  authorization?: boolean | undefined
  /** The keys that a caller may set with `grpc-metadata-*`, in lower case. Unless given, all for which mayBeSet() is true. */
  keys?: ReadonlySet<string> | undefined
  /** Headers with the caller's credentials for this server, in lower case with hyphens. They are never forwarded. */
  proofs?: ReadonlySet<string> | undefined
  /** Whether values that metadata cannot hold are dropped rather than refused. */
  dropInvalid?: boolean | undefined
}

/** The request headers that are forwarded under their own name (our decision). */
const allowed = new Set(['x-request-id', 'traceparent', 'tracestate', 'x-cloud-trace-context', 'accept-language'])

/** Hop-by-hop headers (RFC 9110 section 7.6.1), headers of HTTP or gRPC itself, and those about the backend's own caller. */
const ofTheHop = new Set([
  'accept-encoding',
  'connection',
  'content-encoding',
  'content-length',
  'content-type',
  'cookie',
  'cookie2',
  'date',
  'expect',
  'host',
  'http2-settings',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authentication-info',
  'proxy-authorization',
  'proxy-connection',
  'set-cookie',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'user-agent',
  'via',
  'x-http-method-override',
  'x-serverless-authorization',
])

/**
 * Headers by which front ends vouch for a caller: IAP, API Gateway, Endpoints, App Engine, Cloud Tasks and Scheduler, load balancers
 * and Envoy. A backend that is also behind one of them trusts these headers, so a caller must not set them.
 */
const vouched = [
  /^x-(?:apigateway|apigee|appengine|client-cert|cloudscheduler|cloudtasks|endpoint|envoy)(?:-|$)/,
  /^x-(?:forwarded|goog|google|original|ssl)(?:-|$)/,
  // Our own: the verified caller.
  /^x-verified(?:-|$)/,
  /^(?:forwarded|x-real-ip|x-client-ip|x-cluster-client-ip|true-client-ip|cf-connecting-ip|fastly-client-ip)$/,
]

/** Whether a caller may set the metadata `key`, in lower case: no hop-by-hop headers, none of gRPC's or of front ends. */
export function mayBeSet(key: string): boolean {
  // Some servers treat `_` and `-` alike.
  const name = key.replaceAll('_', '-')
  const isOurs = name === '' || name === 'authorization' || name.startsWith('grpc-') || ofTheHop.has(name)
  return !isOurs && !vouched.some((names) => names.test(name))
}

const prefix = 'grpc-metadata-'

/**
 * The metadata for the backend from these request headers: `grpc-metadata-KEY` becomes KEY, and a few headers keep their names
 * (`x-request-id`, trace context, `accept-language`).
 * @throws {Fault} 400 naming the header, for a key or value that metadata cannot hold
 * @example
 * requestMetadata({'grpc-metadata-tenant': 'acme', cookie: 'a=b'}) // [['tenant', 'acme']]
 */
export function requestMetadata(headers: RequestHeaders, options: MetadataOptions = {}): MetadataEntry[] {
  const entries: MetadataEntry[] = []
  const nominated = nominatedBy(headers)
  for (const [name, value] of Object.entries(headers)) {
    const lower = name.toLowerCase()
    const key = metadataKey(lower, options)
    if (key === undefined || value === undefined || nominated.has(lower) || nominated.has(key)) continue
    for (const text of typeof value === 'string' ? [value] : value) {
      try {
        entries.push(...entriesOf(name, key, text))
      } catch (error) {
        if (!options.dropInvalid) throw error
      }
    }
  }
  return entries
}

/** Headers that are not metadata: those of browsers, of HTTP, and of the RPC protocols themselves. */
const besideMetadata =
  /^(?:accept(?:-(?!language$).*)?|access-control-.*|cache-control|connect-.*|dnt|if-.*|origin|pragma|priority|range|referer|sec-.*|upgrade-insecure-requests|x-grpc-web|x-server-timeout)$/

/**
 * The metadata for the backend from the headers of an RPC request: every header but those of HTTP and the protocol. Headers that
 * metadata cannot hold are dropped, as proxies may have added them.
 * @throws {Fault} 400 naming the header, for a key that ends in `-bin` and a value that is not base64
 */
export function rpcMetadata(
  headers: RequestHeaders,
  {authorization, keys, proofs}: MetadataOptions = {},
): MetadataEntry[] {
  const entries: MetadataEntry[] = []
  const nominated = nominatedBy(headers)
  const goes = (key: string) => {
    if (key === 'authorization') return authorization === true
    if (besideMetadata.test(key) || nominated.has(key) || !/^[0-9a-z_.-]+$/.test(key)) return false
    if (allowed.has(key)) return true
    return mayBeSet(key) && !isProof(key, proofs) && (keys?.has(key) ?? true)
  }
  for (const [name, value] of Object.entries(headers)) {
    if (value === undefined || !goes(name)) continue
    for (const text of typeof value === 'string' ? [value] : value) {
      if (name.endsWith('-bin') || /^[\x20-\x7e]*$/.test(text)) entries.push(...entriesOf(name, name, text))
    }
  }
  return entries
}

/** Response headers that a backend's metadata cannot set, because HTTP or this server sets them. */
const ofTheHead =
  /^(?:accept-post|access-control-.*|allow|alt-svc|clear-site-data|connect-.*|content-.*|location|refresh|retry-after|server|strict-transport-security|vary|www-authenticate|x-content-type-options|x-request-id)$/

/** The headers of an RPC response for its metadata, under their own names; without those that HTTP or this server sets. */
export function rpcHeaders(metadata: Iterable<MetadataEntry>): [name: string, value: string][] {
  return rpcTrailers(metadata).filter(([name]) => !ofTheHead.test(name))
}

/** The trailers of an RPC response, as text: bytes in base64 without padding. */
export function rpcTrailers(metadata: Iterable<MetadataEntry>): [name: string, value: string][] {
  return written('', metadata, 'std_raw')
}

/**
 * The response headers for the metadata of an answer: `grpc-metadata-KEY` for each KEY, bytes in base64.
 * @example
 * responseHeaders([['tenant', 'acme']]) // [['grpc-metadata-tenant', 'acme']]
 */
export function responseHeaders(metadata: Iterable<MetadataEntry>): [name: string, value: string][] {
  return written(prefix, metadata, 'std')
}

/**
 * The response headers for the trailers of a unary answer: `grpc-trailer-KEY` for each KEY, bytes in base64.
 * @example
 * trailerHeaders([['took', '5ms']]) // [['grpc-trailer-took', '5ms']]
 */
export function trailerHeaders(metadata: Iterable<MetadataEntry>): [name: string, value: string][] {
  return written('grpc-trailer-', metadata, 'std')
}

function isProof(key: string, proofs: MetadataOptions['proofs']): boolean {
  return proofs?.has(key.replaceAll('_', '-')) ?? false
}

function metadataKey(name: string, {authorization = false, keys, proofs}: MetadataOptions): string | undefined {
  // Only under its own name: `grpc-metadata-authorization` would be a second credential.
  if (name === 'authorization') return authorization ? name : undefined
  if (!name.startsWith(prefix)) return allowed.has(name) ? name : undefined
  const key = name.slice(prefix.length)
  return mayBeSet(key) && !isProof(key, proofs) && (keys?.has(key) ?? true) ? key : undefined
}

/** The hop-by-hop headers that `Connection` lists (RFC 9110 7.6.1). */
function nominatedBy({connection = ''}: RequestHeaders): ReadonlySet<string> {
  return new Set(
    String(connection)
      .toLowerCase()
      .split(',')
      .map((name) => name.trim()),
  )
}

function entriesOf(name: string, key: string, text: string): MetadataEntry[] {
  if (!/^[0-9a-z_.-]+$/.test(key)) throw refused(name, 'metadata keys have only letters, digits, "_", "." and "-"')
  if (!key.endsWith('-bin')) {
    if (!/^[\x20-\x7e]*$/.test(text)) throw refused(name, 'metadata values have only printable ASCII characters')
    return [[key, text]]
  }
  return text.split(',').map((part) => {
    const bytes = readBase64(part.trim())
    if (!bytes) throw refused(name, 'a value is not base64', `: "${shortened(part.trim())}"`)
    return [key, bytes]
  })
}

function written(before: string, metadata: Iterable<MetadataEntry>, encoding: 'std' | 'std_raw'): [string, string][] {
  const headers: [string, string][] = []
  for (const [key, value] of metadata) {
    const name = key.toLowerCase()
    if (name.startsWith('grpc-') || name.startsWith(':') || ofTheHop.has(name)) continue
    headers.push([`${before}${name}`, typeof value === 'string' ? value : base64Encode(value, encoding)])
  }
  return headers
}

function refused(name: string, problem: string, callerOnly = ''): Fault {
  return Fault.invalid(name, `Cannot pass on header "${shortened(name)}": ${problem}`, {callerOnly})
}
