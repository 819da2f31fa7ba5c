import type {Call} from '../../clients/call.ts'
import {rpcHeaders, rpcTrailers} from '../../transcoding/metadata.ts'
import type {MetadataTexts} from '../../transcoding/rpc/ends.ts'
import {entriesOf, isGrpc, merged} from '../metadata.ts'

type Headers = Record<string, string | string[]>

/** The response headers for the initial metadata of the backend. */
export function headersOf(call: Call | undefined): Headers {
  return call?.header && isGrpc(call) ? merged(rpcHeaders(entriesOf(call.header))) : {}
}

/** The trailers of an ended call. */
export function trailersOf(call: Call | undefined): MetadataTexts {
  return call?.trailer && isGrpc(call) ? rpcTrailers(entriesOf(call.trailer)) : []
}

/** The trailers as headers, for a unary Connect response: https://connectrpc.com/docs/protocol/#unary-response */
export function trailersInHead(call: Call | undefined): Headers {
  return merged(trailersOf(call).map(([name, value]) => [`trailer-${name}`, value]))
}
