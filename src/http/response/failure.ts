import type {JsonValue} from '@bufbuild/protobuf'
import type {ErrorShape} from '../../core/config.ts'
import {detailJson} from '../../core/details.ts'
import {type Code, codes, errorDomain, type Fault} from '../../core/fault.ts'
import {fitting} from '../../core/shortened.ts'

// How callers of REST see a Fault: status, headers, JSON. No other code renders failures, except for callers of RPC:
// transcoding/rpc/errors.ts.

/** The HTTP status of each gRPC code, as in google/rpc/code.proto. */
export const httpStatus = {
  OK: 200,
  CANCELLED: 499,
  UNKNOWN: 500,
  INVALID_ARGUMENT: 400,
  DEADLINE_EXCEEDED: 504,
  NOT_FOUND: 404,
  ALREADY_EXISTS: 409,
  PERMISSION_DENIED: 403,
  RESOURCE_EXHAUSTED: 429,
  FAILED_PRECONDITION: 400,
  ABORTED: 409,
  OUT_OF_RANGE: 400,
  UNIMPLEMENTED: 501,
  INTERNAL: 500,
  UNAVAILABLE: 503,
  DATA_LOSS: 500,
  UNAUTHENTICATED: 401,
} as const satisfies Record<Code, number>

/** The HTTP status of a response with this failure. */
export function httpStatusOf({code, ownHttpStatus}: Fault): number {
  return ownHttpStatus ?? httpStatus[code]
}

/** A 401 names how to log in (RFC 9110, 11.6.1), with at least one parameter (RFC 6750, 3). */
const challenge = {'www-authenticate': `Bearer realm="${errorDomain}"`}

/** The headers of a response with this failure: Retry-After, WWW-Authenticate, and the fault's own. */
export function failureHeaders(fault: Fault): Record<string, string> {
  const {retryAfter, ownHeaders} = fault
  return {
    ...(retryAfter !== undefined && {'retry-after': String(retryAfter)}),
    ...(httpStatusOf(fault) === 401 && challenge),
    ...ownHeaders,
  }
}

/** The JSON of a failure: AIP-193's `{"error": {…}}`, or a google.rpc.Status. */
export function failureJson(fault: Fault, shape: ErrorShape): JsonValue {
  const {code, message} = fault
  const details = detailsJson(fault)
  return shape === 'status'
    ? {code: codes[code], message, details}
    : {error: {code: httpStatusOf(fault), message, status: code, details}}
}

/** The JSON text of a failure in a stream of messages. Its only key is `error`, which distinguishes it from a message, in either format. */
export function failureInStream(fault: Fault, shape: ErrorShape): string {
  const json = failureJson(fault, shape)
  return JSON.stringify(shape === 'status' ? {error: json} : json)
}

/** Limit for the JSON of all details together, in characters. */
const maxDetails = 32 * 1024

/** The details of a failure as JSON, in their order. A detail that does not fit beside those before it is left out. */
export function detailsJson({details, types}: Fault): JsonValue[] {
  const readable = details.map((any) => detailJson(any, types)).filter((json) => json !== undefined)
  return fitting(readable, maxDetails, (json) => JSON.stringify(json).length)
}
