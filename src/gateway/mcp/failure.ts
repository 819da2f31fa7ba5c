import type {Code, Fault} from '../../core/fault.ts'
import {failureHeaders, failureJson, httpStatusOf} from '../../http/response/failure.ts'
import {json, type Reply} from '../../http/response/reply.ts'

/** The JSON-RPC code of an error (https://www.jsonrpc.org/specification#error_object): a code for server errors unless given. */
const codesOfJsonRpc: Partial<Record<Code, number>> = {INVALID_ARGUMENT: -32600, INTERNAL: -32603, UNKNOWN: -32603}
const parseError = -32700
const serverError = -32000

const unread = new WeakSet<Fault>()

/** Marks `fault` as the error of a body that is not JSON. */
export function markUnread(fault: Fault): void {
  unread.add(fault)
}

/** The response to a request that failed before it was read: a JSON-RPC error, with the error body of REST as its data. */
export function mcpFailure(fault: Fault): Reply {
  const code = unread.has(fault) ? parseError : (codesOfJsonRpc[fault.code] ?? serverError)
  const error = {code, message: fault.message, data: failureJson(fault, 'aip')}
  return json({jsonrpc: '2.0', error, id: null}, {status: httpStatusOf(fault), headers: failureHeaders(fault)})
}
