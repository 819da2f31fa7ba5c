import type {Call} from '../../clients/call.ts'
import {rpcHeaders, rpcTrailers} from '../../transcoding/metadata.ts'
import type {MetadataTexts} from '../../transcoding/rpc/ends.ts'
import {entriesOf, isGrpc, merged} from '../metadata.ts'

type Headers = Record<string, string | string[]>

/** The response headers for the metadata that the backend has sent before its first message. */
export function headersOf(call: Call | undefined): Headers {
  return call?.header && isGrpc(call) ? merged(rpcHeaders(entriesOf(call.header))) : {}
}

/** The trailers that the backend has sent, of a call that has ended. */
export function trailersOf(call: Call | undefined): MetadataTexts {
  return call?.trailer && isGrpc(call) ? rpcTrailers(entriesOf(call.trailer)) : []
}

/** The same as headers, as a unary response of Connect has them: https://connectrpc.com/docs/protocol/#unary-response */
export function trailersInHead(call: Call | undefined): Headers {
  return merged(trailersOf(call).map(([name, value]) => [`trailer-${name}`, value]))
}
