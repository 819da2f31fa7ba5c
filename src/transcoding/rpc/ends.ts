import type {JsonValue} from '@bufbuild/protobuf'
import {connectError, type RpcError, statusTrailers} from './errors.ts'
import {endStreamFlag, framed, trailersFlag} from './frames.ts'
import type {RpcProtocol} from './media.ts'

/** Names and values of metadata, as text. */
export type MetadataTexts = readonly (readonly [name: string, value: string])[]

const utf8 = new TextEncoder()

/** The last envelope of a stream, with its status. @param error undefined for success */
export function endFrame(protocol: RpcProtocol, error: RpcError | undefined, trailers: MetadataTexts): Uint8Array {
  return protocol === 'connect' ? endOfStream(error, trailers) : trailersFrame(error, trailers)
}

/** Connect's end-stream message: https://connectrpc.com/docs/protocol/#error-end-stream */
function endOfStream(error: RpcError | undefined, trailers: MetadataTexts): Uint8Array {
  const metadata: Record<string, string[]> = Object.create(null)
  for (const [name, value] of trailers) {
    metadata[name] ??= []
    metadata[name].push(value)
  }
  const json: JsonValue = {...(error && {error: connectError(error)}), ...(trailers.length > 0 && {metadata})}
  return framed(endStreamFlag, utf8.encode(JSON.stringify(json)))
}

/** gRPC-Web's trailers, written as HTTP/1.1 writes headers: https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-WEB.md */
function trailersFrame(error: RpcError | undefined, trailers: MetadataTexts): Uint8Array {
  const lines = [...statusTrailers(error), ...trailers].map(([name, value]) => `${name}: ${value}\r\n`)
  return framed(trailersFlag, utf8.encode(lines.join('')))
}
