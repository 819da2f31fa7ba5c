import type {Fault} from '../../core/fault.ts'
import {failureHeaders, httpStatus} from '../../http/response/failure.ts'
import type {Reply} from '../../http/response/reply.ts'
import {base64Body} from '../../transcoding/rpc/base64-body.ts'
import {endFrame} from '../../transcoding/rpc/ends.ts'
import {connectError, type RpcError, rpcError} from '../../transcoding/rpc/errors.ts'
import {responseForm} from '../../transcoding/rpc/media.ts'
import {headersOf, trailersInHead, trailersOf} from './metadata.ts'
import type {RpcRequest} from './request.ts'

/** HTTP statuses about the HTTP request itself. They are more specific than any RPC code. */
const ofHttp: ReadonlySet<number | undefined> = new Set([404, 405, 415, 417, 501, 505])

/** The parts of a request that the format of a failure depends on. */
type Failed = Omit<RpcRequest, 'served'>

/** The response to an RPC request that failed before its first answer, in the format of its protocol. */
export function rpcFailure(request: Failed, fault: Fault): Reply {
  const {form, call, accept} = request
  const error = errorOf(request, fault)
  const wasRead = form?.enveloped && !(call === undefined && ofHttp.has(fault.ownHttpStatus))
  if (!wasRead || (form.protocol === 'connect' && isUnknownPath(request.method, fault)))
    return wholeFailure(request, fault, error)
  const {text, type, protocol} = responseForm(form, accept)
  const end = endFrame(protocol, error, trailersOf(call))
  return {
    headers: {...headersOf(call), ...failureHeaders(fault), 'content-type': type},
    body: text ? base64Body(end) : end,
  }
}

/** Whether `fault` says that no method has the path. A caller without access gets another fault, the same one at every path. */
function isUnknownPath(method: RpcRequest['method'], {code}: Fault): boolean {
  return method === undefined && code === 'NOT_FOUND'
}

/** An HTTP status with JSON, as for unary Connect calls. Other clients can read it as well. */
function wholeFailure({call, method}: Failed, fault: Fault, error: RpcError): Reply {
  const own = call === undefined && ofHttp.has(fault.ownHttpStatus) ? fault.ownHttpStatus : undefined
  return {
    status: own ?? (isUnknownPath(method, fault) ? 404 : httpStatus[error.code]),
    headers: {
      ...headersOf(call),
      ...trailersInHead(call),
      ...failureHeaders(fault),
      'content-type': 'application/json',
    },
    body: JSON.stringify(connectError(error)),
  }
}

/** Converts `fault` for the caller of `request`. */
export function errorOf({method}: Pick<RpcRequest, 'method'>, fault: Fault): RpcError {
  return rpcError(fault, method !== undefined)
}
