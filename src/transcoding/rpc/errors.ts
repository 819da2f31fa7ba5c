import {create, type JsonValue, toBinary} from '@bufbuild/protobuf'
import {base64Encode} from '@bufbuild/protobuf/wire'
import type {Any} from '@bufbuild/protobuf/wkt'
import {detailJson, detailToTell} from '../../core/details.ts'
import {type Code, codes, type Fault} from '../../core/fault.ts'
import {fitting} from '../../core/shortened.ts'
import {StatusSchema} from '../../gen/google/rpc/status_pb.js'

// Renders a Fault for callers of RPC. http/response/failure.ts does it for callers of REST.

/** An error of an RPC protocol. */
export interface RpcError {
  readonly code: Code
  readonly message: string
  readonly details: readonly Any[]
  readonly types: Fault['types']
}

/** Limit for all details together, in bytes. */
const maxDetails = 32 * 1024

/** HTTP statuses that are more specific than any gRPC code, and the codes to which RPC clients map them. */
const codesOfHttp: ReadonlyMap<number | undefined, Code> = new Map<number | undefined, Code>([
  [404, 'UNIMPLEMENTED'],
  [405, 'UNKNOWN'],
  [413, 'RESOURCE_EXHAUSTED'],
  [415, 'UNKNOWN'],
])

/** Converts `fault`. `wasRouted` is false if no method has the requested path. */
export function rpcError(fault: Fault, wasRouted = true): RpcError {
  const {message, details, types} = fault
  const ofHttp = !wasRouted && fault.code === 'NOT_FOUND' ? 'UNIMPLEMENTED' : codesOfHttp.get(fault.ownHttpStatus)
  // With a code from an HTTP status there are no details: they would belong to another code.
  const told = ofHttp ? [] : details.map((any) => detailToTell(any, types)).filter((any) => any !== undefined)
  return {code: ofHttp ?? fault.code, message, details: fitting(told, maxDetails, ({value}) => value.length), types}
}

/** The JSON of an error in Connect: https://connectrpc.com/docs/protocol/#error-end-stream */
export function connectError({code, message, details, types}: RpcError): JsonValue {
  return {
    code: connectCode(code),
    message,
    ...(details.length > 0 && {details: details.map((any) => connectDetail(any, types))}),
  }
}

function connectCode(code: Code): string {
  return code === 'CANCELLED' ? 'canceled' : code.toLowerCase()
}

function connectDetail(any: Any, types: RpcError['types']): JsonValue {
  const type = any.typeUrl.slice(any.typeUrl.lastIndexOf('/') + 1)
  return {type, value: unpadded(any.value), ...debugOf(type, any, types)}
}

/** The JSON of a detail whose type is known, for people. */
function debugOf(type: string, any: Any, types: RpcError['types']): {debug?: JsonValue} {
  const {'@type': _, ...debug} = detailJson(any, types) as Record<string, JsonValue>
  const isKnown = !type.startsWith('google.protobuf.') && debug.value !== base64Encode(any.value)
  return isKnown ? {debug} : {}
}

/** The trailers with the status of a call: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md */
export function statusTrailers(error: RpcError | undefined): [key: string, value: string][] {
  if (!error) return [['grpc-status', '0']]
  const {code, message, details} = error
  const trailers: [string, string][] = [['grpc-status', String(codes[code])]]
  if (message) trailers.push(['grpc-message', percentEncoded(message)])
  if (details.length > 0) {
    const status = create(StatusSchema, {code: codes[code], message, details: [...details]})
    trailers.push(['grpc-status-details-bin', unpadded(toBinary(StatusSchema, status))])
  }
  return trailers
}

const utf8 = new TextEncoder()

/** Encodes text for `grpc-message`: `%` and each byte of UTF-8 that is not printable ASCII become `%XX`. */
function percentEncoded(text: string): string {
  let encoded = ''
  for (const byte of utf8.encode(text)) {
    const isPlain = byte >= 0x20 && byte <= 0x7e && byte !== 0x25
    encoded += isPlain ? String.fromCharCode(byte) : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`
  }
  return encoded
}

/** Base64 for metadata: without padding. */
function unpadded(bytes: Uint8Array): string {
  return base64Encode(bytes, 'std_raw')
}
