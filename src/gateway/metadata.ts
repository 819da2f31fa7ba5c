import type {Metadata} from '@grpc/grpc-js'
import type {Call} from '../clients/call.ts'
import {type AuthConfig, ConfigError, type GatewayConfig} from '../core/config.ts'
import type {Dialect} from '../core/dialect.ts'
import type {Scope} from '../http/scope.ts'
import {
  type MetadataEntry,
  type MetadataOptions,
  mayBeSet,
  responseHeaders,
  trailerHeaders,
} from '../transcoding/metadata.ts'

/**
 * Which of a caller's headers are forwarded to the backend.
 * @throws {ConfigError} for reserved keys in GATEWAY_METADATA
 */
export function metadataOptions({authorization, metadata, invalidMetadata}: GatewayConfig): MetadataOptions {
  const refused = (metadata ?? []).filter((key) => !mayBeSet(key))
  if (refused.length === 0)
    return {authorization, keys: metadata && new Set(metadata), dropInvalid: invalidMetadata === 'drop'}
  throw new ConfigError(
    `GATEWAY_METADATA: no caller may set ${refused.map((key) => `"${key}"`).join(', ')}: expected keys that neither a front end, HTTP nor gRPC sets`,
  )
}

/** The headers with callers' credentials for this server. They are never forwarded, even where all headers are metadata. */
export function proofHeaders({apiKeys, issuers, webhooks}: AuthConfig): ReadonlySet<string> {
  const headers = [...issuers.map(({header}) => header), ...webhooks.map(({header}) => header)]
  const names = [...headers, ...(apiKeys === undefined ? [] : ['x-api-key'])].filter((name) => name !== undefined)
  return new Set(names.map((name) => name.replaceAll('_', '-')))
}

type Headers = Record<string, string | string[]>

/** The response headers for the initial metadata of the backend. */
export function headersOf({header}: Call): Headers {
  return merged(responseHeaders(entriesOf(header)))
}

/** The response headers for the initial and trailing metadata of an ended call. */
export function allHeadersOf(call: Call): Headers {
  return {...headersOf(call), ...trailersOf(call)}
}

/** The headers, or HTTP trailers, for the trailing metadata of the backend. */
export function trailersOf({trailer}: Call): Headers {
  return merged(trailerHeaders(entriesOf(trailer)))
}

/** The part of `trailersOf` that is sent after a body, only to callers that ask for trailers. */
export function wantedTrailers({headers}: Pick<Scope, 'headers'>, call: Call): Headers | undefined {
  if (!/(?:^|,)\s*trailers\s*(?:,|;|$)/i.test(String(headers.te ?? ''))) return undefined
  const trailers = trailersOf(call)
  return Object.keys(trailers).length > 0 ? trailers : undefined
}

/**
 * Awaits `work` for `call`. If it rejects, adds the backend's metadata to the error response: that of its status as headers, or
 * as HTTP trailers.
 */
export async function withMetadataOfFailure<T>(
  scope: Scope,
  call: Call,
  work: Promise<T>,
  trailers: Dialect['trailers'] = 'headers',
): Promise<T> {
  try {
    return await work
  } catch (error) {
    if (isGrpc(call)) {
      const headers = trailers === 'headers' ? allHeadersOf(call) : headersOf(call)
      for (const [name, value] of Object.entries(headers)) scope.responseHeaders[name] = [value].flat().join(', ')
      if (trailers === 'trailers') scope.failureTrailers = wantedTrailers(scope, call)
    }
    throw error
  }
}

/** Whether a gRPC server answered. Headers of an HTTP proxy in front of it are not metadata. */
export function isGrpc({header, trailer}: Call): boolean {
  return /^application\/grpc/.test(String((header ?? trailer)?.get('content-type')[0]))
}

/** Groups several values of one name into an array, as Node expects. */
export function merged(headers: readonly [name: string, value: string][]): Headers {
  const byName: Headers = {}
  for (const [name, value] of headers) {
    const before = byName[name]
    byName[name] = before === undefined ? value : [before, value].flat()
  }
  return byName
}

export function* entriesOf(metadata: Metadata | undefined): Generator<MetadataEntry> {
  if (!metadata) return
  for (const key of Object.keys(metadata.getMap())) for (const value of metadata.get(key)) yield [key, value]
}
